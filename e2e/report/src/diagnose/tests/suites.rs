//! What is said of suites, their tests and their records.

use super::*;

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
    let mut data = quiet();
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
    let mut data = quiet();
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
    let mut data = quiet();
    data.tests =
        vec![Test { failure: Some("test timeout".to_owned()), ..test("e2e::suites", "throughput::load", false) }];
    let found = findings(&data).into_iter().find(|finding| finding.severity == Severity::Gap).expect("a gap");
    assert_eq!(found.claim, "the test throughput::load of e2e::suites left no record: test timeout");
    assert!(found.fix.contains("slow-timeout"), "{}", found.fix);
}

#[test]
fn suites_that_ended_oddly_are_a_gap_whatever_was_recorded() {
    let mut data = quiet();
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
