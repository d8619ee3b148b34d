//! What pods use, from the kubelets' own summaries. Main function: [`of_nodes`].

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::cluster::Cluster;
use crate::provider::Usage;

/// One node's summary (`/stats/summary`, `k8s.io/kubelet/pkg/apis/stats/v1alpha1`), as far as it is used.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    #[serde(default)]
    pods: Vec<PodStats>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodStats {
    pod_ref: PodReference,
    #[serde(default)]
    containers: Vec<ContainerStats>,
}

#[derive(Debug, Deserialize)]
struct PodReference {
    namespace: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct ContainerStats {
    cpu: Option<CpuStats>,
    memory: Option<MemoryStats>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CpuStats {
    usage_core_nano_seconds: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MemoryStats {
    /// Without page cache that the kernel gives back when asked.
    working_set_bytes: Option<u64>,
}

/// What the pods of the run's namespace use, by the cluster's names of them. Nodes that do not tell are left out, and so is a
/// container of which one of the figures is missing, as it is in its first seconds.
pub(super) async fn of_nodes(cluster: &Cluster, nodes: &BTreeSet<String>) -> BTreeMap<String, Usage> {
    let summaries = nodes.iter().map(|node| of_node(cluster, node));
    let mut usage: BTreeMap<String, Usage> = BTreeMap::new();
    for summary in futures_util::future::join_all(summaries).await.into_iter().flatten() {
        for (pod, used) in summary.usage(&cluster.namespace) {
            *usage.entry(pod).or_default() += used;
        }
    }
    usage
}

async fn of_node(cluster: &Cluster, node: &str) -> Option<Summary> {
    let path = format!("/api/v1/nodes/{node}/proxy/stats/summary?only_cpu_and_memory=true");
    let request = axum::http::Request::get(path).body(Vec::new()).ok()?;
    cluster.client.request::<Summary>(request).await.ok()
}

impl Summary {
    fn usage(self, namespace: &str) -> Vec<(String, Usage)> {
        let ours = self.pods.into_iter().filter(|pod| pod.pod_ref.namespace == namespace);
        let used = ours.flat_map(|pod| {
            let name = pod.pod_ref.name;
            pod.containers.into_iter().filter_map(move |container| {
                let memory_bytes = container.memory?.working_set_bytes?;
                let cpu_seconds = container.cpu?.usage_core_nano_seconds? as f64 / 1e9;
                Some((name.clone(), Usage { memory_bytes, cpu_seconds }))
            })
        });
        used.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_the_sum_of_its_containers() {
        let text = r#"{"node": {"nodeName": "a"}, "pods": [
            {"podRef": {"name": "x", "namespace": "ours", "uid": "1"}, "containers": [
                {"name": "app", "cpu": {"usageCoreNanoSeconds": 1500000000}, "memory": {"workingSetBytes": 1000, "rssBytes": 1}},
                {"name": "helper", "cpu": {"usageCoreNanoSeconds": 500000000}, "memory": {"workingSetBytes": 24}},
                {"name": "starting"}
            ]},
            {"podRef": {"name": "y", "namespace": "theirs", "uid": "2"}, "containers": [
                {"name": "app", "cpu": {"usageCoreNanoSeconds": 1}, "memory": {"workingSetBytes": 1}}
            ]}
        ]}"#;
        let summary: Summary = serde_json::from_str(text).unwrap();
        let mut sum = Usage::default();
        for (pod, used) in summary.usage("ours") {
            assert_eq!(pod, "x");
            sum += used;
        }
        assert_eq!(sum, Usage { memory_bytes: 1024, cpu_seconds: 2.0 });
    }
}
