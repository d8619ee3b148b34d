//! `cargo xtask bench`: comparisons with other tools, in turns, on this machine.

mod up;

use anyhow::Result;
use e2e::exit::ExitCode;

/// Compare with other tools, in turns, and print every round.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cargo xtask bench up --rounds 5")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Up(up::Args),
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    match &args.what {
        What::Up(args) => up::run(args),
    }
}
