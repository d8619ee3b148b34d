//! Several alternating runs and their comparison. Main functions: [`alternate`], [`compare()`].

use std::{fs, path::PathBuf};

use e2e_plan::target::Target;
use e2e_report::{
    compare::{self, Comparison},
    report::{Report, html},
    run_dir::{self, RunDir, new_run_id},
};

use serde::Serialize;

use super::{Error, Options, Outcome, run};
use crate::{exit::ExitCode, progress::Progress};

/// The directory of comparisons, next to the runs.
const COMPARISONS: &str = "comparisons";
/// The comparison as data.
const COMPARISON_JSON: &str = "comparison.json";
/// The comparison as text.
pub const COMPARISON_MARKDOWN: &str = "comparison.md";
/// The comparison for a browser.
pub const COMPARISON_HTML: &str = "comparison.html";

/// Systems that were run and compared.
#[derive(Debug)]
pub struct Compared<T> {
    /// What they came to.
    pub exit: ExitCode,
    /// The comparison.
    pub result: T,
    /// The directory that holds it.
    pub directory: PathBuf,
}

/// Runs every target `repeat` times and compares them; the exit code is the worst. `show` receives each run when it has ended. Each round has the next seed of planned
/// faults, if one was given: many runs with different faults, of which each can be repeated.
///
/// A machine's speed drifts, so the targets alternate, and every second round runs backwards: drift affects all of them alike.
///
/// # Errors
///
/// The first run without a report ends it. The reports of earlier runs remain and can be compared.
pub async fn alternate(
    options: &Options,
    targets: &[Target],
    repeat: u32,
    progress: &Progress,
    show: &dyn Fn(&Outcome),
) -> Result<Compared<Comparison>, Error> {
    // Without a target, each run chooses like a single run.
    let targets: Vec<Option<Target>> = match targets {
        [] => vec![options.target],
        targets => targets.iter().copied().map(Some).collect(),
    };
    let mut sides: Vec<Vec<Report>> = vec![Vec::new(); targets.len()];
    let mut exit = ExitCode::Pass;
    // A removal in the background would distort the next run's measurements.
    let options = &options.clone().waiting();
    for (number, turn) in turns(targets.len(), repeat).into_iter().enumerate() {
        let target = targets[turn];
        let name = target.map_or("auto", Target::as_str);
        progress.line(format!("run {} of {}: {name}", number + 1, targets.len() * repeat as usize));
        let round = (number / targets.len()) as u64;
        let during_seed = options.during_seed.map(|seed| seed.wrapping_add(round));
        let outcome = run(Options { target, during_seed, ..options.clone() }, progress).await?;
        show(&outcome);
        exit = worse(exit, outcome.exit);
        sides[turn].extend(outcome.report);
    }
    let (comparison, directory) = write(options, sides)?;
    Ok(Compared { exit, result: comparison, directory })
}

/// Compares finished runs, one list per side.
pub fn compare(options: &Options, sides: &[Vec<RunDir>]) -> Result<(Comparison, PathBuf), Error> {
    let read = |directory: &RunDir| {
        let report = directory.read_json::<Report>(run_dir::REPORT_JSON);
        report.map_err(|reason| Error::NoReport { run: directory.id(), reason })
    };
    let mut read_sides = Vec::new();
    for side in sides {
        read_sides.push(side.iter().map(read).collect::<Result<Vec<_>, _>>()?);
    }
    write(options, read_sides)
}

/// The index of each run's target.
fn turns(targets: usize, repeat: u32) -> Vec<usize> {
    let round = |round: u32| {
        let forth = 0..targets;
        if round.is_multiple_of(2) { forth.collect::<Vec<_>>() } else { forth.rev().collect() }
    };
    (0..repeat).flat_map(round).collect()
}

/// A failed verdict outranks an incomplete one.
fn worse(a: ExitCode, b: ExitCode) -> ExitCode {
    match (a, b) {
        (ExitCode::Pass, other) | (other, ExitCode::Pass) => other,
        (ExitCode::Fail, _) | (_, ExitCode::Fail) => ExitCode::Fail,
        (first, _) => first,
    }
}

/// Names sides by target if that is unambiguous, else by their first run.
fn names(sides: &[Vec<Report>]) -> Vec<String> {
    let target = |side: &Vec<Report>| {
        let mut targets: Vec<Target> = side.iter().map(|report| report.target).collect();
        targets.dedup();
        (targets.len() == 1).then(|| targets[0])
    };
    let targets: Vec<Option<Target>> = sides.iter().map(target).collect();
    let are_apart = targets.iter().enumerate().all(|(at, name)| name.is_some() && !targets[..at].contains(name));
    let name = |(side, target): (&Vec<Report>, &Option<Target>)| match (are_apart, target) {
        (true, Some(target)) => target.to_string(),
        _ => side.first().map(|report| report.run_id.clone()).unwrap_or_default(),
    };
    sides.iter().zip(&targets).map(name).collect()
}

fn write(options: &Options, sides: Vec<Vec<Report>>) -> Result<(Comparison, PathBuf), Error> {
    let sides: Vec<_> = names(&sides).into_iter().zip(sides).collect();
    let comparison = Comparison::new(&sides).ok_or(Error::NothingToCompare)?;
    let markdown = compare::render(&comparison, "../../runs");
    let names: Vec<&str> = comparison.sides.iter().map(|side| side.name.as_str()).collect();
    let files = [COMPARISON_JSON, COMPARISON_MARKDOWN, COMPARISON_HTML];
    let page = html::page(&names.join(" against "), comparison.verdict, &compare::charts(&comparison), &markdown);
    let directory = write_files(options, files, &comparison, &markdown, &page)?;
    Ok((comparison, directory))
}

/// Writes a comparison as data, as text and for a browser into a directory of its own.
pub(super) fn write_files(
    options: &Options,
    [json, text, browser]: [&str; 3],
    data: &impl Serialize,
    markdown: &str,
    html: &str,
) -> Result<PathBuf, Error> {
    let path = options.runs().join(COMPARISONS).join(new_run_id());
    fs::create_dir_all(&path).map_err(|error| run_dir::Error::new("create", &path, error))?;
    let directory = RunDir::open(&path)?;
    directory.write_json(json, data)?;
    directory.write(text, markdown)?;
    directory.write(browser, html)?;
    Ok(directory.path().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_round_runs_backwards() {
        assert_eq!(turns(2, 3), [0, 1, 1, 0, 0, 1]);
        assert_eq!(turns(3, 2), [0, 1, 2, 2, 1, 0]);
        assert_eq!(turns(1, 2), [0, 0]);
    }

    #[test]
    fn a_failure_outranks_a_gap() {
        assert_eq!(worse(ExitCode::Pass, ExitCode::Incomplete), ExitCode::Incomplete);
        assert_eq!(worse(ExitCode::Incomplete, ExitCode::Fail), ExitCode::Fail);
        assert_eq!(worse(ExitCode::Fail, ExitCode::Pass), ExitCode::Fail);
    }
}
