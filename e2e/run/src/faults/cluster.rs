//! Carries planned faults out in a cluster, which looks after its pods itself. Main function: [`carry_out`].

use std::time::Duration;

use e2e_report::fault::{Action, PlannedFault};
use futures_util::future::join_all;
use tokio::time::Instant;

use super::hand::{Done, Hand};
use crate::provider::{
    k8s::{K8sPods, drain::Drained},
    pods,
};

/// The shortest grace period that a cluster takes for an orderly deletion: what comes nearest to SIGKILL there.
const SHORTEST_GRACE: u32 = 1;

pub(super) async fn carry_out(hand: &Hand, cluster: &K8sPods, fault: &PlannedFault) -> Done {
    let pod = std::slice::from_ref(&fault.victim);
    match fault.action {
        Action::Kill => hand.replaced_by(pod, delete(cluster, pod, Some(SHORTEST_GRACE))).await,
        Action::Terminate | Action::Delete => hand.replaced_by(pod, delete(cluster, pod, None)).await,
        Action::Restart => {
            let pods = hand.pods_of(&fault.victim);
            hand.replaced_by(&pods, delete(cluster, &pods, None)).await
        }
        Action::Rollout => {
            let pods = hand.pods_of(&fault.victim);
            hand.ready_again(&pods, hand.replaced_by(&pods, roll_out(hand, cluster, &fault.victim)).await).await
        }
        Action::Drain(length) => drain(hand, cluster, &fault.victim, length).await,
        Action::Random | Action::Pause(_) | Action::Partition { .. } | Action::Delay { .. } | Action::Fill { .. } => {
            Done::unresolved()
        }
    }
}

async fn delete(cluster: &K8sPods, pods: &[String], grace_seconds: Option<u32>) -> Result<(), String> {
    let deleted = join_all(pods.iter().map(|pod| cluster.delete(pod, grace_seconds))).await;
    deleted.into_iter().collect::<Result<(), _>>().map_err(|error| error.to_string())
}

async fn roll_out(hand: &Hand, cluster: &K8sPods, component: &str) -> Result<(), String> {
    let spec = pods::of_component(&hand.pods, component).next();
    let spec = spec.ok_or_else(|| format!("there is no component {component}"))?;
    cluster.roll_out(&spec.component).await.map_err(|error| error.to_string())
}

/// Drains the node of a pod for a while, and waits until what was evicted is ready on another node, or there again.
async fn drain(hand: &Hand, cluster: &K8sPods, pod: &str, length: Duration) -> Done {
    let until = Instant::now() + length;
    let Drained { node, pods } = match cluster.cordon(pod).await {
        Ok(drained) => drained,
        Err(error) => return Done::failed(error.to_string()),
    };
    let evict = async {
        let evicted = join_all(pods.iter().map(|pod| cluster.evict(pod, until))).await;
        tokio::time::sleep_until(until).await;
        let evicted = evicted.into_iter().collect::<Result<(), _>>();
        evicted.and(cluster.uncordon(&node).await).map_err(|error| error.to_string())
    };
    hand.ready_again(&pods, hand.replaced_by(&pods, evict).await).await
}
