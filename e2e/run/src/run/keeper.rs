//! Manages the pods: the kubelet in a box, or the cluster's own. Main type: [`Keeper`].

use std::time::Duration;

use e2e_kubelet::snapshot::Snapshot;
use e2e_node::node::{Node, NotReached, Restarter, wait_for};
use tokio::sync::watch;

pub(super) enum Keeper {
    /// This program.
    Node(Node),
    /// A cluster, which reports what it does.
    Cluster(watch::Receiver<Snapshot>),
}

impl Keeper {
    /// The pods' state, as it changes.
    pub(super) fn watch(&self) -> watch::Receiver<Snapshot> {
        match self {
            Self::Node(node) => node.watch(),
            Self::Cluster(snapshots) => snapshots.clone(),
        }
    }

    /// Restarts containers on request; `None` if a cluster decides that.
    pub(super) fn restarter(&self) -> Option<Restarter> {
        match self {
            Self::Node(node) => Some(node.restarter()),
            Self::Cluster(_) => None,
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.watch().borrow().clone()
    }

    /// Waits until `reached` is true, for at most `limit`.
    pub(super) async fn wait_for(
        &self,
        missing: &str,
        limit: Duration,
        reached: impl FnMut(&Snapshot) -> bool,
    ) -> Result<Snapshot, NotReached> {
        wait_for(self.watch(), missing, limit, reached).await
    }

    /// Stops managing: from here on this program restarts nothing.
    pub(super) async fn shutdown(self) {
        if let Self::Node(node) = self {
            node.shutdown().await;
        }
    }
}
