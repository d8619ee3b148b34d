use std::{collections::BTreeMap, time::Duration};

use e2e_figures::{
    outcome::Outcome as Answer,
    scenario::{Activity, LedgerResult, Part, ScenarioResult, StepFigures, Thresholds as ScenarioThresholds},
};
use e2e_kubelet::{
    snapshot::{ClusterPod, Condition, ContainerReport, PodReport, ProbeReport},
    status::{ContainerState, ContainerStatus, Event, EventType, Termination},
};
use e2e_plan::{Probe, ProbeAction, ProbeKind, Probes, target::Target};
use serde_json::Value;

use super::*;
use crate::{
    environment::ProbeSpec,
    evidence::{Sample, Throttling, Usage},
    record::{Measured, Outcome, Record, Unreadable},
    report::{Report, Verdict, markdown::render},
    run_data::{AbnormalEnd, Test},
    testing::{MEBIBYTE, declare, measured, record, run},
    thresholds::thresholds,
};

fn findings(data: &RunData) -> Vec<Finding> {
    super::findings(data, &thresholds(data))
}

fn test(binary: &str, name: &str, passed: bool) -> Test {
    Test { binary: binary.to_owned(), name: name.to_owned(), passed, failure: None }
}

fn ended_as(case: &str, test: &str, outcome: Outcome) -> Record {
    Record { test: test.to_owned(), outcome, ..record("own", case, Measured::Nothing) }
}

fn gap_claims(data: &RunData) -> Vec<String> {
    let gaps = findings(data).into_iter().filter(|finding| finding.severity == Severity::Gap);
    gaps.map(|finding| finding.claim).collect()
}

/// Two binaries may have a test of one name, and the record of the one must not stand for the other.
#[test]
fn a_failed_test_does_not_vanish_behind_another_of_its_name() {
    use crate::record::Outcome::{Failed, Passed, Skipped};
    let mut data = run(ContainerReport::declared("app", &Probes::default(), ""));
    data.tests = vec![test("e2e::a", "works", false), test("e2e::b", "works", true)];
    data.records = vec![ended_as("works", "works", Passed)];
    let claims = gap_claims(&data);
    assert_eq!(
        claims,
        [
            "2 tests are called works (in e2e::a, e2e::b) and left 1 record",
            "the test works of e2e::a failed without a record of the failure"
        ]
    );

    data.records = vec![ended_as("works", "works", Passed), ended_as("works_too", "works", Failed)];
    assert_eq!(gap_claims(&data), Vec::<String>::new());
    data.tests[1].passed = false;
    assert_eq!(gap_claims(&data), ["2 tests called works failed (in e2e::a, e2e::b), but 1 record shows it"]);

    data.tests = vec![test("e2e::a", "works", false)];
    data.records = vec![ended_as("works", "works", Skipped)];
    assert!(gap_claims(&data).contains(&"the test works of e2e::a failed without a record of the failure".to_owned()));
}

#[test]
fn a_record_that_cannot_be_read_is_one_gap() {
    let mut data = run(ContainerReport::declared("app", &Probes::default(), ""));
    data.tests = vec![test("e2e::a", "works", true), test("e2e::a", "works_too", true)];
    data.records = vec![ended_as("works", "works", Outcome::Passed)];
    data.unreadable = vec![Unreadable {
        file: "results/own.works_too.json".to_owned(),
        test: Some("works_too".to_owned()),
        reason: "missing field `outcome`".to_owned(),
    }];
    assert_eq!(gap_claims(&data), ["the record of the test works_too cannot be read: missing field `outcome`"]);
    // That the test failed is not in the record.
    data.tests[1].passed = false;
    assert_eq!(gap_claims(&data).len(), 2);
}

#[test]
fn a_test_that_was_ended_says_by_what() {
    let mut data = run(ContainerReport::declared("app", &Probes::default(), ""));
    data.tests =
        vec![Test { failure: Some("test timeout".to_owned()), ..test("e2e::suites", "throughput::load", false) }];
    let found = findings(&data).into_iter().find(|finding| finding.severity == Severity::Gap).expect("a gap");
    assert_eq!(found.claim, "the test throughput::load of e2e::suites left no record: test timeout");
    assert!(found.fix.contains("slow-timeout"), "{}", found.fix);
}

