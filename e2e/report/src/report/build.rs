//! Turns a run directory's data into a report. Pure. Main function: [`Report::new`].

use std::collections::BTreeMap;

use e2e_figures::scenario::ScenarioResult;
use e2e_plan::{ProbeAction, duration::millis, words::counted};

use super::{
    CaseSection, ComponentSection, EnvironmentSection, ProbeSection, Report, SCHEMA, ScenarioSection, SuiteSection,
    Verdict,
};
use crate::{
    bottleneck,
    diagnose::{Trouble, findings, troubles},
    environment::Component,
    evidence::Usage,
    expected::{expected, grown},
    faults::impacts,
    finding::{Finding, Severity},
    probing::under_load,
    record::{Measured, Outcome, Record},
    run_data::{RunData, Source},
    thresholds::{Threshold, thresholds},
};

impl Report {
    /// Judges a run and assembles its report.
    pub fn new(data: &RunData) -> Self {
        let thresholds = thresholds(data);
        let findings = findings(data, &thresholds);
        let (verdict, verdict_reason) = verdict(data, &thresholds, &findings);
        Self {
            schema: SCHEMA.to_owned(),
            run_id: data.environment.run_id.clone(),
            target: data.environment.target,
            verdict,
            verdict_reason,
            started_at: data.request.started_at.clone(),
            duration_ms: data.duration_ms,
            host: data.request.host.clone(),
            request: data.request.clone(),
            environment: environment(data),
            components: data.environment.components.iter().map(|component| section(data, component)).collect(),
            probes: data.environment.components.iter().flat_map(|component| probes(data, component)).collect(),
            predictions: super::predict::predictions(data),
            suites: suites(&data.records),
            scenarios: data.scenarios().map(|(figures, source)| scenario(data, figures, source, &findings)).collect(),
            cluster: data.cluster.clone(),
            thresholds,
            images: data.images.clone(),
            places: super::annotations::places(data, &findings),
            findings,
            topology: super::topology::topology(&data.environment),
            timeline: super::timeline::timeline(data),
        }
    }
}

fn scenario(data: &RunData, figures: &ScenarioResult, source: Source, findings: &[Finding]) -> ScenarioSection {
    let pressing = Some(figures).filter(|figures| data.request.is_pressing(&figures.name));
    let expected = pressing.and_then(|figures| expected(data, figures));
    let bottleneck = pressing.and_then(|figures| bottleneck::name(data, figures, expected.as_ref(), findings));
    let probes = under_load(data, figures);
    ScenarioSection { figures: figures.clone(), source, expected, bottleneck, probes, faults: impacts(data, figures) }
}

fn verdict(data: &RunData, thresholds: &[Threshold], findings: &[Finding]) -> (Verdict, String) {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let names = |severity| {
        let mut names: Vec<String> = findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .map(|finding| finding.code.to_string())
            .collect();
        names.dedup();
        names.join(", ")
    };
    let restarts: u32 = data.snapshot.pods.values().map(|pod| pod.restarts).sum();
    // Their own restarts are not in that sum.
    let mut faults = data.faults.iter().flat_map(|scenario| &scenario.faults);
    let was_disturbed = faults.any(|fault| !fault.ends.is_empty());
    let checks = data.records.iter().filter(|record| record.outcome == Outcome::Passed).count();
    match (count(Severity::Error), count(Severity::Gap)) {
        (0, 0) => (
            Verdict::Pass,
            format!(
                "{}{} passed{} {}.",
                counted(checks, "check"),
                if data.request.filter.is_some() { " selected by `--filter`" } else { "" },
                if thresholds.is_empty() { " and" } else { ", every threshold held, and" },
                match restarts {
                    0 if was_disturbed => "no container was restarted but by planned faults".to_owned(),
                    0 => "no container was restarted".to_owned(),
                    _ => format!("{} of containers stayed within the threshold", counted(restarts, "restart")),
                }
            ),
        ),
        (0, gaps) => (
            Verdict::Incomplete,
            format!(
                "No failure was measured, but {} missing: {}.",
                if gaps == 1 { "1 measurement is".to_owned() } else { format!("{gaps} measurements are") },
                names(Severity::Gap)
            ),
        ),
        (1, _) => (Verdict::Fail, format!("1 finding is an error: {}.", names(Severity::Error))),
        (errors, _) => (Verdict::Fail, format!("{errors} findings are errors: {}.", names(Severity::Error))),
    }
}

fn environment(data: &RunData) -> EnvironmentSection {
    let environment = &data.environment;
    EnvironmentSection {
        provider: environment.provider.clone(),
        up_ms: environment.up_ms,
        ready: environment.ready,
        warnings: environment.warnings.clone(),
        entrance: environment.entrance().map_or_else(
            |_| "not set in .config/e2e.toml".to_owned(),
            |endpoint| format!("Service {} port {}, reached by {}", endpoint.service, endpoint.port, endpoint.path),
        ),
    }
}

