//! `cargo xtask e2e`: up, suites, report, down.

use anyhow::Result;
use e2e_report::{command, report::summary};
use e2e_run::{
    Options, Outcome, comparison,
    exit::ExitCode,
    progress::{Progress, wants_colour},
};

use crate::{
    options::{LoadArgs, SystemArgs, block_on},
    up::detach,
};

/// Bring the system up, run the suites, write a report, and tear everything down.
///
/// Exit codes: 0 pass, 1 fail, 2 bad input, 3 the system did not come up, 4 interrupted, 5 incomplete (a measurement is missing).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask e2e
  cargo xtask e2e --target local --duration 10s --clients 10
  cargo xtask e2e --overlay fixtures/overlays/founding-incident
  cargo xtask e2e --set backend.env.BACKEND_POOL_SIZE=1 --keep
  cargo xtask e2e --target docker,local --duration 20s   # 3 alternating runs of each, compared
  cargo xtask e2e --duration 10s --filter 'test(probe) + test(health)'   # only these checks
  cargo xtask e2e --update-snapshots   # accept changes, then review with git diff snapshots/")]
pub(crate) struct Args {
    #[command(flatten)]
    system: SystemArgs,
    #[command(flatten)]
    load: LoadArgs,
    /// Leave the system running, and print how to inspect and remove it.
    #[arg(long)]
    keep: bool,
    /// Runs per target, alternating [default: 1, or 3 with several targets, since a single run cannot show run-to-run variance].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000), conflicts_with = "keep")]
    repeat: Option<u32>,
    /// Run only checks that match a nextest filterset; skips the snapshot comparison.
    #[arg(long, value_name = "FILTERSET", conflicts_with = "update_snapshots")]
    filter: Option<String>,
    /// Overwrite the snapshot with this run's result.
    #[arg(long)]
    update_snapshots: bool,
    /// Print a summary or the report as JSON; for several runs, their comparison.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if args.keep && !args.system.hold {
        args.system.one_target("--keep");
        return detach(args.system.run_id.as_deref());
    }
    let options = Options {
        filter: args.filter.clone(),
        update_snapshots: args.update_snapshots,
        ..args.system.options(Some(&args.load))?
    };
    let progress = Progress::new();
    let targets = args.system.targets();
    let repeat = args.repeat.unwrap_or(if targets.len() > 1 { REPEAT } else { 1 });
    if targets.len() > 1 || repeat > 1 {
        return alternate(args, &options, repeat, &progress);
    }
    let outcome = block_on(e2e_run::run(options, &progress))??;
    show(&outcome, args.format, &progress)?;
    Ok(outcome.exit)
}

/// Enough for a confidence interval; more runs narrow it.
const REPEAT: u32 = 3;

/// Several runs, alternating between targets, and their comparison.
fn alternate(args: &Args, options: &Options, repeat: u32, progress: &Progress) -> Result<ExitCode> {
    let show = |outcome: &Outcome| {
        if let Some(report) = &outcome.report {
            let summary = summary::render(report, &progress.elapsed(), wants_colour());
            match args.format {
                // Standard output is reserved for the comparison.
                Format::Json => eprintln!("{summary}"),
                Format::Text => println!("{summary}"),
            }
            say_where(outcome);
        }
    };
    let compared = block_on(comparison::alternate(options, args.system.targets(), repeat, progress, &show))??;
    match args.format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&compared.comparison)?),
        Format::Text => {
            print!("\n{}", std::fs::read_to_string(compared.directory.join(comparison::COMPARISON_MARKDOWN))?);
        }
    }
    eprintln!("comparison: {}", compared.directory.join(comparison::COMPARISON_HTML).display());
    Ok(compared.exit)
}

fn show(outcome: &Outcome, format: Format, progress: &Progress) -> Result<()> {
    let Some(report) = &outcome.report else { return Ok(()) };
    match format {
        Format::Json => println!("{}", serde_json::to_string_pretty(report)?),
        Format::Text => println!("{}", summary::render(report, &progress.elapsed(), wants_colour())),
    }
    say_where(outcome);
    Ok(())
}

/// Prints the snapshot's difference and the report's path.
fn say_where(outcome: &Outcome) {
    if let Some(change) = &outcome.snapshot_change {
        eprintln!("{change}");
        eprintln!(
            "the snapshot changed; accept it with `{}`, then review `git diff snapshots/`",
            command::line("run --update-snapshots")
        );
    }
    eprintln!("report: {}", outcome.directory.join(e2e_report::run_dir::REPORT_MARKDOWN).display());
}
