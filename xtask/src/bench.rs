//! `cargo xtask bench`: comparisons with other tools, alternating, on this machine.

mod load;
mod up;

use anyhow::Result;
use e2e_run::exit::ExitCode;

/// Compare with other tools, alternating, and print every round.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask bench up --rounds 5
  cargo xtask bench load

Exit codes: 0 every round was measured, 1 one could not be, 2 bad input, 3 a required program or engine is missing,
4 interrupted (up)")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Up(up::Args),
    Load(load::Args),
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    match &args.what {
        What::Up(args) => up::run(args),
        What::Load(args) => load::run(args),
    }
}
