//! `cargo xtask redeploy`: builds a component's images and replaces its pods, in a system that is up.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use e2e_kubelet::snapshot::{PodReport, Snapshot};
use e2e_node::poll::{Look, until};
use e2e_run::{Options, exit::ExitCode};

use crate::{
    directories::{down, held_run_directory, system},
    options::block_on,
};

/// Rebuild a component's images and replace its pods in a running system.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cargo xtask redeploy backend

Images with a recipe in .config/e2e.toml are rebuilt if their files have changed; on local, the workspace's programs. In a cluster
the nodes get the images, and the component is rolled out.

Exit codes: 0 its pods were replaced and are ready, 1 they are not, 2 bad input, 3 the system is down.")]
pub(crate) struct Args {
    /// The component.
    component: String,
    /// Run id or directory [default: the system that is up].
    #[arg(long)]
    run: Option<PathBuf>,
}

/// How long the component may take to be ready again.
const LIMIT: Duration = Duration::from_secs(300);

pub(crate) fn run(args: &Args, project: &Options) -> Result<ExitCode> {
    let directory = held_run_directory(args.run.as_deref(), project)?;
    let (environment, control) = system(&directory)?;
    block_on(async {
        let names: Vec<String> = environment.component(&args.component)?.pod_names().collect();
        let before = starts(&control.status().await.with_context(down)?, &names);
        control.redeploy(&args.component).await?;
        until("the component", LIMIT, Duration::from_millis(200), || async {
            match control.status().await {
                Ok(now) if is_new(&now, &names, &before) => Look::Done(()),
                Ok(now) => Look::NotYet(now.unready_lines()),
                Err(error) => Look::NotYet(error.to_string()),
            }
        })
        .await?;
        eprintln!("the pods of {} were replaced", args.component);
        Ok(ExitCode::Pass)
    })?
}

/// How often each pod's containers were started again, or how often a cluster has replaced the pod.
fn starts(snapshot: &Snapshot, pods: &[String]) -> Vec<usize> {
    let of = |pod: &PodReport| pod.object.as_ref().map_or(pod.restarts as usize, |object| object.replaced.len());
    pods.iter().map(|name| snapshot.pods.get(name).map_or(0, of)).collect()
}

/// Whether every pod has been started again since, and is ready.
fn is_new(snapshot: &Snapshot, pods: &[String], before: &[usize]) -> bool {
    let is_ready = |name: &String| snapshot.pods.get(name).is_some_and(|pod| pod.ready);
    starts(snapshot, pods).iter().zip(before).all(|(now, before)| now > before) && pods.iter().all(is_ready)
}
