//! `cargo xtask gc`: removes what runs left that were killed.

use anyhow::Result;
use e2e_run::{
    exit::ExitCode,
    run::{Options, collect_garbage},
};

use crate::options::{ClusterArgs, block_on, project};

/// Remove what killed runs left: containers, networks, volumes and namespaces labelled e2e.run, private data, secrets.
///
/// Nothing of a run that is alive is touched, and nothing that is not ours. A namespace that another machine made is removed
/// when it is older than six hours.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask gc\n  cargo xtask gc --context kind-dev")]
pub(crate) struct Args {
    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let options = Options { cluster: args.cluster.options(), ..project() };
    let (removed, unseen) = block_on(collect_garbage(&options))??;
    for reason in unseen {
        eprintln!("not looked at: {reason}");
    }
    eprintln!("removed {removed}");
    Ok(ExitCode::Pass)
}
