//! `cargo xtask gc`: removes the leftovers of killed runs.

use anyhow::Result;
use e2e_run::{Options, collect_garbage, exit::ExitCode};

use crate::options::{ContextArgs, block_on};

/// Remove the leftovers of killed runs: containers, networks, volumes and namespaces labelled e2e.run, private data, secrets.
///
/// Live runs are left alone. A run of another machine counts as dead after six hours.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask gc\n  cargo xtask gc --context kind-dev")]
pub(crate) struct Args {
    #[command(flatten)]
    context: ContextArgs,
}

pub(crate) fn run(args: &Args, project: &Options) -> Result<ExitCode> {
    let options = Options { cluster: args.context.options(), ..project.clone() };
    let (removed, unseen) = block_on(collect_garbage(&options))??;
    for reason in unseen {
        eprintln!("not checked: {reason}");
    }
    eprintln!("removed {removed}");
    Ok(ExitCode::Pass)
}
