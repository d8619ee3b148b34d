//! `cargo xtask status`: the pods of a running system.

use std::path::PathBuf;

use anyhow::{Context, Result};
use e2e::control::Control;
use e2e_report::{command, environment::Environment, run_dir};
use e2e_run::exit::ExitCode;

use crate::{
    directories::{bring_one_up, run_directory},
    options::block_on,
};

/// Show the pods of a running system, like `kubectl get pods`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask status\n  cargo xtask status --events")]
pub(crate) struct Args {
    /// Run id or directory [default: the latest run].
    run: Option<PathBuf>,
    /// Also show events.
    #[arg(long)]
    events: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let directory = run_directory(args.run.as_deref())?;
    let environment = Environment::read(&directory.join(run_dir::ENVIRONMENT))?;
    let snapshot = block_on(async {
        let control = Control::of(&environment).with_context(|| format!("this system is down; {}", bring_one_up()))?;
        control
            .status()
            .await
            .with_context(|| format!("this system is down; remove its leftovers with `{}`", command::line("gc")))
    })??;
    println!("{:<16} {:<6} {:<20} {:<9} IP", "NAME", "READY", "STATUS", "RESTARTS");
    for (name, pod) in &snapshot.pods {
        let ready = pod.containers.iter().filter(|container| container.status.ready).count();
        let ip = pod.ip.map_or("<none>".to_owned(), |ip| ip.to_string());
        println!(
            "{name:<16} {:<6} {:<20} {:<9} {ip}",
            format!("{ready}/{}", pod.containers.len()),
            pod.status,
            pod.restarts
        );
        if args.events {
            for event in pod.all_events() {
                println!("    {event}");
            }
        }
    }
    Ok(if snapshot.all_ready() { ExitCode::Pass } else { ExitCode::Fail })
}
