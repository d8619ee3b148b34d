//! `cargo xtask e2e`: up, suites, report, down.

use std::time::Duration;

use anyhow::Result;
use e2e_report::run_dir;
use e2e_run::{
    Options, Outcome,
    against::{AGAINST_HTML, AgainstOptions},
    comparison,
    exit::ExitCode,
    progress::Progress,
};

use crate::{
    compare,
    failure::bad_input,
    options::{Format, LoadArgs, SystemArgs, block_on, of_component, print_json},
    up::detach,
};

/// Bring the system up, run the suites, write a report, and tear everything down.
///
/// Exit codes: 0 pass, 1 fail, 2 bad input, 3 the system did not come up, 4 interrupted, 5 incomplete (a measurement is missing),
/// 7 slower (with --against).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask e2e
  cargo xtask e2e --target local --duration 10s --clients 10
  cargo xtask e2e --overlay fixtures/overlays/founding-incident
  cargo xtask e2e --set backend.env.BACKEND_POOL_SIZE=1 --keep
  cargo xtask e2e --target docker,local --duration 20s   # 3 alternating runs of each, compared
  cargo xtask e2e --duration 10s --filter 'test(probe) + test(health)'   # only these checks
  cargo xtask e2e --against main   # is the working tree slower than main?
  cargo xtask e2e --during 'kill backend-0 at 10s' --during 'rollout backend at 30s'   # faults while the load is on
  cargo xtask e2e --during 'random any at random' --during-seed 1 --repeat 20   # twenty faults, of seeds 1 to 20
  cargo xtask e2e --update-snapshots   # accept changes, then review with git diff snapshots/")]
