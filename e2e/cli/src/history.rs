//! `cargo xtask history`: the runs made so far, and where their figures changed for good.

use anyhow::Result;
use e2e_report::history;
use e2e_run::{exit::ExitCode, history::read};

use crate::options::project;

/// Show the runs made so far and where their figures changed for good.
///
/// Runs are compared with the latest one if they share its target, machine, load and changes to the manifests.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask history
  cargo xtask history --last 100")]
pub(crate) struct Args {
    /// Number of runs in the table; trends are those of all runs.
    #[arg(long, value_name = "N", default_value_t = 20)]
    last: usize,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let entries = read(&project().runs())?;
    print!("{}", history::render(&entries, args.last));
    Ok(ExitCode::Pass)
}
