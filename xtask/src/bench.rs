//! `cargo xtask bench`: comparisons with other tools, in turns, on this machine.

mod load;
mod up;

use anyhow::Result;
use e2e::exit::ExitCode;

/// Compare with other tools, in turns, and print every round.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask bench up --rounds 5\n  cargo xtask bench load")]
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
