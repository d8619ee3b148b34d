//! What a cluster says of itself and of the run, as `evidence/cluster.json`. Plain data. Main type: [`Cluster`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a cluster said at the end of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cluster {
    /// The API server's version.
    pub version: String,
    /// Context of the kubeconfig.
    pub context: String,
    /// Namespace of the run.
    pub namespace: String,
    /// Every node.
    pub nodes: Vec<Node>,
    /// Every pod of the run.
    pub placement: Vec<Placement>,
    /// Every Deployment and StatefulSet.
    pub rollouts: Vec<Rollout>,
    /// What Services lead to.
    pub endpoints: Vec<ServiceEndpoints>,
    /// Where the time of the bring-up went; nothing when it did not end well.
    pub bring_up: Option<BringUp>,
    /// What was tried of the network.
    pub network: Vec<NetworkCheck>,
    /// Requests of the evidence itself that failed, with the cluster's words.
    pub missing: Vec<String>,
}

/// One node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Whether it takes pods: its condition `Ready`, and nobody has cordoned it.
    pub ready: bool,
    /// Conditions that say that something is wrong, with their messages.
    pub troubles: Vec<String>,
    /// What it has, as the cluster writes it: `cpu`, `memory`.
    #[serde(default)]
    pub capacity: BTreeMap<String, String>,
    /// What pods may use of it, as the cluster writes it: `cpu`, `memory`.
    pub allocatable: BTreeMap<String, String>,
    /// Taints that keep pods away, as `key=value:effect`.
    #[serde(default)]
    pub taints: Vec<String>,
    /// The machine that it runs on, told by its kernel: nodes that are containers share one. Nothing where the cluster does not say.
    #[serde(default)]
    pub machine: Option<String>,
    /// For how long it had said nothing, where that was too long.
    #[serde(default)]
    pub silent_ms: Option<u64>,
    /// The kubelet's version.
    pub kubelet: String,
    /// The container runtime and its version.
    pub runtime: String,
}

/// Where a pod runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Placement {
    /// The component.
    pub component: String,
    /// The pod, as reports name it.
    pub pod: String,
    /// Its name in the cluster; empty while there is none.
    pub object: String,
    /// The node; nothing while it has none.
    pub node: Option<String>,
    /// How many ready nodes take such a pod, their room left out of account.
    #[serde(default)]
    pub choices: u64,
}

/// How far a workload is rolled out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rollout {
    /// `Deployment/backend`.
    pub object: String,
    /// Pods that should run.
    pub desired: i32,
    /// Pods of the current template.
    pub updated: i32,
    /// Pods that are ready.
    pub ready: i32,
}

/// What a Service leads to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceEndpoints {
    /// The Service.
    pub service: String,
    /// Addresses of pods that get its traffic.
    pub ready: Vec<String>,
    /// Addresses of pods that would if they were ready.
    pub not_ready: Vec<String>,
}

/// How long the stages took of the pod that became ready last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BringUp {
    /// That pod.
    pub slowest: String,
    /// From the first request until the cluster had made the pod.
    pub api_ms: u64,
    /// Until it was given to a node.
    pub schedule_ms: u64,
    /// Until its containers ran.
    pub start_ms: u64,
    /// Until its probes said that it is ready.
    pub probe_ms: u64,
}

/// One thing that was tried of the network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NetworkCheck {
    /// What: `Service DNS`, `Service`, `port-forward`, `NodePort`.
    pub what: String,
    /// From where to where.
    pub path: String,
    /// Whether it worked.
    pub passed: bool,
    /// What was seen.
    pub detail: String,
    /// How long it took.
    pub took_ms: f64,
}
