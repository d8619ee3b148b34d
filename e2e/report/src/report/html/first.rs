//! The first screen: verdict, cause, fix, the patch to copy, the figures against their lines, and the system. Main function: [`screen`].

use e2e_figures::scenario::ThresholdName;
use e2e_plan::{
    duration::human_ms,
    words::{counted, number},
};
use maud::{Markup, html};

use super::{
    prose::{evidence, sentence},
    system,
};
use crate::{
    report::{Report, ScenarioSection, headline::headline},
    thresholds::{Threshold, ThresholdState},
};

/// The first screen of a report.
pub(super) fn screen(report: &Report) -> Markup {
    let took = human_ms(report.duration_ms);
    html! {
        header.lead {
            h1 { span.verdict { (report.verdict.word()) } " " (report.target) ": end-to-end report" }
            p { (report.verdict_reason) }
            p.run {
                "Run " code { (report.run_id) } ", " (report.started_at) ", " (took) ". " (report.environment.provider) "."
                @if let Some(source) = &report.request.source { " Source: " (source) "." }
            }
        }
        (cause(report))
        div.overview {
            section aria-label="Figures" { h2 { "Figures" } ul.tiles { @for tile in tiles(report) { (tile.markup()) } } }
            @if let Some(picture) = system::picture(report) {
                section.system aria-label="System" { h2 { "System" } figure { (picture) } }
            }
        }
    }
}

/// What is wrong and what to do, each in a sentence.
fn cause(report: &Report) -> Markup {
    let Some(headline) = headline(report) else { return html! {} };
    let finding = headline.finding;
    html! {
        section.cause aria-label="Cause and fix" {
            dl {
                dt { @if headline.is_cause { "Cause" } @else { "Found" } }
                dd { @if let Some(component) = &finding.component { strong { (component) } ": " } (sentence(&finding.claim)) }
                @if let Some(line) = headline.log_line() { dt { "From its log" } dd { code { (line) } } }
                @if let Some(fix) = headline.fix() { dt { "Fix" } dd { (sentence(fix)) } }
                dt { "Evidence" }
                dd { @for (index, id) in finding.evidence.iter().enumerate() { @if index > 0 { ", " } (evidence(id)) } }
            }
            @if let Some(patch) = headline.patch() { pre.patch tabindex="0" aria-label="Patch for the manifests" { code { (patch.trim_end()) } } }
            @if headline.others > 0 {
                p.more { a href="#key-findings" { "And " (counted(headline.others, "other finding")) } "." }
            }
        }
    }
}

/// A figure against its line.
struct Tile {
    what: String,
    figure: String,
    /// What it is held against; empty where nothing is.
    line: String,
    state: Option<ThresholdState>,
}

impl Tile {
    fn markup(&self) -> Markup {
        let (class, sign) = match self.state {
            Some(ThresholdState::Crossed) => ("bad", "✗ "),
            Some(ThresholdState::NotMeasured) => ("gap", "? "),
            Some(ThresholdState::Kept) => ("", "✓ "),
            None => ("", ""),
        };
        html! {
            li class=(class) {
                span.what { (self.what) }
                span.figure { (self.figure) }
                @if !self.line.is_empty() { span.line { (sign) (self.line) } }
            }
        }
    }
}

/// The lines with their figures, and what else a reader asks for first.
fn tiles(report: &Report) -> Vec<Tile> {
    let plain = |what: &str, figure: String, line: String, is_good: bool| Tile {
        what: what.to_owned(),
        figure,
        line,
        state: (!is_good).then_some(ThresholdState::Crossed),
    };
    let (passed, failed) =
        report.suites.iter().fold((0, 0), |(passed, failed), suite| (passed + suite.passed, failed + suite.failed));
    let (ready, desired) =
        report.components.iter().fold((0, 0), |(ready, desired), of| (ready + of.ready, desired + of.desired));
    let up = human_ms(report.environment.up_ms);
    let up = if report.environment.ready { format!("after {up}") } else { format!("not all within {up}") };
    let mut tiles = vec![
        plain("replicas ready", format!("{ready} of {desired}"), up, ready == desired),
        plain("checks passed", format!("{passed} of {}", passed + failed), String::new(), failed == 0),
    ];
    let mut lines: Vec<&Threshold> = report.thresholds.iter().collect();
    // What was crossed comes first.
    lines.sort_by_key(|line| line.state != ThresholdState::Crossed);
    tiles.extend(lines.into_iter().map(tile));
    tiles.extend(report.scenarios.iter().flat_map(|scenario| without_line(report, scenario)));
    tiles
}

fn tile(threshold: &Threshold) -> Tile {
    let (what, unit) = words(threshold.name);
    let shown = |figure| shown(figure, unit);
    let bound = if threshold.name == ThresholdName::RateMin { "at least" } else { "at most" };
    Tile {
        what: threshold.place().map_or_else(|| what.to_owned(), |place| format!("{place}: {what}")),
        figure: threshold.measured.map_or("not measured".to_owned(), shown),
        line: format!("{bound} {}", shown(threshold.limit)),
        state: Some(threshold.state),
    }
}

/// Rate and latency of a scenario that no line is drawn for.
fn without_line(report: &Report, section: &ScenarioSection) -> Vec<Tile> {
    let figures = &section.figures;
    let latency = figures.latency_ms.map(|latency| latency.p99);
    [(ThresholdName::RateMin, figures.rate_per_second), (ThresholdName::LatencyMsP99Max, latency)]
        .into_iter()
        .filter(|(key, _)| report.threshold(&figures.name, *key).is_none())
        .filter_map(|(key, figure)| {
            let (what, unit) = words(key);
            let what = format!("{}: {what}", figures.name);
            Some(Tile { what, figure: shown(figure?, unit), line: String::new(), state: None })
        })
        .collect()
}

/// What the figure of a line is, and its unit.
fn words(name: ThresholdName) -> (&'static str, &'static str) {
    match name {
        ThresholdName::RateMin => ("rate", "/s"),
        ThresholdName::ErrorsMax => ("errors", ""),
        ThresholdName::ErrorRateMax => ("requests that failed", "%"),
        ThresholdName::ClientFailureRateMax => ("clients that failed", "%"),
        ThresholdName::LatencyMsP50Max => ("p50 latency", "ms"),
        ThresholdName::LatencyMsP90Max => ("p90 latency", "ms"),
        ThresholdName::LatencyMsP99Max => ("p99 latency", "ms"),
        ThresholdName::LatencyMsP999Max => ("p99.9 latency", "ms"),
        ThresholdName::RestartsMax => ("restarts", ""),
    }
}

fn shown(figure: f64, unit: &str) -> String {
    let figure = if unit == "%" { figure * 100.0 } else { figure };
    let space = if unit == "ms" { "\u{a0}" } else { "" };
    format!("{}{space}{unit}", number(figure, 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case(ThresholdName::LatencyMsP999Max, 12.34, "p99.9 latency", "12.3\u{a0}ms")]
    #[case(ThresholdName::RateMin, 4257.4, "rate", "4257/s")]
    #[case(ThresholdName::ErrorRateMax, 0.015, "requests that failed", "1.50%")]
    #[case(ThresholdName::ErrorsMax, 3.0, "errors", "3")]
    fn a_tile_says_what_its_figure_is(
        #[case] name: ThresholdName,
        #[case] figure: f64,
        #[case] what: &str,
        #[case] text: &str,
    ) {
        let (said, unit) = words(name);
        assert_eq!((said, shown(figure, unit).as_str()), (what, text));
    }
}
