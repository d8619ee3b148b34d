//! `cargo xtask logs`: what a component's containers have said.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use e2e::control::{self, Control};
use e2e_report::{
    environment::Environment,
    evidence,
    run_dir::{self, RunDir},
};
use e2e_run::exit::ExitCode;

use crate::{
    directories::run_directory,
    options::{BadInput, block_on},
};

/// Show the logs of a component of a running system, or of a finished run.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask logs backend\n  cargo xtask logs -f backend")]
pub(crate) struct Args {
    /// The component.
    component: String,
    /// Run id or directory [default: the latest run].
    #[arg(long)]
    run: Option<PathBuf>,
    /// Keep showing new lines until the system is down.
    #[arg(long, short)]
    follow: bool,
}

/// The polling interval: shorter is not noticeable.
const PERIOD: Duration = Duration::from_millis(500);

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let directory = run_directory(args.run.as_deref())?;
    let environment = Environment::read(&directory.join(run_dir::ENVIRONMENT))?;
    let mut shown = BTreeMap::new();
    block_on(async {
        let live = match Control::of(&environment) {
            Ok(control) => match control.logs(&args.component).await {
                Err(control::Error::NoAnswer { .. }) => None,
                logs => Some((control, logs?)),
            },
            // Secrets go with the system.
            Err(_) => None,
        };
        let Some((control, logs)) = live else {
            show(&kept(&directory, &environment, &args.component)?, &mut shown);
            return Ok(ExitCode::Pass);
        };
        show(&logs, &mut shown);
        if !args.follow {
            return Ok(ExitCode::Pass);
        }
        loop {
            tokio::time::sleep(PERIOD).await;
            match control.logs(&args.component).await {
                Err(control::Error::NoAnswer { .. }) => return Ok(ExitCode::Pass),
                logs => show(&logs?, &mut shown),
            }
        }
    })?
}

/// The gathered logs of a finished run.
fn kept(directory: &RunDir, environment: &Environment, component: &str) -> Result<BTreeMap<String, String>> {
    let Ok(component) = environment.component(component) else {
        let known: Vec<&str> = environment.components.iter().map(|component| component.name.as_str()).collect();
        return Err(BadInput(format!("there is no component {component}; there are {}", known.join(", "))).into());
    };
    let snapshot: e2e_kubelet::snapshot::Snapshot =
        directory.read_json(evidence::PODS).context("this system is down and its run gathered no logs")?;
    let pods = component.pod_names().filter_map(|name| Some((name.clone(), snapshot.pods.get(&name)?)));
    let containers = pods.flat_map(|(name, pod)| {
        let containers = pod.init_containers.iter().chain(&pod.containers);
        containers.map(|container| (name.clone(), container.name.clone())).collect::<Vec<_>>()
    });
    let read = |(pod, container): (String, String)| {
        let text = directory.read(evidence::log_file(&pod, &container)).ok()?;
        Some((format!("{pod}/{container}"), text))
    };
    Ok(containers.filter_map(read).collect())
}

/// Prints new lines, each prefixed with its container.
fn show(logs: &BTreeMap<String, String>, shown: &mut BTreeMap<String, usize>) {
    for (name, text) in logs {
        let before = shown.entry(name.clone()).or_default();
        // A container that was started anew may begin a shorter log.
        let new = text.get(*before..).unwrap_or(text);
        // A line that is not yet whole is shown once it is.
        let whole = new.rfind('\n').map_or("", |end| &new[..=end]);
        whole.lines().for_each(|line| println!("{name}  {line}"));
        *before = text.len() - new.len() + whole.len();
    }
}
