//! The result as text and as JSON.

use std::collections::BTreeMap;

use anyhow::Result;
use e2e_load::{
    load::{ClientReport, LoadResult},
    self_check::SelfCheck,
    stats::Summary,
};
use e2e_plan::words::{by_kind, signed_percent};
use serde::Serialize;

use crate::options::Format;

/// The object of `--format json`. Other programs rely on its keys.
#[derive(Debug, Serialize)]
struct Figures<'a> {
    /// Clients that finished their set-up in time.
    clients_ready: u32,
    clients: u32,
    /// Unexpected answers during set-up, that is, to `once` steps.
    set_up_errors: u64,
    requests: u64,
    errors: u64,
    by_status: &'a BTreeMap<u16, u64>,
    /// In the window, with any outcome.
    requests_per_second: f64,
    /// Of successes, from their scheduled time; without a schedule, from sending.
    latency_ms: Option<Percentiles>,
    /// Of successes, from sending.
    latency_uncorrected_ms: Option<Percentiles>,
    asked_rate: Option<f64>,
    dropped: u64,
    series: Vec<Second>,
    generator: Generator,
}

#[derive(Debug, Serialize)]
struct Percentiles {
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

#[derive(Debug, Serialize)]
struct Second {
    second: u32,
    requests: u64,
    errors: u64,
    latency_ms_p99: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Generator {
    cpu_seconds: f64,
    lag_ms_p99: Option<f64>,
    saturated: bool,
}

impl From<Summary> for Percentiles {
    fn from(summary: Summary) -> Self {
        let Summary { p50, p90, p99, p999, max, .. } = summary;
        Self { p50, p90, p99, p999, max }
    }
}

impl<'a> Figures<'a> {
    fn new(result: &'a LoadResult<ClientReport>) -> Self {
        let measured = &result.measured;
        let open = result.open.as_ref();
        let uncorrected = open.map_or(measured.latency_ms, |open| open.latency_uncorrected_ms);
        let seconds = result.duration_ms / 1000.0;
        Self {
            clients_ready: result.clients_ready,
            clients: result.clients,
            set_up_errors: result.set_up.errors,
            requests: measured.requests,
            errors: measured.errors,
            by_status: &measured.by_status,
            requests_per_second: if seconds > 0.0 { measured.requests as f64 / seconds } else { 0.0 },
            latency_ms: measured.latency_ms.map(Percentiles::from),
            latency_uncorrected_ms: uncorrected.map(Percentiles::from),
            asked_rate: open.map(|open| open.arrivals.rate),
            dropped: open.map_or(0, |open| open.dropped),
            series: result
                .series
                .iter()
                .map(|second| Second {
                    second: second.second,
                    requests: second.succeeded + second.errors,
                    errors: second.errors,
                    latency_ms_p99: second.latency_ms_p99,
                })
                .collect(),
            generator: Generator {
                cpu_seconds: result.generator.cpu_seconds,
                lag_ms_p99: result.generator.lag_ms_p99,
                saturated: result.generator.saturated,
            },
        }
    }
}

pub(super) fn render(result: &LoadResult<ClientReport>, format: Format) -> Result<String> {
    let figures = Figures::new(result);
    match format {
        Format::Json => Ok(serde_json::to_string_pretty(&figures)?),
        Format::Text => Ok(text(result, &figures)),
    }
}

/// The self-check in one line.
pub(super) fn self_check(check: &SelfCheck) -> String {
    let able = check
        .requests_per_cpu_second
        .map_or_else(String::new, |able| format!("; one core generates {able:.0} requests/s"));
    format!(
        "self-check: measured p99 {:.1} ms, true p99 {:.1} ms ({}){able}",
        check.measured_ms_p99,
        check.expected_ms_p99,
        signed_percent(check.deviation)
    )
}

fn text(result: &LoadResult<ClientReport>, figures: &Figures<'_>) -> String {
    let seconds = result.duration_ms / 1000.0;
    let clients = match figures.clients_ready < figures.clients {
        true => format!("{} of {} clients ready", figures.clients_ready, figures.clients),
        false => format!("{} clients", figures.clients),
    };
    let mut lines = vec![format!(
        "requests     {} in {seconds:.1} s, {:.1}/s, {} errors, {clients}",
        figures.requests, figures.requests_per_second, figures.errors
    )];
    if figures.set_up_errors > 0 {
        lines.push(format!(
            "set-up       {} requests, {} errors: {}",
            result.set_up.requests,
            figures.set_up_errors,
            by_kind(&result.set_up.by_error)
        ));
    }
    if let Some(latency) = &figures.latency_ms {
        lines.push(format!("latency      {}", percentiles(latency)));
    }
    if let Some(open) = &result.open {
        if let Some(uncorrected) = &figures.latency_uncorrected_ms {
            lines.push(format!("uncorrected  {}", percentiles(uncorrected)));
        }
        let rate = open.arrivals.rate;
        lines.push(format!(
            "schedule     {rate}/s asked, {} due, {} late, {} dropped",
            open.due, open.late, open.dropped
        ));
    }
    let statuses = figures.by_status.iter().map(|(status, count)| format!("{status}: {count}"));
    lines.push(format!("by status    {}", statuses.collect::<Vec<_>>().join(", ")));
    if !result.measured.by_error.is_empty() {
        lines.push(format!("errors       {}", by_kind(&result.measured.by_error)));
    }
    for error in &result.first_errors {
        lines.push(format!(
            "first        {} after {:.1} ms, client {}: {}",
            error.outcome, error.at_ms, error.client, error.detail
        ));
    }
    let generator = &result.generator;
    let lag = generator.lag_ms_p99.map_or_else(String::new, |lag| format!(", lag p99 {lag:.2} ms"));
    let saturated = if generator.saturated { ", saturated" } else { "" };
    lines.push(format!("generator    {}{lag}{saturated}", generator.described()));
    lines.join("\n")
}

fn percentiles(latency: &Percentiles) -> String {
    let Percentiles { p50, p90, p99, p999, max } = latency;
    format!("p50 {p50:.2} ms, p90 {p90:.2} ms, p99 {p99:.2} ms, p99.9 {p999:.2} ms, max {max:.2} ms")
}
