//! Whether a cluster's nodes have room for a run's pods, and the wait for pods that are leaving. Main type: [`Capacity`];
//! main function: [`wait`].

use std::{iter::Sum, time::Duration};

use e2e_node::poll::{Look, TimedOut, until};
use e2e_plan::quantity;
use futures_util::future::try_join;
use k8s_openapi::{
    api::core::v1::{Namespace, Node, Pod},
    apimachinery::pkg::api::resource::Quantity,
};
use kube::api::ListParams;

use super::{cluster::Cluster, nodes::is_ready};
use crate::provider::pods::PodSpec;

/// Processors and memory of nodes, or as much as pods request of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Capacity {
    pub(super) cpu_millis: i64,
    pub(super) memory_bytes: i64,
}

/// What all agents of a load together ask for: 10,000 requests/s take two thirds of it.
const AGENTS_CPU_MILLIS: i64 = 200;
/// What each asks for at least, so that many of them still stand in line with the pods that they ask.
const AGENT_LEAST_CPU_MILLIS: i64 = 20;
/// What each asks for: a result of a long load is some megabytes.
const AGENT_MEMORY_BYTES: i64 = 64 << 20;

/// A pod that holds room on a node.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Held {
    node: String,
    room: Capacity,
    /// It is being removed, or its namespace is, as that of a run that has just ended.
    is_leaving: bool,
}

/// What becomes of pods that are leaving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    /// They are still there.
    Counted,
    /// They are gone.
    Left,
}

/// The longest wait: twice the time that a pod has by default to end.
const LIMIT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(500);

/// What the cluster's pods hold; nothing when it does not say, as to who may not see the pods of others.
pub(super) async fn held(cluster: &Cluster) -> Option<Vec<Held>> {
    let everything = ListParams::default();
    let pods = cluster.all::<Pod>();
    let namespaces = cluster.all::<Namespace>();
    let (pods, namespaces) = try_join(pods.list(&everything), namespaces.list(&everything)).await.ok()?;
    Some(pods.items.iter().filter_map(|pod| hold(pod, &namespaces.items)).collect())
}

fn hold(pod: &Pod, namespaces: &[Namespace]) -> Option<Held> {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return None;
    }
    let spec = pod.spec.as_ref()?;
    let sum = |key: &str, unit: fn(&str) -> Result<u64, String>| {
        let requests = spec.containers.iter().filter_map(|container| container.resources.as_ref()?.requests.as_ref());
        requests.map(|requests| read(requests.get(key), unit)).sum()
    };
    let is_leaving = |namespace: &Namespace| {
        namespace.metadata.name == pod.metadata.namespace && namespace.metadata.deletion_timestamp.is_some()
    };
    Some(Held {
        node: spec.node_name.clone()?,
        room: Capacity { cpu_millis: sum("cpu", quantity::millis), memory_bytes: sum("memory", quantity::bytes) },
        is_leaving: pod.metadata.deletion_timestamp.is_some() || namespaces.iter().any(is_leaving),
    })
}

/// What each ready node has beyond the requests of the pods that are there.
pub(super) fn free(nodes: &[Node], held: &[Held], leaving: Leaving) -> Vec<Capacity> {
    let of = |node: &Node| {
        let allocatable = node.status.as_ref()?.allocatable.as_ref()?;
        let mut free = Capacity {
            cpu_millis: read(allocatable.get("cpu"), quantity::millis),
            memory_bytes: read(allocatable.get("memory"), quantity::bytes),
        };
        let here = held.iter().filter(|held| Some(&held.node) == node.metadata.name.as_ref());
        for held in here.filter(|held| leaving == Leaving::Counted || !held.is_leaving) {
            free.cpu_millis -= held.room.cpu_millis;
            free.memory_bytes -= held.room.memory_bytes;
        }
        Some(free)
    };
    nodes.iter().filter(|node| is_ready(node)).filter_map(of).collect()
}

