//! A comparison of two versions for people, as Markdown. Main function: [`render`].

use std::{collections::BTreeSet, fmt::Write};

use e2e_figures::paired::{self, Better, Verdict};
use e2e_plan::{
    duration::human_ms,
    words::{counted, number, signed_percent},
};

use super::{Against, BY_WEIGHT, Block, Ended, Figure, Kind, Side, TAIL, Version, median, overall};
use crate::report::table::Table;

/// Renders a comparison as Markdown.
pub fn render(against: &Against) -> String {
    let Against { base, head, figures, .. } = against;
    let mut text = format!("# {} against {}\n\n", head.name, base.name);
    let _ = writeln!(text, "**{}** {}\n", word(against).to_uppercase(), headline(figures));
    let mut table =
        Table::new(["Scenario", "Figure", "Base", "Head", "Verdict", "Groups", "Smallest loss that would have shown"]);
    for figure in figures {
        table.row([
            figure.scenario.clone(),
            figure.kind.word().to_owned(),
            value(figure.base),
            value(figure.head),
            verdict(figure),
            figure.judgement.groups.to_string(),
            figure.judgement.smallest_loss.map_or_else(|| "unknown, too few groups".to_owned(), share),
        ]);
    }
    text += &table.markdown();
    let _ = writeln!(text, "{}\n", failures(against));
    text += &components(against);
    text += &sides(against);
    text + &method(against)
}

fn word(against: &Against) -> &'static str {
    let has_loss = |of: &dyn Fn(Kind) -> bool| {
        against.figures.iter().any(|figure| figure.judgement.verdict == Verdict::Slower && of(figure.kind))
    };
    match against.verdict {
        Verdict::Slower if has_loss(&|kind| kind == Kind::Success) => "fails more",
        Verdict::Slower if !has_loss(&|kind| kind != Kind::Cpu) => "costlier",
        Verdict::Slower => "slower",
        Verdict::Faster => "faster",
        Verdict::Same => "no difference",
        Verdict::Unstable => "unstable",
        Verdict::Unconfirmed => "unconfirmed",
        Verdict::NotMeasured => "not measured",
    }
}

/// One sentence for each verdict that some figure has, the most important first.
fn headline(figures: &[Figure]) -> String {
    let sentence = |wanted: Verdict| {
        let of: Vec<String> = figures
            .iter()
            .filter(|figure| figure.judgement.verdict == wanted)
            .map(|figure| format!("{}: {} {}", figure.scenario, figure.kind.word(), verdict(figure)))
            .collect();
        (!of.is_empty()).then(|| format!("{}.", of.join("; ")))
    };
    let sentences: Vec<String> = BY_WEIGHT.into_iter().filter_map(sentence).collect();
    match sentences.is_empty() && overall(figures) == Verdict::Same {
        true => {
            let lines: Vec<String> = figures
                .iter()
                .map(|figure| format!("{} {} {}", figure.scenario, figure.kind.word(), share(figure.line)))
                .collect();
            format!("No figure differs by more than its line: {}.", lines.join(", "))
        }
        false => sentences.join(" "),
    }
}

/// `slower by 5.1% (3.0% to 7.2%)`; processor time and shares are not slower but higher or lower.
fn verdict(figure: &Figure) -> String {
    let judgement = &figure.judgement;
    let signed = |share: f64| if figure.better == Better::More { -share } else { share };
    let by = |direction: f64| {
        let change = judgement.change.map_or(0.0, signed) * direction;
        let interval = judgement.interval.map(|ends| ends.map(|end| signed(end) * direction));
        let interval =
            interval.map_or(String::new(), |[a, b]| format!(" ({} to {})", share(a.min(b)), share(a.max(b))));
        format!("by {}{interval}", share(change))
    };
    // Only the interval tells what is still possible.
    let possible = || match judgement.interval {
        Some([low, high]) => format!("the change is between {} and {}", signed_percent(low), signed_percent(high)),
        None => "too few groups for an interval".to_owned(),
    };
    let (worse, better) = match figure.kind {
        Kind::Rate | Kind::P50 | Kind::P99 => ("slower", "faster"),
        Kind::Cpu => ("higher", "lower"),
        Kind::Success => ("lower", "higher"),
    };
    match judgement.verdict {
        Verdict::Slower => format!("{} {}", worse, by(1.0)),
        Verdict::Faster => format!("{} {}", better, by(-1.0)),
        Verdict::Same => format!("no difference larger than {}; {}", share(figure.line), possible()),
        Verdict::Unstable => format!("unstable: {}", possible()),
        Verdict::Unconfirmed => {
            let after = judgement.suspected_after.unwrap_or_default();
            format!("suspected after {} and not confirmed: {}", counted(after, "group"), possible())
        }
        Verdict::NotMeasured => "not measured".to_owned(),
    }
}

