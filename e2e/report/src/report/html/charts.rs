//! The charts of a report. Main function: [`charts`].

use e2e_figures::{
    Second,
    scenario::{ScenarioResult, ThresholdName},
    stats::Summary,
};
use maud::{Markup, PreEscaped, html};

use crate::{
    chart::{Band, Bar, Bars, Limit, Lines, Mark, Series, Tone},
    report::{ProbeSection, Report, timeline::UsagePoint},
};

const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// All charts that the report has data for.
pub(super) fn charts(report: &Report) -> Markup {
    let loads = report.scenarios.iter().flat_map(|section| of_scenario(report, &section.figures));
    let system = [
        ("CPU by component", cpu(report)),
        ("Memory against its limit", memory(report, true)),
        ("Memory without a limit", memory(report, false)),
        ("Slowest probes against their timeouts", probes(report)),
    ];
    let system = system.into_iter().map(|(title, chart)| (title.to_owned(), chart));
    let charts: Vec<(String, String)> =
        loads.chain(system).filter_map(|(title, chart)| Some((title, chart?))).collect();
    html! {
        @if !charts.is_empty() {
            section.charts aria-label="Charts" {
                @for (title, svg) in &charts { figure { figcaption { (title) } (PreEscaped(svg)) } }
            }
        }
    }
}

fn of_scenario(report: &Report, figures: &ScenarioResult) -> Vec<(String, Option<String>)> {
    let name = &figures.name;
    let seconds = figures.whole_seconds();
    vec![
        (format!("{name}: requests per second"), rates(report, figures, seconds)),
        (format!("{name}: latency over time"), latency(report, figures, seconds)),
        (format!("{name}: latency distribution"), distribution(figures)),
    ]
}

/// The line of a whole scenario by its key.
fn limit(report: &Report, scenario: &str, key: ThresholdName, name: &str) -> Option<Limit> {
    let of = report.threshold(scenario, key)?;
    Some(Limit { name: format!("{name} {}", of.limit), value: of.limit })
}

fn of_seconds(seconds: &[Second], value: impl Fn(&Second) -> f64) -> Vec<(f64, f64)> {
    seconds.iter().map(|second| (f64::from(second.second), value(second))).collect()
}

fn rates(report: &Report, figures: &ScenarioResult, seconds: &[Second]) -> Option<String> {
    let errors: u64 = seconds.iter().map(|second| second.errors).sum();
    let succeeded = Series {
        name: "succeeded".to_owned(),
        points: of_seconds(seconds, |second| second.succeeded as f64),
        ..Series::default()
    };
    let failed = Series {
        name: format!("errors ({errors})"),
        points: of_seconds(seconds, |second| second.errors as f64),
        tone: Tone::Bad,
        ..Series::default()
    };
    let lines = Lines {
        says: format!(
            "Requests per second of {}: {:.0} on average, {errors} errors",
            figures.name,
            figures.rate_per_second.unwrap_or_default()
        ),
        x: "seconds since the window began".to_owned(),
        y: "requests per second".to_owned(),
        series: if errors > 0 { vec![succeeded, failed] } else { vec![succeeded] },
        limits: limit(report, &figures.name, ThresholdName::RateMin, "at least").into_iter().collect(),
        ..Lines::default()
    };
    lines.svg()
}

fn latency(report: &Report, figures: &ScenarioResult, seconds: &[Second]) -> Option<String> {
    let of = |name: &str, tone, value: fn(&Second) -> Option<f64>| Series {
        name: name.to_owned(),
        points: of_seconds(seconds, |second| value(second).unwrap_or(f64::NAN)),
        tone: Tone::Nth(tone),
        ..Series::default()
    };
    let series = [of("p50", 0, |second| second.latency_ms_p50), of("p99", 1, |second| second.latency_ms_p99)];
    let whole = figures.latency_ms.as_ref();
    let lines = Lines {
        says: format!(
            "Latency of {} over time: p50 {:.1} ms and p99 {:.1} ms in the whole window",
            figures.name,
            whole.map_or(f64::NAN, |whole| whole.p50),
            whole.map_or(f64::NAN, |whole| whole.p99)
        ),
        x: "seconds since the window began".to_owned(),
        y: "milliseconds".to_owned(),
        series: series.into_iter().filter(|series| series.points.iter().any(|(_, y)| y.is_finite())).collect(),
        limits: limit(report, &figures.name, ThresholdName::LatencyMsP99Max, "p99 at most").into_iter().collect(),
        ..Lines::default()
    };
    lines.svg()
}

