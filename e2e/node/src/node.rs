//! Runs pods like a kubelet on any runtime: starts, probes, kills, restarts, reports. Main type: [`Node`], over a [`Runtime`]; its
//! state is a [`Snapshot`] that can be watched.

mod container;
mod context;
mod hook;
mod log;
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

use self::context::Context;
use crate::probe::{Profile, Target};

pub use container::observe;
pub use log::ProbeLog;

/// A container runtime. Calls for one container never overlap, except `exec`, `kill` and `wait_exit`.
///
/// Every future may be dropped early: when the node stops, or, for `exec`, when the container has ended.
pub trait Runtime: Send + Sync + 'static {
    /// Starts a container, or a new instance of it, as fresh as its image. Ready when its process runs.
    fn start(&self, pod: &str, container: &str) -> impl Future<Output = Result<(), RuntimeError>> + Send;

    /// Ready once the container's process has ended, which may be at once.
    fn wait_exit(&self, pod: &str, container: &str) -> impl Future<Output = Exit> + Send;

    /// Sends SIGTERM, and SIGKILL after `grace`. Ready once the process has ended. After an error it is called again while the
    /// process runs.
    fn kill(
        &self,
        pod: &str,
        container: &str,
        grace: Duration,
    ) -> impl Future<Output = Result<(), RuntimeError>> + Send;

    /// Runs a command in the container, without a shell, for at most `timeout`.
    fn exec(
        &self,
        pod: &str,
        container: &str,
        command: &[String],
        timeout: Duration,
    ) -> impl Future<Output = Result<ExecResult, ExecError>> + Send;

    /// Removes a pod whose containers have ended, with what does not outlive it: its network, its emptyDir volumes. Its containers are
    /// started again. Nothing of the kind is to remove by default.
    fn replace(&self, _pod: &str) -> impl Future<Output = Result<(), RuntimeError>> + Send {
        std::future::ready(Ok(()))
    }

    /// The pod's addresses; `None` while it has none. Called at every change of the pod, because a restart may change them; must be
    /// cheap.
    fn target(&self, pod: &str) -> Option<Target>;
}

/// A container could not be started or stopped, or a pod not be removed; the text is the error and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct RuntimeError(pub String);

/// The result of a command in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecResult {
    /// The exit status.
    pub exit_code: i32,
    /// Its stdout and stderr; the first 10 KiB suffice.
    pub output: Vec<u8>,
}

/// A command in a container without a result.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ExecError {
    /// It was still running at the timeout: the probe fails.
    #[error("the command was still running at the timeout")]
    TimedOut,
    /// It could not run: the kubelet reports an error and ignores the result.
    #[error("{0}")]
    Failed(String),
}

/// The options of a node.
#[derive(Debug, Clone)]
pub struct Options {
    /// The start of the run: all times in statuses and events count from here.
    pub epoch: Instant,
    /// The kubelet to imitate.
    pub profile: Profile,
    /// The pause between extra startup and readiness probes until the container is ready; see
    /// [`Policy::eager`](e2e_kubelet::worker::Policy::eager). `None`, the default, is a kubelet's behaviour.
    pub eager: Option<Duration>,
    /// Where each probe that counts is kept.
    pub log: ProbeLog,
}

impl Default for Options {
    fn default() -> Self {
        Self { epoch: Instant::now(), profile: Profile::default(), eager: None, log: ProbeLog::default() }
    }
}

/// Pods did not reach a state in time.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{what} after {:.1} s: {last}", after.as_secs_f64())]
pub struct NotReached {
    /// The missing state: `not all pods are ready`.
    pub what: String,
    /// The wait.
    pub after: Duration,
    /// One line for each missing pod.
    pub last: String,
    /// The state at the end.
    pub snapshot: Box<Snapshot>,
}

