//! `cargo xtask history`: past runs, and lasting changes in their figures.

use anyhow::Result;
use e2e_report::history;
use e2e_run::{Options, exit::ExitCode, history::HISTORY_HTML};

use crate::directories::write;

/// Show past runs and lasting changes in their figures.
///
/// Runs are compared with the latest one if they share its target, machine, load and changes to the manifests.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask history
  cargo xtask history --last 100")]
pub(crate) struct Args {
    /// Number of runs in the table; trends cover all runs.
    #[arg(long, value_name = "N", default_value_t = 20)]
    last: usize,
}

pub(crate) fn run(args: &Args, project: &Options) -> Result<ExitCode> {
    let entries = project.history(&project.read_config()?).read()?;
    print!("{}", history::render(&entries, args.last));
    if let Some(page) = history::page(&entries, args.last) {
        let path = project.runs().join(HISTORY_HTML);
        write(&path, &page)?;
        eprintln!("page: {}", path.display());
    }
    Ok(ExitCode::Pass)
}
