//! A comparison as Markdown. Main function: [`render`].

use std::fmt::Write;

use e2e_figures::noise;

use super::{Comparison, Difference, Figure, Noise, Row, Significance, figures::spread};
use crate::report::table::Table;

/// Renders a comparison as Markdown, with links to the reports of its runs below `runs`, such as `../../runs`.
pub fn render(comparison: &Comparison, runs: &str) -> String {
    let names: Vec<&str> = comparison.sides.iter().map(|side| side.name.as_str()).collect();
    let word = comparison.verdict.word();
    let alone = names.len() == 1;
    let mut text = format!("# End-to-end comparison: {}\n\n", names.join(" against "));
    let _ = writeln!(text, "**{}** {}\n", word.to_uppercase(), headline(comparison));
    text += "## Comparison\n\n";
    let question: &[&str] = if alone { &[] } else { &["Is the difference larger than the noise?"] };
    let mut table = columns("Aspect", &names, question);
    for row in &comparison.rows {
        let start = [row.aspect.word().to_owned()].into_iter().chain(row.words.iter().cloned());
        table.row(start.chain((!alone).then(|| statement(row, &names))).collect::<Vec<_>>());
    }
    text += &table.markdown();
    if !comparison.unlike.is_empty() {
        let _ = writeln!(text, "The runs also differ in: {}.\n", comparison.unlike.join("; "));
    }
    text + &figures(comparison, &names) + &findings(comparison) + &links(comparison, runs) + &method(comparison)
}

fn headline(comparison: &Comparison) -> String {
    if let [side] = comparison.sides.as_slice() {
        return format!("{} runs on {}; the figures below show how much they vary.", side.runs.len(), side.name);
    }
    let larger: Vec<String> = comparison
        .larger()
        .map(|(figure, side, difference)| format!("{} {} on {}", figure.name, amount(difference), side.name))
        .collect();
    match larger.is_empty() {
        true => "No figure differs by more than the noise of these runs.".to_owned(),
        false => format!("Larger than the noise of these runs: {}.", larger.join("; ")),
    }
}

/// A table with a column for each side between others.
fn columns(first: &str, names: &[&str], last: &[&str]) -> Table {
    Table::with_header([first].iter().chain(names).chain(last).map(|name| (*name).to_owned()).collect())
}

/// A summary of a row's differences, one sentence for each judgement.
fn statement(row: &Row, names: &[&str]) -> String {
    let several = names.len() > 2;
    let with = |judgement: Significance, show: &dyn Fn(&Figure, usize) -> String| {
        let pairs = row.figures.iter().flat_map(|figure| (0..figure.differences.len()).map(move |at| (figure, at)));
        let found: Vec<String> = pairs
            .filter(|(figure, at)| figure.differences[*at].judgement == judgement)
            .map(|(figure, at)| match several {
                true => format!("{} {}", names[at + 1], show(figure, at)),
                false => show(figure, at),
            })
            .collect();
        found.join(", ")
    };
    let name = |figure: &Figure, _: usize| figure.name.clone();
    let amount = |figure: &Figure, at: usize| format!("{} {}", figure.name, amount(&figure.differences[at]));
    let sentences = [
        ("**yes**", with(Significance::Larger, &amount)),
        ("within the noise", with(Significance::Within, &name)),
        ("the same in every run", with(Significance::Same, &name)),
        ("unknown, a single run cannot show noise", with(Significance::Unknown, &amount)),
        ("not measured", with(Significance::NotMeasured, &name)),
    ];
    let said = sentences.iter().filter(|(_, figures)| !figures.is_empty());
    said.map(|(word, figures)| format!("{word}: {figures}")).collect::<Vec<_>>().join("; ")
}

/// A difference from the first side: `12.3% more (8.1% more to 16.5% more)`.
fn amount(difference: &Difference) -> String {
    let interval = |[low, high]: [f64; 2]| format!(" ({} to {})", more_or_less(low), more_or_less(high));
    match difference.relative {
        _ if difference.judgement == Significance::Same => "none".to_owned(),
        _ if difference.judgement == Significance::NotMeasured => "-".to_owned(),
        Some(relative) => more_or_less(relative) + &difference.relative_interval.map(interval).unwrap_or_default(),
        // No share of zero.
        None => "against 0".to_owned(),
    }
}

