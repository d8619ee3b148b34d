//! `cargo xtask gc`: removes what runs left that were killed.

use anyhow::Result;
use e2e::{exit::ExitCode, run::collect_garbage};

use crate::options::{block_on, project};

/// Remove what killed runs left: containers, networks and volumes labelled e2e.run, private data, secrets.
///
/// Nothing of a run that is alive is touched, and nothing that is not ours.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cargo xtask gc")]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args) -> Result<ExitCode> {
    let removed = block_on(collect_garbage(&project().runs()))??;
    eprintln!("removed {removed}");
    Ok(ExitCode::Pass)
}