/// A quantity; 0 for none, or for one that cannot be read.
fn read(quantity: Option<&Quantity>, unit: fn(&str) -> Result<u64, String>) -> i64 {
    quantity.and_then(|quantity| unit(&quantity.0).ok()).and_then(|value| i64::try_from(value).ok()).unwrap_or(0)
}

impl Capacity {
    /// What a run requests: its pods, and as many agents of the load.
    pub(crate) fn requested(pods: &[PodSpec], agents: u32) -> Self {
        let containers = pods.iter().flat_map(|pod| &pod.component.pod.containers);
        let requests = containers.map(|container| {
            let amount = |request: Option<u64>| request.and_then(|amount| i64::try_from(amount).ok()).unwrap_or(0);
            let resources = &container.resources;
            Self {
                cpu_millis: amount(resources.cpu_request_millis),
                memory_bytes: amount(resources.memory_request_bytes),
            }
        });
        requests.chain((0..agents).map(|_| Self::of_agent(agents))).sum()
    }

    /// What each of so many agents asks of a node. Without a request it would get only what all other pods leave, and measure its own
    /// wait for a processor.
    pub(super) fn of_agent(count: u32) -> Self {
        let share = AGENTS_CPU_MILLIS / i64::from(count.max(1));
        Self { cpu_millis: share.max(AGENT_LEAST_CPU_MILLIS), memory_bytes: AGENT_MEMORY_BYTES }
    }

    /// What is requested and not there, with the remedy. The scheduler decides; its words are in the report.
    pub(super) fn lacks(self, free: &[Self]) -> Vec<String> {
        if free.is_empty() {
            return Vec::new();
        }
        let free: Self = free.iter().copied().sum();
        let cpus = |room: Self| room.cpu_millis as f64 / 1000.0;
        let mib = |room: Self| room.memory_bytes / (1 << 20);
        let cpu = (self.cpu_millis > free.cpu_millis).then(|| {
            let (asked, free) = (cpus(self), cpus(free));
            format!(
                "the pods request {asked:.2} CPUs and {free:.2} are free; lower resources.requests.cpu or add a node"
            )
        });
        let memory = (self.memory_bytes > free.memory_bytes).then(|| {
            let (asked, free) = (mib(self), mib(free));
            format!(
                "the pods request {asked} MiB of memory and {free} are free; lower resources.requests.memory or add a node"
            )
        });
        cpu.into_iter().chain(memory).collect()
    }
}

impl Sum for Capacity {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            cpu_millis: sum.cpu_millis.saturating_add(one.cpu_millis),
            memory_bytes: sum.memory_bytes.saturating_add(one.memory_bytes),
        })
    }
}

/// Whether there is no room only because of pods that are leaving.
fn is_held_by_leaving(requested: Capacity, nodes: &[Node], held: &[Held]) -> bool {
    let lacks = |leaving| !requested.lacks(&free(nodes, held, leaving)).is_empty();
    lacks(Leaving::Counted) && !lacks(Leaving::Left)
}

