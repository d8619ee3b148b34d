//! Each overlay of `fixtures/overlays/` in a cluster: its report must name the fault. Only the nextest profile `k8s` runs them, where
//! KUBECONFIG names a cluster.

mod fault_cases;
mod fault_run;

use std::{collections::BTreeSet, time::Duration};

use e2e_kubelet::{
    predict::{Measured, Timeline, play},
    snapshot::{ContainerReport, Snapshot},
    status::{ContainerState, Event},
};
use e2e_plan::{Probes, Restart, target::Target};
use e2e_report::{environment::Environment, evidence::PODS, report::Report, run_dir};
use rstest::rstest;

fault_run::fault_tests!(k8s_names_the_fault, k8s_tells_the_founding_story, Target::K8s);

/// What plain processes cannot show.
#[rstest]
#[case::image_missing("image-missing")]
#[case::request_too_large("request-too-large")]
#[case::quota_exceeded("quota-exceeded")]
#[case::cpu_limit("cpu-limit")]
fn k8s_names_what_else_is_wrong(#[case] overlay: &str) {
    fault_run::expect_findings(overlay, Target::K8s);
}

/// What a run on this machine measured, played as a kubelet would, is what the cluster's kubelet does with the same manifests.
#[rstest]
#[case::founding_incident("founding-incident")]
#[case::host_allow_list("host-allow-list")]
#[case::wrong_probe_path("wrong-probe-path")]
fn k8s_does_what_local_foretells(#[case] overlay: &str) {
    let local = Seen::of(&fault_run::expect_findings(overlay, Target::Local));
    let cluster = Seen::of(&fault_run::expect_findings(overlay, Target::K8s));
    let foretold = local.play(cluster.lifetime());
    let context = format!("foretold {}: {:#?}\nseen {:#?}", foretold.summary(), foretold.events, cluster.container);
    assert_eq!(refusals(&foretold.events), refusals(&cluster.container.events), "{context}");
    // What ends an instance first, its memory or its probe, depends on when the load meets it.
    if !local.ran_out_of_memory() && !cluster.ran_out_of_memory() {
        assert_eq!(kills(&foretold.events), kills(&cluster.container.events), "{context}");
    }
    assert!(foretold.restarts.abs_diff(cluster.container.status.restart_count) <= 1, "{context}");
}

/// A backend as a run left it.
struct Seen {
    probes: Probes,
    container: ContainerReport,
}

impl Seen {
    fn of(report: &Report) -> Self {
        let directory = fault_run::directory(report);
        let environment = Environment::read(&directory.join(run_dir::ENVIRONMENT)).expect("environment.json");
        let mut probes = Probes::default();
        for spec in &environment.component("backend").expect("there are backends").probes {
            *spec.which.of_mut(&mut probes) = Some(spec.probe.clone());
        }
        let pods: Snapshot = directory.read_json(PODS).expect("pods.json");
        let pod = pods.pod("backend-0").expect("there is a first backend");
        Self { probes, container: pod.container("backend").expect("it has one container").clone() }
    }

    fn ran_out_of_memory(&self) -> bool {
        self.container.terminations.iter().any(|end| end.reason == "OOMKilled")
    }

    /// From the first start to the last thing that happened.
    fn lifetime(&self) -> Duration {
        let ContainerReport { status, terminations, events, .. } = &self.container;
        let since = match status.state {
            ContainerState::Running { since } => Some(since),
            ContainerState::Waiting { .. } | ContainerState::Terminated(_) => None,
        };
        let starts = terminations.iter().map(|end| end.started).chain(since);
        let started = events.iter().filter(|event| event.reason == "Started").map(|event| event.first);
        let first = starts.chain(started).min().expect("it was started");
        let ends = terminations.iter().map(|end| end.at).chain(events.iter().map(|event| event.last)).chain(since);
        ends.max().expect("something happened").saturating_sub(first)
    }

    /// What a kubelet will do with it in so long a time.
    fn play(&self, length: Duration) -> Timeline {
        let policy = (Restart::Always, GRACE);
        play("backend-0", "backend", &self.probes, policy, &mut Measured::of(&self.container), length)
    }
}

/// Kubernetes's default, which the manifests keep.
const GRACE: Duration = Duration::from_secs(30);

/// Which probes were answered that the request is wrong, and with what.
fn refusals(events: &[Event]) -> BTreeSet<&str> {
    let is_refusal = |event: &&Event| event.reason == "Unhealthy" && event.message.contains("statuscode: 4");
    events.iter().filter(is_refusal).map(|event| event.message.as_str()).collect()
}

/// Which probes had it killed.
fn kills(events: &[Event]) -> BTreeSet<&str> {
    events.iter().filter(|event| event.reason == "Killing").map(|event| event.message.as_str()).collect()
}
