//! One pod: waits for its dependencies, runs its init containers in order and its containers in parallel.

use e2e_kubelet::{
    snapshot::{PodSpec, Snapshot},
    worker::{Policy, RestartPolicy},
};
use tokio::task::JoinSet;

use super::{Mode, Options, Runtime, container, context::Context};

/// Runs a pod until the node ends.
pub(super) async fn run<R: Runtime>(mut context: Context<R>, spec: PodSpec) {
    if !may_start(&mut context, &spec).await {
        return;
    }
    let Options { eager, profile, .. } = &*context.options;
    let always = Policy { restart: RestartPolicy::Always, grace: spec.grace, eager: *eager, timing: profile.timing };
    let mut sidecars = JoinSet::new();
    for init in &spec.init_containers {
        if init.is_sidecar {
            sidecars.spawn(container::drive(context.clone(), spec.name.clone(), init.clone(), always));
            if !has_started(&mut context, &spec.name, &init.name).await {
                return;
            }
            continue;
        }
        let policy = Policy { restart: RestartPolicy::OnFailure, ..always };
        if !container::drive(context.clone(), spec.name.clone(), init.clone(), policy).await {
            return;
        }
    }
    let policy = Policy { restart: policy_of(spec.restart), ..always };
    let mut containers = JoinSet::new();
    for container in spec.containers {
        containers.spawn(container::drive(context.clone(), spec.name.clone(), container, policy));
    }
    all_ended(&mut containers).await;
    // A completed pod no longer needs its sidecars; otherwise the node ends, and they end like the containers.
    if *context.mode.borrow() == Mode::Keep {
        sidecars.shutdown().await;
        for sidecar in spec.init_containers.iter().filter(|init| init.is_sidecar) {
            if let Err(error) = context.runtime.kill(&spec.name, &sidecar.name, spec.grace).await {
                context.warn(&spec.name, "FailedKillPod", &error.to_string());
            }
        }
    }
    all_ended(&mut sidecars).await;
}

/// Waits for the containers' tasks, and propagates panics.
async fn all_ended(containers: &mut JoinSet<bool>) {
    while let Some(ended) = containers.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

fn policy_of(restart: e2e_plan::Restart) -> RestartPolicy {
    match restart {
        e2e_plan::Restart::Always => RestartPolicy::Always,
        e2e_plan::Restart::OnFailure { failures_max: None } => RestartPolicy::OnFailure,
        e2e_plan::Restart::OnFailure { failures_max: Some(failures) } => RestartPolicy::UpTo(failures),
        e2e_plan::Restart::Never => RestartPolicy::Never,
    }
}

/// Waits until a sidecar has started by its startup probe; `false` if the node ends first.
async fn has_started<R: Runtime>(context: &mut Context<R>, pod: &str, sidecar: &str) -> bool {
    let mut seen = context.board.subscribe();
    let started = |snapshot: &Snapshot| {
        let container = snapshot.pod(pod).and_then(|report| report.container(sidecar));
        container.is_some_and(|container| container.status.started)
    };
    tokio::select! {
        biased;
        _ = context.mode.wait_for(|mode| *mode != Mode::Keep) => false,
        waited = seen.wait_for(started) => waited.is_ok(),
    }
}

/// Waits for the pod's dependencies, up to the limit; `false` if the node ends first.
async fn may_start<R: Runtime>(context: &mut Context<R>, spec: &PodSpec) -> bool {
    let bound = context.options.dependency_bound;
    let mut seen = context.board.subscribe();
    let missing = |snapshot: &Snapshot| {
        let started = |name: &&String| snapshot.pods.get(*name).is_some_and(|pod| pod.started);
        spec.depends_on.iter().filter(|name| !started(name)).cloned().collect::<Vec<_>>()
    };
    let all_started = tokio::select! {
        biased;
        _ = context.mode.wait_for(|mode| *mode != Mode::Keep) => return false,
        waited = tokio::time::timeout(bound, seen.wait_for(|snapshot| missing(snapshot).is_empty())) => waited.is_ok(),
    };
    if !all_started {
        let names = missing(&context.board.borrow()).join(", ");
        let message = format!("started without {names}, which had not started after {} s", bound.as_secs_f64());
        context.warn(&spec.name, "DependencyNotStarted", &message);
    }
    true
}
