//! The restart of `cargo xtask doctor --from-start`. Main function: [`watch`].

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, bail, ensure};
use e2e::{
    control::Control,
    environment::ProbeSpec,
    kubelet::{
        Which,
        doctor::{Answers, has_started},
        node::ContainerReport,
        status::ContainerState,
    },
};
use tokio::time::{Instant, sleep};

/// From one look to the next.
const PAUSE: Duration = Duration::from_millis(250);
/// How long a container may take to stop, with the longest grace period that is in use, and to be started again.
const RESTART_LIMIT: Duration = Duration::from_secs(120);
/// How much longer than it is asked an instance is left alone, so that its diagnosis meets it as it was.
const SLACK: Duration = Duration::from_secs(60);

/// Has a container started again, and sends all its probes from then on until each succeeds, for `limit` at most.
pub(super) async fn watch(
    control: &Control,
    pod: &str,
    container: &str,
    specs: &[&ProbeSpec],
    limit: Duration,
) -> Result<BTreeMap<Which, Answers>> {
    let before = report(control, pod, container).await?.status.restart_count;
    control.restart(pod, container, limit + SLACK).await?;
    let asked = Instant::now();
    loop {
        let status = report(control, pod, container).await?.status;
        if status.restart_count > before && matches!(status.state, ContainerState::Running { .. }) {
            break;
        }
        ensure!(
            asked.elapsed() < RESTART_LIMIT,
            "{pod}/{container} was not started again within {RESTART_LIMIT:?}: {}",
            status.state
        );
        sleep(Duration::from_millis(20)).await;
    }
    let started = Instant::now();
    let mut answers: BTreeMap<Which, Answers> = specs.iter().map(|spec| (spec.which, Vec::new())).collect();
    while started.elapsed() < limit && !answers.values().all(|answers| has_started(answers)) {
        for (which, answers) in &mut answers {
            let at = started.elapsed();
            answers.push((at, control.probe(pod, container, *which).await?));
        }
        sleep(PAUSE).await;
    }
    let restarts = report(control, pod, container).await?.status.restart_count;
    if restarts != before + 1 {
        bail!("{pod}/{container} ended by itself while it was watched; `cargo xtask status` and its log say more");
    }
    Ok(answers)
}

async fn report(control: &Control, pod: &str, container: &str) -> Result<ContainerReport> {
    let snapshot = control.status().await?;
    match snapshot.pod(pod).and_then(|pod| pod.container(container)) {
        Some(report) => Ok(report.clone()),
        None => bail!("nothing is known of {pod}/{container}"),
    }
}
