//! Findings about the suites: failed checks, and missing measurements.

use std::collections::BTreeSet;

use e2e_plan::words::counted;

use super::{Code, Finding, RunData, Severity};
use crate::{
    evidence::PODS,
    record::{Outcome, Unreadable},
    run_data::{AbnormalEnd, Test},
    run_dir::{JUNIT, REQUEST, SUITES},
    thresholds::{Threshold, ThresholdState},
};

pub(super) fn findings(data: &RunData, thresholds: &[Threshold]) -> Vec<Finding> {
    checks(data).into_iter().chain(gaps(data, thresholds)).collect()
}

/// One finding for all failed checks: the table of each suite lists them.
fn checks(data: &RunData) -> Option<Finding> {
    let failed: Vec<_> = data.records.iter().filter(|record| record.outcome == Outcome::Failed).collect();
    let first = failed.first()?;
    let names: Vec<String> = failed.iter().map(|record| format!("{}/{}", record.suite, record.case)).collect();
    Some(Finding {
        claim: format!(
            "{} failed: {}; {}: {}",
            counted(failed.len(), "check"),
            names.join(", "),
            if failed.len() == 1 { "its message" } else { "the first message" },
            first.detail.lines().next().unwrap_or_default()
        ),
        evidence: failed.iter().map(|record| record.file()).collect(),
        fix: "See the tables of the suites for each failed check.".to_owned(),
        ..Finding::new(Code::CheckFailed, Severity::Error)
    })
}

fn gap(claim: String, evidence: String) -> Finding {
    Finding {
        claim,
        evidence: vec![evidence],
        fix: "Find out why it was not measured, and run again: an incomplete run is inconclusive.".to_owned(),
        ..Finding::new(Code::NotMeasured, Severity::Gap)
    }
}

/// A threshold without a figure, unless the whole scenario lacks figures, which has one finding.
fn not_measured(data: &RunData, threshold: &Threshold) -> Option<Finding> {
    if threshold.state != ThresholdState::NotMeasured {
        return None;
    }
    let (figures, source) = data.scenario(threshold.scenario.as_deref()?)?;
    let mut gap = gap(format!("{} was not measured", threshold.label()), source.record);
    let counts = match &threshold.step {
        Some(step) => figures.step(step).map(|step| (step.requests, step.succeeded)),
        None => Some((figures.requests, figures.succeeded)),
    };
    if counts.is_some_and(|(requests, succeeded)| requests > 0 && succeeded == 0) {
        gap.claim += ": no request succeeded";
        gap.fix = String::new();
    }
    Some(gap)
}

/// Requested scenarios without a record.
fn not_run(data: &RunData) -> impl Iterator<Item = Finding> {
    let is_asked_for = data.request.filter.is_none();
    let missing = data.request.scenarios.keys().filter(move |name| is_asked_for && data.scenario(name).is_none());
    missing.map(|name| {
        let mut gap = gap(format!("the scenario {name} was not measured"), format!("{REQUEST}#/scenarios/{name}"));
        gap.fix = format!(
            "Check why its suite left no figures; a suite measures it with \
        e2e::scenario(&environment, \"{name}\")."
        );
        gap
    })
}

