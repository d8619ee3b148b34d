//! The report for people, as Markdown. Main function: [`render`].

mod cluster;
mod faults;
mod judgement;
mod probing;
mod scenarios;

use std::{collections::BTreeMap, fmt::Write};

use e2e_plan::{
    duration::human_ms,
    words::{counted, listed, mebibytes},
};

use self::judgement::{findings, path_forward, root_causes};
use super::{
    CaseSection, PredictionSection, ProbeSection, Report, Verdict,
    headline::headline,
    table::{Table, fenced, folded, one_line},
};
use crate::record::Outcome;

/// Renders a report as Markdown.
pub fn render(report: &Report) -> String {
    head(report, "#") + &sections(report).concat()
}

/// The verdict, and what to read first where something is wrong. `level` is that of the heading.
pub(super) fn head(report: &Report, level: &str) -> String {
    let verdict = report.verdict.word();
    let mut text = format!("{level} End-to-end report: {verdict} on {}\n\n", report.target);
    let _ = writeln!(text, "**{}** {}\n", verdict.to_uppercase(), report.verdict_reason);
    let Some(headline) = headline(report) else { return text };
    let finding = headline.finding;
    let about = finding.component.as_ref().map(|component| format!(" ({component})")).unwrap_or_default();
    let word = if headline.is_cause { "Cause" } else { "Found" };
    let _ = writeln!(text, "**{word}**{about}: {}\n", one_line(&finding.claim));
    if let Some(line) = headline.log_line() {
        let _ = writeln!(text, "**From its log**: `{}`\n", line.replace('`', "'"));
    }
    if let Some(fix) = headline.fix() {
        let _ = writeln!(text, "**Fix**: {fix}\n");
    }
    if let Some(patch) = headline.patch() {
        text += &fenced("yaml", patch);
    }
    text
}

/// Everything below the head, section by section: what is wrong first, and folded away what is as it should be.
pub(super) fn sections(report: &Report) -> Vec<String> {
    let mut sections = vec![
        findings(report),
        root_causes(report),
        path_forward(report),
        scenarios::load(report),
        scenarios::expected(report),
        health(report),
        probes(report),
        cluster::nodes(report),
        cluster::network(report),
        environment(report),
        fields(report),
    ];
    sections.retain(|section| !section.is_empty());
    let end = format!(
        "---\n\nRun `{}`, {}. Evidence ids are files of the run directory, with an optional JSON pointer; \
         `report --check` recomputes this page from them.\n",
        report.run_id, report.started_at
    );
    let last = sections.pop().unwrap_or_default();
    sections.push(last + &end);
    sections
}

impl Verdict {
    /// The word in reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Incomplete => "incomplete",
        }
    }
}

fn environment(report: &Report) -> String {
    let Report { environment, host, request, .. } = report;
    let mut text = String::new();
    let components: Vec<String> =
        report.components.iter().map(|component| format!("{} × {}", component.desired, component.name)).collect();
    let images: Vec<String> =
        report.images.iter().map(|(name, digest)| format!("{name} ({})", short_digest(digest))).collect();
    let limits = report
        .components
        .iter()
        .filter_map(|component| Some(format!("{} {}", component.name, mebibytes(component.memory_limit_bytes?))));
    let up = format!("{} (environment.json#/up_ms)", human_ms(environment.up_ms));
    let lines = [
        ("Provider", Some(environment.provider.clone())),
        ("Machine", Some(format!("{} CPUs, {}, {}", host.cpus, mebibytes(host.memory_bytes), host.kernel))),
        ("Source", request.source.as_ref().map(ToString::to_string)),
        ("Images", (!images.is_empty()).then(|| images.join(", "))),
        ("Deployment", Some(components.join(", "))),
        ("Memory limits", Some(listed(limits))),
        ("Load pattern", (!request.scenarios.is_empty()).then(|| scenarios::pattern(report))),
        ("Entrance", Some(environment.entrance.clone())),
        ("Changes", Some(listed(request.changes()))),
        ("Checks", request.filter.as_ref().map(|filter| format!("only those that match `{filter}`"))),
        (if environment.ready { "Ready after" } else { "Not ready after" }, Some(up)),
    ];
    for (name, value) in lines {
        if let Some(value) = value {
            let _ = writeln!(text, "- **{name}**: {value}");
        }
    }
    let summary = format!("{}, {}", environment.provider, counted(host.cpus, "CPU"));
    format!("## Environment\n\n{}", folded(&summary, &text))
}

/// One row for each field and consequence, with all objects that declare it.
fn fields(report: &Report) -> String {
    let mut rows: BTreeMap<(&str, String), Vec<String>> = BTreeMap::new();
    for warning in &report.environment.warnings {
        let place = format!("{} ({})", warning.source, warning.object);
        rows.entry((&warning.reason, without_names(&warning.path))).or_default().push(place);
    }
    if rows.is_empty() {
        return String::new();
    }
    let mut fields = Table::new(["Field", "What happens instead", "Declared in"]);
    for ((message, path), places) in rows {
        fields.row([path, message.to_owned(), places.join("; ")]);
    }
    let target = report.target;
    let summary = counted(report.environment.warnings.len(), "field");
    format!("## Manifest fields not honoured on {target}\n\n{}", folded(&summary, &fields.markdown()))
}

/// `containers[backend].resources` becomes `containers[].resources` in the row of all containers.
fn without_names(path: &str) -> String {
    path.split('[').enumerate().fold(String::new(), |text, (index, part)| match (index, part.split_once(']')) {
        (0, _) | (_, None) => text + part,
        (_, Some((_, rest))) => text + "[]" + rest,
    })
}

