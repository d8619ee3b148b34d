//! `e2e --filter`: some of the checks, said so in the report; and the scenarios that no suite runs. Takes the machine for itself: see `.config/nextest.toml`.

mod support;

use std::{collections::BTreeSet, fs};

use e2e_report::report::Verdict;
use rstest::rstest;
use support::{Bench, SMALL, expect, said, unique};

#[test]
fn only_the_chosen_checks_run() {
    let (bench, id) = (Bench::of(SMALL), unique("chosen"));
    let output = bench.output(&["e2e", "--target", "local", "--run-id", &id, "--filter", "test(redis)"]);
    expect(&output, 0, &[]);
    let report = bench.report(&id);
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
    expect(&output, code, phrases);
    support::assert_nothing_left(&bench.run_directory(&id), false);
}

/// A scenario that the suites leave out runs after them, unless a filter chose some of their checks.
#[rstest]
#[case::all_checks(&[], true)]
#[case::chosen_checks(&["--filter", "test(redis)"], false)]
fn a_scenario_of_no_suite(#[case] arguments: &[&str], #[case] runs: bool) {
    let (bench, id, directory) = (Bench::of(SMALL), unique("scenario"), tempfile::tempdir().expect("a directory"));
    let own = fs::read_to_string(support::root().join("xtask").join(SMALL).join(".config/e2e.toml")).expect("a file");
    let config = directory.path().join("e2e.toml");
    let scenario = "[scenario.page]\nclients = 2\nduration = '1s'\n[[scenario.page.steps]]\nname = 'ask'\npath = '/'\n";
    fs::write(&config, format!("entrance = 'nginx'\n{own}{scenario}")).expect("a file");
    let config = config.display().to_string();
    let output =
        bench.output(&[&["e2e", "--target", "local", "--run-id", &id, "--config", &config], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(bench.run_directory(&id).join("results/scenarios.page.json").exists(), runs, "{}", said(&output));
    assert!(bench.run_directory(&id).join("results/answers.redis.json").exists(), "{}", said(&output));
}