/// Latency by percentile, the places evenly spaced by the nines as HdrHistogram plots them (<https://hdrhistogram.github.io/HdrHistogram/>).
fn distribution(figures: &ScenarioResult) -> Option<String> {
    let points = |Summary { min, p50, p90, p99, p999, max, .. }: &Summary| {
        [*min, *p50, *p90, *p99, *p999, *max].into_iter().enumerate().map(|(at, ms)| (at as f64, ms)).collect()
    };
    let steps = figures.steps.iter().filter_map(|step| Some((&step.name, step.latency_ms.as_ref()?)));
    let mut of: Vec<(&String, &Summary)> = steps.collect();
    let all = "all steps".to_owned();
    if of.len() != 1 {
        of.splice(0..0, figures.latency_ms.as_ref().map(|whole| (&all, whole)));
    }
    let series = of.into_iter().enumerate().map(|(index, (name, summary))| Series {
        name: name.clone(),
        points: points(summary),
        tone: Tone::Nth(index),
        ..Series::default()
    });
    let places = ["min", "50%", "90%", "99%", "99.9%", "max"];
    let lines = Lines {
        says: format!("Latency of {} by percentile", figures.name),
        x: "share of the requests that were as fast or faster".to_owned(),
        y: "milliseconds".to_owned(),
        series: series.collect(),
        places: places.into_iter().enumerate().map(|(at, name)| (at as f64, name.to_owned())).collect(),
        ..Lines::default()
    };
    lines.svg()
}

/// A chart over the run's time, with the windows of the scenarios and the ends of containers.
fn over_time(report: &Report, says: &str, y: &str, series: Vec<Series>) -> Lines {
    let timeline = &report.timeline;
    let window = |figures: &ScenarioResult| {
        let from = figures.window_start_unix_ms.saturating_sub(timeline.start_unix_ms) as f64 / 1000.0;
        Band { from, to: from + figures.duration_ms as f64 / 1000.0, name: figures.name.clone() }
    };
    let mark = |end: &crate::report::timeline::ContainerEnd| Mark {
        at: end.at_ms as f64 / 1000.0,
        name: format!("{} ended: {}", end.component, end.reason),
    };
    Lines {
        says: says.to_owned(),
        x: "seconds since the system started".to_owned(),
        y: y.to_owned(),
        series,
        bands: report.scenarios.iter().map(|section| window(&section.figures)).collect(),
        marks: timeline.ends.iter().map(mark).collect(),
        ..Lines::default()
    }
}

fn usage(report: &Report, value: impl Fn(&str, &UsagePoint) -> f64) -> Vec<Series> {
    let of = |(index, usage): (usize, &crate::report::timeline::UsageSeries)| Series {
        name: usage.component.clone(),
        points: usage.points.iter().map(|at| (at.at_ms as f64 / 1000.0, value(&usage.component, at))).collect(),
        tone: Tone::Nth(index),
        ..Series::default()
    };
    let series = report.timeline.usage.iter().enumerate().map(of);
    series.filter(|series| series.points.iter().any(|(_, y)| y.is_finite())).collect()
}

fn cpu(report: &Report) -> Option<String> {
    let series = usage(report, |_, point| point.cpus.unwrap_or(f64::NAN));
    let says = format!("Processors used by each component over time, of {}", report.host.cpus);
    over_time(report, &says, "processors, all replicas", series).svg()
}

/// Memory of the components with a limit as a share of it, or of the others in MiB.
fn memory(report: &Report, limited: bool) -> Option<String> {
    let limit = |name: &str| report.components.iter().find(|of| of.name == name)?.memory_limit_bytes;
    let series = usage(report, |name, point| match (limit(name), limited) {
        (Some(limit), true) => point.memory_bytes as f64 / limit as f64 * 100.0,
        (None, false) => point.memory_bytes as f64 / MEBIBYTE,
        _ => f64::NAN,
    });
    let (says, y) = match limited {
        true => {
            ("Memory of each component's largest replica as a share of its limit", "% of the limit, largest replica")
        }
        false => ("Memory of the largest replica of each component without a limit", "MiB, largest replica"),
    };
    let mut lines = over_time(report, says, y, series);
    if limited {
        lines.limits.push(Limit { name: "the limit".to_owned(), value: 100.0 });
    }
    lines.svg()
}

fn probes(report: &Report) -> Option<String> {
    let bar = |probe: &ProbeSection| {
        let slowest = probe.latency_ms_max?;
        Some(Bar {
            name: format!("{} {}", probe.component, probe.which),
            share: slowest / probe.timeout_ms as f64,
            figures: format!("{slowest:.1} of {} ms", probe.timeout_ms),
            bad: probe.failing,
        })
    };
    let bars = Bars {
        says: "The slowest exchange of each probe against its timeout".to_owned(),
        x: "share of timeoutSeconds; red: fails".to_owned(),
        bars: report.probes.iter().filter_map(bar).collect(),
    };
    bars.svg()
}
