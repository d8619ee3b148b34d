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
        claim: format!(
            "{} failed: {}; {}: {}",
            super::counted(failed.len() as u64, "check"),
            names.join(", "),
            if failed.len() == 1 { "it says" } else { "the first says" },
            first.detail.lines().next().unwrap_or_default()
        ),
        evidence: failed.iter().map(|record| record.file()).collect(),
        fix: "See what each failed check found, in the tables of the suites.".to_owned(),
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

/// Whether the load that a threshold is about had no success.
fn nothing_succeeded(data: &RunData, threshold: &str) -> bool {
    match threshold.split('_').next() {
        Some("registration") => data.registration().is_some_and(|(figures, _)| figures.registered == 0),
        _ => data.throughput().is_some_and(|(figures, _)| figures.acknowledged == 0),
    }
}

fn gaps(data: &RunData) -> Vec<Finding> {
    let mut gaps = Vec::new();
    if data.tests.is_empty() {
        // Everything else that is missing follows from it.
        return vec![gap("no test of the suites ran".to_owned(), "environment.json#/ready".to_owned())];
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
        // A figure that is absent has no place of its own, only the record that should have it.
        let record = threshold.evidence.split('#').next().unwrap_or_default().to_owned();
        let mut gap = gap(format!("{} has no figure to compare with", threshold.name), record);
        if threshold.name.contains("latency") && nothing_succeeded(data, &threshold.name) {
            gap.claim += ": no request succeeded, so there is no latency";
            gap.fix = String::new();
        }
        gaps.push(gap);
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
