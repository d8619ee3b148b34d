//! The sections about the load: each scenario's figures and the expected performance. Main functions: [`load`], [`expected`].

use std::fmt::Write;

use e2e_figures::{
    scenario::{Activity, LedgerResult, ModelKind, Part, ScenarioResult, StepFigures},
    stats::Summary,
};
use e2e_plan::{
    duration::{human, human_ms},
    words::kinds_in_brackets,
};

use super::ms;
use crate::{
    bottleneck::Bottleneck,
    report::{
        Report, ScenarioSection,
        table::{Table, folded},
    },
    request::Scenario,
    run_data::Source,
    thresholds::ThresholdState,
};

/// A short description of each scenario.
pub(super) fn pattern(report: &Report) -> String {
    let scenarios = &report.request.scenarios;
    let one = |(name, scenario): (&String, &Scenario)| {
        let Scenario { clients, rate, warm_up, duration, seed, .. } = scenario;
        let rate = rate.map_or(String::new(), |rate| format!(" at {rate} requests/s"));
        let warm_up = if warm_up.is_zero() { String::new() } else { format!(" after {} of warm-up", human(*warm_up)) };
        format!("{name}: {clients} clients{rate} for {}{warm_up}, seed {seed}", human(*duration))
    };
    scenarios.iter().map(one).collect::<Vec<_>>().join("; ")
}

pub(super) fn load(report: &Report) -> String {
    let mut text: String = report.scenarios.iter().map(scenario).collect();
    let is_asked_for = report.request.filter.is_none();
    for name in report.request.scenarios.keys().filter(|name| is_asked_for && report.scenario(name).is_none()) {
        let _ = writeln!(text, "**{name}** was not measured.\n");
    }
    text += &thresholds(report);
    if text.is_empty() {
        text = match report.request.filter {
            None => "This system declares no scenario and no threshold.\n\n".to_owned(),
            Some(_) => "None of the selected checks runs a load.\n\n".to_owned(),
        };
    }
    format!("## Load test results\n\n{text}")
}

fn thresholds(report: &Report) -> String {
    let mut thresholds = Table::new(["Threshold", "Limit", "Measured", "State", "Evidence"]);
    for threshold in &report.thresholds {
        let state = match threshold.state {
            ThresholdState::Kept => "kept",
            ThresholdState::Crossed => "**crossed**",
            ThresholdState::NotMeasured => "**not measured**",
        };
        thresholds.row([
            threshold.label(),
            threshold.limit.to_string(),
            threshold.measured.map_or("-".to_owned(), |measured| format!("{measured:.3}")),
            state.to_owned(),
            threshold.evidence.clone(),
        ]);
    }
    thresholds.markdown()
}

fn scenario(section: &ScenarioSection) -> String {
    let ScenarioSection { figures, source, .. } = section;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "**{}**: {:.0} requests per second ({} in {}){}, {} errors{}. Latency {}. The load generator {}{}. ({})\n",
        figures.name,
        figures.rate_per_second.unwrap_or_default(),
        figures.succeeded,
        human_ms(figures.duration_ms),
        asked(figures),
        figures.errors,
        kinds_in_brackets(&figures.by_error),
        latency(figures.latency_ms.as_ref()),
        figures.generator.described(),
        if figures.generator.saturated { ", and was the bottleneck" } else { "" },
        source.load.as_ref().unwrap_or(&source.record),
    );
    let mut details = outcomes(figures) + &steps(&figures.steps);
    let per_second: Vec<String> = figures.series.iter().map(|second| second.succeeded.to_string()).collect();
    if !per_second.is_empty() {
        let _ = writeln!(details, "Successful requests in each second: {}\n", per_second.join(" "));
    }
    text += &folded(&format!("{}: outcomes, steps and seconds", figures.name), &(details + &way(figures, source)));
    if let Some(ledger) = &figures.ledger {
        text += &books(figures, ledger, source);
    }
    text + &super::faults::faults(section)
}

fn asked(figures: &ScenarioResult) -> String {
    match (figures.model, figures.asked_rate) {
        (ModelKind::Open, Some(rate)) => {
            format!(" of a requested {rate}, {} never sent", figures.dropped.unwrap_or_default())
        }
        _ => String::new(),
    }
}

fn outcomes(figures: &ScenarioResult) -> String {
    let ScenarioResult { client_outcomes, clients, clients_failed, clients_retried, success, .. } = figures;
    if client_outcomes.is_empty() {
        return String::new();
    }
    let succeeded = client_outcomes.get(success).copied().unwrap_or_default();
    let mut text = format!("{succeeded} of {clients} clients {success}, {clients_failed} failed");
    let _ = write!(text, "; {clients_retried} needed more than one attempt.\n\n");
    let mut table = Table::new(["Client outcome", "Clients"]);
    for (outcome, clients) in client_outcomes {
        table.row([outcome.clone(), clients.to_string()]);
    }
    text + &table.markdown()
}

