//! Findings about the suites themselves: checks that failed, and what was not measured.

use super::{Code, RunData};
use crate::{
    evidence::PODS,
    record::Outcome,
    report::{Finding, Severity, ThresholdState, build::thresholds},
    run_dir::JUNIT,
};

pub(super) fn findings(data: &RunData) -> Vec<Finding> {
    checks(data).into_iter().chain(gaps(data)).collect()
}

/// One finding for all failed checks: each stands in the table of its suite.
fn checks(data: &RunData) -> Option<Finding> {
    let failed: Vec<_> = data.records.iter().filter(|record| record.outcome == Outcome::Failed).collect();
    let first = failed.first()?;
    let names: Vec<String> = failed.iter().map(|record| format!("{}/{}", record.suite, record.case)).collect();
    Some(Finding {
        code: Code::CheckFailed,
        severity: Severity::Error,
        component: None,
        claim: format!("{} checks failed: {}; the first says: {}", failed.len(), names.join(", "), first.detail),
        evidence: failed.iter().map(|record| record.file()).collect(),
        fix: "Fix the causes above; each failed check's line says what it found.".to_owned(),
        excerpt: None,
    })
}

fn gap(claim: String, evidence: String) -> Finding {
    Finding {
        code: Code::NotMeasured,
        severity: Severity::Gap,
        component: None,
        claim,
        evidence: vec![evidence],
        fix: "Find out why it was not measured, and run again: an incomplete run proves nothing.".to_owned(),
        excerpt: None,
    }
}

fn gaps(data: &RunData) -> Vec<Finding> {
    let mut gaps = Vec::new();
    if data.tests.is_empty() {
        gaps.push(gap("no test of the suites ran".to_owned(), JUNIT.to_owned()));
    }
    for (test, passed) in &data.tests {
        let records: Vec<_> = data.records.iter().filter(|record| record.test == *test).collect();
        if records.is_empty() {
            gaps.push(gap(format!("the test {test} left no record"), JUNIT.to_owned()));
        } else if !passed && records.iter().all(|record| record.outcome == Outcome::Passed) {
            gaps.push(gap(format!("the test {test} failed after its record was written"), JUNIT.to_owned()));
        }
    }
    for record in data.records.iter().filter(|record| record.outcome == Outcome::Skipped) {
        gaps.push(gap(format!("{}/{} was skipped: {}", record.suite, record.case, record.detail), record.file()));
    }
    for threshold in thresholds(data).into_iter().filter(|threshold| threshold.state == ThresholdState::NotMeasured) {
        gaps.push(gap(format!("{} has no figure to compare with", threshold.name), threshold.evidence));
    }
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
