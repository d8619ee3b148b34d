//! Waits until everything is ready or clearly will not be. Main function: [`wait`].

use std::{collections::BTreeSet, time::Duration};

use e2e_kubelet::snapshot::{PodReport, ProbeReport, Snapshot};
use e2e_plan::ProbeKind;
use e2e_report::{diagnose::stuck, run_dir};
use tokio::time::Instant;

use super::{Error, prepare::Prepared, system::System};
use crate::progress::Progress;

/// How a bring-up ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Up {
    /// Everything is ready.
    Ready,
    /// Something is not ready; the suites find out why.
    Unready,
    /// Some pods cannot start at all, so there is no system to test.
    Stuck,
}

/// Waits and writes `environment.json`. An unready system is not an error: the report explains it.
pub(super) async fn wait(system: &System, prepared: &Prepared, progress: &Progress) -> Result<Up, Error> {
    let mut snapshots = system.keeper.watch();
    let shown = async {
        loop {
            progress.pods(&snapshots.borrow_and_update());
            if snapshots.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let settled = tokio::select! {
        () = shown => return Ok(Up::Unready),
        settled = settle(system, prepared) => settled,
    };
    let snapshot = system.keeper.snapshot();
    progress.pods(&snapshot);
    progress.pods_done();
    let up = match (snapshot.all_ready(), is_stuck(&snapshot)) {
        (true, _) => Up::Ready,
        (false, true) => Up::Stuck,
        (false, false) => Up::Unready,
    };
    system.provider.settle_route().await;
    let environment = system.environment(prepared, up == Up::Ready);
    prepared.directory.write_json(run_dir::ENVIRONMENT, &environment)?;
    let took = e2e_plan::duration::human(std::time::Duration::from_millis(environment.up_ms));
    match (up, settled) {
        (Up::Ready, _) => progress.line(format!("all {} pods are ready after {took}", snapshot.pods.len())),
        (Up::Stuck, _) => stuck_lines(&snapshot).iter().for_each(|line| progress.line(line)),
        (Up::Unready, true) => progress.line(format!("will not become ready: {}", snapshot.unready_lines())),
        (Up::Unready, false) => progress.line(format!("not ready after {took}: {}", snapshot.unready_lines())),
    }
    Ok(up)
}

/// How long a cluster must report a pod as unable to start before it counts: objects that refer to each other are created at the
/// same time, and the first check may fall in between.
const STUCK_FOR: Duration = Duration::from_secs(2);

/// Waits until every pod's fate is clear or time runs out; returns whether it is clear.
async fn settle(system: &System, prepared: &Prepared) -> bool {
    let deadline = Instant::now() + prepared.config.bring_up;
    let alone = pods_alone(prepared);
    loop {
        let is_clear = |snapshot: &Snapshot| is_settled(snapshot, &alone) || is_stuck(snapshot);
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(snapshot) = system.keeper.wait_for("not all pods are ready", left, is_clear).await else { return false };
        if !is_stuck(&snapshot) {
            return true;
        }
        let moved_on = system.keeper.wait_for("pods are stuck", STUCK_FOR, |snapshot| !is_stuck(snapshot)).await;
        if moved_on.is_err() {
            return true;
        }
    }
}

fn is_stuck(snapshot: &Snapshot) -> bool {
    snapshot.pods.values().any(|pod| stuck::of_pod(pod).is_some())
}

fn stuck_lines(snapshot: &Snapshot) -> Vec<String> {
    let line = |(name, pod)| {
        let stuck = stuck::of_pod(pod)?;
        Some(format!("{name} cannot start ({}): {}", stuck.code, stuck.words.trim()))
    };
    snapshot.pods.iter().filter_map(line).collect()
}

/// After this many restarts of a pod, waiting longer is pointless.
const HOPELESS_RESTARTS: u32 = 2;
/// After this many 4xx answers, a started program clearly rejects the probe. Other failures, such as 503, may be temporary.
const HOPELESS_REFUSALS: u32 = 5;
/// How many failed probes a pod gets that refers to a component without replicas: the default failureThreshold.
const HOPELESS_ALONE: u32 = 3;

/// Whether every pod is ready or clearly will not be. `alone` are the pods that refer to a component without replicas.
fn is_settled(snapshot: &Snapshot, alone: &BTreeSet<String>) -> bool {
    snapshot.pods.iter().all(|(name, pod)| pod.ready || is_hopeless(pod, alone.contains(name)))
}

fn is_hopeless(pod: &PodReport, is_alone: bool) -> bool {
    let refused = |probe: &ProbeReport| {
        let status = probe.last_failure.as_ref().and_then(|last| last.status);
        let limit = match status {
            Some(400..500) => HOPELESS_REFUSALS,
            _ if is_alone => HOPELESS_ALONE,
            _ => return false,
        };
        probe.last_success.is_none() && probe.failed >= limit
    };
    pod.restarts >= HOPELESS_RESTARTS
        || pod.containers.iter().any(|container| container.probes.get(&ProbeKind::Readiness).is_some_and(refused))
}

/// The pods whose component refers to one without replicas.
fn pods_alone(prepared: &Prepared) -> BTreeSet<String> {
    let nobody =
        |name: &String| prepared.plan.components.iter().any(|other| other.name == *name && other.replicas == 0);
    let alone = prepared.pods.iter().filter(|pod| pod.component.depends_on.iter().any(nobody));
    alone.map(|pod| pod.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use e2e_kubelet::{
        observation::{Kind, Observation, Verdict},
        snapshot::ContainerReport,
        status::{ContainerState, ContainerStatus},
    };

    use super::*;

    /// A pod whose readiness probe has failed this often, last with this status.
    fn unready(failed: u32, status: u16) -> PodReport {
        let last = Observation { status: Some(status), ..Observation::new(Verdict::Failure, Kind::Response, "") };
        let readiness = ProbeReport { failed, last_failure: Some(last), ..ProbeReport::default() };
        let waiting = ContainerState::Waiting { reason: String::new(), message: String::new() };
        PodReport {
            completes: false,
            object: None,
            ip: None,
            status: "Running".to_owned(),
            ready: false,
            started: true,
            restarts: 0,
            init_containers: Vec::new(),
            containers: vec![ContainerReport {
                is_sidecar: false,
                name: "app".to_owned(),
                status: ContainerStatus {
                    state: waiting,
                    ready: false,
                    started: true,
                    restart_count: 0,
                    last_termination: None,
                },
                terminations: Vec::new(),
                events: Vec::new(),
                probes: BTreeMap::from([(ProbeKind::Readiness, readiness)]),
            }],
            events: Vec::new(),
        }
    }

    #[test]
    fn a_request_that_is_refused_stays_refused_and_a_busy_program_may_recover() {
        assert!(is_hopeless(&unready(HOPELESS_REFUSALS, 400), false));
        assert!(!is_hopeless(&unready(HOPELESS_REFUSALS - 1, 404), false));
        assert!(!is_hopeless(&unready(100, 503), false));
        assert!(is_hopeless(&unready(HOPELESS_ALONE, 503), true));
        assert!(is_hopeless(&PodReport { restarts: HOPELESS_RESTARTS, ..unready(0, 503) }, false));
    }

    #[test]
    fn one_pod_without_hope_does_not_end_the_wait_for_another() {
        let ready = PodReport { ready: true, ..unready(0, 503) };
        let pods = |last: PodReport| Snapshot {
            pods: BTreeMap::from([
                ("a".to_owned(), ready.clone()),
                ("b".to_owned(), unready(HOPELESS_REFUSALS, 400)),
                ("c".to_owned(), last),
            ]),
        };
        assert!(is_settled(&pods(ready.clone()), &BTreeSet::new()));
        assert!(!is_settled(&pods(unready(1, 503)), &BTreeSet::new()));
    }
}
