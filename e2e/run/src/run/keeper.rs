//! Who looks after the pods: the kubelet in a box, or a cluster's own. Main type: [`Keeper`].

use std::time::Duration;

use e2e_kubelet::snapshot::Snapshot;
use e2e_node::node::{Node, NotReached, Restarter, wait_for};
use tokio::sync::watch;

/// Who looks after the pods.
pub(super) enum Keeper {
    /// This program.
    Node(Node),
    /// A cluster, which tells what it does.
    Cluster(watch::Receiver<Snapshot>),
}

impl Keeper {
    /// What is known, as it changes.
    pub(super) fn watch(&self) -> watch::Receiver<Snapshot> {
        match self {
            Self::Node(node) => node.watch(),
            Self::Cluster(snapshots) => snapshots.clone(),
        }
    }

    /// Through which containers can be started again; nothing where a cluster decides that.
    pub(super) fn restarter(&self) -> Option<Restarter> {
        match self {
            Self::Node(node) => Some(node.restarter()),
            Self::Cluster(_) => None,
        }
    }

    /// What is known now.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.watch().borrow().clone()
    }

    /// Waits until `reached` is true of what is known, for `limit` at most.
    pub(super) async fn wait_for(
        &self,
        missing: &str,
        limit: Duration,
        reached: impl FnMut(&Snapshot) -> bool,
    ) -> Result<Snapshot, NotReached> {
        wait_for(self.watch(), missing, limit, reached).await
    }

    /// Ends the looking after; from here on no exit leads to a restart by this program.
    pub(super) async fn shutdown(self) {
        if let Self::Node(node) = self {
            node.shutdown().await;
        }
    }
}
