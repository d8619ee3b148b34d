//! The restart of `cargo xtask doctor --from-start`. Main function: [`watch`].

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, bail};
use e2e::control::Control;
use e2e_kubelet::{snapshot::ContainerReport, status::ContainerState};
use e2e_node::{
    doctor::{Answers, has_started},
    poll::{Look, until},
};
use e2e_plan::ProbeKind;
use e2e_report::{command, environment::ProbeSpec};
use tokio::time::{Instant, sleep};

/// Between two rounds of probes.
const PAUSE: Duration = Duration::from_millis(250);
/// How long a container may take to stop, including a long grace period, and start again.
const RESTART_LIMIT: Duration = Duration::from_secs(120);
/// How much longer than the observation probe kills stay suspended, so that the diagnosis meets the same instance.
const SLACK: Duration = Duration::from_secs(60);

/// Restarts a container and sends all its probes until each succeeds, for at most `limit`.
pub(super) async fn watch(
    control: &Control,
    pod: &str,
    container: &str,
    specs: &[&ProbeSpec],
    limit: Duration,
) -> Result<BTreeMap<ProbeKind, Answers>> {
    let before = running_since(&report(control, pod, container).await?.status.state);
    control.restart(pod, container, limit + SLACK).await?;
    let restarted = until("the restart", RESTART_LIMIT, Duration::from_millis(20), || async {
        match report(control, pod, container).await {
            Err(error) => Look::Done(Err(error)),
            Ok(now) => match running_since(&now.status.state) {
                since @ Some(_) if since != before => Look::Done(Ok(since)),
                _ => Look::NotYet(format!("{pod}/{container} is {}", now.status.state)),
            },
        }
    });
    let instance = restarted.await??;
    let started = Instant::now();
    let mut answers: BTreeMap<ProbeKind, Answers> = specs.iter().map(|spec| (spec.which, Vec::new())).collect();
    while started.elapsed() < limit && !answers.values().all(|answers| has_started(answers)) {
        for (which, answers) in &mut answers {
            let at = started.elapsed();
            answers.push((at, control.probe(pod, container, *which).await?));
        }
        sleep(PAUSE).await;
    }
    if running_since(&report(control, pod, container).await?.status.state) != instance {
        eprintln!("{pod}/{container} exited during the probes; see `{}` and its log", command::line("status"));
        // The answers mix two instances.
        answers.clear();
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
        None => bail!("no such container: {pod}/{container}"),
    }
}
