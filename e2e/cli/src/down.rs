//! `cargo xtask down`: removes a system that `up` or `--keep` left running.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use e2e::control::Control;
use e2e_node::poll::{Look, until};
use e2e_report::{command, environment::Environment, run_dir};
use e2e_run::{HELD, exit::ExitCode};

use crate::{directories::held_run_directory, options::block_on};

/// Remove a system left running by `up` or `e2e --keep`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cargo xtask down")]
pub(crate) struct Args {
    /// Run id or directory [default: the system that is up].
    run: Option<PathBuf>,
}

/// Longer than the longest grace period of the reference manifests plus the removal.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let directory = held_run_directory(args.run.as_deref())?;
    let environment = Environment::read(&directory.join(run_dir::ENVIRONMENT))?;
    if !directory.join(HELD).exists() {
        bail!("{} was not started by `up` or `--keep`; stop a run in progress with Ctrl-C", environment.run_id);
    }
    block_on(async {
        let control = Control::of(&environment).context("the system is already down")?;
        control.stop().await.with_context(|| {
            format!("the process that kept this system is gone; remove its leftovers with `{}`", command::line("gc"))
        })?;
        until("the system's removal", LIMIT, Duration::from_millis(100), || {
            // The secrets are removed last.
            let gone = !directory.join(run_dir::SECRETS).exists();
            async move { if gone { Look::Done(()) } else { Look::NotYet("removal in progress".to_owned()) } }
        })
        .await?;
        eprintln!("removed {}", environment.run_id);
        Ok(ExitCode::Pass)
    })?
}
