//! The part of a report that is the same on every healthy run, as an insta snapshot for review on pull requests.
//! Main functions: [`stable`], [`assert()`].

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{Outcome, Report, Severity, Target, ThresholdState, Verdict};
use crate::{
    diagnose::Code,
    env_vars,
    run_dir::{self, RunDir},
};

/// What a snapshot shows: topology, checks, outcomes, findings; figures only as the side of their line that they are on.
#[derive(Debug, Serialize)]
struct Stable<'a> {
    target: Target,
    verdict: Verdict,
    components: BTreeMap<&'a str, StableComponent<'a>>,
    checks: BTreeMap<&'a str, BTreeMap<&'a str, Outcome>>,
    probes: BTreeMap<&'a str, BTreeMap<&'a str, &'a str>>,
    thresholds: BTreeMap<&'a str, StableThreshold>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clients_that_failed_to_register: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged_operations_missing: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operations_duplicated: Option<u64>,
    findings: Vec<(Severity, Code, Option<&'a str>)>,
    fields_without_effect: Vec<String>,
}

#[derive(Debug, Serialize)]
struct StableComponent<'a> {
    kind: &'a str,
    replicas: String,
    status: &'a str,
    restarts: u32,
    memory_limit_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct StableThreshold {
    limit: f64,
    state: ThresholdState,
}

/// The stable part as indented JSON.
pub fn stable(report: &Report) -> String {
    let mut checks: BTreeMap<&str, BTreeMap<&str, Outcome>> = BTreeMap::new();
    for suite in &report.suites {
        checks
            .entry(&suite.name)
            .or_default()
            .extend(suite.cases.iter().map(|case| (case.name.as_str(), case.outcome)));
    }
    let mut probes: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for probe in &report.probes {
        probes.entry(&probe.component).or_default().insert(&probe.which, &probe.spec);
    }
    let stable = Stable {
        target: report.target,
        verdict: report.verdict,
        components: report
            .components
            .iter()
            .map(|component| {
                let stable = StableComponent {
                    kind: &component.kind,
                    replicas: format!("{} of {} ready", component.ready, component.desired),
                    status: &component.status,
                    restarts: component.restarts,
                    memory_limit_bytes: component.memory_limit_bytes,
                };
                (component.name.as_str(), stable)
            })
            .collect(),
        checks,
        probes,
        thresholds: report
            .thresholds
            .iter()
            .map(|threshold| {
                (threshold.name.as_str(), StableThreshold { limit: threshold.limit, state: threshold.state })
            })
            .collect(),
        clients_that_failed_to_register: report.registration.as_ref().map(|figures| figures.failed),
        acknowledged_operations_missing: report.conservation.as_ref().map(|figures| figures.missing),
        operations_duplicated: report.conservation.as_ref().map(|figures| figures.duplicate),
        findings: report
            .findings
            .iter()
            .map(|finding| (finding.severity, finding.code, finding.component.as_deref()))
            .collect(),
        fields_without_effect: report
            .environment
            .warnings
            .iter()
            .map(|warning| format!("{}: {}", warning.source, warning.subject))
            .collect(),
    };
    // Plain data with string keys: there is nothing that JSON cannot hold.
    serde_json::to_string_pretty(&stable).expect("plain data serialises")
}

/// What the snapshot test compares, from `E2E_RUN` and `E2E_SNAPSHOTS`.
///
/// # Panics
///
/// When the variables are not set, the report cannot be read, or the snapshot differs: this is how a test fails.
pub fn assert() {
    let variable = |name| match env_vars::read(name) {
        Ok(Some(path)) => PathBuf::from(path),
        Ok(None) => panic!("{name} is not set; `cargo xtask e2e` makes a report and runs this test on it"),
        Err(error) => panic!("{error}"),
    };
    let (run, snapshots) = (variable(env_vars::E2E_RUN), variable(env_vars::E2E_SNAPSHOTS));
    let report = RunDir::open(&run).and_then(|directory| directory.read_json::<Report>(run_dir::REPORT_JSON));
    match report {
        Ok(report) => assert_in(&report, &snapshots.join(report.target.as_str())),
        Err(error) => panic!("{error}"),
    }
}

fn assert_in(report: &Report, directory: &Path) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(directory);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("report", stable(report)));
}
