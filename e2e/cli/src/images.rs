//! `cargo xtask images`: pulls or builds every configured image.

use anyhow::Result;
use e2e_run::{Options, exit::ExitCode, make_images, progress::Progress};

use crate::options::block_on;

/// Pull or build every image of .config/e2e.toml that the Docker engine lacks.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cargo xtask images")]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, project: &Options) -> Result<ExitCode> {
    let outcomes = block_on(make_images(project, &Progress::new()))??;
    for outcome in outcomes {
        println!("{:<24} {} in {}", outcome.image, outcome.origin, e2e_plan::duration::human(outcome.took));
    }
    Ok(ExitCode::Pass)
}
