//! `cargo xtask trigger`: runs the Job of a CronJob once, in a system that is up.

use std::path::PathBuf;

use anyhow::Result;
use e2e_run::{Options, exit::ExitCode};

use crate::{
    directories::{held_run_directory, system},
    options::block_on,
};

/// Run a CronJob's Job once in a running system, and show its output.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cargo xtask trigger nightly-report

Each call creates a new Job: NAME-manual-1, NAME-manual-2 and so on.

Exit codes: 0 the Job succeeded, 1 it failed or could not be run, 2 bad input, 3 the system is down.")]
pub(crate) struct Args {
    /// The CronJob.
    name: String,
    /// Run id or directory [default: the system that is up].
    #[arg(long)]
    run: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, project: &Options) -> Result<ExitCode> {
    let directory = held_run_directory(args.run.as_deref(), project)?;
    let (_, control) = system(&directory)?;
    let triggered = block_on(control.trigger(&args.name))??;
    for (container, text) in &triggered.logs {
        text.lines().for_each(|line| println!("{container}  {line}"));
    }
    let states: Vec<String> = triggered.states.iter().map(|(pod, state)| format!("{pod} is {state}")).collect();
    let outcome = if triggered.succeeded { "succeeded" } else { "failed" };
    eprintln!("the Job {} {outcome}: {}", triggered.job, states.join(", "));
    Ok(if triggered.succeeded { ExitCode::Pass } else { ExitCode::Fail })
}
