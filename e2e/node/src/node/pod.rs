//! One pod: waits for its dependencies, runs its init containers in order and its containers in parallel.

use std::{sync::Arc, time::Duration};

use e2e_kubelet::{
    snapshot::{PodReport, PodSpec, Snapshot},
    status::{EventType, add_event},
    worker::{Policy, RestartPolicy},
};
use tokio::{
    sync::{broadcast, watch},
    task::JoinSet,
    time::Instant,
};

use super::{Mode, Options, Restart, Runtime, container};

/// The state shared by a node's tasks.
pub(super) struct Context<R> {
    pub(super) runtime: Arc<R>,
    pub(super) options: Arc<Options>,
    pub(super) mode: watch::Receiver<Mode>,
    pub(super) restarts: broadcast::Sender<Restart>,
    board: Arc<watch::Sender<Snapshot>>,
}

impl<R> Clone for Context<R> {
    fn clone(&self) -> Self {
        Self {
            runtime: Arc::clone(&self.runtime),
            options: Arc::clone(&self.options),
            mode: self.mode.clone(),
            restarts: self.restarts.clone(),
            board: Arc::clone(&self.board),
        }
    }
}

impl<R> Context<R> {
    pub(super) fn new(
        runtime: Arc<R>,
        board: watch::Sender<Snapshot>,
        mode: watch::Receiver<Mode>,
        restarts: broadcast::Sender<Restart>,
        options: Options,
    ) -> Self {
        Self { runtime, options: Arc::new(options), mode, restarts, board: Arc::new(board) }
    }

    /// The time since the start of the run.
    pub(super) fn now(&self) -> Duration {
        self.options.epoch.elapsed()
    }

    /// Converts a time since the start of the run to an instant.
    pub(super) fn instant(&self, time: Duration) -> Instant {
        self.options.epoch + time
    }

    /// Changes a pod's report, and notifies watchers.
    pub(super) fn publish(&self, pod: &str, change: impl FnOnce(&mut PodReport)) {
        self.board.send_modify(|snapshot| {
            if let Some(report) = snapshot.pods.get_mut(pod) {
                change(report);
                report.sum_up();
            }
        });
    }

    /// Adds a warning to the events of the pod itself.
    pub(super) fn warn(&self, pod: &str, reason: &str, message: &str) {
        let now = self.now();
        self.publish(pod, |report| add_event(&mut report.events, now, EventType::Warning, reason, message));
    }
}

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