fn failures(against: &Against) -> String {
    let of = |side| {
        let blocks = against.blocks.iter().filter(|block| block.side == side);
        let (errors, requests) =
            blocks.fold((0, 0), |(errors, requests), block| (errors + block.errors, requests + block.requests));
        (errors, requests)
    };
    let ((base, of_base), (head, of_head)) = (of(Side::Base), of(Side::Head));
    match base + head {
        0 => "No request failed on either side.".to_owned(),
        _ => format!(
            "Requests failed: {base} of {of_base} on base, {head} of {of_head} on head. The figures cover only requests that \
             succeeded."
        ),
    }
}

/// Which component a difference in processor time comes from: medians of the blocks, not judged.
fn components(against: &Against) -> String {
    let mut table = Table::new(["Scenario", "Component", "Base, CPU ms/request", "Head, CPU ms/request", "Change"]);
    let blocks = |scenario: &str, side| {
        let blocks = against.blocks.iter().filter(move |block| block.side == side);
        blocks.filter(|block| block.scenario == scenario).collect::<Vec<&Block>>()
    };
    for Figure { scenario, .. } in against.figures.iter().filter(|figure| figure.kind == Kind::Cpu) {
        let [base, head] = [Side::Base, Side::Head].map(|side| blocks(scenario, side));
        let names: BTreeSet<&String> =
            base.iter().chain(&head).flat_map(|block| block.cpu_ms_per_request.keys()).collect();
        for name in names {
            let of = |blocks: &[&Block]| {
                median(blocks.iter().filter_map(|block| block.cpu_ms_per_request.get(name).copied()).collect())
            };
            let (base, head) = (of(&base), of(&head));
            let changed =
                base.filter(|base| *base > 0.0).zip(head).map(|(base, head)| signed_percent(head / base - 1.0));
            let changed = changed.unwrap_or_else(|| "not measured".to_owned());
            table.row([scenario.clone(), name.clone(), value(base), value(head), changed]);
        }
    }
    match table.markdown() {
        rows if rows.is_empty() => rows,
        rows => format!("## CPU by component\n\n{rows}"),
    }
}

fn sides(against: &Against) -> String {
    let described = |version: &Version| {
        let mut words = vec![format!("`{}`", version.name)];
        if let Some(commit) = &version.commit {
            let dirty = if version.dirty { " with uncommitted changes" } else { "" };
            words.push(format!("commit {}{dirty}", commit.get(..12).unwrap_or(commit)));
        }
        words.extend(version.images.iter().map(|image| format!("`{image}`")));
        words.join(", ")
    };
    let ended = match against.ended {
        Ended::Settled => "every figure was settled",
        Ended::LossConfirmed => "a loss was confirmed; the other figures would not change the verdict",
        Ended::TimeLimit => "time was up",
        Ended::Interrupted => "it was interrupted",
    };
    format!(
        "Base is {}; head is {}. Both ran on {} ({}), brought up {}. {} of {} were measured in {}, until {ended}.\n\n",
        described(&against.base),
        described(&against.head),
        against.target,
        against.provider,
        match against.bring_ups {
            1 => "once".to_owned(),
            times => format!("{times} times"),
        },
        counted(against.blocks.len(), "block"),
        human_ms(against.block_ms),
        human_ms(against.took_ms),
    )
}

fn method(against: &Against) -> String {
    format!(
        "## How this was judged\n\nEach block loads one system while the other idles. Four blocks, base-head-head-base or the reverse by the \
         toss of a coin, form a group and give one log-ratio. A confidence sequence from a test of symmetry (Vovk and Wang 2024; de la Peña \
         1999) stays valid however often one looks. The intervals of all figures hold together with {:.0}% confidence (Bonferroni). A \
         difference is reported only if a second bring-up of both systems confirms it, so that fewer than one comparison in a hundred raises \
         a false alarm. \"No difference larger than\" means that the whole interval lies within the line: {}, and {} for a 99th percentile.\n",
        (1.0 - paired::ERROR) * 100.0,
        share(against.line),
        share(against.line * TAIL)
    )
}

fn share(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

fn value(value: Option<f64>) -> String {
    value.map_or_else(|| "not measured".to_owned(), |value| number(value, 3))
}
