//! Runs pods as a kubelet does, on whatever can start and stop containers: starts, probes, kills, restarts, reports.
//! Main type: [`Node`], over a [`Runtime`]; what it knows is a [`Snapshot`] that can be watched.

mod container;
mod pod;

use std::{future::Future, sync::Arc, time::Duration};

use e2e_kubelet::{
    snapshot::{PodSpec, Snapshot},
    status::Exit,
};
use thiserror::Error;
use tokio::{
    sync::{broadcast, watch},
    task::JoinSet,
    time::Instant,
};

use crate::probe::{Profile, Target};

pub use container::observe;

/// What can run containers. Calls for one container never overlap, but for `exec`, `kill` and `wait_exit`.
///
/// Every future may be dropped before it ends: when the node stops, or, for `exec`, when the container has ended.
pub trait Runtime: Send + Sync + 'static {
    /// Starts a container; again, if an instance of it has ended. Ready when its process runs.
    fn start(&self, pod: &str, container: &str) -> impl Future<Output = Result<(), StartError>> + Send;

    /// Ready once the container's process has ended, at once if it already has.
    fn wait_exit(&self, pod: &str, container: &str) -> impl Future<Output = Exit> + Send;

    /// Asks the process to stop (SIGTERM) and makes it stop (SIGKILL) after `grace`. Ready once it has ended. Called again, a while
    /// after an error, as long as the process runs.
    fn kill(&self, pod: &str, container: &str, grace: Duration) -> impl Future<Output = Result<(), KillError>> + Send;

    /// Runs a command in the container, without a shell, for `timeout` at most.
    fn exec(
        &self,
        pod: &str,
        container: &str,
        command: &[String],
        timeout: Duration,
    ) -> impl Future<Output = Result<ExecResult, ExecError>> + Send;

    /// How the pod can be reached; `None` while it has no address. Asked whenever anything happens to the pod, so that an
    /// address may change with a restart: it should be cheap.
    fn target(&self, pod: &str) -> Option<Target>;
}

/// A container could not be started.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct StartError {
    /// Kubernetes's word: `RunContainerError`, `CreateContainerError`, `ErrImagePull`.
    pub reason: String,
    /// What went wrong and what to try.
    pub message: String,
}

impl StartError {
    /// A container that was there and would not run.
    #[must_use]
    pub fn run(message: impl Into<String>) -> Self {
        Self { reason: "RunContainerError".to_owned(), message: message.into() }
    }
}

/// A container could not be stopped; the text says what went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct KillError(pub String);

/// What a command in a container came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecResult {
    /// The exit status.
    pub exit_code: i32,
    /// What it wrote to stdout and stderr; the first 10 KiB are enough.
    pub output: Vec<u8>,
}

/// A command in a container came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ExecError {
    /// It was still running at the timeout. A failure of the probe.
    #[error("the command was still running at the timeout")]
    TimedOut,
    /// It could not be run. The kubelet reports that and counts it for nothing.
    #[error("{0}")]
    Failed(String),
}

/// How the node behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// The start of the run: all times in statuses and events count from here.
    pub epoch: Instant,
    /// Which kubelet to be.
    pub profile: Profile,
    /// A pod whose dependencies have not started is started anyway after this long, as Kubernetes starts all at once. The
    /// default of 20 s is what a slow database needs for its first start.
    pub dependency_bound: Duration,
    /// Sends further startup and readiness probes so soon after one that found nothing, until the container is ready; see
    /// [`Policy::eager`](e2e_kubelet::worker::Policy::eager). `None`, the default, is what a kubelet does.
    pub eager: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        let dependency_bound = Duration::from_secs(20);
        Self { epoch: Instant::now(), profile: Profile::default(), dependency_bound, eager: None }
    }
}

/// Not every pod became what was waited for in time.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{what} after {:.1} s: {last}", after.as_secs_f64())]
pub struct NotReached {
    /// What is missing, such as `not all pods are ready`.
    pub what: String,
    /// How long it was waited for.
    pub after: Duration,
    /// One line on each pod that is missing.
    pub last: String,
    /// What was known at the end.
    pub snapshot: Box<Snapshot>,
}

