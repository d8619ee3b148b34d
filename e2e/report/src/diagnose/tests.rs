mod containers;
mod faults;
mod load;
mod probes;
mod suites;

use std::{collections::BTreeMap, time::Duration};

use e2e_figures::{
    outcome::Outcome as Answer,
    scenario::{Activity, LedgerResult, Part, ScenarioResult, StepFigures, Thresholds as ScenarioThresholds},
};
use e2e_kubelet::{
    snapshot::{ClusterPod, Condition, ContainerReport, PodReport, ProbeReport},
    status::{ContainerState, ContainerStatus, Event, Termination},
};
use e2e_plan::{Probe, ProbeAction, ProbeKind, Probes, target::Target};
use serde_json::Value;

use super::*;
use crate::{
    environment::{Component, ProbeSpec},
    evidence::{
        Sample, Throttling, Usage,
        processes::{ContainerProcesses, Process},
    },
    record::{Measured, Outcome, Record, Unreadable},
    report::{Report, Verdict, markdown::render},
    run_data::{AbnormalEnd, Test},
    testing::{MEBIBYTE, declare, measured, quiet, record, run},
    thresholds::thresholds,
};

fn findings(data: &RunData) -> Vec<Finding> {
    super::findings(data, &thresholds(data))
}

fn test(binary: &str, name: &str, passed: bool) -> Test {
    Test { binary: binary.to_owned(), name: name.to_owned(), passed, failure: None }
}

/// What starts first is what the rest waits for.
#[test]
fn findings_of_a_kind_stand_in_start_order() {
    let mut data = quiet();
    let components = &mut data.environment.components;
    let app = components[0].clone();
    let pods =
        ["zookeeper", "app"].map(|name| (Component { name: name.to_owned(), ..app.clone() }, format!("{name}-0")));
    *components = pods.iter().map(|(component, _)| component.clone()).collect();
    for (_, pod) in pods {
        data.throttling.insert(pod, Throttling { periods: 100, throttled: 90 });
    }
    let throttled = findings(&data).into_iter().filter(|finding| finding.code == Code::CpuThrottled);
    let named: Vec<_> = throttled.filter_map(|finding| finding.component).collect();
    assert_eq!(named, ["zookeeper", "app"]);
}

#[rstest::rstest]
#[case::often(100, 25, true)]
#[case::seldom(100, 24, false)]
#[case::hardly_ran(19, 19, false)]
fn a_component_is_held_back_from_a_quarter_of_its_periods_on(
    #[case] periods: u64,
    #[case] throttled: u64,
    #[case] found: bool,
) {
    let mut data = quiet();
    data.throttling.insert("app-0".to_owned(), Throttling { periods, throttled });
    let findings = findings(&data);
    let held_back = findings.iter().find(|finding| finding.code == Code::CpuThrottled);
    assert_eq!(held_back.is_some(), found, "{findings:#?}");
    if let Some(finding) = held_back {
        assert_eq!(
            finding.claim,
            "the kernel throttled app at its CPU limit: app-0 in 25 of 100 periods of 100 ms (25%)"
        );
    }
}

/// Processes are named where their number is far above the limit, and compared with processors only where that says something.
#[rstest::rstest]
#[case::as_many_as_processors(
    4,
    4,
    "; in app-0 4 nginx processes share 0.5 processors, one for each of the 4 that they see",
    true
)]
#[case::two_each_and_one(
    9,
    4,
    "; in app-0 9 nginx processes share 0.5 processors, two for each of the 4 that they see and one more",
    true
)]
#[case::of_their_own(3, 4, "; in app-0 3 nginx processes share 0.5 processors", false)]
#[case::two_processors_prove_nothing(2, 2, "; in app-0 2 nginx processes share 0.5 processors", false)]
#[case::one(1, 4, "", false)]
fn processes_that_share_a_limit_are_named(
    #[case] workers: u32,
    #[case] cpus: u64,
    #[case] said: &str,
    #[case] follows: bool,
) {
    let mut data = quiet();
    data.throttling.insert("app-0".to_owned(), Throttling { periods: 100, throttled: 25 });
    let process = |parent| Process { parent, name: "nginx".to_owned(), threads: 1 };
    data.processes = vec![ContainerProcesses {
        pod: "app-0".to_owned(),
        container: "app".to_owned(),
        cpu_limit_millis: 500,
        cpus,
        processes: [(1, process(0))].into_iter().chain((0..workers).map(|pid| (10 + pid, process(1)))).collect(),
    }];
    let finding = finding(&data, Code::CpuThrottled);
    let end = finding.claim.split_once("(25%)").unwrap().1;
    assert_eq!((end, finding.fix.contains("worker_processes auto")), (said, follows));
    assert_eq!(finding.evidence.len(), if said.is_empty() { 1 } else { 2 });
    // A limit that has room for half of them is no crowd's.
    data.processes[0].cpu_limit_millis = 5000;
    assert!(claim(&data, Code::CpuThrottled).ends_with("(25%)"));
}

