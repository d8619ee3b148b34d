//! Waits until everything is ready or clearly will not be. Main function: [`wait`].

use std::{collections::BTreeSet, convert::Infallible, net::SocketAddr, time::Duration};

use e2e_kubelet::{
    snapshot::{ContainerReport, PodReport, ProbeReport, Snapshot},
    status::ContainerState,
};
use e2e_node::{node::wait_for, poll::until};
use e2e_plan::{Component, Plan, ProbeKind, Restart};
use e2e_report::{diagnose::stuck, run_dir};
use tokio::{net::TcpStream, time::Instant};

use super::{Error, prepared::Prepared, system::System};
use crate::{progress::Progress, provider::pods::PodSpec};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Up {
    Ready,
    /// Something is not ready; the suites find out why.
    Unready,
    /// Some pods cannot start at all, so there is no system to test.
    Stuck,
}

/// Waits and writes `environment.json`. An unready system is not an error: the report explains it.
pub(super) async fn wait(system: &System, prepared: &Prepared, progress: &Progress) -> Result<Up, Error> {
    let mut snapshots = system.snapshots.clone();
    let shown = async {
        loop {
            progress.pods(&snapshots.borrow_and_update());
            if snapshots.changed().await.is_err() {
                break std::future::pending::<Infallible>().await;
            }
        }
    };
    let settled = tokio::select! {
        never = shown => match never {},
        refusal = system.provider.refusal() => return Err(refusal.into()),
        settled = settle(system, prepared) => settled,
    };
    let snapshot = system.snapshots.borrow().clone();
    progress.pods(&snapshot);
    progress.rows_done();
    let up = match (snapshot.all_ready(), is_stuck(&snapshot)) {
        (true, _) => Up::Ready,
        (false, true) => Up::Stuck,
        (false, false) => Up::Unready,
    };
    system.provider.settle_route().await;
    let environment = system.environment(prepared, up == Up::Ready);
    if up == Up::Ready {
        system.provider.settle_services().await;
    }
    if let Some(entrance) = environment.entrance().ok().filter(|entrance| !is_probed(&prepared.plan, &entrance.service))
    {
        listens(entrance.address, LISTENS).await;
    }
    prepared.directory.write_json(run_dir::ENVIRONMENT, &environment)?;
    let took = e2e_plan::duration::human_ms(environment.up_ms);
    match (up, settled) {
        (Up::Ready, _) => progress.line(format!("all {} pods are ready after {took}", snapshot.pods.len())),
        (Up::Stuck, _) => stuck_lines(&snapshot).iter().for_each(|line| progress.line(line)),
        (Up::Unready, true) => progress.line(format!("will not become ready: {}", snapshot.unready_lines())),
        (Up::Unready, false) => progress.line(format!("not ready after {took}: {}", snapshot.unready_lines())),
    }
    Ok(up)
}

/// How long a program may take to listen that no probe watches.
const LISTENS: Duration = Duration::from_secs(20);

/// Whether a probe tells when a Service's pods are ready. Without one a pod is ready at once, and checks would come too early.
fn is_probed(plan: &Plan, service: &str) -> bool {
    let service = plan.services.iter().find(|candidate| candidate.name == service);
    let is_own = |component: &&Component| service.is_some_and(|service| service.components.contains(&component.name));
    let mut containers = plan.components.iter().filter(is_own).flat_map(|component| &component.pod.containers);
    containers.any(|container| container.probes.readiness.is_some() || container.probes.startup.is_some())
}

/// Waits until something accepts connections. What does not by then is told by the checks.
async fn listens(address: SocketAddr, limit: Duration) {
    let connect = || async { TcpStream::connect(address).await.into() };
    let connected = until("the entrance", limit, Duration::from_millis(50), connect);
    let _ = connected.await;
}

/// How long a cluster must report a pod as unable to start before it counts: objects that refer to each other are created at the
/// same time, and the first check may fall in between.
const STUCK_FOR: Duration = Duration::from_secs(2);

