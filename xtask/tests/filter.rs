//! `e2e --filter`: some of the checks, said so in the report. Takes the machine for itself: see `.config/nextest.toml`.

mod support;

use std::{collections::BTreeSet, fs};

use e2e_report::report::{Report, Verdict};
use rstest::rstest;
use support::{Bench, SMALL, said, unique};

#[test]
fn only_the_chosen_checks_run() {
    let (bench, id) = (Bench::of(SMALL), unique("chosen"));
    let output = bench.output(&["e2e", "--target", "local", "--run-id", &id, "--filter", "test(redis)"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = fs::read_to_string(bench.run_directory(&id).join("report.json")).expect("a report");
    let report: Report = serde_json::from_str(&text).expect("a report");
    assert_eq!((report.verdict, report.request.filter.as_deref()), (Verdict::Pass, Some("test(redis)")));
    assert!(report.verdict_reason.contains("selected by `--filter`"), "{}", report.verdict_reason);
    let cases: BTreeSet<String> =
        report.suites.iter().flat_map(|suite| suite.cases.iter().map(|case| case.name.clone())).collect();
    assert!(!cases.is_empty() && cases.iter().all(|case| case.contains("redis")), "{cases:?}");
    let page = fs::read_to_string(bench.run_directory(&id).join("report.md")).expect("a report");
    assert!(page.contains("- **Checks**: only those that match `test(redis)`"), "{page}");
}

#[rstest]
#[case::is_none("tets(redis)", 2, &["--filter tets(redis) is not a valid filterset", "nexte.st"])]
#[case::chooses_nothing("test(of_nothing)", 5, &["it selected no test", "check its filters"])]
fn a_filter_that_makes_no_sense(#[case] filter: &str, #[case] code: i32, #[case] phrases: &[&str]) {
    let (bench, id) = (Bench::of(SMALL), unique("filter"));
    let output = bench.output(&["e2e", "--target", "local", "--run-id", &id, "--filter", filter]);
    assert_eq!(output.status.code(), Some(code), "{}", said(&output));
    for phrase in phrases {
        assert!(said(&output).contains(phrase), "`{phrase}` is not in {}", said(&output));
    }
    support::assert_nothing_left(&bench.run_directory(&id), false);
}
