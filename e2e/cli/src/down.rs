//! `cargo xtask down`: removes a system that `up` or `--keep` left running.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use e2e::control::Control;
use e2e_node::poll::{Look, until};
use e2e_report::{
    command,
    environment::{Component, Environment},
    run_dir,
};
use e2e_run::{HELD, Options, exit::ExitCode};

use crate::{directories::held_run_directory, options::block_on};

/// Remove a system left running by `up` or `run --keep`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cargo xtask down

Exit codes: 0 removed, 1 it could not be removed, 2 bad input, 3 the system was down.")]
pub(crate) struct Args {
    /// Run id or directory [default: the system that is up].
    run: Option<PathBuf>,
}

/// How long the removal may take once all pods have stopped.
const REMOVAL: Duration = Duration::from_secs(60);

/// How long to wait for the end of a system: its pods stop side by side.
fn limit(components: &[Component]) -> Duration {
    components.iter().map(|component| component.termination_grace).max().unwrap_or_default() + REMOVAL
}

pub(crate) fn run(args: &Args, project: &Options) -> Result<ExitCode> {
    let directory = held_run_directory(args.run.as_deref(), project)?;
    let environment = Environment::read(&directory.join(run_dir::ENVIRONMENT))?;
    if !directory.join(HELD).exists() {
        bail!("{} was not started by `up` or `--keep`; stop a run in progress with Ctrl-C", environment.run_id);
    }
    block_on(async {
        let control = Control::of(&environment).context("this system is down already")?;
        control.stop().await.with_context(|| {
            format!("the process that kept this system is gone; remove its leftovers with `{}`", command::line("gc"))
        })?;
        until("the system's removal", limit(&environment.components), Duration::from_millis(100), || {
            // The secrets are removed last.
            let gone = !directory.join(run_dir::SECRETS).exists();
            async move { if gone { Look::Done(()) } else { Look::NotYet("removal in progress".to_owned()) } }
        })
        .await?;
        eprintln!("removed {}", environment.run_id);
        Ok(ExitCode::Pass)
    })?
}

#[cfg(test)]
mod tests {
    use e2e_plan::{Manifest, Objects, Plan};
    use e2e_report::environment::components;

    use super::*;

    #[test]
    fn the_longest_grace_period_is_waited_for() {
        let workload = |name: &str, grace: &str| {
            format!(
                "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{ name: {name} }}\nspec:\n  \
                 selector: {{ matchLabels: {{ app: {name} }} }}\n  template:\n    metadata: {{ labels: {{ app: {name} }} }}\n    \
                 spec: {{ {grace} containers: [{{ name: app, image: app }}] }}\n---\n"
            )
        };
        let text = workload("slow", "terminationGracePeriodSeconds: 300,") + &workload("usual", "");
        let plan = Plan::of(Objects::read(&[Manifest { file: "app.yaml".into(), text }])).expect("a plan");
        assert_eq!(limit(&components(&plan)), Duration::from_secs(360));
        assert_eq!(limit(&[]), REMOVAL);
    }
}
