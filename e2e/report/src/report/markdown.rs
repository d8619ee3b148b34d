//! The report for people: every section of the page that the project was born from, measured. Main function: [`render`].

mod cluster;
mod judgement;

use std::{collections::BTreeMap, fmt::Write};

use e2e_figures::stats::Summary;
use e2e_plan::{duration::human, words::counted};

use self::judgement::{conclusion, findings, path_forward, root_causes};
use super::{
    Bottleneck, Outcome, PredictionSection, ProbeSection, Report, Source, ThresholdState, Verdict, table::Table,
};
use crate::record::{Activity, Throughput};

/// Renders a report as Markdown.
pub fn render(report: &Report) -> String {
    let mut text = format!("# End-to-end report: {} on {}\n\n", report.verdict.word(), report.target);
    let _ = writeln!(text, "**{}** {}\n", report.verdict.word().to_uppercase(), report.verdict_reason);
    for section in [
        environment(report),
        health(report),
        cluster::nodes(report),
        load(report),
        cluster::network(report),
        findings(report),
        probes(report),
        root_causes(report),
        path_forward(report),
        expected(report),
        conclusion(report),
        fields(report),
    ] {
        text += &section;
    }
    let _ = writeln!(
        text,
        "---\n\nRun `{}`, {}. Evidence ids are files of the run directory, with a JSON pointer where one helps; \
         `cargo xtask report --check` recomputes this page from them.",
        report.run_id, report.started_at
    );
    text
}

impl Verdict {
    /// The word for people.
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
    let mut text = "## Environment\n\n".to_owned();
    let components: Vec<String> =
        report.components.iter().map(|component| format!("{} × {}", component.desired, component.name)).collect();
    let limits: Vec<String> = report
        .components
        .iter()
        .filter_map(|component| Some(format!("{} {}", component.name, mebibytes(component.memory_limit_bytes?))))
        .collect();
    let scenario = &request.scenario;
    let measured = report.registration.is_some() || report.throughput.is_some();
    let has_load = measured || report.has_suite("registration") || report.has_suite("throughput");
    let lines = [
        ("Provider", environment.provider.clone()),
        ("Machine", format!("{} CPUs, {}, {}", host.cpus, mebibytes(host.memory_bytes), host.kernel)),
        ("Deployment", components.join(", ")),
        ("Memory limits", if limits.is_empty() { "none".to_owned() } else { limits.join(", ") }),
        (
            "Load pattern",
            format!(
                "{} concurrent clients; registration {}, throughput {} after {} of warm-up; seed {}",
                scenario.clients,
                human(scenario.registration),
                human(scenario.throughput),
                human(scenario.warm_up),
                scenario.seed
            ),
        ),
        ("Entrance", environment.entrance.clone()),
        ("Changes", changes(report)),
        ("Checks", request.filter.as_ref().map_or(String::new(), |filter| format!("those that match `{filter}`"))),
        (
            if environment.ready { "Ready after" } else { "Not ready after" },
            format!("{} (environment.json#/up_ms)", human_ms(environment.up_ms)),
        ),
    ];
    let is_shown = |name: &str| match name {
        "Load pattern" => has_load,
        "Checks" => request.filter.is_some(),
        _ => true,
    };
    for (name, value) in lines.into_iter().filter(|(name, _)| is_shown(name)) {
        let _ = writeln!(text, "- **{name}**: {value}");
    }
    text.push('\n');
    text
}

/// One row for each field and consequence; the objects in which the field stands share it.
fn fields(report: &Report) -> String {
    let mut rows: BTreeMap<(&str, String), Vec<String>> = BTreeMap::new();
    for warning in &report.environment.warnings {
        let (object, path) = warning.subject.split_once(' ').unwrap_or(("", &warning.subject));
        let place = format!("{} ({object})", warning.source);
        rows.entry((&warning.message, without_names(path))).or_default().push(place);
    }
    if rows.is_empty() {
        return String::new();
    }
    let mut fields = Table::new(["Field", "What happens instead", "Declared in"]);
    for ((message, path), places) in rows {
        fields.row([path, message.to_owned(), places.join("; ")]);
    }
    let target = report.target;
    format!("## Fields that act otherwise on {target}\n\n{}", fields.markdown())
}

/// `containers[backend].resources` is `containers[].resources` for the row that all containers share.
fn without_names(path: &str) -> String {
    path.split('[').enumerate().fold(String::new(), |text, (index, part)| match (index, part.split_once(']')) {
        (0, _) | (_, None) => text + part,
        (_, Some((_, rest))) => text + "[]" + rest,
    })
}

