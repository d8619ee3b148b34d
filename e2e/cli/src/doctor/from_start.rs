//! The restart of `cargo xtask doctor --from-start`. Main function: [`watch`].

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, bail, ensure};
use e2e::control::Control;
use e2e_kubelet::{snapshot::ContainerReport, status::ContainerState};
use e2e_node::doctor::{Answers, has_started};
use e2e_plan::Which;
use e2e_report::environment::ProbeSpec;
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
    let before = running_since(&report(control, pod, container).await?.status.state);
    control.restart(pod, container, limit + SLACK).await?;
    let asked = Instant::now();
    let instance = loop {
        let status = report(control, pod, container).await?.status;
        match running_since(&status.state) {
            since if since.is_some() && since != before => break since,
            _ => {}
        }
        ensure!(
            asked.elapsed() < RESTART_LIMIT,
            "{pod}/{container} was not started again within {RESTART_LIMIT:?}: {}",
            status.state
        );
        sleep(Duration::from_millis(20)).await;
    };
    let started = Instant::now();
    let mut answers: BTreeMap<Which, Answers> = specs.iter().map(|spec| (spec.which, Vec::new())).collect();
    while started.elapsed() < limit && !answers.values().all(|answers| has_started(answers)) {
        for (which, answers) in &mut answers {
            let at = started.elapsed();
            answers.push((at, control.probe(pod, container, *which).await?));
        }
        sleep(PAUSE).await;
    }
    // What it answered says that it has not started, or that it had before.
    if running_since(&report(control, pod, container).await?.status.state) != instance {
        eprintln!("{pod}/{container} ended by itself while it was asked; `cargo xtask status` and its log say more");
    }
    Ok(answers)
}

fn running_since(state: &ContainerState) -> Option<Duration> {
    match state {
        ContainerState::Running { since } => Some(*since),
        ContainerState::Waiting { .. } | ContainerState::Terminated(_) => None,
    }
}

async fn report(control: &Control, pod: &str, container: &str) -> Result<ContainerReport> {
    let snapshot = control.status().await?;
    match snapshot.pod(pod).and_then(|pod| pod.container(container)) {
        Some(report) => Ok(report.clone()),
        None => bail!("nothing is known of {pod}/{container}"),
    }
}