#[test]
fn suites_that_ended_oddly_are_a_gap_whatever_was_recorded() {
    let mut data = run(ContainerReport::declared("app", &Probes::default(), ""));
    data.suites = Some(AbnormalEnd {
        command: "cargo nextest run".to_owned(),
        reason: "it ended with exit code 101".to_owned(),
        remedy: "see its output".to_owned(),
    });
    let words = "the suites' command `cargo nextest run` ended abnormally: it ended with exit code 101";
    assert_eq!(gap_claims(&data), [words]);
    data.tests = vec![test("e2e::a", "works", true)];
    data.records = vec![ended_as("works", "works", crate::record::Outcome::Passed)];
    assert_eq!(gap_claims(&data), [words]);
    data.suites = None;
    data.tests.clear();
    assert_eq!(gap_claims(&data), ["junit.xml names no test, although there is 1 record"]);
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
    let mut data = run(ContainerReport::declared("app", &Probes::default(), ""));
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
    assert!(part(&page, "Root causes").contains("Nothing failed, so there is none."), "{page}");
    assert!(
        part(&page, "Path forward").contains("Nothing to fix.\n\nAdvice (does not affect the verdict):\n\n- Raise")
    );
    assert!(part(&page, "Conclusion").contains("no container was restarted"), "{page}");

    // What failed is not explained by it, and is looked into now.
    data.snapshot.pods.get_mut("app-0").unwrap().ready = false;
    let page = render(&Report::new(&data));
    assert!(part(&page, "Root causes").contains("No cause is known"), "{page}");
    let forward = part(&page, "Path forward");
    assert!(forward.contains("1. Find out what deletes") && !forward.contains("Run again"), "{page}");
}

/// Failures are errors, and warnings where a line allows them.
#[rstest::rstest]
#[case::no_line(None, 3, 5, Severity::Error)]
#[case::within(Some(10), 3, 5, Severity::Warning)]
#[case::on_the_line(Some(3), 3, 5, Severity::Warning)]
#[case::beyond(Some(2), 3, 5, Severity::Error)]
#[case::nothing_works(Some(10), 3, 0, Severity::Error)]
#[case::nothing_answered(Some(10), 0, 0, Severity::Error)]
fn requests_that_a_line_allows(
    #[case] line: Option<u64>,
    #[case] errors: u64,
    #[case] succeeded: u64,
    #[case] expected: Severity,
) {
    let mut data = run(ended(&[]));
    data.tests.push(test("suites", "a test", true));
    declare(&mut data, "order", ScenarioThresholds { errors_max: line, ..ScenarioThresholds::default() });
    let step = StepFigures { by_error: [(Answer::Status(503), errors)].into(), ..StepFigures::default() };
    let requests = succeeded + errors;
    let figures = ScenarioResult { requests, succeeded, errors, steps: vec![step], ..ScenarioResult::default() };
    data.records = vec![measured("order", figures)];
    let severity = |code| findings(&data).into_iter().find(|finding| finding.code == code).map(|found| found.severity);
    assert_eq!(severity(Code::RequestsFailed), Some(expected));
    let passes = Report::new(&data).verdict == Verdict::Pass;
    assert_eq!(passes, expected == Severity::Warning);
}

#[rstest::rstest]
#[case::no_line(None, Severity::Error)]
#[case::within(Some(0.25), Severity::Warning)]
#[case::beyond(Some(0.2), Severity::Error)]
fn clients_that_a_line_allows(#[case] line: Option<f64>, #[case] expected: Severity) {
    let mut data = run(ended(&[]));
    declare(
        &mut data,
        "sign-up",
        ScenarioThresholds { client_failure_rate_max: line, ..ScenarioThresholds::default() },
    );
    let client_outcomes = [("succeeded".to_owned(), 3), ("rejected_503".to_owned(), 1)].into();
    let figures = ScenarioResult { clients: 4, clients_failed: 1, client_outcomes, ..ScenarioResult::default() };
    data.records = vec![measured("sign-up", figures)];
    let found = findings(&data).into_iter().find(|finding| finding.code == Code::ClientsFailed).unwrap();
    assert_eq!(found.severity, expected);
}

