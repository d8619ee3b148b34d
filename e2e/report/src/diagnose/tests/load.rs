//! What a load showed, and what its lines allow.

use super::*;

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
    assert_eq!(finding(&data, Code::ClientsFailed).severity, expected);
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
    let reason = "1 check passed, every threshold held, and 1 restart of containers stayed within the threshold.";
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
    let mut data = quiet();
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
    let crossed = "the threshold order errors_max is 0, but the measured figure is 1";
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
