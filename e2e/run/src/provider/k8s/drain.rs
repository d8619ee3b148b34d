//! Drains the node of a pod for a while, as before its upgrade: it takes no pods, and the run's pods on it are evicted.

use std::time::Duration;

use e2e_node::poll::{self, Look};
use kube::api::EvictParams;
use tokio::time::Instant;

use super::{K8sPods, cordon, error::Error};

/// How long after a refused eviction the next one is tried, as `kubectl drain` does it.
const AGAIN: Duration = Duration::from_secs(5);

/// A node that takes no pods at the moment.
#[derive(Debug)]
pub(crate) struct Drained {
    pub(crate) node: String,
    /// The run's pods on it, which are to be evicted.
    pub(crate) pods: Vec<String>,
}

impl K8sPods {
    /// Keeps the node of the pod in a slot from taking pods.
    ///
    /// # Errors
    ///
    /// There is no such pod, its node takes no pods already, or the cluster refuses it.
    pub(crate) async fn cordon(&self, slot: &str) -> Result<Drained, Error> {
        let error = |reason: &str| Error::of("drain the node of", slot, reason);
        let node = self.object(slot).and_then(|(_, node)| node).ok_or_else(|| error("it is on no node"))?;
        if !cordon::cordon(&self.cluster, &node).await? {
            return Err(error(&format!("{node} was cordoned before this run")));
        }
        let is_there = |slot: &&String| self.object(slot).and_then(|(_, node)| node).as_ref() == Some(&node);
        let pods = self.specs.iter().filter(|spec| spec.component.kind != "DaemonSet").map(|spec| &spec.name);
        let pods = pods.filter(is_there).cloned().collect();
        Ok(Drained { node, pods })
    }

    /// Evicts the pod in a slot, which its PodDisruptionBudget may delay until a moment.
    pub(crate) async fn evict(&self, slot: &str, end: Instant) -> Result<(), Error> {
        let Some((name, _)) = self.object(slot) else { return Ok(()) };
        let evicted = poll::until("its eviction", end.saturating_duration_since(Instant::now()), AGAIN, || async {
            match self.pods().evict(&name, &EvictParams::default()).await {
                Ok(_) => Look::Done(Ok(())),
                // Somebody else was quicker.
                Err(kube::Error::Api(status)) if status.code == 404 => Look::Done(Ok(())),
                Err(kube::Error::Api(status)) if status.code == 429 => Look::NotYet(status.message),
                Err(error) => Look::Done(Err(Error::failed("evict", &name, &error))),
            }
        });
        evicted.await.map_err(|timed_out| Error::of("evict", &name, timed_out))?
    }

    pub(crate) async fn uncordon(&self, node: &str) -> Result<(), Error> {
        cordon::uncordon(&self.cluster, node).await
    }
}
