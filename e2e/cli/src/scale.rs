//! `cargo xtask scale`: how throughput grows with replicas or shards, what limits it, and whether more make it worse.

mod axis;
mod control;
mod subject;
mod text;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use axis::{Axis, Kind};
use control::Control;
use e2e_load::{
    load::Random,
    scaling::{Point, Study, study},
};
use e2e_plan::target::Target;
use e2e_report::{
    bottleneck::Bottleneck,
    chart::{scaling, standalone},
    forecast::Forecast,
    report::{Report, Verdict},
};
use e2e_run::{Options, exit::ExitCode, progress::Progress, run as run_once};
use serde::Serialize;
use subject::Subject;

use crate::{
    directories,
    failure::{bad_input, describe},
    options::{ClusterArgs, ManifestArgs, Set, TargetChoice, block_on, parse_target},
};

/// Measure how a scenario's rate grows with replicas or shards of a component, and fit the Universal Scalability Law.
///
/// Each level is a complete run: up, suites, report, down. The first run has level 1 and forecasts the gain of the others, which
/// follow in random order, so that a machine that slows down over time does not bias the fit. With fewer than six levels, or too much
/// scatter, the study fits no law and says so.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask scale --target docker
  cargo xtask scale --target docker --component backend --scenario throughput --controls   # also find the cause of a regression
  cargo xtask scale --replicas 1,2,4 --repeat 1 --duration 5s   # three levels: measured, not fitted
  cargo xtask scale --shards 1,2,4 --filter 'test(throughput)'  # would sharding pay? needs [shards] in .config/e2e.toml

Exit codes: the worst of all runs, as for run; 5 if a level could not be measured. A failed run or an interrupt ends the study;
the results so far are written.")]
pub(crate) struct Args {
    /// Component to scale [default: the only one with several replicas, or the only one].
    #[arg(long, value_name = "NAME")]
    component: Option<String>,
    /// Scenario to measure; the others do not run [default: the only closed one without pauses].
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// Replica counts of the component to measure.
    #[arg(long, value_delimiter = ',', default_value = "1,2,3,4,6,8", value_parser = clap::value_parser!(u32).range(1..=64))]
    replicas: Vec<u32>,
    /// Numbers of shards to measure instead of replicas, each with its overlay from `[shards]` in .config/e2e.toml.
    #[arg(long, value_name = "LEVELS", value_delimiter = ',', conflicts_with_all = ["replicas", "component", "controls"], value_parser = clap::value_parser!(u32).range(1..=64))]
    shards: Vec<u32>,
    /// Runs per level.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=20))]
    repeat: u32,
    /// Target to run on; auto picks docker if an engine answers, else local.
    #[arg(long, default_value = "auto", value_name = "auto|docker|local|k8s", value_parser = parse_target)]
    target: TargetChoice,
    #[command(flatten)]
    manifests: ManifestArgs,
    /// Set an environment variable of a component; repeatable.
    #[arg(long, value_name = "COMPONENT[/CONTAINER].env.NAME=VALUE", value_parser = Set)]
    set: Vec<e2e_plan::EnvOverride>,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Concurrent clients.
    #[arg(long, value_name = "N")]
    clients: Option<u32>,
    /// Length of the scenario.
    #[arg(long, default_value = "10s", value_parser = e2e_plan::duration::parse_positive)]
    duration: Duration,
    /// On docker, also measure 4 and 8 replicas through published ports and with a fixed CPU limit per replica, to tell
    /// whether a regression comes from the bridge, its proxy, or shared processors.
    #[arg(long)]
    controls: bool,
    /// Run only checks that match a nextest filterset; it must include one that measures throughput.
    #[arg(long, value_name = "FILTERSET")]
    filter: Option<String>,
    /// Seed for the order of levels and the bootstrap.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The study's results: `scale.json`.
#[derive(Debug, Serialize)]
struct Found {
    target: String,
    /// What there is more of at each level.
    axis: Kind,
    /// The scaled component.
    component: String,
    /// The measured scenario.
    scenario: String,
    /// What the other levels would do, forecast from the first run with level 1; `None` without such a run.
    forecast: Option<RunForecast>,
    /// All runs in order.
    runs: Vec<Level>,
    /// The run that ended the study early, if any.
    ended_by: Option<Unmade>,
    study: Study,
}

/// A forecast and the run that it is made from.
#[derive(Debug, Serialize)]
struct RunForecast {
    /// The run's id.
    run: String,
    /// The forecast, or why there is none.
    forecast: Result<Forecast, String>,
}

/// A run without a report.
#[derive(Debug, Serialize)]
struct Unmade {
    level: u32,
    control: Option<Control>,
    reason: String,
}

/// One run.
#[derive(Debug, Serialize)]
struct Level {
    level: u32,
    /// The changed condition; such a run is not part of the fit.
    control: Option<Control>,
    /// Its id, for checking the figures.
    run: String,
    /// The run's verdict; the throughput counts with any verdict.
    verdict: Verdict,
    verdict_reason: String,
    /// `None` if the rate was not measured.
    requests_per_second: Option<f64>,
    /// Requests per second that would saturate the machine's processors, at this level's cost per request.
    host_bound: Option<f64>,
    bottleneck: Option<Bottleneck>,
}

impl Level {
    /// The run's measurement, if it ran under `control`.
    fn point(&self, control: Option<Control>) -> Option<Point> {
        let throughput = self.requests_per_second.filter(|_| self.control == control)?;
        Some(Point { level: self.level, throughput })
    }