/// The part of a page under a heading.
fn part<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("## {heading}\n")).unwrap();
    rest.split_once("\n## ").map_or(rest, |(part, _)| part)
}

#[test]
fn a_warning_is_advice_and_no_root_cause() {
    let mut data = run(ended(&[]));
    data.tests.push(test("suites", "a test", true));
    data.records = vec![record("health", "app_answers", Measured::Nothing)];
    data.throttling.insert("app-0".to_owned(), Throttling { periods: 100, throttled: 25 });
    let page = render(&Report::new(&data));
    assert!(part(&page, "Root causes").contains("None, since nothing failed."), "{page}");
    assert!(
        part(&page, "Path forward").contains("Nothing to fix.\n\nAdvice (does not affect the verdict):\n\n- Raise")
    );

    // What failed is not explained by it, and is looked into now.
    data.snapshot.pods.get_mut("app-0").unwrap().ready = false;
    let page = render(&Report::new(&data));
    assert!(part(&page, "Root causes").contains("No cause is known"), "{page}");
    let forward = part(&page, "Path forward");
    assert!(forward.contains("1. Find out what deletes") && !forward.contains("Run again"), "{page}");
}

#[test]
fn a_failed_check_says_nothing_of_the_component_that_its_name_begins_with() {
    let mut data = run(ended(&[]));
    let failed = record("health", "app_answers", Measured::Nothing);
    data.records = vec![Record { outcome: Outcome::Failed, ..failed }];
    let report = Report::new(&data);
    assert_eq!(report.verdict, Verdict::Fail);
    assert!(report.components[0].healthy, "{:?}", report.components);

    data.snapshot.pods.get_mut("app-0").unwrap().ready = false;
    assert!(!Report::new(&data).components[0].healthy);
}

#[test]
fn a_limit_of_which_nobody_tells_is_no_silence() {
    let mut data = run(ended(&[]));
    data.tests.push(test("", "a test", true));
    let remedy = |data: &RunData| {
        let unknown = |finding: &Finding| finding.claim == "CPU throttling of app-0 is unknown";
        findings(data).into_iter().find(unknown).map(|finding| finding.fix)
    };
    assert_eq!(remedy(&data), None, "there is no limit");
    data.environment.components[0].cpu_limit_millis = Some(50);
    assert_eq!(remedy(&data), None, "plain processes have none");
    for (target, word) in [(Target::Docker, "engine"), (Target::K8s, "nodes/proxy")] {
        data.environment.target = target;
        assert!(remedy(&data).unwrap().contains(word));
    }
    data.throttling.insert("app-0".to_owned(), Throttling::default());
    assert_eq!(remedy(&data), None);
}

/// A container whose instances ended at these seconds, each two seconds after its start, with these exit codes and reasons.
fn ended(ends: &[(u64, i32, &str)]) -> ContainerReport {
    let terminations: Vec<Termination> = ends
        .iter()
        .map(|(at, exit_code, reason)| Termination {
            exit_code: *exit_code,
            signal: Some(exit_code - 128).filter(|signal| *signal > 0),
            reason: (*reason).to_owned(),
            started: Duration::from_secs(at - 2),
            at: Duration::from_secs(*at),
        })
        .collect();
    ContainerReport {
        is_sidecar: false,
        name: "app".to_owned(),
        status: ContainerStatus {
            state: ContainerState::Running { since: Duration::from_secs(100) },
            ready: true,
            started: true,
            restart_count: u32::try_from(terminations.len()).unwrap(),
            last_termination: terminations.last().cloned(),
        },
        terminations,
        events: Vec::new(),
        probes: BTreeMap::new(),
    }
}

fn codes(data: &RunData) -> Vec<Code> {
    findings(data)
        .into_iter()
        .filter(|finding| finding.severity == Severity::Error)
        .map(|finding| finding.code)
        .collect()
}

/// The first finding of this code.
fn finding(data: &RunData, code: Code) -> Finding {
    findings(data).into_iter().find(|finding| finding.code == code).unwrap()
}

fn claim(data: &RunData, code: Code) -> String {
    finding(data, code).claim
}

#[test]
fn a_component_that_was_not_made_is_not_one_without_replicas() {
    let mut container = ended(&[]);
    container.status = ContainerStatus::waiting("ContainerCreating");
    let mut data = run(container);
    // It has no address, and is known all the same.
    data.environment.components[0].replicas.clear();
    assert_eq!(codes(&data), [Code::ComponentNotReady]);
    data.environment.components[0].desired = 0;
    assert_eq!(codes(&data), [Code::NoReplicas]);
}

