//! Probes while the load ran, against their budgets. Main function: [`table`].

use std::fmt::Write;

use super::ms;
use crate::{
    probing::{ProbeFigures, ProbeUnderLoad},
    report::{Report, table::Table},
};

/// From this share of its budget on a probe has a row of its own; a failure has one anyhow.
const WORTH_A_ROW: f64 = 0.1;

/// One table for all scenarios, the tightest probe first, and one sentence about the rest.
pub(super) fn table(report: &Report) -> String {
    let mut measured: Vec<(&str, &ProbeUnderLoad, ProbeFigures)> = Vec::new();
    let mut not_measured: Vec<String> = Vec::new();
    for section in &report.scenarios {
        for probe in &section.probes {
            match (&probe.window, &probe.not_measured) {
                (Some(window), _) => measured.push((&section.figures.name, probe, *window)),
                (None, Some(why)) => {
                    let line = format!("{} {} in {}: {why}", probe.component, probe.which, section.figures.name);
                    not_measured.push(line);
                }
                (None, None) => {}
            }
        }
    }
    if measured.is_empty() && not_measured.is_empty() {
        return String::new();
    }
    measured.sort_by(|(_, a, one), (_, b, two)| used(b, two).total_cmp(&used(a, one)));
    let (rows, rest): (Vec<_>, Vec<_>) =
        measured.iter().partition(|(_, probe, window)| window.failed > 0 || used(probe, window) >= WORTH_A_ROW);
    let mut table = Table::new(["Scenario", "Probe", "Budget", "Sent", "Failed", "p50", "p99", "Max", "p50 at rest"]);
    for (scenario, probe, window) in rows {
        let latency = window.latency_ms;
        table.row([
            (*scenario).to_owned(),
            format!("{} {}", probe.component, probe.which),
            format!("{} ms", probe.budget_ms),
            window.sent.to_string(),
            window.failed.to_string(),
            ms(latency.map(|latency| latency.p50)),
            ms(latency.map(|latency| latency.p99)),
            ms(latency.map(|latency| latency.max)),
            ms(probe.at_rest.and_then(|rest| Some(rest.latency_ms?.p50))),
        ]);
    }
    let mut text = "### Probes under load\n\n".to_owned() + &table.markdown();
    let others = if rest.len() == measured.len() { "All" } else { "The other" };
    if let Some((scenario, probe, window)) = rest.first() {
        let _ = writeln!(
            text,
            "{others} {} stayed below {:.0}% of their budgets; the slowest of them was the {} probe of {} in {scenario}, with {:.1} ms of \
             {} ms.\n",
            rest.len(),
            WORTH_A_ROW * 100.0,
            probe.which,
            probe.component,
            window.latency_ms.map_or(0.0, |latency| latency.max),
            probe.budget_ms
        );
    }
    if !not_measured.is_empty() {
        let _ = writeln!(text, "Not measured: {}.\n", not_measured.join("; "));
    }
    text
}

/// The share of its budget that the slowest probe took.
fn used(probe: &ProbeUnderLoad, window: &ProbeFigures) -> f64 {
    window.latency_ms.map_or(0.0, |latency| latency.max) / probe.budget_ms.max(1) as f64
}
