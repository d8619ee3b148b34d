//! `cargo xtask down`: ends what `up` or `--keep` left running.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use e2e::control::Control;
use e2e_node::poll::{Look, until};
use e2e_report::{environment::Environment, run_dir};
use e2e_run::{exit::ExitCode, run::HELD};

use crate::options::{block_on, run_directory};

/// Remove a system that `up` or `e2e --keep` left running.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cargo xtask down")]
pub(crate) struct Args {
    /// Id or directory of the run; the latest one unless given.
    run: Option<PathBuf>,
}

/// Longer than the longest grace period that the reference manifests declare, with the removal.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let directory = run_directory(args.run.as_deref())?;
    let environment = Environment::read(&directory.join(run_dir::ENVIRONMENT))?;
    if !directory.join(HELD).exists() {
        bail!("{} was not left up by `up` or `--keep`; a run that is under way ends with Ctrl-C", environment.run_id);
    }
    block_on(async {
        let control = Control::of(&environment).context("the system is down already")?;
        control
            .stop()
            .await
            .context("nothing keeps this system any more; `cargo xtask gc` removes what is left of it")?;
        until("the end of the system", LIMIT, Duration::from_millis(100), || {
            // The secrets are the last thing that is removed.
            let gone = !directory.join(run_dir::SECRETS).exists();
            async move { if gone { Look::Done(()) } else { Look::NotYet("it is being removed".to_owned()) } }
        })
        .await?;
        eprintln!("removed {}", environment.run_id);
        Ok(ExitCode::Pass)
    })?
}