/// Waits until pods that are leaving, such as those of a run that has just ended, hold nothing that this run requests.
///
/// # Errors
///
/// They are still there after a minute.
pub(crate) async fn wait(
    requested: Capacity,
    cluster: &Cluster,
    nodes: &[Node],
    say: impl Fn(&str),
) -> Result<(), TimedOut> {
    let is_held = async || Some(is_held_by_leaving(requested, nodes, &held(cluster).await?));
    if is_held().await != Some(true) {
        // There is room, or the scheduler alone knows.
        return Ok(());
    }
    say("waiting for room: terminating pods hold the resources that this run requests");
    until("room for the pods", LIMIT, LOOK, async || match is_held().await {
        Some(true) => Look::NotYet("terminating pods hold it".to_owned()),
        Some(false) => Look::Done(()),
        None => Look::NotYet("the pods' requests are unknown".to_owned()),
    })
    .await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(name: &str, ready: &str) -> Node {
        serde_json::from_value(json!({
            "metadata": { "name": name },
            "status": {
                "allocatable": { "cpu": "2", "memory": "1Gi" },
                "conditions": [{ "type": "Ready", "status": ready }],
            },
        }))
        .unwrap()
    }

    fn pod(node: &str, phase: &str, metadata: serde_json::Value) -> Pod {
        let requests = json!({ "cpu": "250m", "memory": "256Mi" });
        serde_json::from_value(json!({
            "metadata": metadata,
            "spec": { "nodeName": node, "containers": [{ "name": "app", "resources": { "requests": requests } }] },
            "status": { "phase": phase },
        }))
        .unwrap()
    }

    #[test]
    fn what_is_free_is_what_nobody_requests_on_ready_nodes() {
        let of = |pod: Pod| hold(&pod, &[]);
        let x = || json!({ "name": "x" });
        let held = [of(pod("a", "Running", x())), of(pod("a", "Succeeded", x())), of(pod("b", "Running", x()))];
        let held: Vec<Held> = held.into_iter().flatten().collect();
        let nodes = [node("a", "True"), node("b", "False")];
        assert_eq!(free(&nodes, &held, Leaving::Counted), [Capacity { cpu_millis: 1750, memory_bytes: 768 << 20 }]);
    }

    #[test]
    fn what_is_leaving_is_waited_for_when_nothing_else_is_in_the_way() {
        let gone = "2026-01-01T00:00:00Z";
        let namespace: Namespace =
            serde_json::from_value(json!({ "metadata": { "name": "e2e-old", "deletionTimestamp": gone } })).unwrap();
        let held = |metadata: serde_json::Value| hold(&pod("a", "Running", metadata), std::slice::from_ref(&namespace));
        let stays = || held(json!({ "name": "x", "namespace": "other" }));
        let leaves = || held(json!({ "name": "x", "namespace": "other", "deletionTimestamp": gone }));
        let goes_with_its_namespace = || held(json!({ "name": "x", "namespace": "e2e-old" }));

        let nodes = [node("a", "True")];
        // 1 GiB: four pods of 256 MiB.
        let new = Capacity { cpu_millis: 0, memory_bytes: 256 << 20 };
        let is_held = |held: [Option<Held>; 4]| {
            let held: Vec<Held> = held.into_iter().flatten().collect();
            is_held_by_leaving(new, &nodes, &held)
        };
        assert!(is_held([stays(), stays(), stays(), leaves()]));
        assert!(is_held([stays(), stays(), stays(), goes_with_its_namespace()]));
        assert!(!is_held([stays(), stays(), stays(), stays()]), "nobody leaves");
        assert!(!is_held([stays(), stays(), leaves(), None]), "there is room already");
    }

    #[test]
    fn a_run_requests_its_pods_and_its_agents() {
        let mut component = super::super::testing::component("new", 1);
        component.pod.containers[0].resources.memory_request_bytes = Some(256 << 20);
        let pods = [PodSpec { name: "new-0".to_owned(), component }];
        assert_eq!(Capacity::requested(&pods, 0), Capacity { cpu_millis: 0, memory_bytes: 256 << 20 });
        assert_eq!(Capacity::requested(&pods, 2), Capacity { cpu_millis: 200, memory_bytes: (256 + 128) << 20 });
        assert_eq!(Capacity::requested(&pods, 20), Capacity { cpu_millis: 400, memory_bytes: (256 + 1280) << 20 });

        let free =
            [Capacity { cpu_millis: 100, memory_bytes: 300 << 20 }, Capacity { cpu_millis: 200, memory_bytes: 0 }];
        assert_eq!(
            Capacity::requested(&pods, 1).lacks(&free),
            ["the pods request 320 MiB of memory and 300 are free; lower resources.requests.memory or add a node"]
        );
        assert!(
            Capacity::requested(&pods, 20).lacks(&free)[0].starts_with("the pods request 0.40 CPUs and 0.30 are free")
        );
        assert!(
            Capacity::requested(&pods, 2).lacks(&[]).is_empty(),
            "nothing is known of a cluster whose nodes may not be seen"
        );
    }
}
