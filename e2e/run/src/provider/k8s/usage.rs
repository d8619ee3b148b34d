//! What pods use, from the kubelets' own summaries and metrics. Main functions: [`of_nodes`], [`throttling_of_nodes`].

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use e2e::prometheus::{Sample, samples};
use e2e_node::poll::{Look, until};
use e2e_report::evidence::{Machine, Throttling, Usage};
use jiff::Timestamp;
use serde::Deserialize;

use super::cluster::Cluster;

/// One node's summary (`/stats/summary`, `k8s.io/kubelet/pkg/apis/stats/v1alpha1`), as far as it is used.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    #[serde(default)]
    node: NodeStats,
    #[serde(default)]
    pods: Vec<PodStats>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeStats {
    #[serde(default)]
    node_name: String,
    cpu: Option<CpuStats>,
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
    time: Option<Timestamp>,
}

impl CpuStats {
    fn seconds(&self) -> Option<f64> {
        Some(self.usage_core_nano_seconds? as f64 / 1e9)
    }

    fn measured_unix_ms(&self) -> Option<u64> {
        u64::try_from(self.time?.as_millisecond()).ok()
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MemoryStats {
    /// Without page cache that the kernel gives back when asked.
    working_set_bytes: Option<u64>,
}

/// What the pods of the run's namespace use, by the cluster's names of them. Nodes that do not tell are left out, and so is a
/// container of which one of the figures is missing, as it is in its first seconds. The second part is how
/// busy the nodes are, with whatever, by their names.
pub(super) async fn of_nodes(
    cluster: &Cluster,
    nodes: &BTreeSet<String>,
) -> (BTreeMap<String, Usage>, BTreeMap<String, Machine>) {
    let summaries = nodes.iter().map(|node| async move {
        let request = to_kubelet(node, "stats/summary?only_cpu_and_memory=true")?;
        cluster.client.request::<Summary>(request).await.ok()
    });
    let summaries = futures_util::future::join_all(summaries).await;
    let machine = |summary: &Summary| {
        let cpu = summary.node.cpu.as_ref()?;
        let (busy_seconds, measured_unix_ms) = (cpu.seconds()?, cpu.measured_unix_ms());
        Some((summary.node.node_name.clone(), Machine { busy_seconds, measured_unix_ms, cpus: None }))
    };
    let machines = summaries.iter().flatten().filter_map(machine).collect();
    let mut usage: BTreeMap<String, Usage> = BTreeMap::new();
    for summary in summaries.into_iter().flatten() {
        for (pod, used) in summary.usage(&cluster.namespace) {
            *usage.entry(pod).or_default() += used;
        }
    }
    (usage, machines)
}

/// A request that the API server passes on to a node's kubelet.
fn to_kubelet(node: &str, path: &str) -> Option<http::Request<Vec<u8>>> {
    http::Request::get(format!("/api/v1/nodes/{node}/proxy/{path}")).body(Vec::new()).ok()
}

/// How often the pods of the run's namespace were held back at their CPU limits, by the cluster's names of them, from what cAdvisor
/// counts in each kubelet (`/metrics/cadvisor`). Nodes that do not tell are left out, and so are pods without a limit.
///
/// cAdvisor looks every 10 to 15 s, so this waits until it has looked again.
pub(super) async fn throttling_of_nodes(cluster: &Cluster, nodes: &BTreeSet<String>) -> BTreeMap<String, Throttling> {
    let last = next_look(async || counters(cluster, nodes).await).await;
    last.into_iter().map(|(pod, counters)| (pod, counters.throttling)).collect()
}

/// The counters once cAdvisor has looked at every pod again, or the last ones that came.
async fn next_look(ask: impl AsyncFn() -> BTreeMap<String, Counters>) -> BTreeMap<String, Counters> {
    let first = ask().await;
    let last = RefCell::new(first.clone());
    let is_old =
        |(pod, before): (&String, &Counters)| last.borrow().get(pod).is_some_and(|now| now.at_ms == before.at_ms);
    // What did not change in time is all that there is.
    let _ = until("cAdvisor's next look", NEXT_LOOK, Duration::from_secs(1), || async {
        if !first.iter().any(is_old) {
            return Look::Done(());
        }
        let now = ask().await;
        last.replace(now);
        Look::NotYet("the counters are as before".to_owned())
    })
    .await;
    last.into_inner()
}

/// cAdvisor's longest interval, and some time for the answers.
const NEXT_LOOK: Duration = Duration::from_secs(17);

/// What was counted of a pod, and when cAdvisor looked last; 0 where it does not say.
#[derive(Debug, Clone, Default, PartialEq)]
struct Counters {
    throttling: Throttling,
    at_ms: u64,
}

async fn counters(cluster: &Cluster, nodes: &BTreeSet<String>) -> BTreeMap<String, Counters> {
    let metrics = nodes
        .iter()
        .map(|node| async move { cluster.client.request_text(to_kubelet(node, "metrics/cadvisor")?).await.ok() });
    let mut all: BTreeMap<String, Counters> = BTreeMap::new();
    for text in futures_util::future::join_all(metrics).await.into_iter().flatten() {
        for (pod, of_container) in counters_in(&text, &cluster.namespace) {
            let counters = all.entry(pod).or_default();
            counters.throttling += of_container.throttling;
            counters.at_ms = counters.at_ms.max(of_container.at_ms);
        }
    }
    all
}

/// What one node's metrics in Prometheus's text format say of the containers of a namespace's pods.
fn counters_in(text: &str, namespace: &str) -> Vec<(String, Counters)> {
    let counted = |sample: Sample<'_>| {
        let value = sample.value as u64;
        let throttling = match sample.name {
            "container_cpu_cfs_periods_total" => Throttling { periods: value, throttled: 0 },
            "container_cpu_cfs_throttled_periods_total" => Throttling { periods: 0, throttled: value },
            _ => return None,
        };
        // Without a container's name it is the sum of the pod, or its sandbox.
        let is_container = !matches!(sample.label("container")?, "" | "POD");
        let counters = Counters { throttling, at_ms: sample.at_ms.unwrap_or(0) };
        (is_container && sample.label("namespace")? == namespace).then_some((sample.label("pod")?.to_owned(), counters))
    };
    samples(text).filter_map(counted).collect()
}

impl Summary {
    fn usage(self, namespace: &str) -> Vec<(String, Usage)> {
        let ours = self.pods.into_iter().filter(|pod| pod.pod_ref.namespace == namespace);
        let used = ours.flat_map(|pod| {
            let name = pod.pod_ref.name;
            pod.containers.into_iter().filter_map(move |container| {
                let memory_bytes = container.memory?.working_set_bytes?;
                let cpu = container.cpu?;
                let (cpu_seconds, measured_unix_ms) = (cpu.seconds()?, cpu.measured_unix_ms());
                Some((name.clone(), Usage { memory_bytes, cpu_seconds, measured_unix_ms }))
            })
        });
        used.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttling_is_read_by_pod() {
        let text = concat!(
            "# TYPE container_cpu_cfs_periods_total counter\n",
            r#"container_cpu_cfs_periods_total{container="app",id="/a",namespace="ours",pod="x"} 1.5e+02 1606312800000"#,
            "\n",
            r#"container_cpu_cfs_throttled_periods_total{container="app",id="/a",namespace="ours",pod="x"} 40"#,
            "\n",
            r#"container_cpu_cfs_periods_total{container="",id="/b",namespace="ours",pod="x"} 999"#,
            "\n",
            r#"container_cpu_cfs_periods_total{container="app",id="/c",namespace="theirs",pod="y"} 7"#,
            "\n",
        );
        let counted = |periods, throttled, at_ms| {
            ("x".to_owned(), Counters { throttling: Throttling { periods, throttled }, at_ms })
        };
        assert_eq!(counters_in(text, "ours"), [counted(150, 0, 1_606_312_800_000), counted(0, 40, 0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_hangs_leaves_the_counters_that_came() {
        let asked = std::cell::Cell::new(0);
        let counted = next_look(async || {
            if asked.replace(asked.get() + 1) == 2 {
                std::future::pending::<()>().await;
            }
            BTreeMap::from([("x".to_owned(), Counters { at_ms: 1, ..Counters::default() })])
        });
        let counted = tokio::time::timeout(NEXT_LOOK + Duration::from_secs(1), counted).await;
        assert_eq!(counted.expect("it ends by itself").len(), 1);
    }

    #[test]
    fn a_pod_is_the_sum_of_its_containers() {
        let text = r#"{"node": {"nodeName": "a"}, "pods": [
            {"podRef": {"name": "x", "namespace": "ours", "uid": "1"}, "containers": [
                {"name": "app", "cpu": {"time": "2020-11-25T14:00:00Z", "usageCoreNanoSeconds": 1500000000}, "memory": {"workingSetBytes": 1000, "rssBytes": 1}},
                {"name": "helper", "cpu": {"time": "2020-11-25T14:00:07Z", "usageCoreNanoSeconds": 500000000}, "memory": {"workingSetBytes": 24}},
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
        // The last figure of one of them is the last one of the sum.
        assert_eq!(sum, Usage { memory_bytes: 1024, cpu_seconds: 2.0, measured_unix_ms: Some(1_606_312_807_000) });
    }
}
