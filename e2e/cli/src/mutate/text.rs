//! The study as Markdown. Main function: [`render`].

use std::collections::BTreeMap;

use e2e_plan::words::counted;
use e2e_report::{command, report::table::Table};

use super::{Judged, Study, judge::Fate};

/// Killed mutants among those that could be noticed; nothing without any.
pub(super) fn score(study: &Study) -> Option<f64> {
    let judged: Vec<bool> = study.mutants.iter().filter_map(|judged| judged.fate.is_killed()).collect();
    (!judged.is_empty()).then(|| judged.iter().filter(|killed| **killed).count() as f64 / judged.len() as f64)
}

pub(super) fn render(study: &Study, is_list: bool) -> String {
    let mut lines = vec![format!("# {} on {}", counted(study.mutants.len(), "mutant"), study.target), String::new()];
    match score(study).filter(|_| !is_list) {
        Some(score) => lines.push(format!("**Mutation score {:.0}%**: {}.", score * 100.0, totals(study))),
        None => lines.push(format!("{}.", totals(study))),
    }
    let survivors: Vec<&Judged> = study.mutants.iter().filter(|judged| judged.fate == Fate::Survived).collect();
    if !survivors.is_empty() {
        lines.extend([String::new(), "## Survivors".to_owned(), String::new()]);
    }
    for judged in survivors {
        lines.push(format!("- **{}** {}", judged.mutant.operator, judged.mutant));
        lines.push(format!("  - to notice it, {}", judged.mutant.operator.remedy()));
        lines.push(format!("  - to try it: `{} --overlay {}`", command::line("run"), judged.overlay.display()));
    }
    let mut table = Table::new(["mistake", "change", "result"]);
    for Judged { mutant, fate, .. } in &study.mutants {
        table.row([mutant.operator.to_string(), mutant.to_string(), fate.to_string()]);
    }
    lines.extend([String::new(), "## All mutants".to_owned(), String::new(), table.markdown()]);
    lines.join("\n").trim_end().to_owned() + "\n"
}

/// `61 killed (9 refused, 12 by lint, 30 with their cause, 10 by a failure), 8 survived`.
fn totals(study: &Study) -> String {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for judged in &study.mutants {
        *counts.entry(judged.fate.words().0).or_default() += 1;
    }
    let some = |names: &[&'static str]| {
        let some = names.iter().filter_map(|name| Some(format!("{} {name}", counts.get(name)?)));
        some.collect::<Vec<_>>().join(", ")
    };
    let killed = study.mutants.iter().filter(|judged| judged.fate.is_killed() == Some(true)).count();
    let how = some(&["refused", "by lint", "with their cause", "by a failure", "by a warning"]);
    let others = some(&["survived", "not honoured on this target", "not judged", "not run"]);
    let how = if how.is_empty() { String::new() } else { format!(" ({how})") };
    let others = if others.is_empty() { String::new() } else { format!(", {others}") };
    format!("{killed} killed{how}{others}")
}