fn changes(report: &Report) -> String {
    let changes: Vec<&str> = report.request.overlays.iter().chain(&report.request.sets).map(String::as_str).collect();
    if changes.is_empty() { "none, the manifests as they are".to_owned() } else { changes.join(", ") }
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
        let _ = writeln!(
            text,
            "**{}**: {} passed, {} failed, {} skipped\n",
            suite.name, suite.passed, suite.failed, suite.skipped
        );
        let mut cases = Table::new(["", "Check", "Found", "Evidence"]);
        for case in &suite.cases {
            let mark = match case.outcome {
                Outcome::Passed => "✓",
                Outcome::Failed => "✗",
                Outcome::Skipped => "skipped",
            };
            cases.row([mark.to_owned(), case.name.clone(), case.found(), case.evidence.clone()]);
        }
        text += &cases.markdown();
    }
    text
}

fn load(report: &Report) -> String {
    let mut text = String::new();
    match &report.registration {
        None if report.has_suite("registration") => text += "Registration was not measured.\n\n",
        None => {}
        Some(registration) => {
            let rate = registration.failure_rate.map_or("no rate".to_owned(), |rate| format!("{:.1}%", rate * 100.0));
            let _ = writeln!(
                text,
                "**Registration**: {} of {} clients registered, {} failed ({rate}); {} needed more than one attempt. \
                 {} requests, {} of them not answered as expected{}. Latency {}.{}\n",
                registration.registered,
                registration.clients,
                registration.failed,
                registration.retried,
                registration.requests,
                registration.by_error.values().sum::<u64>(),
                kinds(&registration.by_error),
                latency(registration.latency_ms.as_ref()),
                cited(report.sources.registration.as_ref()),
            );
            let mut outcomes = Table::new(["Client outcome", "Clients"]);
            for (outcome, clients) in &registration.by_outcome {
                outcomes.row([outcome.clone(), clients.to_string()]);
            }
            text += &outcomes.markdown();
        }
    }
    match &report.throughput {
        None if report.has_suite("throughput") => text += "Throughput was not measured.\n\n",
        None => {}
        Some(throughput) => {
            let _ = writeln!(
                text,
                "**Throughput**: {:.0} acknowledged operations per second ({} in {}), {} errors{}. Latency {}. \
                 The load generator {}{}.{}\n",
                throughput.operations_per_second,
                throughput.acknowledged,
                human_ms(throughput.duration_ms),
                throughput.errors,
                kinds(&throughput.by_error),
                latency(throughput.latency_ms.as_ref()),
                throughput.generator.described(),
                if throughput.generator.saturated { ", and was the bottleneck" } else { "" },
                cited(report.sources.throughput.as_ref()),
            );
            let per_second: Vec<String> = throughput.series.iter().map(|second| second.succeeded.to_string()).collect();
            let _ = writeln!(text, "Operations in each second: {}\n", per_second.join(" "));
            text += &way(throughput, report.sources.throughput.as_ref());
        }
    }
    match &report.conservation {
        None if report.has_suite("conservation") => text += "Conservation was not measured.\n\n",
        None => {}
        Some(conservation) => {
            let _ = writeln!(
                text,
                "**Conservation**: {} operations acknowledged, {} stored: {} missing, {} stored twice, {} stored without an \
                 acknowledgement that arrived.{}\n",
                conservation.acknowledged,
                conservation.stored,
                conservation.missing,
                conservation.duplicate,
                conservation.unacknowledged,
                cited(report.sources.conservation.as_ref())
            );
        }
    }
    let mut thresholds = Table::new(["Threshold", "Line", "Measured", "State", "Evidence"]);
    for threshold in &report.thresholds {
        let state = match threshold.state {
            ThresholdState::Kept => "kept",
            ThresholdState::Crossed => "**crossed**",
            ThresholdState::NotMeasured => "**not measured**",
        };
        thresholds.row([
            threshold.name.clone(),
            threshold.limit.to_string(),
            threshold.measured.map_or("-".to_owned(), |measured| format!("{measured:.3}")),
            state.to_owned(),
            threshold.evidence.clone(),
        ]);
    }
    text += &thresholds.markdown();
    if text.is_empty() {
        text = match report.request.filter {
            None => "No suite of this system puts a load on it, and no threshold is set.\n\n".to_owned(),
            Some(_) => "None of the chosen checks puts a load on the system.\n\n".to_owned(),
        };
    }
    format!("## Load test results\n\n{text}")
}