/// A restart that a line allows is allowed with its cause, as long as the component is back.
#[test]
fn restarts_that_a_line_allows() {
    let mut data = run(ended(&[(4, 1, "Error")]));
    data.tests.push(test("suites", "a test", true));
    data.records = vec![record("health", "app_answers", Measured::Nothing)];
    assert_eq!(codes(&data), [Code::Crashed, Code::Restarted]);
    data.request.thresholds.restarts_max = Some(1);
    assert_eq!(codes(&data), []);
    let report = Report::new(&data);
    let reason = "1 check passed, every threshold held and 1 restart of containers stayed within the threshold.";
    assert_eq!((report.verdict, report.verdict_reason.as_str()), (Verdict::Pass, reason));
    let warnings: Vec<Code> = report.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(warnings, [Code::Crashed, Code::Restarted]);
    data.request.thresholds.restarts_max = Some(0);
    assert_eq!(codes(&data), [Code::Crashed, Code::Restarted, Code::ThresholdCrossed]);

    data.request.thresholds.restarts_max = Some(1);
    data.snapshot.pods.get_mut("app-0").unwrap().ready = false;
    assert_eq!(codes(&data), [Code::Crashed, Code::Restarted, Code::ComponentNotReady]);
}

/// A line without its record is a gap, unless the record's suite was left out on purpose.
#[rstest::rstest]
#[case::all_checks(None, 1)]
#[case::chosen_checks(Some("test(health)"), 0)]
fn a_line_that_nothing_measures(#[case] filter: Option<&str>, #[case] gaps: usize) {
    let mut data = run(ContainerReport::declared("app", &Probes::default(), ""));
    data.tests.push(test("", "a test", true));
    declare(&mut data, "order", ScenarioThresholds { errors_max: Some(0), ..ScenarioThresholds::default() });
    data.request.thresholds.restarts_max = Some(0);
    data.request.filter = filter.map(str::to_owned);
    let about_it = |finding: &&Finding| finding.claim == "the scenario order was not measured";
    assert_eq!(findings(&data).iter().filter(about_it).count(), gaps);
    let report = Report::new(&data);
    // What any run measures keeps its line.
    assert_eq!(report.thresholds.len(), 1 + gaps);
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

/// The same container, killed by the kubelet between these seconds.
fn killed(mut container: ContainerReport, first: u64, last: u64) -> ContainerReport {
    container.events.push(Event {
        kind: EventType::Normal,
        reason: "Killing".to_owned(),
        message: "Container app failed liveness probe, will be restarted".to_owned(),
        count: 2,
        first: Duration::from_secs(first),
        last: Duration::from_secs(last),
    });
    container
}

fn codes(data: &RunData) -> Vec<Code> {
    findings(data)
        .into_iter()
        .filter(|finding| finding.severity == Severity::Error)
        .map(|finding| finding.code)
        .collect()
}

fn claim(data: &RunData, code: Code) -> String {
    findings(data).into_iter().find(|finding| finding.code == code).unwrap().claim
}

#[test]
fn a_program_that_nobody_killed_has_crashed() {
    let data = run(ended(&[(2, 1, "Error"), (4, 1, "Error")]));
    assert_eq!(codes(&data), [Code::Crashed, Code::RestartLoop]);
    let claim = claim(&data, Code::Crashed);
    assert!(claim.ends_with("app-0 2 times, the last time with exit code 1 after 2.0 s"), "{claim}");
}

#[test]
fn what_the_kubelet_killed_has_not_crashed() {
    let data = run(killed(ended(&[(12, 0, "Completed"), (22, 0, "Completed")]), 11, 21));
    assert_eq!(codes(&data), [Code::RestartLoop]);
    let claim = claim(&data, Code::RestartLoop);
    assert!(claim.contains("exit code 0): `Container app failed liveness probe, will be restarted`"), "{claim}");
}

#[test]
fn an_end_before_the_first_kill_is_the_programs_own() {
    let data = run(killed(ended(&[(4, 3, "Error"), (22, 0, "Completed")]), 21, 21));
    assert_eq!(codes(&data), [Code::Crashed, Code::RestartLoop]);
    assert!(claim(&data, Code::Crashed).contains("app-0 1 time, the last time with exit code 3"));
}

#[test]
fn a_kill_for_memory_that_the_runtime_missed_is_no_crash() {
    let data = run(ended(&[(4, 137, "OOMKilled"), (22, 137, "Error")]));
    assert_eq!(codes(&data), [Code::OomKilled, Code::RestartLoop]);
    let data = run(ended(&[(4, 137, "OOMKilled"), (22, 3, "Error")]));
    assert_eq!(codes(&data), [Code::OomKilled, Code::Crashed, Code::RestartLoop], "an exit code is the program's own");
}

#[test]
fn a_kill_for_memory_is_found_although_a_later_end_had_another_reason() {
    let data = run(killed(ended(&[(4, 137, "OOMKilled"), (22, 0, "Completed")]), 21, 21));
    assert_eq!(codes(&data), [Code::OomKilled, Code::RestartLoop]);
    assert!(
        claim(&data, Code::OomKilled)
            .contains("more than 64 MiB of memory and was killed for it (OOMKilled): app-0 1 time")
    );
    assert!(!claim(&data, Code::RestartLoop).contains("OOMKilled"), "that was not the last one");
}

/// The sum of the limits of a pod is nobody's limit.
#[rstest::rstest]
#[case::known(&[("app", 128), ("sidecar", 64)], "container app of app used more than 128 MiB of memory")]
#[case::not_known(&[], "container app of app used more than the limit of container app of memory")]
fn a_kill_is_measured_at_the_limit_of_its_container(#[case] limits: &[(&str, u64)], #[case] words: &str) {
    let mut data = run(ended(&[(4, 137, "OOMKilled")]));
    data.snapshot.pods.get_mut("app-0").unwrap().containers.push(sidecar());
    let component = &mut data.environment.components[0];
    component.memory_limit_bytes = Some(192 * MEBIBYTE);
    component.container_memory_limit_bytes =
        limits.iter().map(|(name, limit)| ((*name).to_owned(), limit * MEBIBYTE)).collect();
    let claim = claim(&data, Code::OomKilled);
    assert!(claim.starts_with(words), "{claim}");
}

#[test]
fn each_container_that_was_killed_has_its_own_finding() {
    let mut data = run(ended(&[(4, 137, "OOMKilled")]));
    let other =
        ContainerReport { name: "sidecar".to_owned(), ..ended(&[(5, 137, "OOMKilled"), (9, 137, "OOMKilled")]) };
    data.snapshot.pods.get_mut("app-0").unwrap().containers.push(other);
    let kills = findings(&data).into_iter().filter(|finding| finding.code == Code::OomKilled);
    let fixes: Vec<String> = kills.map(|finding| format!("{} {}", finding.claim, finding.fix)).collect();
    let [app, sidecar] = fixes.as_slice() else { panic!("{fixes:#?}") };
    assert!(app.contains("app-0 1 time") && app.contains("of container app in Deployment app"), "{app}");
    assert!(
        sidecar.contains("app-0 2 times") && sidecar.contains("of container sidecar in Deployment app"),
        "{sidecar}"
    );
}

fn sidecar() -> ContainerReport {
    ContainerReport { name: "sidecar".to_owned(), ..ended(&[]) }
}

/// The samples do not say which of several containers it was.
#[test]
fn a_limit_that_is_used_up_by_several_containers_blames_none() {
    let mut data = run(killed(ended(&[(12, 0, "Completed")]), 0, 100));
    let usage = Usage { memory_bytes: 63 * MEBIBYTE, ..Usage::default() };
    let pods = BTreeMap::from([("app-0".to_owned(), usage)]);
    data.resources.samples = vec![Sample { at_unix_ms: 0, pods, machines: BTreeMap::new() }; 3];
    let fix = |data: &RunData| {
        let found = findings(data).into_iter().find(|finding| finding.code == Code::MemoryAtLimit);
        found.unwrap().fix
    };
    assert!(fix(&data).starts_with("Raise resources.limits.memory of container app in Deployment app"));
    data.snapshot.pods.get_mut("app-0").unwrap().containers.push(sidecar());
    assert!(fix(&data).starts_with("Raise resources.limits.memory of the containers in Deployment app"));
}

#[test]
fn a_limit_that_is_used_up_counts_when_the_component_is_in_trouble() {
    let sample = |mebibytes: u64| Sample {
        at_unix_ms: 0,
        pods: BTreeMap::from([("app-0".to_owned(), Usage { memory_bytes: mebibytes * MEBIBYTE, ..Usage::default() })]),
        machines: BTreeMap::new(),
    };
    let at = |restarted: &[(u64, i32, &str)], samples: &[u64]| {
        let mut data = run(killed(ended(restarted), 0, 100));
        data.resources.samples = samples.iter().copied().map(sample).collect();
        data
    };
    let in_trouble: &[(u64, i32, &str)] = &[(12, 0, "Completed")];
    let data = at(in_trouble, &[10, 61, 62, 63]);
    assert_eq!(codes(&data), [Code::MemoryAtLimit, Code::Restarted]);
    assert!(claim(&data, Code::MemoryAtLimit).ends_with("app-0 was at 95% or more of it in 3 of 4 samples"));
    assert_eq!(codes(&at(in_trouble, &[60, 60, 62, 63])), [Code::Restarted], "60 of 64 is less than 95%");
    assert_eq!(codes(&at(&[], &[63, 63, 63])), [], "a healthy program may live at its limit");
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
    let finding = findings(&data).into_iter().find(|finding| finding.code == Code::ComponentNotReady).unwrap();
    assert_eq!(finding.evidence, ["evidence/pods.json#/pods/app-1", "evidence/logs/app-1.app.log"]);
    assert_eq!(finding.excerpt.as_deref(), Some("no database"));
}

/// A run whose container declares a readiness probe, of which this is known.
fn probed(container_ready: bool, probe: ProbeReport) -> RunData {
    let mut container = ended(&[]);
    container.status.ready = container_ready;
    container.probes.insert(ProbeKind::Readiness, probe);
    let mut data = run(container);
    let declared = Probe {
        action: ProbeAction::TcpSocket { host: None, port: 80 },
        initial_delay: Duration::ZERO,
        period: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        success_threshold: 1,
        failure_threshold: 3,
        termination_grace: None,
    };
    let spec = ProbeSpec { container: "app".to_owned(), which: ProbeKind::Readiness, probe: declared };
    data.environment.components[0].probes.push(spec);
    data
}

#[rstest::rstest]
#[case::counted(Some(20), 0, true, "| succeeds | 20 | 0 |", "Sent like a kubelet's")]
#[case::not_sent(Some(0), 0, true, "| not sent | 0 | 0 |", "Sent like a kubelet's")]
#[case::no_failure(None, 0, true, "| no failure reported | - | 0 |", "kubelets, which report only failures")]
#[case::recovered(None, 1, true, "| 1 failure reported | - | 1 |", "kubelets, which report only failures")]
#[case::fails(None, 12, false, "| fails | - | 12 |", "kubelets, which report only failures")]
fn what_is_known_of_a_probe_is_said(
    #[case] sent: Option<u32>,
    #[case] failed: u32,
    #[case] ready: bool,
    #[case] row: &str,
    #[case] how: &str,
) {
    let page = render(&Report::new(&probed(ready, ProbeReport { sent, failed, ..ProbeReport::default() })));
    assert!(page.contains(row) && page.contains(how), "{page}");
}

#[rstest::rstest]
#[case(Some(20), "on 1 of 1 replica: 12 of 20 probes to app-0 failed, the last")]
#[case(None, "on 1 of 1 replica: 12 failures of app-0 reported, the last")]
fn a_failing_probe_is_counted_as_far_as_that_is_known(#[case] sent: Option<u32>, #[case] words: &str) {
    let claim = claim(&probed(false, ProbeReport { sent, failed: 12, ..ProbeReport::default() }), Code::ProbeFailing);
    assert!(claim.contains(words), "{claim}");
}

#[test]
fn causes_are_no_effects_and_stand_before_them() {
    let all = [
        Code::NoReplicas,
        Code::Probe(Cause::HostAllowList),
        Code::Probe(Cause::Http10OrMissingHost),
        Code::OomKilled,
        Code::MemoryAtLimit,
        Code::Crashed,
        Code::PoolExhausted,
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
    let codes: Vec<Code> = own.chain(Cause::ALL.map(Code::Probe)).collect();
    assert!(codes.contains(&Code::AcknowledgedMissing) && codes.contains(&Code::ManifestFieldIgnored), "{codes:?}");
    let page = include_str!("../../../../docs/report.md");
    for code in codes {
        let row = if code.is_cause() { format!("\n| `{code}` (cause) | ") } else { format!("\n| `{code}` | ") };
        assert!(page.contains(&row), "docs/report.md has no row that begins with {}", row.trim());
    }
}

/// A suite of a project's own need not write what its load generator counted.
#[rstest::rstest]
#[case::no_load_file(&[], &["results/scenarios.order.json#/measured/scenario/by_error"], "(results/scenarios.order.json)")]
#[case::load_file(
    &["evidence/order.load.json"],
    &["results/scenarios.order.json#/measured/scenario/by_error", "evidence/order.load.json"],
    "(evidence/order.load.json)"
)]
fn figures_cite_the_files_of_their_own_scenario(
    #[case] written: &[&str],
    #[case] evidence: &[&str],
    #[case] cited: &str,
) {
    let mut data = run(ended(&[]));
    declare(&mut data, "order", ScenarioThresholds { errors_max: Some(0), ..ScenarioThresholds::default() });
    // Another one, which comes first by its name, is none of its business.
    declare(&mut data, "browse", ScenarioThresholds::default());
    let parts = Part::of_way(&[("app", 2.0)]);
    let step = StepFigures { errors: 1, by_error: [(Answer::Status(503), 1)].into(), ..StepFigures::default() };
    let ledger = LedgerResult {
        acknowledged: 2,
        missing: 1,
        missing_keys: vec!["r-0-2".to_owned()],
        duplicate: 1,
        duplicate_keys: vec!["r-0-1".to_owned()],
        ..LedgerResult::default()
    };
    let order = ScenarioResult {
        requests: 2,
        succeeded: 1,
        errors: 1,
        parts,
        steps: vec![step],
        ledger: Some(ledger),
        ..ScenarioResult::default()
    };
    let browse = ScenarioResult { requests: 1, succeeded: 1, ..ScenarioResult::default() };
    data.records = vec![measured("browse", browse), measured("order", order)];
    data.load_files = written.iter().map(|file| (*file).to_owned()).collect();
    let report = Report::new(&data);
    let of = |code| report.findings.iter().find(|finding| finding.code == code).unwrap();
    assert_eq!(of(Code::RequestsFailed).evidence, evidence);
    let ledger = "results/scenarios.order.json#/measured/scenario/ledger";
    assert_eq!(of(Code::AcknowledgedMissing).evidence, [format!("{ledger}/missing")]);
    assert!(
        of(Code::AcknowledgedMissing).claim.ends_with("are not stored: r-0-2"),
        "{:?}",
        of(Code::AcknowledgedMissing)
    );
    assert_eq!(of(Code::StoredTwice).evidence, [format!("{ledger}/duplicate")]);
    let crossed = "the threshold order errors_max is 0, and the measured figure is 1";
    assert_eq!(of(Code::ThresholdCrossed).claim, crossed);
    assert_eq!(of(Code::ThresholdCrossed).evidence, ["results/scenarios.order.json#/measured/scenario/errors"]);

    let page = render(&report);
    let parts = "(results/scenarios.order.json#/measured/scenario/parts)";
    assert!(page.contains(cited) && page.contains(parts) && page.contains("Load pattern"), "{page}");
    assert!(page.contains("## Expected performance\n\n### browse"), "{page}");
    assert!(page.contains("**browse**: ") && page.contains("**order**: "), "{page}");
}