/// Waits until `reached` holds for the pods' state, on any target. `missing` describes the missing state for the error.
///
/// # Errors
///
/// When `limit` expires.
pub async fn wait_for(
    mut seen: watch::Receiver<Snapshot>,
    missing: &str,
    limit: Duration,
    reached: impl FnMut(&Snapshot) -> bool,
) -> Result<Snapshot, NotReached> {
    // A closed channel means that the node has ended: nothing will change.
    if let Ok(Ok(snapshot)) = tokio::time::timeout(limit, seen.wait_for(reached)).await {
        return Ok(snapshot.clone());
    }
    let snapshot = Box::new(seen.borrow().clone());
    Err(NotReached { what: missing.to_owned(), after: limit, last: snapshot.unready_lines(), snapshot })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Keep,
    /// Stop each container with its grace period.
    Terminate,
    /// Stop managing them.
    Leave,
}

/// What can be requested from a node.
#[derive(Debug, Clone)]
enum Request {
    Restart {
        pod: String,
        container: String,
        spare: Duration,
    },
    /// Another pod in place of the one of this name.
    Replace(String),
}

/// Requests restarts from a node. It may outlive the node; requests then have no effect.
#[derive(Debug, Clone)]
pub struct Restarter(broadcast::Sender<Request>);

impl Restarter {
    /// Requests a restart of a container in its pod. Failures of its startup and liveness probes do not count for as long as `spare`; see
    /// [`Input::Restart`](e2e_kubelet::worker::Input::Restart).
    pub fn restart(&self, pod: &str, container: &str, spare: Duration) {
        // Fails only when the node has ended.
        let _ = self.0.send(Request::Restart { pod: pod.to_owned(), container: container.to_owned(), spare });
    }

    /// Requests that a pod is drained and another one takes its place, which begins with the init containers and without the old one's
    /// volumes. A pod that has run to completion stays.
    pub fn replace(&self, pod: &str) {
        let _ = self.0.send(Request::Replace(pod.to_owned()));
    }
}

/// The number of queued requests; a fault sends one for each pod.
const REQUESTS_WAITING: usize = 1024;

/// Running pods. Dropping it ends the management at once and leaves the containers unchanged.
#[derive(Debug)]
pub struct Node {
    snapshot: watch::Receiver<Snapshot>,
    mode: watch::Sender<Mode>,
    requests: broadcast::Sender<Request>,
    pods: JoinSet<()>,
}

impl Node {
    /// Starts `pods`, all at once except for dependencies. Call it within a tokio runtime.
    pub fn run<R: Runtime>(runtime: Arc<R>, pods: Vec<PodSpec>, options: Options) -> Self {
        let (board, snapshot) = watch::channel(Snapshot::of_specs(&pods));
        let (mode, mode_seen) = watch::channel(Mode::Keep);
        let (requests, _) = broadcast::channel(REQUESTS_WAITING);
        let (options, board) = (Arc::new(options), Arc::new(board));
        let context = Context { runtime, options, mode: mode_seen, requests: requests.clone(), board };
        let mut tasks = JoinSet::new();
        for spec in pods {
            tasks.spawn(pod::run(context.clone(), spec));
        }
        Self { snapshot, mode, requests, pods: tasks }
    }

    /// A handle for restarts.
    #[must_use]
    pub fn restarter(&self) -> Restarter {
        Restarter(self.requests.clone())
    }

    /// The current state.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.borrow().clone()
    }

    /// The state as it changes, for balancers, progress and records.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Snapshot> {
        self.snapshot.clone()
    }

    /// Stops all containers concurrently with their pods' grace periods, without restarts, and returns the final state.
    pub async fn terminate(self) -> Snapshot {
        self.end(Mode::Terminate).await
    }

    /// Ends the management at once, leaves the containers unchanged and returns the final state.
    pub async fn shutdown(self) -> Snapshot {
        self.end(Mode::Leave).await
    }

    async fn end(self, mode: Mode) -> Snapshot {
        // Fails only when every pod has ended.
        let _ = self.mode.send(mode);
        self.ended().await
    }

    /// Waits until every pod has ended by itself, as those of Jobs do, and returns the final state.
    pub async fn ended(self) -> Snapshot {
        self.pods.join_all().await;
        self.snapshot.borrow().clone()
    }
}

#[cfg(test)]
mod tests;
