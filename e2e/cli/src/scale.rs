//! `cargo xtask scale`: how the throughput grows with replicas, what limits it, and whether more replicas make it worse.

mod control;
mod plot;
mod text;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use control::Control;
use e2e_load::{
    load::Random,
    scaling::{Point, Study, study},
};
use e2e_plan::target::Target;
use e2e_report::report::{Bottleneck, Report, Verdict};
use e2e_run::{
    exit::ExitCode,
    progress::Progress,
    run::{Options, run as run_once},
};
use serde::Serialize;

use crate::options::{BadInput, TargetChoice, block_on, describe, parse_target, project};

/// Measure the throughput with different numbers of backends and fit the Universal Scalability Law to it.
///
/// Every level is a whole run of its own: up, suites, report, down. Levels take turns in a random order, so that a machine that
/// gets slower does not look like a law. With fewer than six levels, or measurements that scatter too much, there is no fit,
/// and the study says so.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask scale --target docker
  cargo xtask scale --target docker --controls   # and what a regression comes from
  cargo xtask scale --replicas 1,2,4 --repeat 1 --duration 5s   # three levels: measured, not fitted

Exit codes: as those of e2e, the worst of all runs; 5 when a level could not be measured. A run that cannot be made, or an interrupt,
ends the study, and what was measured up to then is written")]
pub(crate) struct Args {
    /// Numbers of replicas of the backend.
    #[arg(long, value_delimiter = ',', default_value = "1,2,3,4,6,8", value_parser = clap::value_parser!(u32).range(1..=64))]
    replicas: Vec<u32>,
    /// How often each level is measured.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=20))]
    repeat: u32,
    /// Where the system runs: auto takes docker when an engine answers, else local.
    #[arg(long, default_value = "auto", value_name = "auto|docker|local|k8s", value_parser = parse_target)]
    target: TargetChoice,
    /// Directory with patches for the manifests; may be given several times.
    #[arg(long, value_name = "DIR")]
    overlay: Vec<PathBuf>,
    /// One environment variable of one component; may be given several times.
    #[arg(long, value_name = "COMPONENT.env.NAME=VALUE")]
    set: Vec<e2e_plan::Set>,
    /// Concurrent clients.
    #[arg(long, value_name = "N")]
    clients: Option<u32>,
    /// Length of each load suite.
    #[arg(long, default_value = "10s", value_parser = e2e_plan::duration::parse_positive)]
    duration: Duration,
    /// On docker, measure 4 and 8 replicas also through published ports, and with the same CPU for each replica: whether more replicas
    /// make it worse because of the bridge, its proxy, or the processors that they share.
    #[arg(long)]
    controls: bool,
    /// Run only the checks that match, in nextest's language of filtersets; one that measures the throughput must be among them.
    #[arg(long, value_name = "FILTERSET")]
    filter: Option<String>,
    /// Decides the order of the levels and the bootstrap.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Everything that the study found: `scale.json`.
#[derive(Debug, Serialize)]
struct Found {
    target: String,
    /// Each run, in the order in which they were made.
    runs: Vec<Level>,
    /// The run that ended the study before its time, if one did.
    ended_by: Option<Unmade>,
    study: Study,
}

/// A run that gave no report.
#[derive(Debug, Serialize)]
struct Unmade {
    replicas: u32,
    control: Option<Control>,
    reason: String,
}

/// One run.
#[derive(Debug, Serialize)]
struct Level {
    replicas: u32,
    /// What was changed; such a run is no part of the study.
    control: Option<Control>,
    /// Its directory, where every figure can be checked.
    run: String,
    /// What the run found of the system; the throughput of one that did not pass counts as well.
    verdict: Verdict,
    verdict_reason: String,
    /// Nothing when the throughput could not be measured.
    operations_per_second: Option<f64>,
    /// Operations per second at which the machine's processors would be used up, at this level's cost of an operation.
    host_bound: Option<f64>,
    bottleneck: Option<Bottleneck>,
}

impl Level {
    /// The run's measurement, when it is one of `control`.
    fn point(&self, control: Option<Control>) -> Option<Point> {
        let throughput = self.operations_per_second.filter(|_| self.control == control)?;
        Some(Point { replicas: self.replicas, throughput })
    }