/// `12.3% more`.
pub(super) fn more_or_less(share: f64) -> String {
    format!("{:.1}% {}", share.abs() * 100.0, if share < 0.0 { "less" } else { "more" })
}

fn figures(comparison: &Comparison, names: &[&str]) -> String {
    let judged = names.len() > 1;
    let mut table = columns("Figure", names, if judged { &["Difference", "Judgement"] } else { &[] });
    for figure in comparison.rows.iter().flat_map(|row| &row.figures) {
        let values = figure.values.iter().map(|values| spread(values));
        let each =
            |show: &dyn Fn(&Difference) -> String| figure.differences.iter().map(show).collect::<Vec<_>>().join("; ");
        let cells = [figure.name.clone()].into_iter().chain(values);
        let last = if judged { vec![each(&amount), each(&judgement)] } else { Vec::new() };
        table.row(cells.chain(last).collect::<Vec<_>>());
    }
    let from = if judged { format!("; differences from {}", names[0]) } else { String::new() };
    format!("## Figures\n\nMean of the runs (smallest to largest){from}.\n\n{}", table.markdown())
}

fn judgement(difference: &Difference) -> String {
    let word = match difference.judgement {
        Significance::Same => "the same in every run",
        Significance::Larger => "larger than the noise",
        Significance::Within => "within the noise",
        Significance::Unknown => "noise unknown",
        Significance::NotMeasured => "not measured",
    };
    match (difference.noise, difference.judgement) {
        (Noise::Stretches, Significance::Larger | Significance::Within) => format!("{word} within one run of each"),
        _ => word.to_owned(),
    }
}

fn findings(comparison: &Comparison) -> String {
    let mut table = Table::new(["Found on", "In runs", "Finding", "Component", "Claim", "Fix"]);
    for side in &comparison.sides {
        for found in &side.findings {
            table.row([
                side.name.clone(),
                format!("{} of {}", found.runs, side.runs.len()),
                found.code.to_string(),
                found.component.clone().unwrap_or_default(),
                found.claim.clone(),
                found.fix.clone(),
            ]);
        }
    }
    let table = table.markdown();
    format!("## Findings\n\n{}", if table.is_empty() { "None on any side.\n\n" } else { &table })
}

fn links(comparison: &Comparison, runs: &str) -> String {
    let mut table = Table::new(["Run", "Side", "Provider", "Started", "Verdict", "Why"]);
    for side in &comparison.sides {
        for run in &side.runs {
            table.row([
                format!("[{0}]({runs}/{0}/report.md)", run.run_id),
                side.name.clone(),
                side.provider.clone(),
                run.started_at.clone(),
                run.verdict.word().to_owned(),
                run.verdict_reason.clone(),
            ]);
        }
    }
    format!("## Runs\n\n{}", table.markdown())
}

fn method(comparison: &Comparison) -> String {
    if comparison.sides.len() < 2 {
        return String::new();
    }
    let mut text = format!(
        "## How this was judged\n\nA difference is larger than the noise when the {:.0}% interval of the difference of means \
         excludes 0 (Welch 1947, Satterthwaite 1946, from the runs of each side). Each figure is judged separately, so about one in a \
         hundred unchanged figures is reported as different.",
        noise::CONFIDENCE * 100.0
    );
    let is_used = |noise: Noise| {
        let has = |figure: &Figure| figure.differences.iter().any(|with| with.noise == noise);
        comparison.rows.iter().flat_map(|row| &row.figures).any(has)
    };
    if is_used(Noise::Pairs) {
        text += " The runs alternated, so each figure is judged by the differences within the pairs (Student 1908), where whatever slows down both runs cancels out.";
    }
    if is_used(Noise::Stretches) {
        text += " Where each side has one run, ten stretches of its series (or its seconds, if they are fewer) stand in for runs (method of \
                 batch means, Law, Simulation Modeling and Analysis). Whole runs vary more than that: repeat them before you believe a small \
                 difference.";
    }
    text + "\n"
}