/// An abnormal end of the suites' command may have skipped anything.
fn abnormal_end(data: &RunData) -> Option<Finding> {
    let AbnormalEnd { command, reason, remedy } = data.suites.as_ref()?;
    let claim = format!("the suites' command `{command}` ended abnormally: {reason}");
    Some(Finding { fix: format!("{}.", capitalised(remedy)), ..gap(claim, SUITES.to_owned()) })
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn no_tests(data: &RunData) -> Finding {
    match data.records.len() {
        0 => gap("no test ran".to_owned(), "environment.json#/ready".to_owned()),
        records => {
            let there = if records == 1 { "there is" } else { "there are" };
            let records = counted(records, "record");
            gap(format!("{JUNIT} names no test, although {there} {records}"), JUNIT.to_owned())
        }
    }
}

/// Tests without a matching record, by name. Equal names are counted, because a record does not name its binary.
fn unrecorded(data: &RunData, name: &str) -> Vec<Finding> {
    let tests: Vec<&Test> = data.tests.iter().filter(|test| test.name == name).collect();
    let failed: Vec<&Test> = tests.iter().copied().filter(|test| !test.passed).collect();
    let records: Vec<_> = data.records.iter().filter(|record| record.test == name).collect();
    if records.is_empty() && failed.is_empty() && data.unreadable.iter().any(|file| file.test.as_deref() == Some(name))
    {
        // Its unreadable record has a finding.
        return Vec::new();
    }
    let told = records.iter().filter(|record| record.outcome == Outcome::Failed).count();
    let binaries = |tests: &[&Test]| tests.iter().map(|test| test.binary.as_str()).collect::<Vec<_>>().join(", ");
    let mut claims = Vec::new();
    match (&tests[..], records.len()) {
        ([test], 0) => return vec![no_record(test)],
        (tests, records) if records < tests.len() => claims.push(format!(
            "{} tests are called {name} (in {}) and left {}",
            tests.len(),
            binaries(tests),
            counted(records, "record")
        )),
        _ => {}
    }
    match &failed[..] {
        failed if failed.len() <= told => {}
        [test] => claims.push(format!("{} failed without a record of the failure", described(test))),
        failed => claims.push(format!(
            "{} tests called {name} failed (in {}), but {} it",
            failed.len(),
            binaries(failed),
            if told == 1 { "1 record shows".to_owned() } else { format!("{told} records show") }
        )),
    }
    claims.into_iter().map(|claim| gap(claim, JUNIT.to_owned())).collect()
}

fn described(test: &Test) -> String {
    match test.binary.as_str() {
        "" => format!("the test {}", test.name),
        binary => format!("the test {} of {binary}", test.name),
    }
}

/// nextest's word for a test that it stopped at its time limit.
const TIMED_OUT: &str = "test timeout";

fn no_record(test: &Test) -> Finding {
    let why = test.failure.as_ref().map_or_else(String::new, |failure| format!(": {failure}"));
    let mut gap = gap(format!("{} left no record{why}", described(test)), JUNIT.to_owned());
    if test.failure.as_deref() == Some(TIMED_OUT) {
        gap.fix = "Raise slow-timeout in the suites' profile in .config/nextest.toml, or shorten the load.".to_owned();
    }
    gap
}

fn no_record_in(Unreadable { file, test, reason }: &Unreadable) -> Finding {
    let whose = test.as_ref().map_or_else(String::new, |test| format!(" of the test {test}"));
    let fix = "Write the record as described in docs/record.schema.json.".to_owned();
    Finding { fix, ..gap(format!("the record{whose} cannot be read: {reason}"), file.clone()) }
}

fn gaps(data: &RunData, thresholds: &[Threshold]) -> Vec<Finding> {
    let mut gaps: Vec<Finding> =
        abnormal_end(data).into_iter().chain(data.unreadable.iter().map(no_record_in)).collect();
    if data.tests.is_empty() {
        // All other gaps follow from it.
        return if gaps.is_empty() { vec![no_tests(data)] } else { gaps };
    }
    let names: BTreeSet<&str> = data.tests.iter().map(|test| test.name.as_str()).collect();
    gaps.extend(names.into_iter().flat_map(|name| unrecorded(data, name)));
    for record in data.records.iter().filter(|record| record.outcome == Outcome::Skipped) {
        gaps.push(gap(format!("{}/{} was skipped: {}", record.suite, record.case, record.detail), record.file()));
    }
    gaps.extend(not_run(data));
    gaps.extend(thresholds.iter().filter_map(|threshold| not_measured(data, threshold)));
    for (name, pod) in &data.snapshot.pods {
        for container in &pod.containers {
            for (which, probe) in container.probes.iter().filter(|(_, probe)| probe.not_measured > 0) {
                let why = probe.last_failure.as_ref().map_or(String::new(), |last| last.message.clone());
                let claim =
                    format!("the {} probe of {name}/{} cannot be sent here: {why}", which.word(), container.name);
                gaps.push(gap(claim, format!("{PODS}#/pods/{name}/containers")));
            }
        }
    }
    gaps
}