/// Waits until `reached` is true of what is known of pods, whoever looks after them. `missing` says for the error what is not so
/// then.
///
/// # Errors
///
/// When `limit` goes by.
pub async fn wait_for(
    mut seen: watch::Receiver<Snapshot>,
    missing: &str,
    limit: Duration,
    reached: impl FnMut(&Snapshot) -> bool,
) -> Result<Snapshot, NotReached> {
    // A closed channel means that no pod is looked after any more: nothing will change.
    if let Ok(Ok(snapshot)) = tokio::time::timeout(limit, seen.wait_for(reached)).await {
        return Ok(snapshot.clone());
    }
    let snapshot = Box::new(seen.borrow().clone());
    Err(NotReached { what: missing.to_owned(), after: limit, last: snapshot.unready_lines(), snapshot })
}

/// Whether the pods are to be kept running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Keep,
    /// Stop each container with its grace period.
    Terminate,
    /// Stop looking after them.
    Leave,
}

/// A container that is to be started again; see [`Input::Restart`](e2e_kubelet::worker::Input::Restart).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restart {
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// How long failures of its startup and liveness probes count for nothing.
    pub spare: Duration,
}

/// Asks a node for restarts. It may outlive the node, and then asks for nothing.
#[derive(Debug, Clone)]
pub struct Restarter(broadcast::Sender<Restart>);

impl Restarter {
    /// Has a container started again.
    pub fn restart(&self, restart: Restart) {
        // Fails only when no container is looked after any more.
        let _ = self.0.send(restart);
    }
}

/// Restarts that are asked for before a container is told of the first: people ask for one after the other.
const RESTARTS_WAITING: usize = 64;

/// Pods that are being looked after. Dropping it stops that at once and leaves the containers as they are.
#[derive(Debug)]
pub struct Node {
    snapshot: watch::Receiver<Snapshot>,
    mode: watch::Sender<Mode>,
    restarts: broadcast::Sender<Restart>,
    pods: JoinSet<()>,
}

impl Node {
    /// Starts to look after `pods`, all at once but for their dependencies. Call it within a tokio runtime.
    pub fn run<R: Runtime>(runtime: Arc<R>, pods: Vec<PodSpec>, options: Options) -> Self {
        let (board, snapshot) = watch::channel(Snapshot::of_specs(&pods));
        let (mode, mode_seen) = watch::channel(Mode::Keep);
        let (restarts, _) = broadcast::channel(RESTARTS_WAITING);
        let context = pod::Context::new(runtime, board, mode_seen, restarts.clone(), options);
        let mut tasks = JoinSet::new();
        for spec in pods {
            tasks.spawn(pod::run(context.clone(), spec));
        }
        Self { snapshot, mode, restarts, pods: tasks }
    }

    /// Through which containers can be started again.
    #[must_use]
    pub fn restarter(&self) -> Restarter {
        Restarter(self.restarts.clone())
    }

    /// What is known now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.borrow().clone()
    }

    /// What is known, as it changes: for a balancer that leaves unready pods out, for progress, for records.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Snapshot> {
        self.snapshot.clone()
    }

    /// Waits until every pod is ready.
    ///
    /// # Errors
    ///
    /// When `limit` goes by; the error says of each unready pod what it is doing.
    pub async fn wait_ready(&self, limit: Duration) -> Result<Snapshot, NotReached> {
        self.wait_for("not all pods are ready", limit, Snapshot::all_ready).await
    }

    /// Waits until `reached` is true of what is known. `missing` says for the error what is not so then.
    ///
    /// # Errors
    ///
    /// When `limit` goes by.
    pub async fn wait_for(
        &self,
        missing: &str,
        limit: Duration,
        reached: impl FnMut(&Snapshot) -> bool,
    ) -> Result<Snapshot, NotReached> {
        wait_for(self.snapshot.clone(), missing, limit, reached).await
    }

    /// Stops every container with its pod's grace period, all at the same time, and returns what was known at the end.
    /// No exit from here on leads to a restart.
    pub async fn terminate(self) -> Snapshot {
        self.end(Mode::Terminate).await
    }

    /// Stops looking after the pods, promptly, and leaves the containers as they are. Returns what was known at the end.
    pub async fn shutdown(self) -> Snapshot {
        self.end(Mode::Leave).await
    }

    async fn end(mut self, mode: Mode) -> Snapshot {
        // Fails only when every pod has ended already.
        let _ = self.mode.send(mode);
        while let Some(ended) = self.pods.join_next().await {
            if let Err(error) = ended
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        self.snapshot.borrow().clone()
    }
}

#[cfg(test)]
mod tests;
