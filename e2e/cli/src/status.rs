//! `cargo xtask status`: the pods of a running system.

use std::path::PathBuf;

use anyhow::{Context, Result};
use e2e_run::{Options, exit::ExitCode};

use crate::{
    directories::{down, run_directory, system},
    options::block_on,
};

/// Show the pods of a running system, like `kubectl get pods`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask status\n  cargo xtask status --events

Exit codes: 0 all pods are ready, 1 some are not, 2 bad input, 3 the system is down.")]
pub(crate) struct Args {
    /// Run id or directory [default: the latest run].
    run: Option<PathBuf>,
    /// Also show the pods' events.
    #[arg(long)]
    events: bool,
}

pub(crate) fn run(args: &Args, project: &Options) -> Result<ExitCode> {
    let directory = run_directory(args.run.as_deref(), project)?;
    let (_, control) = system(&directory)?;
    let snapshot = block_on(control.status())?.with_context(down)?;
    println!("{:<16} {:<6} {:<20} {:<9} IP", "NAME", "READY", "STATUS", "RESTARTS");
    for (name, pod) in &snapshot.pods {
        let ready = pod.running_containers().filter(|container| container.status.ready).count();
        let ip = pod.ip.map_or("<none>".to_owned(), |ip| ip.to_string());
        println!(
            "{name:<16} {:<6} {:<20} {:<9} {ip}",
            format!("{ready}/{}", pod.running_containers().count()),
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