#[test]
fn a_pod_that_is_not_ready_is_found_although_its_containers_are() {
    let mut data = run(ended(&[]));
    data.environment.components[0].desired = 2;
    data.logs.insert("app-1.app".to_owned(), "no database".to_owned());
    let conditions = vec![Condition {
        kind: "Ready".to_owned(),
        status: "False".to_owned(),
        reason: "ReadinessGatesNotReady".to_owned(),
        message: "the gate example.org/live is closed".to_owned(),
    }];
    let gated = data.snapshot.pods.get_mut("app-0").unwrap();
    gated.ready = false;
    gated.object = Some(ClusterPod { conditions, ..ClusterPod::default() });
    let gated = gated.clone();
    assert_eq!(codes(&data), [Code::ComponentNotReady]);
    let claim = claim(&data, Code::ComponentNotReady);
    assert!(claim.contains("the gate example.org/live is closed"), "{claim}");
    assert_eq!(Report::new(&data).verdict, Verdict::Fail);

    // Where another replica's container is not ready, its log is shown.
    let mut waiting = gated;
    waiting.containers[0].status.ready = false;
    data.snapshot.pods.insert("app-1".to_owned(), waiting);
    let finding = finding(&data, Code::ComponentNotReady);
    assert_eq!(finding.evidence, ["evidence/pods.json#/pods/app-1", "evidence/logs/app-1.app.log"]);
    assert_eq!(finding.excerpt.as_deref(), Some("no database"));
}

#[test]
fn a_sidecar_that_is_not_ready_is_named() {
    let mut data = run(ended(&[]));
    let pod = data.snapshot.pods.get_mut("app-0").unwrap();
    let mut sidecar = ContainerReport { name: "proxy".to_owned(), is_sidecar: true, ..ended(&[]) };
    sidecar.status.ready = false;
    pod.init_containers.push(sidecar);
    pod.ready = false;
    let fix = finding(&data, Code::ComponentNotReady).fix;
    assert_eq!(fix, "Find out why the container proxy of app is not ready; it is Running.");
}

/// Where every client had given up before the window, the generator had nothing to do with it.
#[test]
fn a_generator_is_judged_by_a_window_with_requests() {
    let mut data = quiet();
    for (requests, expected) in [(0, false), (10, true)] {
        let mut figures = ScenarioResult { requests, ..ScenarioResult::default() };
        figures.generator.saturated = true;
        data.records = vec![measured("pressed", figures)];
        let codes: Vec<Code> = findings(&data).iter().map(|finding| finding.code).collect();
        assert_eq!(codes.contains(&Code::GeneratorSaturated), expected, "{requests} requests: {codes:?}");
    }
}

#[test]
fn causes_are_no_effects_and_stand_before_them() {
    let all = [
        Code::NoReplicas,
        Code::Probe(Cause::HostAllowList),
        Code::Probe(Cause::Http10OrMissingHost),
        Code::OomKilled,
        Code::MemoryAtLimit,
        Code::WritesRefused,
        Code::KeysEvicted,
        Code::Crashed,
        Code::Hangs,
        Code::PoolExhausted,
        Code::ProbeStarved,
        Code::ProbeMargin,
        Code::Probe(Cause::NotStarted),
        Code::Probe(Cause::DependencyDown),
        Code::ProbeFailing,
        Code::RestartLoop,
        Code::Restarted,
        Code::ComponentNotReady,
        Code::ClientsFailed,
        Code::RequestsFailed,
        Code::CheckFailed,
        Code::ThresholdCrossed,
    ];
    assert!(all.is_sorted_by_key(|code| code.place()));
    assert!(all.iter().all(|code| code.is_cause() != code.is_effect()), "each is one of the two");
}

/// `docs/report.md` has a row for each code, which says whether it is a cause.
#[test]
fn every_code_is_in_the_documentation() {
    let schema = schemars::schema_for!(Code);
    let alternatives =
        |schema: &Value| [&schema["anyOf"], &schema["oneOf"]].into_iter().find_map(Value::as_array).cloned();
    let own = alternatives(schema.as_value()).expect("an enum whose variants have descriptions").into_iter();
    let own = own.flat_map(|variant| alternatives(&variant).unwrap_or_else(|| vec![variant]));
    let own = own.filter_map(|variant| serde_json::from_value(variant.get("const")?.clone()).ok());
    let codes: Vec<Code> = own.chain(Cause::ALL.iter().copied().map(Code::Probe)).collect();
    assert!(codes.contains(&Code::AcknowledgedMissing) && codes.contains(&Code::ManifestFieldIgnored), "{codes:?}");
    let page = include_str!("../../../../docs/report.md");
    for code in codes {
        let row = if code.is_cause() { format!("\n| `{code}` (cause) | ") } else { format!("\n| `{code}` | ") };
        assert!(page.contains(&row), "docs/report.md has no row that begins with {}", row.trim());
    }
}

#[test]
fn a_fix_names_no_finding_that_is_not_there() {
    let mut container = ended(&[]);
    container.status.ready = false;
    container.status.restart_count = 0;
    let fix = finding(&run(container), Code::ComponentNotReady).fix;
    assert_eq!(fix, "Find out why the container app of app is not ready; it is Running.");
}