#[test]
fn what_limited_a_rate_is_shown_without_processor_times() {
    let mut data = run(ended(&[]));
    let waiting = Activity {
        component: "app".to_owned(),
        samples: 80,
        sessions: BTreeMap::from([("Lock:relation".to_owned(), 2.5), ("running".to_owned(), 0.1)]),
        commits_per_second: Some(50.0),
    };
    declare(&mut data, "order", ScenarioThresholds::default());
    let figures = ScenarioResult { succeeded: 1, activity: vec![waiting], ..ScenarioResult::default() };
    data.records = vec![measured("order", figures)];
    let report = Report::new(&data);
    let order = report.scenario("order").unwrap();
    assert_eq!((order.expected.as_ref(), order.bottleneck.as_ref().unwrap().name.as_str()), (None, "a lock in app"));
    let page = render(&report);
    assert!(
        page.contains("**What limited it**: a lock in app: of 2.6 active sessions on average, 2.5 waited for a lock"),
        "{page}"
    );
    assert!(page.contains("Lock:relation 2.50, running 0.10; 50 commits per second."), "{page}");

    // Clients that pause do not ask for all that the system can do.
    data.request.scenarios.get_mut("order").unwrap().think = std::time::Duration::from_secs(1);
    assert_eq!(Report::new(&data).scenario("order").unwrap().bottleneck, None);
}

