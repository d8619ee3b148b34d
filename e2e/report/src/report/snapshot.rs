//! The part of a report that is the same on every healthy run, for review on pull requests. Main function:
//! [`stable`].

use std::collections::BTreeMap;

use e2e_figures::scenario::{ScenarioResult, ThresholdName};
use e2e_plan::target::Target;
use serde::Serialize;

use super::{ProbeSection, Report, Verdict};
use crate::{
    finding::{Code, Severity},
    record::Outcome,
    thresholds::{Threshold, ThresholdState},
};

/// The content of a snapshot: topology, checks, outcomes, findings; figures only as within or beyond their thresholds.
#[derive(Debug, Serialize)]
struct Stable<'a> {
    target: Target,
    verdict: Verdict,
    components: BTreeMap<&'a str, StableComponent<'a>>,
    checks: BTreeMap<&'a str, BTreeMap<&'a str, Outcome>>,
    probes: BTreeMap<&'a str, BTreeMap<String, &'a str>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    scenarios: BTreeMap<&'a str, StableScenario<'a>>,
    thresholds: BTreeMap<ThresholdName, StableThreshold>,
    findings: Vec<(Severity, Code, Option<&'a str>)>,
    fields_without_effect: Vec<String>,
}

#[derive(Debug, Serialize)]
struct StableComponent<'a> {
    kind: &'a str,
    replicas: String,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    restarts: Option<u32>,
    memory_limit_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct StableScenario<'a> {
    steps: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clients_failed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged_missing: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored_twice: Option<u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    thresholds: BTreeMap<String, StableThreshold>,
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
    let of_run = report.thresholds.iter().filter(|threshold| threshold.scenario.is_none());
    let varies = of_run.clone().any(allows_some);
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
                    restarts: (!varies).then_some(component.restarts),
                    memory_limit_bytes: component.memory_limit_bytes,
                };
                (component.name.as_str(), stable)
            })
            .collect(),
        checks,
        probes: probes(report),
        scenarios: report.scenarios.iter().map(|section| scenario(report, &section.figures)).collect(),
        thresholds: of_run.map(|threshold| (threshold.name, threshold.into())).collect(),
        findings: report
            .findings
            .iter()
            .filter(|finding| finding.severity != Severity::Warning || finding.code.follows_from_manifests())
            .map(|finding| (finding.severity, finding.code, finding.component.as_deref()))
            .collect(),
        fields_without_effect: report
            .environment
            .warnings
            .iter()
            .map(|warning| format!("{}: {} {}", warning.source, warning.object, warning.path))
            .collect(),
    };
    // Plain data with string keys always serialises.
    serde_json::to_string_pretty(&stable).expect("plain data serialises")
}

/// Whether a threshold allows some failures: their number varies between healthy runs.
fn allows_some(threshold: &Threshold) -> bool {
    threshold.limit > 0.0
}

fn scenario<'a>(report: &'a Report, figures: &'a ScenarioResult) -> (&'a str, StableScenario<'a>) {
    let lines = report.thresholds.iter().filter(|threshold| threshold.scenario.as_ref() == Some(&figures.name));
    let varies = lines.clone().any(|line| line.name == ThresholdName::ClientFailureRateMax && allows_some(line));
    let name = |line: &Threshold| match &line.step {
        Some(step) => format!("{step} {}", line.name),
        None => line.name.to_string(),
    };
    let stable = StableScenario {
        steps: figures.steps.iter().map(|step| step.name.as_str()).collect(),
        clients_failed: (!varies && !figures.client_outcomes.is_empty()).then_some(figures.clients_failed),
        acknowledged_missing: figures.ledger.as_ref().map(|ledger| ledger.missing),
        stored_twice: figures.ledger.as_ref().map(|ledger| ledger.duplicate),
        thresholds: lines.map(|line| (name(line), line.into())).collect(),
    };
    (&figures.name, stable)
}

impl From<&Threshold> for StableThreshold {
    fn from(threshold: &Threshold) -> Self {
        Self { limit: threshold.limit, state: threshold.state }
    }
}

/// Each probe's request, by component, prefixed with the container's name if several containers have probes.
fn probes(report: &Report) -> BTreeMap<&str, BTreeMap<String, &str>> {
    let mut probes: BTreeMap<&str, BTreeMap<String, &str>> = BTreeMap::new();
    for probe in &report.probes {
        let is_other = |other: &ProbeSection| other.component == probe.component && other.container != probe.container;
        let name = match report.probes.iter().any(is_other) {
            true => format!("{} {}", probe.container, probe.which),
            false => probe.which.to_string(),
        };
        probes.entry(&probe.component).or_default().insert(name, &probe.spec);
    }
    probes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{finding::Finding, report::empty};

    /// The stable part of the report of a run on k8s with one component and these probes, thresholds and findings.
    fn stable_of(probes: &[(&str, &str)], restarts_max: f64, findings: &[(Severity, Code)]) -> serde_json::Value {
        let probes = probes.iter().map(|(container, spec)| {
            json!({ "component": "app", "container": container, "which": "readiness", "spec": spec, "sent": 1, "failed": 0,
                "failing": false, "last_failure": null, "latency_ms_max": null, "timeout_ms": 1000 })
        });
        let findings = findings.iter().map(|(severity, code)| Finding::new(*code, *severity));
        let mut report = serde_json::to_value(empty(Target::K8s, Verdict::Pass)).unwrap();
        report["components"] = json!([{ "name": "app", "kind": "Deployment", "desired": 1, "ready": 1, "restarts": 1, "healthy": false,
            "status": "Running", "memory_bytes": null, "memory_limit_bytes": null, "cpu_seconds": null }]);
        report["probes"] = probes.collect();
        report["thresholds"] = json!([{ "scenario": null, "step": null, "name": "restarts_max", "limit": restarts_max, "measured": 1.0,
            "state": "kept", "evidence": "" }]);
        report["findings"] = json!(findings.collect::<Vec<_>>());
        serde_json::from_str(&stable(&serde_json::from_value(report).unwrap())).unwrap()
    }

    /// On three nodes, both replicas may share one.
    #[test]
    fn what_the_scheduler_decides_is_left_out() {
        let warning = |code| (Severity::Warning, code);
        let found = [
            (Severity::Error, Code::Crashed),
            warning(Code::CpuThrottled),
            warning(Code::NodeTrouble),
            warning(Code::NetworkCheckFailed),
            warning(Code::ReplicasShareNode),
            warning(Code::ManifestFieldIgnored),
        ];
        let findings = &stable_of(&[], 0.0, &found)["findings"];
        assert_eq!(*findings, json!([["error", "crashed", null], ["warning", "manifest-field-ignored", null]]));
    }

    #[test]
    fn each_container_keeps_its_probes() {
        let alone = &stable_of(&[("app", "GET :80/")], 0.0, &[])["probes"]["app"];
        assert_eq!(*alone, json!({ "readiness": "GET :80/" }));
        let two = &stable_of(&[("app", "GET :80/"), ("proxy", "connect :81")], 0.0, &[])["probes"]["app"];
        assert_eq!(*two, json!({ "app readiness": "GET :80/", "proxy readiness": "connect :81" }));
    }

    #[test]
    fn a_number_that_may_vary_is_left_out() {
        assert_eq!(stable_of(&[], 0.0, &[])["components"]["app"]["restarts"], 1);
        assert_eq!(stable_of(&[], 2.0, &[])["components"]["app"].get("restarts"), None);
    }
}