fn steps(steps: &[StepFigures]) -> String {
    let mut table = Table::new(["Step", "Requests", "Per second", "Errors", "p50", "p99", "Max"]);
    // Steps before the window have no figures.
    let measured: Vec<&StepFigures> = steps.iter().filter(|step| !step.once || step.requests > 0).collect();
    for step in &measured {
        let of = |percentile: fn(Summary) -> f64| ms(step.latency_ms.map(percentile));
        let errors = format!("{}{}", step.errors, kinds_in_brackets(&step.by_error));
        let rate = step.rate_per_second.map_or("-".to_owned(), |rate| format!("{rate:.0}"));
        let name = step.name.clone();
        table.row([name, step.requests.to_string(), rate, errors, of(|l| l.p50), of(|l| l.p99), of(|l| l.max)]);
    }
    if measured.len() > 1 { table.markdown() } else { String::new() }
}

fn books(figures: &ScenarioResult, ledger: &LedgerResult, source: &Source) -> String {
    let LedgerResult { acknowledged, stored, missing, duplicate, unknown, unacknowledged, .. } = ledger;
    let pods: Vec<String> = ledger.stored_by_pod.iter().map(|(pod, rows)| format!("{pod} {rows}")).collect();
    let pods = if pods.len() > 1 { format!(" ({})", pods.join(", ")) } else { String::new() };
    format!(
        "**Ledger of {}**: {acknowledged} keys acknowledged, {stored} rows stored{pods}: {missing} missing, {duplicate} stored more than once; \
         {unknown} without a conclusive answer, {unacknowledged} stored although the acknowledgement did not arrive. \
         ({})\n\n",
        figures.name,
        source.figure("ledger")
    )
}

/// The time of a request by component, and the database's sessions.
fn way(figures: &ScenarioResult, source: &Source) -> String {
    let cited = |part| format!(" ({})", source.figure(part));
    let mut text = String::new();
    let carries = |part: &Part| {
        part.capacity.map_or(String::new(), |capacity| format!(" (carries {:.0} requests/s)", capacity.per_second))
    };
    let part = |part: &Part| format!("{} {:.2} ms{}", part.name, part.mean_ms, carries(part));
    let parts: Vec<String> = figures.parts.iter().map(part).collect();
    if !parts.is_empty() {
        let _ = writeln!(
            text,
            "**Where a request's time goes** (mean, including queueing): {}.{}\n",
            parts.join(", "),
            cited("parts")
        );
    }
    for activity in &figures.activity {
        let Activity { component, samples, commits_per_second, .. } = activity;
        let commits = commits_per_second.map_or(String::new(), |commits| format!("; {commits:.0} commits per second"));
        let _ = writeln!(
            text,
            "**Active sessions of {component}** (mean of {samples} samples), by wait event: {}{commits}.{}\n",
            activity.described(),
            cited("activity")
        );
    }
    text
}

/// The system's capacity, from scenarios whose clients send as fast as it answers.
pub(super) fn expected(report: &Report) -> String {
    let is_pressing = |section: &&ScenarioSection| report.request.is_pressing(&section.figures.name);
    let sections: Vec<&ScenarioSection> = report.scenarios.iter().filter(is_pressing).collect();
    if sections.is_empty() {
        return String::new();
    }
    let name_it = sections.len() > 1;
    let texts = sections.into_iter().map(|section| {
        let heading = if name_it { format!("### {}\n\n", section.figures.name) } else { String::new() };
        heading + &expected_of(section)
    });
    std::iter::once("## Expected performance\n\n".to_owned()).chain(texts).collect()
}

fn expected_of(section: &ScenarioSection) -> String {
    let limited = match &section.bottleneck {
        Some(Bottleneck { name, evidence }) => format!("**What limited it**: {name}: {evidence}.\n\n"),
        None if section.expected.as_ref().is_some_and(|expected| !expected.not_measured.is_empty()) => {
            "**What limited it** was not measured: the load was too short; a cluster's kubelets need 45 s.\n\n"
                .to_owned()
        }
        None => String::new(),
    };
    let Some(expected) = &section.expected else {
        return "Not available: it needs a rate and the processor time of each component.\n\n".to_owned() + &limited;
    };
    let mut demands = Table::new(["Component", "CPU per request", "Max requests/s per replica"]);
    for (component, demand) in &expected.cpu_ms_per_request {
        let bound =
            expected.replica_bound.get(component).map_or("-".to_owned(), |bound| format!("{bound:.0} requests/s"));
        demands.row([component.clone(), format!("{demand:.3} ms"), bound]);
    }
    for component in &expected.not_measured {
        demands.row([component.clone(), "not measured".to_owned(), "-".to_owned()]);
    }
    let mut text = demands.markdown();
    let _ = writeln!(
        text,
        "Measured {:.0} requests per second with {:.0}% of the machine's processors in use; by the utilisation law this machine \
         can carry at most {:.0} at the same cost per request. (evidence/resources.json)\n",
        section.figures.rate_per_second.unwrap_or_default(),
        expected.host_utilisation * 100.0,
        expected.host_bound
    );
    text + &limited
}

fn latency(latency: Option<&Summary>) -> String {
    latency.map_or("not measured, no request succeeded".to_owned(), |Summary { p50, p90, p99, p999, max, .. }| {
        format!("p50 {p50:.1} ms, p90 {p90:.1} ms, p99 {p99:.1} ms, p99.9 {p999:.1} ms, max {max:.1} ms")
    })
}