/// A command that the image lacks, as a current kubelet tells of it: as an error each time, and nothing counts.
#[rstest::rstest]
#[case::readiness(ProbeKind::Readiness, false, Severity::Error, "so the pod never becomes ready")]
#[case::startup(ProbeKind::Startup, false, Severity::Error, "so the container never counts as started")]
#[case::liveness(ProbeKind::Liveness, true, Severity::Warning, "so a container that hangs is not restarted")]
fn a_probe_that_only_errors_has_a_finding_of_its_own(
    #[case] which: ProbeKind,
    #[case] ready: bool,
    #[case] severity: Severity,
    #[case] consequence: &str,
) {
    use e2e_kubelet::observation::{Kind, Observation};
    let missing = Observation::new(
        e2e_kubelet::observation::Verdict::Errored,
        Kind::CannotExec,
        "exec: \"check\": executable file not found in $PATH",
    );
    let report = |sent| ProbeReport { sent, errored: 7, last_failure: Some(missing.clone()), ..ProbeReport::default() };
    for (sent, tally, row) in [
        (Some(7), "7 of 7 probes to app-0 errored", "| errors | 7 | 0, 7 errored |"),
        (None, "7 errors of app-0 reported", "| 7 errors reported | - | 0, 7 errored |"),
    ] {
        let mut data = probed(ready, ProbeReport::default());
        let container = &mut data.snapshot.pods.get_mut("app-0").unwrap().containers[0];
        container.probes = BTreeMap::from([(which, report(sent))]);
        container.status.started = which != ProbeKind::Startup;
        let spec = &mut data.environment.components[0].probes[0];
        (spec.which, spec.probe.action) = (which, ProbeAction::Exec { command: vec!["check".to_owned()] });
        let report = Report::new(&data);
        let found = report.findings.iter().find(|finding| finding.code == Code::ProbeErrored).expect("a finding");
        assert_eq!(found.severity, severity);
        let words =
            format!("the {which} probe of app errors on 1 of 1 replica: {tally}, the last with `exec: \"check\"");
        assert!(found.claim.starts_with(&words) && found.claim.contains(consequence), "{}", found.claim);
        assert!(found.fix.starts_with("Add `check` to the image of app"), "{}", found.fix);
        assert!(report.findings.iter().all(|finding| finding.code != Code::ProbeFailing), "{:#?}", report.findings);
        let page = render(&report);
        assert!(page.contains(row), "{page}");
    }
}