fn health(report: &Report) -> String {
    let mut components =
        Table::new(["Component", "Ready", "State", "Restarts", "Memory (largest replica)", "CPU", "Healthy"]);
    for component in &report.components {
        let memory = match (component.memory_bytes, component.memory_limit_bytes) {
            (Some(used), Some(limit)) => format!("{} of {}", mebibytes(used), mebibytes(limit)),
            (Some(used), None) => mebibytes(used),
            (None, _) => "not measured".to_owned(),
        };
        components.row([
            component.name.clone(),
            format!("{}/{}", component.ready, component.desired),
            component.status.clone(),
            component.restarts.to_string(),
            memory,
            component.cpu_seconds.map_or("not measured".to_owned(), |seconds| format!("{seconds:.1} s")),
            mark(component.healthy).to_owned(),
        ]);
    }
    let mut text = format!("## Health checks\n\n{}", components.markdown());
    for suite in &report.suites {
        let (passed, others): (Vec<&CaseSection>, Vec<&CaseSection>) =
            suite.cases.iter().partition(|case| case.outcome == Outcome::Passed);
        let count =
            format!("{}: {} passed, {} failed, {} skipped", suite.name, suite.passed, suite.failed, suite.skipped);
        if !others.is_empty() {
            let _ = writeln!(text, "**{count}**\n\n{}", cases(&others).markdown());
        }
        let summary = if others.is_empty() { count } else { format!("{}: {} passed", suite.name, suite.passed) };
        text += &folded(&summary, &cases(&passed).markdown());
    }
    text
}

fn cases(cases: &[&CaseSection]) -> Table {
    let mut table = Table::new(["", "Check", "Found", "Evidence"]);
    for case in cases {
        let mark = match case.outcome {
            Outcome::Passed => "✓",
            Outcome::Failed => "✗",
            Outcome::Skipped => "skipped",
        };
        table.row([mark.to_owned(), case.name.clone(), case.found(), case.evidence.clone()]);
    }
    table
}

fn probes(report: &Report) -> String {
    let mut probes = Table::new([
        "Component",
        "Probe",
        "Sent as",
        "Verdict",
        "Sent",
        "Failed",
        "Slowest",
        "Timeout",
        "Margin",
        "Last failure",
    ]);
    for probe in &report.probes {
        let verdict = verdict(probe);
        let margin = probe.latency_ms_max.map(|latency| probe.timeout_ms as f64 - latency);
        probes.row([
            probe.component.clone(),
            probe.which.to_string(),
            probe.spec.clone(),
            verdict,
            probe.sent.map_or("-".to_owned(), |sent| sent.to_string()),
            match probe.errored {
                0 => probe.failed.to_string(),
                errored => format!("{}, {errored} errored", probe.failed),
            },
            ms(probe.latency_ms_max),
            format!("{} ms", probe.timeout_ms),
            ms(margin.map(|margin| margin.max(0.0))),
            probe.last_failure.clone().unwrap_or_default(),
        ]);
    }
    let how = match report.probes.iter().any(|probe| probe.sent.is_none()) {
        true => "Sent by the cluster's kubelets, which report only failures",
        false => "Sent like a kubelet's, during the whole run",
    };
    let failing = report.probes.iter().filter(|probe| probe.failing).count() as u64;
    let summary = format!("{}, {failing} failing", counted(report.probes.len(), "probe"));
    let table = if failing == 0 { folded(&summary, &probes.markdown()) } else { probes.markdown() };
    let under_load = probing::table(report);
    format!("## Probes\n\n{how} (evidence/pods.json).\n\n{table}{under_load}{}", predictions(report))
}

fn verdict(probe: &ProbeSection) -> String {
    let ProbeSection { failing, sent, failed, errored, .. } = probe;
    match (failing, sent) {
        (true, _) => "fails".to_owned(),
        (false, Some(0)) => "not sent".to_owned(),
        (false, Some(sent)) if errored == sent => "errors".to_owned(),
        (false, Some(_)) => "succeeds".to_owned(),
        (false, None) => match (failed, errored) {
            (0, 0) => "no failure reported".to_owned(),
            (0, errored) => format!("{} reported", counted(*errored, "error")),
            (failed, _) => format!("{} reported", counted(*failed, "failure")),
        },
    }
}

/// A kubelet's predicted actions, now and with the patches.
fn predictions(report: &Report) -> String {
    let mut text = String::new();
    for prediction in &report.predictions {
        let PredictionSection { component, container, kubelet, with_fix, requests, observed, evidence, .. } =
            prediction;
        let _ = write!(text, "- **Prediction for {component}/{container}**: {kubelet}.");
        if let Some(with_fix) = with_fix {
            let _ = write!(text, " With the patches of the findings (tested with {requests} requests): {with_fix}.");
        }
        if let Some(observed) = observed {
            let _ = write!(text, " During the run, the cluster's kubelet did this: {observed}.");
        }
        let _ = writeln!(text, " ({})", evidence.join(", "));
    }
    if text.is_empty() { text } else { text + "\n" }
}

/// `sha256:1da9fae0c2b4` of a digest with all that stands before it.
fn short_digest(digest: &str) -> String {
    let hash = digest.rsplit(':').next().unwrap_or(digest);
    format!("sha256:{}", hash.get(..12).unwrap_or(hash))
}

fn mark(yes: bool) -> &'static str {
    if yes { "✓" } else { "✗" }
}

/// A latency in a table, or a dash.
fn ms(latency: Option<f64>) -> String {
    latency.map_or("-".to_owned(), |ms| format!("{ms:.1} ms"))
}