pub(crate) struct Args {
    #[command(flatten)]
    system: SystemArgs,
    #[command(flatten)]
    load: LoadArgs,
    /// Leave the system running, and print how to inspect and remove it.
    #[arg(long)]
    keep: bool,
    /// Runs per target, alternating [default: 1, or 3 with several targets, since one run cannot show the variance between runs].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000), conflicts_with = "keep")]
    repeat: Option<u32>,
    /// Run only checks that match a nextest filterset; skips the snapshot comparison.
    #[arg(long, value_name = "FILTERSET", conflicts_with = "update_snapshots")]
    filter: Option<String>,
    /// Overwrite the snapshot with this run's result.
    // Only a run of everything that is declared is compared with a snapshot.
    #[arg(long, conflicts_with_all = ["manifests", "render", "overlay", "set", "replicas", "scenarios", "during"])]
    update_snapshots: bool,
    #[command(flatten)]
    against: AgainstArgs,
    /// Print a summary, or the report as JSON; with several runs, their comparison.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Flags that compare the working tree with another version.
#[derive(Debug, clap::Args)]
struct AgainstArgs {
    #[command(flatten)]
    base: BaseArgs,
    /// Stop measuring after this long; ends earlier once every figure is settled or a loss is confirmed [default: 15m].
    #[arg(long, value_name = "DURATION", value_parser = e2e_plan::duration::parse_positive, requires = "base", help_heading = "Base against head")]
    at_most: Option<Duration>,
    /// Length of a block [default: 2s].
    #[arg(long, value_name = "DURATION", value_parser = e2e_plan::duration::parse_positive, requires = "base", help_heading = "Base against head")]
    block: Option<Duration>,
    /// The largest difference that does not matter; four times as much for the 99th percentile [default: 5%].
    #[arg(long, value_name = "PERCENT", value_parser = parse_share, requires = "base", help_heading = "Base against head")]
    line: Option<f64>,
}

/// What the working tree is compared with.
#[derive(Debug, clap::Args)]
#[group(id = "base", multiple = true, conflicts_with_all = ["keep", "repeat", "filter", "update_snapshots", "duration"])]
struct BaseArgs {
    /// Compare the working tree with a branch, a tag or a commit: bring both up and measure them in alternating blocks.
    #[arg(long, value_name = "REF", help_heading = "Base against head")]
    against: Option<String>,
    /// Give a component of the base this image; repeatable. Without --against, both versions are otherwise the same.
    #[arg(long, value_name = "COMPONENT=IMAGE", value_parser = parse_image, help_heading = "Base against head")]
    against_image: Vec<(String, String)>,
}

/// Enough for a loss of 5% where blocks vary by 4%; see docs/compare.md.
const AT_MOST: Duration = Duration::from_secs(15 * 60);
/// Long enough for thousands of requests, short enough for the machine to be the same for the next block.
const BLOCK: Duration = Duration::from_secs(2);
/// What reviewers usually ask about.
const LINE: f64 = 0.05;

impl AgainstArgs {
    fn request(&self) -> Option<AgainstOptions> {
        let BaseArgs { against, against_image } = &self.base;
        (against.is_some() || !against_image.is_empty()).then(|| AgainstOptions {
            reference: against.clone(),
            images: against_image.iter().cloned().collect(),
            block: self.block.unwrap_or(BLOCK),
            at_most: self.at_most.unwrap_or(AT_MOST),
            line: self.line.unwrap_or(LINE),
        })
    }
}

fn parse_image(text: &str) -> Result<(String, String), String> {
    of_component(text, "write COMPONENT=IMAGE, such as backend=registry.example/backend:1.4")
}

/// `5%` or `5` as a share.
fn parse_share(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').unwrap_or(text).parse::<f64>().ok();
    let percent = percent.filter(|percent| (0.1..=50.0).contains(percent));
    percent.map(|percent| percent / 100.0).ok_or_else(|| "write a share from 0.1% to 50%, such as 5%".to_owned())
}

pub(crate) fn run(args: &Args, project: &Options) -> Result<ExitCode> {
    if args.keep && !args.system.hold {
        args.system.one_target("--keep");
        let (directory, exit) = detach(&args.system, project)?;
        let report = directory.join(run_dir::REPORT_JSON);
        if args.format == Format::Json && report.exists() {
            println!("{}", std::fs::read_to_string(&report)?.trim_end());
        }
        return Ok(exit);
    }
    let options = Options {
        filter: args.filter.clone(),
        update_snapshots: args.update_snapshots,
        ..args.system.options(Some(&args.load), project)?
    };
    let progress = Progress::new();
    let targets = args.system.targets();
    if let Some(request) = args.against.request() {
        return against(args, options, &request, &progress);
    }
    let repeat = args.repeat.unwrap_or(if targets.len() > 1 { REPEAT } else { 1 });
    if targets.len() > 1 || repeat > 1 {
        return alternate(args, &options, repeat, &progress);
    }
    let outcome = block_on(e2e_run::run(options, &progress))??;
    if let (Some(report), Some(summary)) = (&outcome.report, outcome.summary()) {
        match args.format {
            Format::Json => print_json(report)?,
            Format::Text => println!("{summary}"),
        }
        outcome.say_where();
    }
    Ok(outcome.exit)
}

/// The working tree against another version.
fn against(args: &Args, options: Options, request: &AgainstOptions, progress: &Progress) -> Result<ExitCode> {
    if args.system.targets().len() > 1 {
        return bad_input("--against compares two versions on one target; name one with --target");
    }
    let compared = block_on(Box::pin(e2e_run::against::against(options, request, progress)))??;
    match args.format {
        Format::Json => print_json(&compared.result)?,
        Format::Text => print!("\n{}", e2e_report::against::render(&compared.result)),
    }
    eprintln!("comparison: {}", compared.directory.join(AGAINST_HTML).display());
    Ok(compared.exit)
}

/// Enough for a confidence interval; more runs narrow it.
const REPEAT: u32 = 3;

/// Several runs, alternating between targets, and their comparison.
fn alternate(args: &Args, options: &Options, repeat: u32, progress: &Progress) -> Result<ExitCode> {
    let show = |outcome: &Outcome| {
        if let Some(summary) = outcome.summary() {
            match args.format {
                // Standard output is reserved for the comparison.
                Format::Json => eprintln!("{summary}"),
                Format::Text => println!("{summary}"),
            }
            outcome.say_where();
        }
    };
    let compared = block_on(comparison::alternate(options, args.system.targets(), repeat, progress, &show))??;
    if args.format == Format::Text {
        println!();
    }
    compare::show(&compared.result, &compared.directory, args.format)?;
    Ok(compared.exit)
}