    /// The throughput that would have saturated the machine. Not for controls: their cost per operation differs.
    fn host(&self) -> Option<Point> {
        let throughput = self.host_bound.filter(|_| self.control.is_none())?;
        Some(Point { level: self.level, throughput })
    }
}

pub(crate) fn run(args: &Args, project: &Options) -> Result<ExitCode> {
    let order = order(&args.levels()?, args.repeat, args.seed);
    let project =
        Options { sets: args.set.clone(), cluster: args.cluster.options(), ..args.manifests.options(project)? };
    let subject = Subject::of(args, &project)?;
    let progress = Progress::new();
    let kind = subject.axis.kind();
    progress.line(format!(
        "scale: the rate of {} by {}s of {}",
        subject.scenario,
        kind.word(),
        subject.axis.component()
    ));
    let (mut runs, mut exits, mut target) = (Vec::new(), Vec::new(), String::new());
    let (mut forecast, mut failed) = (None, None);
    for (number, (step, control)) in (1..).zip(&order) {
        let how = control.map(|control| format!(", {}", control.described())).unwrap_or_default();
        let count = kind.counted(*step);
        progress.line(format!("scale: run {number} of {} with {count}{how}", order.len()));
        match one(args.options(&project, &subject, *step, *control)?, &progress) {
            Ok((run, exit, report)) => {
                if control.is_none() {
                    target.clone_from(&report.environment.provider);
                }
                if *step == 1 && control.is_none() && forecast.is_none() {
                    let made = subject.forecast(args.counts(), &run, &report);
                    text::forecast(kind, &made).iter().for_each(|line| progress.line(format!("scale: {line}")));
                    forecast = Some(made);
                }
                runs.push(level(*step, *control, run, &report, &subject.scenario));
                exits.push(exit);
            }
            // Nothing to save yet.
            Err(error) if runs.is_empty() => return Err(error),
            Err(error) => {
                let ended_by = Unmade { level: *step, control: *control, reason: describe(&error) };
                failed = Some((ended_by, error));
                break;
            }
        }
    }
    let points: Vec<Point> = runs.iter().filter_map(|run| run.point(None)).collect();
    let (ended_by, error) = failed.unzip();
    let study = study(&points, args.seed);
    let (component, scenario) = (subject.axis.component().to_owned(), subject.scenario);
    let found = Found { target, axis: kind, component, scenario, forecast, runs, ended_by, study };
    let directory = write(&studies(&project), &found, &points)?;
    println!("{}", text::render(&found, &points));
    let plot = directory.join(PLOT);
    if plot.exists() {
        eprintln!("plot: {}", plot.display());
    }
    error.map_or_else(|| Ok(worst(&exits, &found.runs)), Err)
}

/// One run: its id, exit code and report.
fn one(options: Options, progress: &Progress) -> Result<(String, ExitCode, Report)> {
    let outcome = block_on(run_once(options, progress))??;
    let report = outcome.report.context("a run without suites measures no throughput")?;
    Ok((outcome.directory.id(), outcome.exit, report))
}

/// A fault in the system outranks a missing figure.
fn worst(exits: &[ExitCode], runs: &[Level]) -> ExitCode {
    let is_complete = runs.iter().all(|run| run.requests_per_second.is_some());
    let incomplete = (!is_complete).then_some(ExitCode::Incomplete);
    let order = [ExitCode::Fail, ExitCode::NotUp, ExitCode::Incomplete];
    order.into_iter().find(|code| exits.contains(code) || incomplete == Some(*code)).unwrap_or(ExitCode::Pass)
}

impl Args {
    /// The levels as they were given.
    fn counts(&self) -> &[u32] {
        if self.shards.is_empty() { &self.replicas } else { &self.shards }
    }

