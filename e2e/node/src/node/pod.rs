//! One pod: waits for its dependencies, runs its init containers in order and its containers in parallel.

use e2e_kubelet::{
    snapshot::{ContainerReport, PodSpec, Snapshot},
    status::ContainerState,
    worker::{Policy, RestartPolicy},
};
use tokio::{sync::watch, task::JoinSet};

use super::{Mode, Options, Runtime, container, context::Context};

/// Runs a pod until the node ends.
pub(super) async fn run<R: Runtime>(mut context: Context<R>, spec: PodSpec) {
    if !may_start(&mut context, &spec).await {
        return;
    }
    let Options { eager, profile, .. } = &*context.options;
    let always = Policy {
        restart: RestartPolicy::Always,
        grace: spec.grace,
        eager: *eager,
        timing: profile.timing,
        post_start: false,
        pre_stop: false,
    };
    let (sidecar_mode, mode) = watch::channel(Mode::Keep);
    let sidecar_context = Context { mode, ..context.clone() };
    let mut sidecars = JoinSet::new();
    for init in &spec.init_containers {
        if init.is_sidecar {
            sidecars.spawn(container::drive(sidecar_context.clone(), spec.name.clone(), init.clone(), always));
            if !reached(&mut context, &spec.name, &init.name, |container| container.status.started).await {
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
        let (name, waits) = (container.name.clone(), container.hooks.post_start.is_some());
        containers.spawn(container::drive(context.clone(), spec.name.clone(), container, policy));
        // A kubelet starts containers in turn, and the next one after this one's hook, whatever comes of it.
        let is_past = |container: &ContainerReport| match &container.status.state {
            ContainerState::Waiting { reason, .. } => reason != "ContainerCreating" && reason != "PodInitializing",
            ContainerState::Running { .. } | ContainerState::Terminated(_) => true,
        };
        if waits && !reached(&mut context, &spec.name, &name, is_past).await {
            break;
        }
    }
    all_ended(&mut containers).await;
    // A completed pod no longer needs its sidecars; otherwise the node ends, and they end after the containers.
    let mode = *context.mode.borrow();
    sidecar_mode.send_replace(if mode == Mode::Keep { Mode::Terminate } else { mode });
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

/// Waits until a container has reached a state; `false` if the node ends first.
async fn reached<R: Runtime>(
    context: &mut Context<R>,
    pod: &str,
    container: &str,
    state: impl Fn(&ContainerReport) -> bool,
) -> bool {
    let mut seen = context.board.subscribe();
    let is_reached =
        |snapshot: &Snapshot| snapshot.pod(pod).and_then(|report| report.container(container)).is_some_and(&state);
    tokio::select! {
        biased;
        _ = context.mode.wait_for(|mode| *mode != Mode::Keep) => false,
        waited = seen.wait_for(is_reached) => waited.is_ok(),
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