fn section(data: &RunData, component: &Component) -> ComponentSection {
    let pods: Vec<_> = data.pods_of(component).collect();
    let desired = component.desired;
    let ready = pods.iter().filter(|(_, pod)| pod.ready).count();
    let restarts = pods.iter().map(|(_, pod)| pod.restarts).sum();
    let mut states: Vec<&str> = pods.iter().map(|(_, pod)| pod.status.as_str()).collect();
    states.dedup();
    let usages: Vec<Vec<Usage>> =
        component.replicas.iter().map(|replica| data.resources.of_pod(&replica.name).collect()).collect();
    let memory_bytes = usages.iter().flatten().map(|usage| usage.memory_bytes).max();
    let cpu_seconds = memory_bytes.map(|_| usages.iter().map(|samples| cpu_seconds(samples)).sum());
    ComponentSection {
        name: component.name.clone(),
        kind: component.kind.clone(),
        desired,
        ready: u32::try_from(ready).unwrap_or(u32::MAX),
        restarts,
        healthy: desired > 0 && ready == desired as usize && restarts == 0,
        status: if states.is_empty() { "no replicas".to_owned() } else { states.join(", ") },
        memory_bytes,
        memory_limit_bytes: component.memory_limit_bytes,
        cpu_seconds,
    }
}

/// Processor time over all instances of a pod: each restart resets the counter.
fn cpu_seconds(samples: &[Usage]) -> f64 {
    let first = samples.first().map_or(0.0, |usage| usage.cpu_seconds);
    first + samples.windows(2).map(|pair| grown(pair[0].cpu_seconds, pair[1].cpu_seconds)).sum::<f64>()
}

fn probes(data: &RunData, component: &Component) -> Vec<ProbeSection> {
    component
        .probes
        .iter()
        .map(|spec| {
            let reports: Vec<_> = data
                .pods_of(component)
                .filter_map(|(_, pod)| pod.container(&spec.container)?.probes.get(&spec.which))
                .collect();
            let slowest =
                reports.iter().filter(|report| report.max_ms > 0.0).map(|report| report.max_ms).reduce(f64::max);
            ProbeSection {
                component: component.name.clone(),
                container: spec.container.clone(),
                which: spec.which,
                spec: describe(&spec.probe.action),
                sent: reports.iter().map(|report| report.sent.map(u64::from)).sum(),
                failed: reports.iter().map(|report| u64::from(report.failed)).sum(),
                errored: reports.iter().map(|report| u64::from(report.errored)).sum(),
                failing: troubles(data, component, spec).any(|trouble| trouble == Trouble::Fails),
                last_failure: reports.iter().find_map(|report| Some(report.last_failure.as_ref()?.message.clone())),
                latency_ms_max: slowest,
                timeout_ms: millis(spec.probe.timeout),
            }
        })
        .collect()
}

fn describe(action: &ProbeAction) -> String {
    match action {
        ProbeAction::HttpGet { https, host, port, path, headers } => {
            let scheme = if *https { "https " } else { "" };
            let host = host.as_deref().unwrap_or_default();
            let headers: String = headers.iter().map(|(name, value)| format!(" {name}: {value}")).collect();
            format!("{scheme}GET {host}:{port}{path}{headers}")
        }
        ProbeAction::TcpSocket { host, port } => format!("connect {}:{port}", host.as_deref().unwrap_or_default()),
        ProbeAction::Exec { command } => command.join(" "),
        ProbeAction::Grpc { port, service } => format!("grpc :{port} {service}"),
    }
}

fn suites(records: &[Record]) -> Vec<SuiteSection> {
    let mut suites: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in records {
        suites.entry(&record.suite).or_default().push(record);
    }
    suites
        .into_iter()
        .map(|(name, records)| {
            let count = |outcome| {
                u32::try_from(records.iter().filter(|record| record.outcome == outcome).count()).unwrap_or(u32::MAX)
            };
            SuiteSection {
                name: name.to_owned(),
                passed: count(Outcome::Passed),
                failed: count(Outcome::Failed),
                skipped: count(Outcome::Skipped),
                cases: records.iter().map(|record| case(record)).collect(),
            }
        })
        .collect()
}

fn case(record: &Record) -> CaseSection {
    let figures = if let Measured::Figures(figures) = &record.measured { figures.clone() } else { BTreeMap::new() };
    CaseSection {
        name: record.case.clone(),
        outcome: record.outcome,
        detail: record.detail.clone(),
        evidence: record.file(),
        figures,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{
        evidence::faults::{CarriedOut, ExplainedEnd, ScenarioFaults},
        testing::quiet,
    };

    #[rstest]
    #[case::ended_nothing(Vec::new(), "0 checks passed and no container was restarted.")]
    #[case::ended_one(
        vec![ExplainedEnd { pod: "app-0".to_owned(), container: Some("app".to_owned()), index: 0 }],
        "0 checks passed and no container was restarted but by planned faults."
    )]
    fn the_verdict_knows_what_faults_restarted(#[case] ends: Vec<ExplainedEnd>, #[case] expected: &str) {
        let fault = "kill app-0 at 3s".parse().unwrap();
        let faults = vec![CarriedOut { fault, unix_ms: Some((0, 0)), failure: None, ends }];
        let data = RunData { faults: vec![ScenarioFaults { faults, ..ScenarioFaults::default() }], ..quiet() };
        assert_eq!(verdict(&data, &[], &[]), (Verdict::Pass, expected.to_owned()));
    }
}