/// The run ended because one pod cannot start, and another had not been ready by then.
#[test]
fn what_was_starting_when_a_run_ended_is_no_error() {
    let mut data = probed(false, ProbeReport { failed: 2, ..ProbeReport::default() });
    let codes = |data: &RunData| findings(data).into_iter().map(|finding| finding.code).collect::<Vec<_>>();
    assert!(codes(&data).contains(&Code::ComponentNotReady));

    let mut other = data.environment.components[0].clone();
    other.name = "db".to_owned();
    other.replicas[0].name = "db-0".to_owned();
    data.environment.components.push(other);
    let mut container = ContainerReport::declared("app", &Probes::default(), "");
    let (reason, message) = ("ImagePullBackOff".to_owned(), "Back-off pulling image".to_owned());
    container.status.state = ContainerState::Waiting { reason, message };
    let stuck = PodReport { containers: vec![container], ..PodReport::default() };
    data.snapshot.pods.insert("db-0".to_owned(), stuck);
    let of = |data: &RunData, name: &str| {
        let found = findings(data).into_iter().filter(|finding| finding.component.as_deref() == Some(name));
        found.map(|finding| (finding.code, finding.fix)).collect::<Vec<_>>()
    };
    assert_eq!(of(&data, "app"), []);
    let of_db = of(&data, "db");
    assert_eq!(of_db[0].0, Code::ImageUnavailable);
    let seen = "See the other findings of db: `image-unavailable`.".to_owned();
    assert!(of_db.contains(&(Code::ComponentNotReady, seen)), "{of_db:?}");

    // What was restarted had its chance.
    data.snapshot.pods.get_mut("app-0").unwrap().restarts = 1;
    assert!(of(&data, "app").iter().any(|(code, _)| *code == Code::ComponentNotReady));
}

#[test]
fn a_fix_names_no_finding_that_is_not_there() {
    let mut container = ended(&[]);
    container.status.ready = false;
    container.status.restart_count = 0;
    let found = findings(&run(container));
    let finding = found.iter().find(|finding| finding.code == Code::ComponentNotReady).unwrap();
    assert_eq!(finding.fix, "Find out why the container app of app is not ready; it is Running.");
}