/// Where the time of an operation goes, and what the database's sessions did.
fn way(throughput: &Throughput, source: Option<&Source>) -> String {
    let cited =
        |part| source.map_or(String::new(), |source| format!(" ({}#/measured/throughput/{part})", source.record));
    let mut text = String::new();
    let parts: Vec<String> =
        throughput.parts.iter().map(|part| format!("{} {:.2} ms", part.name, part.mean_ms)).collect();
    if !parts.is_empty() {
        let _ = writeln!(
            text,
            "**Where an operation's time goes**, in the mean, the queue in front of each part included: {}.{}\n",
            parts.join(", "),
            cited("parts")
        );
    }
    for activity in &throughput.activity {
        let Activity { component, samples, commits_per_second, .. } = activity;
        let commits = commits_per_second.map_or(String::new(), |commits| format!("; {commits:.0} commits per second"));
        let _ = writeln!(
            text,
            "**Sessions of {component}** at work at once, in the mean of {samples} looks, by what they wait for: {}{commits}.{}\n",
            activity.described(),
            cited("activity")
        );
    }
    text
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
        let shown = |ms: Option<f64>| ms.map_or("-".to_owned(), |ms| format!("{ms:.1} ms"));
        probes.row([
            probe.component.clone(),
            probe.which.clone(),
            probe.spec.clone(),
            verdict,
            probe.sent.map_or("-".to_owned(), |sent| sent.to_string()),
            match probe.errored {
                0 => probe.failed.to_string(),
                errored => format!("{}, {errored} errored", probe.failed),
            },
            shown(probe.latency_ms_max),
            format!("{} ms", probe.timeout_ms),
            shown(margin.map(|margin| margin.max(0.0))),
            probe.last_failure.clone().unwrap_or_default(),
        ]);
    }
    let how = match report.probes.iter().any(|probe| probe.sent.is_none()) {
        true => "Sent by the cluster's kubelets, which report failures and no successes",
        false => "Sent as a kubelet sends them, during the whole run",
    };
    format!("## Probes\n\n{how} (evidence/pods.json).\n\n{}{}", probes.markdown(), predictions(report))
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

/// What a kubelet will do with what fails, and with the patches.
fn predictions(report: &Report) -> String {
    let mut text = String::new();
    for prediction in &report.predictions {
        let PredictionSection { component, container, kubelet, with_fix, requests, observed, evidence, .. } =
            prediction;
        let _ = write!(text, "- **What a kubelet will do with {component}/{container}**: {kubelet}.");
        if let Some(with_fix) = with_fix {
            let _ = write!(text, " With the patches of the findings (proven by {requests} requests): {with_fix}.");
        }
        if let Some(observed) = observed {
            let _ = write!(text, " The cluster's kubelet did this during the run: {observed}.");
        }
        let _ = writeln!(text, " ({})", evidence.join(", "));
    }
    if text.is_empty() { text } else { text + "\n" }
}

fn expected(report: &Report) -> String {
    if report.throughput.is_none() && !report.has_suite("throughput") {
        return String::new();
    }
    let mut text = "## Expected performance\n\n".to_owned();
    let limited = match &report.bottleneck {
        Some(Bottleneck { name, evidence }) => format!("**What limited it**: {name}: {evidence}.\n\n"),
        None if report.expected.as_ref().is_some_and(|expected| !expected.not_measured.is_empty()) => {
            "**What limited it** was not measured: the load was too short; a cluster's kubelets need 45 s.\n\n"
                .to_owned()
        }
        None => String::new(),
    };
    let (Some(expected), Some(throughput)) = (&report.expected, &report.throughput) else {
        return text + "Not derived: it needs a throughput and the processor time of each component.\n\n" + &limited;
    };
    let mut demands =
        Table::new(["Component", "CPU per operation", "Bound of one thread, or of the CPU limit, per replica"]);
    for (component, demand) in &expected.cpu_ms_per_operation {
        let bound =
            expected.replica_bound.get(component).map_or("-".to_owned(), |bound| format!("{bound:.0} operations/s"));
        demands.row([component.clone(), format!("{demand:.3} ms"), bound]);
    }
    for component in &expected.not_measured {
        demands.row([component.clone(), "not measured".to_owned(), "-".to_owned()]);
    }
    text += &demands.markdown();
    let _ = writeln!(
        text,
        "Measured {:.0} operations per second with {:.0}% of the machine's processors in use; by the utilisation law this machine \
         carries at most {:.0} with the same cost per operation. (evidence/resources.json)\n",
        throughput.operations_per_second,
        expected.host_utilisation * 100.0,
        expected.host_bound
    );
    text + &limited
}

/// Where figures stand, behind the sentence that tells them.
fn cited(source: Option<&Source>) -> String {
    source.map_or(String::new(), |source| format!(" ({})", source.fullest()))
}

fn mark(yes: bool) -> &'static str {
    if yes { "✓" } else { "✗" }
}

fn latency(latency: Option<&Summary>) -> String {
    latency.map_or("not measured, nothing succeeded".to_owned(), |Summary { p50, p90, p99, p999, max, .. }| {
        format!("p50 {p50:.1} ms, p90 {p90:.1} ms, p99 {p99:.1} ms, p99.9 {p999:.1} ms, max {max:.1} ms")
    })
}

fn kinds(by_kind: &BTreeMap<String, u64>) -> String {
    if by_kind.is_empty() {
        return String::new();
    }
    let kinds: Vec<String> = by_kind.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    format!(" ({})", kinds.join(", "))
}

fn mebibytes(bytes: u64) -> String {
    const MEBIBYTE: f64 = 1024.0 * 1024.0;
    let mebibytes = bytes as f64 / MEBIBYTE;
    if mebibytes < 10.0 { format!("{mebibytes:.1} MiB") } else { format!("{mebibytes:.0} MiB") }
}

fn human_ms(milliseconds: u64) -> String {
    human(std::time::Duration::from_millis(milliseconds))
}
