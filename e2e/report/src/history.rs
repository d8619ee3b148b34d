//! Finished runs in the order in which they were made: their figures, and where those shifted and stayed. Pure. Main type: [`Entry`], a line
//! of `history.jsonl`.

use std::{collections::BTreeMap, fmt::Write};

use e2e_figures::changes::{Change, changes};
use e2e_plan::{
    target::Target,
    words::{counted, number, signed_percent, sparkline},
};
use serde::{Deserialize, Serialize};

use crate::{
    chart::{Lines, Mark, Series, Tone},
    command, compare,
    report::{Report, Verdict, html, table::Table},
};

/// One finished run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its id.
    pub run_id: String,
    /// Its start, RFC 3339, UTC.
    pub started_at: String,
    /// The commit of the working tree when the run began; absent outside of a git repository.
    pub commit: Option<String>,
    /// Its branch; absent where no branch is checked out.
    pub branch: Option<String>,
    /// Whether files differed from the commit.
    pub dirty: bool,
    /// Where it ran.
    pub target: Target,
    /// What it came to.
    pub verdict: Verdict,
    /// The machine, the load and the changes to the manifests, in words: only runs that share them are compared.
    pub series: String,
    /// Every figure that a comparison of runs would show, by its name with its unit.
    pub figures: BTreeMap<String, f64>,
}

/// One figure over the runs of a series.
#[derive(Debug, Clone, PartialEq)]
struct Trend {
    /// Its name, with its unit.
    name: String,
    /// The index of each run that measured it, and what it measured.
    values: Vec<(usize, f64)>,
    /// Where its level changed; [`Change::at`] counts in `values`.
    changes: Vec<Change>,
}

impl Entry {
    /// The entry of a report, without what only git knows.
    pub fn new(report: &Report) -> Self {
        let source = report.request.source.as_ref();
        Self {
            run_id: report.run_id.clone(),
            started_at: report.started_at.clone(),
            commit: source.map(|source| source.commit.clone()),
            branch: source.and_then(|source| source.branch.clone()),
            dirty: source.is_some_and(|source| source.dirty),
            target: report.target,
            verdict: report.verdict,
            series: compare::conditions(report),
            figures: compare::figures_of(report),
        }
    }
}

/// The runs that the latest one can be compared with, itself included, oldest first.
pub fn series(entries: &[Entry]) -> Vec<&Entry> {
    let Some(last) = entries.last() else { return Vec::new() };
    entries.iter().filter(|entry| entry.target == last.target && entry.series == last.series).collect()
}

/// The figures of a series that are never 0, and, of several runs, vary.
fn trends(series: &[&Entry]) -> Vec<Trend> {
    let names: std::collections::BTreeSet<&String> = series.iter().flat_map(|entry| entry.figures.keys()).collect();
    let trend = |name: &String| {
        let values = series.iter().enumerate().filter_map(|(at, entry)| Some((at, *entry.figures.get(name)?)));
        let values: Vec<(usize, f64)> = values.collect();
        let alone: Vec<f64> = values.iter().map(|(_, value)| *value).collect();
        let varies = series.len() == 1 || alone.iter().any(|value| *value != alone[0]);
        let tells = varies && alone.iter().all(|value| *value > 0.0);
        tells.then(|| Trend { name: name.clone(), changes: changes(&alone), values })
    };
    names.into_iter().filter_map(trend).collect()
}

/// The last `most` runs of the latest run's series as a table, and the trend of each figure over all of them, as Markdown.
pub fn render(entries: &[Entry], most: usize) -> String {
    let series = series(entries);
    let Some(last) = series.last() else { return format!("No run yet; `{}` makes one.\n", command::line("run")) };
    let trends = trends(&series);
    let mut text = format!("# {} on {}\n\n{}.\n\n", counted(series.len(), "run"), last.target, last.series);
    let others = entries.len() - series.len();
    if others > 0 {
        let are = if others == 1 { "is" } else { "are" };
        let _ = writeln!(text, "{} under other conditions {are} left out.\n", counted(others, "run"));
    }
    let shown: Vec<&Trend> = trends.iter().filter(|trend| is_headline(&trend.name)).collect();
    let header = ["Run", "Commit", "Verdict"].map(str::to_owned).into_iter();
    let mut table = Table::with_header(header.chain(shown.iter().map(|trend| trend.name.clone())).collect());
    for (at, entry) in series.iter().enumerate().skip(series.len().saturating_sub(most)) {
        let value = |trend: &&Trend| {
            let value = trend.values.iter().find(|(of, _)| *of == at);
            value.map_or_else(|| "-".to_owned(), |(_, value)| number(*value, 4))
        };
        let cells = [entry.run_id.clone(), commit(entry), entry.verdict.word().to_owned()].into_iter();
        table.row(cells.chain(shown.iter().map(value)).collect::<Vec<_>>());
    }
    text += &table.markdown();
    let mut table = Table::new(["Figure", "Trend", "Latest", "Changes"]);
    for trend in &trends {
        let values: Vec<f64> = trend.values.iter().map(|(_, value)| *value).collect();
        let change = |change: &Change| {
            let entry = series[trend.values[change.at].0];
            format!("{} from {} on ({})", signed_percent(change.relative), entry.run_id, commit(entry))
        };
        let changes: Vec<String> = trend.changes.iter().map(change).collect();
        table.row([
            trend.name.clone(),
            recent(&values),
            values.last().map_or_else(String::new, |latest| number(*latest, 4)),
            if changes.is_empty() { "none".to_owned() } else { changes.join("; ") },
        ]);
    }
    text + &table.markdown()
}