/// Waits until every pod's fate is clear or time runs out; returns whether it is clear.
async fn settle(system: &System, prepared: &Prepared) -> bool {
    let deadline = Instant::now() + prepared.config.bring_up;
    let alone = pods_alone(prepared);
    loop {
        let is_clear = |snapshot: &Snapshot| is_settled(snapshot, &prepared.pods, &alone) || is_stuck(snapshot);
        let left = deadline.saturating_duration_since(Instant::now());
        let settled = wait_for(system.snapshots.clone(), "not all pods are ready", left, is_clear).await;
        let Ok(snapshot) = settled else { return false };
        if !is_stuck(&snapshot) {
            return true;
        }
        let moves_on = |snapshot: &Snapshot| !is_stuck(snapshot);
        if wait_for(system.snapshots.clone(), "pods are stuck", STUCK_FOR, moves_on).await.is_err() {
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
fn is_settled(snapshot: &Snapshot, pods: &[PodSpec], alone: &BTreeSet<String>) -> bool {
    let lost = lost(snapshot, pods);
    let is_settled = |name: &String, pod: &PodReport| {
        pod.ready || lost.contains(name.as_str()) || is_hopeless(pod, alone.contains(name))
    };
    snapshot.pods.iter().all(|(name, pod)| is_settled(name, pod))
}

/// The pods of Jobs that were given up, and those that wait for one of these or for each other.
fn lost<'a>(snapshot: &Snapshot, pods: &'a [PodSpec]) -> BTreeSet<&'a str> {
    let report = |pod: &PodSpec| snapshot.pods.get(&pod.name);
    let is_over = |pod: &&PodSpec| report(pod).is_some_and(|report| is_given_up(report, pod.component.pod.restart));
    let mut lost: Vec<&PodSpec> = pods.iter().filter(is_over).collect();
    loop {
        let is_awaited = |name: &String| lost.iter().any(|lost| lost.component.name == *name);
        let waits = |pod: &&PodSpec| {
            let is_listed = lost.iter().any(|lost| lost.name == pod.name);
            !is_listed && !report(pod).is_some_and(|report| report.started) && pod.component.earlier().any(is_awaited)
        };
        match pods.iter().find(waits) {
            Some(next) => lost.push(next),
            None => return lost.into_iter().map(|pod| pod.name.as_str()).collect(),
        }
    }
}

/// Whether a pod that should run to completion has failed as often as it may.
fn is_given_up(pod: &PodReport, restart: Restart) -> bool {
    let failures_max = match restart {
        Restart::Always | Restart::OnFailure { failures_max: None } => return false,
        Restart::OnFailure { failures_max: Some(failures) } => failures,
        Restart::Never => 0,
    };
    // A sidecar of a Job is killed once the Job is done, and its exit code says nothing of it.
    let has_failed = |container: &ContainerReport| matches!(&container.status.state, ContainerState::Terminated(end) if end.exit_code != 0 && !container.is_sidecar);
    let failures = pod.restarts.saturating_add(u32::try_from(pod.replacements()).unwrap_or(u32::MAX));
    failures >= failures_max && pod.all_containers().any(has_failed)
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
        status::Termination,
    };
    use e2e_plan::Probes;

    use super::*;
    use crate::provider::{pods, testing};

    #[tokio::test]
    async fn a_program_that_listens_late_is_waited_for() {
        let address = probed::closed_port();
        let late = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let listener = tokio::net::TcpListener::bind(address).await.expect("the port is still free");
            listener.accept().await.map(drop)
        });
        listens(address, Duration::from_secs(10)).await;
        assert!(late.await.expect("no panic").is_ok(), "it was connected to");
    }

    #[test]
    fn a_probe_tells_when_a_service_is_ready() {
        let plan = |probe: &str| {
            let text = format!(
                "{{apiVersion: v1, kind: Service, metadata: {{name: s}}, spec: {{selector: {{a: b}}, ports: [{{port: 80}}]}}}}\n---\n\
                 {{apiVersion: v1, kind: Pod, metadata: {{name: p, labels: {{a: b}}}}, spec: {{containers: [{{name: c, image: x{probe}}}]}}}}\n"
            );
            testing::plan(&text)
        };
        for (probe, expected) in [
            ("", false),
            (", livenessProbe: {tcpSocket: {port: 80}}", false),
            (", readinessProbe: {tcpSocket: {port: 80}}", true),
        ] {
            assert_eq!(is_probed(&plan(probe), "s"), expected, "{probe}");
        }
    }

    /// A pod whose readiness probe has failed this often, last with this status.
    fn unready(failed: u32, status: u16) -> PodReport {
        let last = Observation { status: Some(status), ..Observation::new(Verdict::Failure, Kind::Response, "") };
        let readiness = ProbeReport { failed, last_failure: Some(last), ..ProbeReport::default() };
        let mut container = ContainerReport::declared("app", &Probes::default(), "");
        container.status.started = true;
        container.probes.insert(ProbeKind::Readiness, readiness);
        PodReport { started: true, containers: vec![container], ..PodReport::default() }
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
        assert!(is_settled(&pods(ready.clone()), &[], &BTreeSet::new()));
        assert!(!is_settled(&pods(unready(1, 503)), &[], &BTreeSet::new()));
    }

    /// A migration that may fail once more, and an application that needs it.
    #[test]
    fn what_waits_for_a_job_that_was_given_up_waits_in_vain() {
        let manifests = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate}\nspec:\n  backoffLimit: 1\n  template:\n    spec:\n      \
                         restartPolicy: Never\n      containers: [{name: m, image: m, args: ['--db=http://db:1']}]\n---\n\
                         apiVersion: v1\nkind: Pod\nmetadata: {name: app}\n\
                         spec: {containers: [{name: a, image: a, args: ['--db=http://db:1']}]}\n---\n\
                         apiVersion: v1\nkind: Pod\nmetadata: {name: db, labels: {app: db}}\nspec: {containers: [{name: d, image: d}]}\n---\n\
                         apiVersion: v1\nkind: Service\nmetadata: {name: db}\nspec: {selector: {app: db}, ports: [{port: 1}]}\n";
        let pods = pods::of(&testing::plan(manifests), "1");
        let end = |restarts, exit_code| {
            let mut report = PodReport { completes: true, started: false, restarts, ..unready(0, 503) };
            let (started, at) = (Duration::ZERO, Duration::from_secs(1));
            let termination = Termination { exit_code, signal: None, reason: "Error".to_owned(), started, at };
            report.containers[0].status.state = ContainerState::Terminated(termination);
            report
        };
        let waiting = PodReport { started: false, ..unready(0, 503) };
        let is_settled = |job: PodReport, app: PodReport| {
            let ready = PodReport { ready: true, ..unready(0, 503) };
            let reports = [("db-0", ready), ("migrate-0", job), ("app-0", app)];
            let named = |(name, report): (&str, PodReport)| {
                let pod = pods.iter().find(|pod| pod.component.name == name.trim_end_matches("-0")).unwrap();
                (pod.name.clone(), report)
            };
            is_settled(&Snapshot { pods: reports.map(named).into() }, &pods, &BTreeSet::new())
        };
        assert!(is_settled(end(1, 3), waiting.clone()));
        assert!(!is_settled(end(0, 3), waiting.clone()), "it may be tried once more");
        assert!(!is_settled(end(1, 0), waiting.clone()), "it succeeded");
        let mut with_sidecar = end(1, 0);
        with_sidecar.init_containers = end(1, 143).containers;
        with_sidecar.init_containers[0].is_sidecar = true;
        assert!(!is_settled(with_sidecar, waiting.clone()), "its sidecar was killed once it had succeeded");
        assert!(!is_settled(end(1, 3), unready(0, 503)), "the application runs and may become ready");
    }
}
