//! `cargo xtask e2e`: the main job.

use anyhow::Result;
use e2e::{
    exit::ExitCode,
    progress::{Progress, wants_colour},
    report::summary,
    run::Outcome,
};

use crate::{
    options::{LoadArgs, SystemArgs, block_on},
    up::detach,
};

/// Bring the system up, run the suites, write a report, take everything down.
///
/// Exit codes: 0 pass, 1 the verdict is fail, 2 bad input, 3 the environment did not come up, 4 interrupted,
/// 5 incomplete (something was not measured).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask e2e
  cargo xtask e2e --target local --duration 10s --clients 10
  cargo xtask e2e --overlay fixtures/overlays/founding-incident
  cargo xtask e2e --set backend.env.BACKEND_POOL_SIZE=1 --keep
  cargo xtask e2e --update-snapshots   # accept what changed, then review with git diff snapshots/")]
pub(crate) struct Args {
    #[command(flatten)]
    system: SystemArgs,
    #[command(flatten)]
    load: LoadArgs,
    /// Leave the system up, and say how to look into it and how to remove it.
    #[arg(long)]
    keep: bool,
    /// Accept the snapshot as it is now.
    #[arg(long)]
    update_snapshots: bool,
    /// What standard output gets: a summary, or the whole report as JSON.
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
        return detach();
    }
    let options =
        e2e::run::Options { update_snapshots: args.update_snapshots, ..args.system.options(Some(&args.load)) };
    let progress = Progress::new();
    let outcome = block_on(e2e::run::run(options, &progress))??;
    show(&outcome, args.format, &progress)?;
    Ok(outcome.exit)
}

fn show(outcome: &Outcome, format: Format, progress: &Progress) -> Result<()> {
    let Some(report) = &outcome.report else { return Ok(()) };
    match format {
        Format::Json => println!("{}", serde_json::to_string_pretty(report)?),
        Format::Text => println!("{}", summary::render(report, &progress.elapsed(), wants_colour())),
    }
    if let Some(difference) = &outcome.snapshot_difference {
        eprintln!("{difference}");
        eprintln!(
            "the snapshot changed; accept it with `cargo xtask e2e --update-snapshots` and review `git diff snapshots/`"
        );
    }
    eprintln!("report: {}", outcome.directory.join(e2e::run_dir::REPORT_MARKDOWN).display());
    Ok(())
}