    /// Where the run would have used the machine up, when it is one of the study: a control costs something else.
    fn host(&self) -> Option<Point> {
        let throughput = self.host_bound.filter(|_| self.control.is_none())?;
        Some(Point { replicas: self.replicas, throughput })
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let order = order(&args.levels()?, args.repeat, args.seed);
    let progress = Progress::new();
    let (mut runs, mut exits, mut target) = (Vec::new(), Vec::new(), String::new());
    let mut failed = None;
    for (number, (replicas, control)) in (1..).zip(&order) {
        let how = control.map(|control| format!(", {}", control.described())).unwrap_or_default();
        progress.line(format!("scale: run {number} of {} with {replicas} replicas{how}", order.len()));
        match one(args.options(*replicas, *control)?, &progress) {
            Ok((run, exit, report)) => {
                if control.is_none() {
                    target.clone_from(&report.environment.provider);
                }
                runs.push(level(*replicas, *control, run, &report));
                exits.push(exit);
            }
            // There is nothing to keep.
            Err(error) if runs.is_empty() => return Err(error),
            Err(error) => {
                let ended_by = Unmade { replicas: *replicas, control: *control, reason: describe(&error) };
                failed = Some((ended_by, error));
                break;
            }
        }
    }
    let points: Vec<Point> = runs.iter().filter_map(|run| run.point(None)).collect();
    let (ended_by, error) = failed.unzip();
    let found = Found { target, runs, ended_by, study: study(&points, args.seed) };
    let directory = write(&found, &points)?;
    println!("{}", text::render(&found, &points));
    eprintln!("plot: {}", directory.join("scale.svg").display());
    error.map_or_else(|| Ok(worst(&exits, &found.runs)), Err)
}

/// One run: its name, how it ended and its report.
fn one(options: Options, progress: &Progress) -> Result<(String, ExitCode, Report)> {
    let outcome = block_on(run_once(options, progress))??;
    let report = outcome.report.context("a run without suites has no throughput")?;
    Ok((outcome.directory.id(), outcome.exit, report))
}

/// A fault of the system says more than a figure that is missing.
fn worst(exits: &[ExitCode], runs: &[Level]) -> ExitCode {
    let is_complete = runs.iter().all(|run| run.operations_per_second.is_some());
    let incomplete = (!is_complete).then_some(ExitCode::Incomplete);
    let order = [ExitCode::Fail, ExitCode::NotUp, ExitCode::Incomplete];
    order.into_iter().find(|code| exits.contains(code) || incomplete == Some(*code)).unwrap_or(ExitCode::Pass)
}

impl Args {
    /// What is measured in each round.
    fn levels(&self) -> Result<Vec<(u32, Option<Control>)>> {
        let mut distinct = self.replicas.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() != self.replicas.len() {
            let text = "--replicas names a level twice; --repeat measures all of them again";
            return Err(BadInput(text.to_owned()).into());
        }
        if self.controls && self.target.target() != Some(Target::Docker) {
            return Err(BadInput("--controls is about Docker's bridge, so it needs --target docker".to_owned()).into());
        }
        let own = self.replicas.iter().map(|replicas| (*replicas, None));
        let controls = Control::ALL.into_iter().filter(|_| self.controls);
        let controls = controls.flat_map(|control| control::LEVELS.map(|replicas| (replicas, Some(control))));
        Ok(own.chain(controls).collect())
    }

    fn options(&self, replicas: u32, control: Option<Control>) -> Result<Options> {
        let mut options = Options {
            target: self.target.target(),
            overlays: self.overlay.clone(),
            sets: self.set.clone(),
            replicas: [("backend".to_owned(), replicas)].into(),
            clients: self.clients,
            duration: Some(self.duration),
            filter: self.filter.clone(),
            ..project()
        };
        if let Some(control) = control {
            control.apply(&mut options);
        }
        Ok(options.waiting())
    }
}

/// Where studies are kept.
fn studies() -> PathBuf {
    project().runs().join("scale")
}

/// Each level once per round, every round in an order of its own.
fn order<T: Copy>(levels: &[T], rounds: u32, seed: u64) -> Vec<T> {
    let mut order = Vec::new();
    for round in 0..rounds {
        let mut random = Random::new(seed, round);
        let mut shuffled = levels.to_vec();
        // Fisher and Yates.
        for last in (1..shuffled.len()).rev() {
            shuffled.swap(last, (random.number() % (last as u64 + 1)) as usize);
        }
        order.extend(shuffled);
    }
    order
}

fn level(replicas: u32, control: Option<Control>, run: String, report: &Report) -> Level {
    let operations_per_second =
        report.throughput.as_ref().map(|throughput| throughput.operations_per_second).filter(|rate| *rate > 0.0);
    Level {
        replicas,
        control,
        run,
        verdict: report.verdict,
        verdict_reason: report.verdict_reason.clone(),
        operations_per_second,
        host_bound: report.expected.as_ref().map(|expected| expected.host_bound),
        bottleneck: report.bottleneck.clone(),
    }
}

/// Writes `scale.json`, `scale.md` and `scale.svg` beside the runs.
fn write(found: &Found, points: &[Point]) -> Result<PathBuf> {
    let last = found.runs.last().map(|run| run.run.as_str()).unwrap_or("none");
    let directory = studies().join(last);
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let hosts: Vec<Point> = found.runs.iter().filter_map(Level::host).collect();
    for (file, content) in [
        ("scale.json", serde_json::to_string_pretty(found)? + "\n"),
        ("scale.md", format!("{}\n\n![throughput by replicas](scale.svg)\n", text::render(found, points))),
        ("scale.svg", plot::svg(points, &found.study, &hosts)),
    ] {
        let path = directory.join(file);
        std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn levels_take_turns_and_each_round_has_all() {
        let levels = [1, 2, 3, 4, 6, 8];
        let order = order(&levels, 3, 1);
        for round in order.chunks(6) {
            let mut sorted = round.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, levels);
        }
        assert_ne!(order[..6], order[6..12]);
    }

    #[test]
    fn controls_are_measured_in_every_round_beside_the_levels() {
        let mut args =
            Line::try_parse_from(["scale", "--target", "docker", "--replicas", "4,8", "--controls"]).unwrap();
        let levels = args.args.levels().unwrap();
        let of =
            |control| levels.iter().filter(|(_, of)| *of == control).map(|(replicas, _)| *replicas).collect::<Vec<_>>();
        for control in [None, Some(Control::PublishedPorts), Some(Control::FixedCpu)] {
            assert_eq!(of(control), [4, 8]);
        }
        args.args.replicas = vec![1, 1];
        assert!(args.args.levels().unwrap_err().to_string().contains("a level twice"));
    }
}
