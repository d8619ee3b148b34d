//! A cluster's state, as `evidence/cluster.json`. Plain data. Main type: [`Cluster`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A cluster's state at the end of a run.
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
    /// The endpoints of Services.
    pub endpoints: Vec<ServiceEndpoints>,
    /// The stages of the bring-up; absent if it failed.
    pub bring_up: Option<BringUp>,
    /// The network checks.
    pub network: Vec<NetworkCheck>,
    /// Failed queries for this evidence, with the cluster's errors.
    pub missing: Vec<String>,
}

/// One node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Whether it accepts pods: `Ready` and not cordoned.
    pub ready: bool,
    /// Whether the control plane no longer hears of it: `Ready` is `Unknown`.
    #[serde(default)]
    pub unheard: bool,
    /// Conditions that report trouble, with their messages.
    pub troubles: Vec<String>,
    /// Its capacity in the cluster's notation: `cpu`, `memory`.
    #[serde(default)]
    pub capacity: BTreeMap<String, String>,
    /// Its allocatable resources in the cluster's notation: `cpu`, `memory`.
    pub allocatable: BTreeMap<String, String>,
    /// Taints that keep pods away, as `key=value:effect`.
    #[serde(default)]
    pub taints: Vec<String>,
    /// The machine that it runs on, identified by its kernel: nodes that are containers share one. Absent if unknown.
    #[serde(default)]
    pub machine: Option<String>,
    /// The duration of its silence, if too long.
    #[serde(default)]
    pub silent_ms: Option<u64>,
    /// The kubelet's version.
    pub kubelet: String,
    /// The container runtime and its version.
    pub runtime: String,
}

/// The placement of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Placement {
    /// The component.
    pub component: String,
    /// The pod's name in reports.
    pub pod: String,
    /// Its name in the cluster; empty if it does not exist.
    pub object: String,
    /// The node, if it has one.
    pub node: Option<String>,
    /// The number of ready nodes that accept such a pod, regardless of their free resources.
    #[serde(default)]
    pub choices: u64,
}

/// The rollout of a workload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rollout {
    /// `Deployment/backend`.
    pub object: String,
    /// Desired pods.
    pub desired: i32,
    /// Pods of the current template.
    pub updated: i32,
    /// Ready pods.
    pub ready: i32,
}

/// The endpoints of a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceEndpoints {
    /// The Service.
    pub service: String,
    /// Addresses of ready pods.
    pub ready: Vec<String>,
    /// Addresses of unready pods.
    pub not_ready: Vec<String>,
}

/// The stages of the last pod to become ready.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BringUp {
    /// The pod.
    pub slowest: String,
    /// From the first request until the pod existed.
    pub api_ms: u64,
    /// Until it had a node.
    pub schedule_ms: u64,
    /// Until its containers ran.
    pub start_ms: u64,
    /// Until its probes reported it ready.
    pub probe_ms: u64,
}

/// One network check.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NetworkCheck {
    /// Its kind: `Service DNS`, `Service`, `port-forward`, `NodePort`.
    pub what: String,
    /// Source and destination.
    pub path: String,
    /// Whether it succeeded.
    pub passed: bool,
    /// The observation.
    pub detail: String,
    /// The duration.
    pub took_ms: f64,
}
