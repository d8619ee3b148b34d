//! The state shared by a node's tasks. Main type: [`Context`].

use std::{sync::Arc, time::Duration};

use e2e_kubelet::{
    snapshot::{PodReport, Snapshot},
    status::{EventType, add_event},
};
use tokio::{
    sync::{broadcast, watch},
    time::Instant,
};

use super::{Mode, Options, Request};

/// The state shared by a node's tasks.
pub(super) struct Context<R> {
    pub(super) runtime: Arc<R>,
    pub(super) options: Arc<Options>,
    pub(super) mode: watch::Receiver<Mode>,
    pub(super) requests: broadcast::Sender<Request>,
    pub(super) board: Arc<watch::Sender<Snapshot>>,
}

impl<R> Clone for Context<R> {
    fn clone(&self) -> Self {
        Self {
            runtime: Arc::clone(&self.runtime),
            options: Arc::clone(&self.options),
            mode: self.mode.clone(),
            requests: self.requests.clone(),
            board: Arc::clone(&self.board),
        }
    }
}

impl<R> Context<R> {
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
