//! One pod: waits for its dependencies, runs its init containers in order and its containers in parallel.

use std::{collections::BTreeMap, pin::pin, time::Duration};

use e2e_kubelet::{
    snapshot::{ContainerReport, PodReport, PodSpec, Snapshot},
    worker::{Policy, Worker},
};
use e2e_plan::Restart;
use tokio::{
    sync::{broadcast, watch},
    task::JoinSet,
    time::timeout,
};

use super::{
    Mode, Options, Request, Runtime, RuntimeError,
    container::{AGAIN, Ended, drive, ending},
    context::Context,
};

/// The limit for a pod's wait for its dependencies; Kubernetes starts everything at once. It covers a slow database's first start.
const DEPENDENCY_BOUND: Duration = Duration::from_secs(20);

/// Runs a pod until the node ends, and others in its place where it is replaced.
pub(super) async fn run<R: Runtime>(mut context: Context<R>, spec: PodSpec) {
    let mut requests = context.requests.subscribe();
    if !may_start(&mut context, &spec).await {
        return;
    }
    let mut past = Past::new();
    loop {
        // Its containers end with the node, or before when the pod is replaced.
        let (mode, mode_seen) = watch::channel(Mode::Keep);
        let mut pod = pin!(run_once(Context { mode: mode_seen, ..context.clone() }, &spec, past));
        tokio::select! {
            biased;
            _ = &mut pod => return,
            ending = ending(&mut context.mode) => {
                mode.send_replace(ending);
                pod.await;
                return;
            }
            () = replacement(&mut requests, &spec.name) => mode.send_replace(Mode::Terminate),
        };
        past = tokio::select! {
            past = &mut pod => past,
            ending = ending(&mut context.mode) => {
                if ending == Mode::Terminate {
                    pod.await;
                }
                return;
            }
        };
        if !make_room(&mut context, &spec.name).await {
            return;
        }
    }
}

/// The workers of containers that have ended, by name.
type Past = BTreeMap<String, Worker>;

/// Waits for the request to replace a pod.
async fn replacement(requests: &mut broadcast::Receiver<Request>, pod: &str) {
    // Who sends too many at once notices. The context holds the sender, so the channel stays open.
    while !matches!(requests.recv().await, Ok(Request::Replace(replaced)) if replaced == pod) {}
}

/// Removes what is left of a pod, however often that has to be tried; `false` if the node ends.
async fn make_room<R: Runtime>(context: &mut Context<R>, pod: &str) -> bool {
    while let Err(RuntimeError(error)) = context.runtime.replace(pod).await {
        context.warn(pod, "FailedKillPod", &format!("error killing pod: {error}"));
        if timeout(AGAIN, ending(&mut context.mode)).await.is_ok() {
            return false;
        }
    }
    context.publish(pod, PodReport::begin_again);
    *context.mode.borrow() == Mode::Keep
}

/// Runs the containers of a pod until they have ended, or the pod has.
async fn run_once<R: Runtime>(mut context: Context<R>, spec: &PodSpec, past: Past) -> Past {
    let (sidecar_mode, mode) = watch::channel(Mode::Keep);
    let sidecar_context = Context { mode, ..context.clone() };
    let mut containers = Containers { past, sidecars: JoinSet::new(), others: JoinSet::new() };
    containers.start(&mut context, &sidecar_context, spec).await;
    let Containers { mut past, sidecars, others } = containers;
    all_ended(others, &mut past).await;
    // A completed pod no longer needs its sidecars; otherwise the pod ends, and they end after the containers.
    let mode = *context.mode.borrow();
    sidecar_mode.send_replace(if mode == Mode::Keep { Mode::Terminate } else { mode });
    all_ended(sidecars, &mut past).await;
    past
}

/// The containers of a pod.
struct Containers {
    past: Past,
    sidecars: JoinSet<Ended>,
    others: JoinSet<Ended>,
}

impl Containers {
    /// Starts them in a kubelet's order, as far as that goes until the pod ends.
    async fn start<R: Runtime>(&mut self, context: &mut Context<R>, of_sidecars: &Context<R>, spec: &PodSpec) {
        let Options { eager, profile, .. } = &*context.options;
        let always =
            Policy { eager: *eager, acts_at_once: profile.acts_at_once, ..Policy::new(Restart::Always, spec.grace) };
        for init in &spec.init_containers {
            let past = self.past.remove(&init.name);
            if init.is_sidecar {
                self.sidecars.spawn(drive(of_sidecars.clone(), spec.name.clone(), init.clone(), always, past));
                if !reached(context, &spec.name, &init.name, |container| container.status.started).await {
                    return;
                }
                continue;
            }
            let policy = Policy { restart: Restart::OnFailure { failures_max: None }, ..always };
            let ended = drive(context.clone(), spec.name.clone(), init.clone(), policy, past).await;
            self.past.insert(ended.name, ended.worker);
            if !ended.is_over {
                return;
            }
        }
        let policy = Policy { restart: spec.restart, ..always };
        for container in &spec.containers {
            let past = self.past.remove(&container.name);
            self.others.spawn(drive(context.clone(), spec.name.clone(), container.clone(), policy, past));
            // A kubelet starts containers in turn, and the next one after this one's hook, whatever comes of it.
            let is_past = |container: &ContainerReport| !container.status.state.is_new();
            let waits = container.hooks.post_start.is_some();
            if waits && !reached(context, &spec.name, &container.name, is_past).await {
                return;
            }
        }
    }
}

/// Waits for the containers' tasks and keeps their workers.
async fn all_ended(tasks: JoinSet<Ended>, past: &mut Past) {
    past.extend(tasks.join_all().await.into_iter().map(|ended| (ended.name, ended.worker)));
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

/// Waits for what the pod has to come after, and for its dependencies up to the limit; `false` if the node ends first.
async fn may_start<R: Runtime>(context: &mut Context<R>, spec: &PodSpec) -> bool {
    let mut seen = context.board.subscribe();
    let missing = |names: &[String], snapshot: &Snapshot| {
        let started = |name: &&String| snapshot.pods.get(*name).is_some_and(|pod| pod.started);
        names.iter().filter(|name| !started(name)).cloned().collect::<Vec<_>>()
    };
    let wait = async {
        if seen.wait_for(|snapshot| missing(&spec.after, snapshot).is_empty()).await.is_err() {
            return false;
        }
        timeout(DEPENDENCY_BOUND, seen.wait_for(|snapshot| missing(&spec.depends_on, snapshot).is_empty()))
            .await
            .is_ok()
    };
    let all_started = tokio::select! {
        biased;
        _ = context.mode.wait_for(|mode| *mode != Mode::Keep) => return false,
        waited = wait => waited,
    };
    if !all_started {
        let names = missing(&spec.depends_on, &context.board.borrow()).join(", ");
        let message =
            format!("started without {names}, which had not started after {} s", DEPENDENCY_BOUND.as_secs_f64());
        context.warn(&spec.name, "DependencyNotStarted", &message);
    }
    true
}