    /// The levels and controls of each round.
    fn levels(&self) -> Result<Vec<(u32, Option<Control>)>> {
        let mut distinct = self.counts().to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() != self.counts().len() {
            let flag = if self.shards.is_empty() { "--replicas" } else { "--shards" };
            let text = format!("{flag} names a level twice; use --repeat to measure levels more than once");
            return bad_input(text);
        }
        if self.controls && self.target.0 != Some(Target::Docker) {
            return bad_input("--controls studies Docker's bridge and needs --target docker");
        }
        let own = self.counts().iter().map(|level| (*level, None));
        let controls = Control::ALL.into_iter().filter(|_| self.controls);
        let controls = controls.flat_map(|control| control::LEVELS.map(|replicas| (replicas, Some(control))));
        Ok(own.chain(controls).collect())
    }

    /// One run of the study.
    fn options(&self, project: &Options, subject: &Subject, level: u32, control: Option<Control>) -> Result<Options> {
        let mut options = Options {
            target: self.target.0,
            scenarios: vec![subject.scenario.clone()],
            clients: self.clients,
            duration: Some(self.duration),
            filter: self.filter.clone(),
            ..project.clone()
        };
        subject.axis.apply(&mut options, level);
        if let (Some(control), Axis::Replicas(component)) = (control, &subject.axis) {
            control.apply(&mut options, component, &studies(project))?;
        }
        Ok(options.waiting())
    }
}

/// The directory of all studies.
fn studies(project: &Options) -> PathBuf {
    project.runs().join("scale")
}

/// Each level once per round, in a new random order each round, but that the first run has level 1: it forecasts the others.
fn order(levels: &[(u32, Option<Control>)], rounds: u32, seed: u64) -> Vec<(u32, Option<Control>)> {
    let mut order = Vec::new();
    for round in 0..rounds {
        let mut shuffled = levels.to_vec();
        Random::new(seed, round).shuffle(&mut shuffled);
        order.extend(shuffled);
    }
    if let Some(first) = order.iter().position(|level| *level == (1, None)) {
        order[..=first].rotate_right(1);
    }
    order
}

fn level(level: u32, control: Option<Control>, run: String, report: &Report, scenario: &str) -> Level {
    let scenario = report.scenario(scenario);
    let rate = scenario.and_then(|scenario| scenario.figures.rate_per_second).filter(|rate| *rate > 0.0);
    Level {
        level,
        control,
        run,
        verdict: report.verdict,
        verdict_reason: report.verdict_reason.clone(),
        requests_per_second: rate,
        host_bound: scenario.and_then(|scenario| Some(scenario.expected.as_ref()?.host_bound)),
        bottleneck: scenario.and_then(|scenario| scenario.bottleneck.clone()),
    }
}

/// The plot of a study that has rates.
const PLOT: &str = "scale.svg";

/// Writes `scale.json`, `scale.md` and the plot beside the runs.
fn write(studies: &Path, found: &Found, points: &[Point]) -> Result<PathBuf> {
    let last = found.runs.last().map(|run| run.run.as_str()).unwrap_or("none");
    let directory = studies.join(last);
    let hosts: Vec<Point> = found.runs.iter().filter_map(Level::host).collect();
    let plot = scaling(points, &found.study, &hosts);
    let image = plot.as_ref().map_or(String::new(), |_| format!("\n![throughput by {}s]({PLOT})\n", found.axis.word()));
    let files = [
        ("scale.json", Some(serde_json::to_string_pretty(found)? + "\n")),
        ("scale.md", Some(format!("{}\n{image}", text::render(found, points)))),
        (PLOT, plot.map(|plot| standalone(&plot))),
    ];
    for (file, content) in files {
        let Some(content) = content else { continue };
        directories::write(&directory.join(file), &content)?;
    }
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::parsed;

    #[test]
    fn levels_take_turns_and_each_round_has_all() {
        let levels = [1, 2, 3, 4, 6, 8].map(|level| (level, None));
        let order = order(&levels, 3, 1);
        for round in order.chunks(6) {
            let mut sorted = round.to_vec();
            sorted.sort_unstable_by_key(|(level, _)| *level);
            assert_eq!(sorted, levels);
        }
        assert_eq!(order[0], (1, None));
        assert_ne!(order[..6], order[6..12]);
    }

    #[test]
    fn controls_are_measured_in_every_round_beside_the_levels() {
        let mut args: Args = parsed(&["scale", "--target", "docker", "--replicas", "4,8", "--controls"]);
        let levels = args.levels().unwrap();
        let of =
            |control| levels.iter().filter(|(_, of)| *of == control).map(|(replicas, _)| *replicas).collect::<Vec<_>>();
        for control in [None, Some(Control::PublishedPorts), Some(Control::FixedCpu)] {
            assert_eq!(of(control), [4, 8]);
        }
        args.replicas = vec![1, 1];
        assert!(args.levels().unwrap_err().to_string().contains("a level twice"));
    }
}