/// The same as a page for a browser, with a chart of each headline figure over the runs. Nothing without a run.
pub fn page(entries: &[Entry], most: usize) -> Option<String> {
    let series = series(entries);
    let last = series.last()?;
    let charts = trends(&series).into_iter().filter(|trend| is_headline(&trend.name));
    let charts: Vec<String> = charts.filter_map(|trend| chart(&trend, &series)).collect();
    Some(html::page(&format!("Runs on {}", last.target), last.verdict, &charts, &render(entries, most)))
}

/// A figure over the runs, with its changes, and a dot for each run that did not pass.
fn chart(trend: &Trend, series: &[&Entry]) -> Option<String> {
    let point = |(at, value): &(usize, f64)| ((at + 1) as f64, *value);
    let failed = trend.values.iter().filter(|(at, _)| series[*at].verdict != Verdict::Pass);
    let (scenario, figure) = trend.name.split_once(": ").unwrap_or(("", &trend.name));
    let line =
        Series { name: scenario.to_owned(), points: trend.values.iter().map(point).collect(), ..Series::default() };
    let failed = Series {
        name: "did not pass".to_owned(),
        points: failed.map(point).collect(),
        tone: Tone::Bad,
        scattered: true,
        ..Series::default()
    };
    let mark = |change: &Change| {
        let at = trend.values[change.at].0;
        Mark { at: (at + 1) as f64, name: format!("{}, {}", signed_percent(change.relative), commit(series[at])) }
    };
    let chart = Lines {
        says: format!("{} over {}", trend.name, counted(series.len(), "run")),
        x: "run".to_owned(),
        y: figure.to_owned(),
        series: [line, failed].into_iter().filter(|series| !series.points.is_empty()).collect(),
        marks: trend.changes.iter().map(mark).collect(),
        ..Lines::default()
    };
    chart.svg()
}

/// What fits into the table of runs: a rate, and the slowest requests.
fn is_headline(name: &str) -> bool {
    name.ends_with(": requests/s") || name.ends_with(": latency p99 ms")
}

fn commit(entry: &Entry) -> String {
    let short = |commit: &String| commit.get(..10).unwrap_or(commit).to_owned();
    let commit = entry.commit.as_ref().map_or_else(|| "unknown".to_owned(), short);
    if entry.dirty { format!("{commit} with changes") } else { commit }
}

/// As many columns as a table has room for.
const COLUMNS: usize = 30;

/// The last values as bars between the lowest and the highest of them.
fn recent(values: &[f64]) -> String {
    let values = &values[values.len().saturating_sub(COLUMNS)..];
    sparkline(values, values.iter().copied().fold(f64::INFINITY, f64::min))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run with this rate, under these conditions.
    fn entry(number: usize, series: &str, rate: f64) -> Entry {
        Entry {
            run_id: format!("run-{number}"),
            started_at: String::new(),
            commit: Some(format!("{number:040}")),
            branch: Some("main".to_owned()),
            dirty: number == 0,
            target: Target::Local,
            verdict: Verdict::Pass,
            series: series.to_owned(),
            figures: [("order: requests/s".to_owned(), rate), ("order: errors".to_owned(), 0.0)].into(),
        }
    }

    #[test]
    fn a_lasting_change_is_told_with_its_commit() {
        let noise = |number: usize| 1.0 + 0.01 * ((number * 7 % 5) as f64 - 2.0);
        let level = |number: usize| if number < 12 { 1000.0 } else { 900.0 };
        let mut entries: Vec<Entry> =
            (0..24).map(|number| entry(number, "40 clients", level(number) * noise(number))).collect();
        entries.insert(5, entry(99, "10 clients", 5.0));
        let page = render(&entries, 3);
        assert!(
            page.starts_with("# 24 runs on local\n\n40 clients.\n\n1 run under other conditions is left out."),
            "{page}"
        );
        assert!(page.contains("| order: requests/s |"), "{page}");
        assert!(page.contains("from run-12 on (0000000000)"), "{page}");
        assert!(page.contains("| run-21 | 0000000000 | pass |") && !page.contains("| run-20 |"), "{page}");
        assert!(!page.contains("order: errors"), "a figure that is 0 has no trend: {page}");

        entries[3].verdict = Verdict::Fail;
        let html = super::page(&entries, 3).unwrap();
        assert!(html.contains("order: requests/s over 24 runs") && html.contains("did not pass"), "{html}");
        assert!(html.contains("%, 0000000000"), "the change is marked: {html}");
    }

    #[test]
    fn a_single_run_has_its_figures() {
        let page = render(&[entry(1, "40 clients", 1000.0)], 10);
        assert!(page.contains("| run-1 | 0000000000 | pass | 1000 |") && !page.contains("errors"), "{page}");
    }

    #[test]
    fn no_run_is_no_history() {
        assert!(render(&[], 10).contains("No run yet"));
        assert_eq!(page(&[], 10), None);
        assert_eq!(recent(&[1.0, 2.0, 3.0]), "▁▄█");
    }
}
