//! Asks the cluster for what its objects say, before they are removed. Main function: [`gather`].

use std::{collections::BTreeMap, time::Duration};

use e2e_plan::duration;
use e2e_report::evidence::cluster::{Cluster, Node, Placement, Rollout, ServiceEndpoints};
use futures_util::FutureExt;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{Deployment, ReplicaSet, StatefulSet},
        coordination::v1::Lease,
        core::v1::{Endpoints, Event, Node as ClusterNode, Pod},
    },
    apimachinery::pkg::api::resource::Quantity,
};
use kube::{Api, Resource, ResourceExt, api::ListParams};
use serde::{Serialize, de::DeserializeOwned};

use super::{K8sPods, cluster::Cluster as Connection, error, network, nodes};

/// What a cluster says of itself and of a run.
#[derive(Debug)]
pub(crate) struct Evidence {
    pub(crate) cluster: Cluster,
    /// Its objects as they are, by the name of the file for each kind.
    pub(crate) objects: BTreeMap<&'static str, serde_json::Value>,
    /// The digest of each image that the pods run, by the image's name.
    pub(crate) images: BTreeMap<String, String>,
}

/// Asks for everything.
pub(super) async fn gather(pods: &K8sPods) -> Evidence {
    let connection = &pods.cluster;
    let mut reader = Reader { connection, missing: Vec::new(), raw: BTreeMap::new() };
    let nodes: Vec<ClusterNode> = reader.read(connection.all(), "nodes").await;
    let leases = Api::namespaced(connection.client.clone(), "kube-node-lease");
    let silences = nodes::silences(&reader.read::<Lease>(leases, "leases of nodes").await);
    let deployments: Vec<Deployment> = reader.namespaced("deployments").await;
    let stateful_sets: Vec<StatefulSet> = reader.namespaced("statefulsets").await;
    let endpoints: Vec<Endpoints> = reader.namespaced("endpoints").await;
    // They are not summed up, but a person may want to see them.
    let _: Vec<ReplicaSet> = reader.namespaced("replicasets").await;
    let _: Vec<Event> = reader.namespaced("events").await;
    let images = images(&reader.namespaced("pods").await);
    if let Some((since, reason)) = pods.watch.lost() {
        reader.missing.push(format!("changes of pods for the last {}: {reason}", duration::human(since)));
    }
    if let Some(Err(error)) = pods.rest.clone().now_or_never() {
        reader.missing.push(format!("what waited for hooks: {error}"));
    }
    let endpoints: Vec<ServiceEndpoints> = endpoints.iter().map(service).collect();
    let network = network::checks(pods, &endpoints).await;
    let cluster = Cluster {
        version: connection.version.clone(),
        context: connection.context.clone(),
        namespace: connection.namespace.clone(),
        nodes: nodes.iter().map(|it| node(it, &silences)).collect(),
        placement: placement(pods, &nodes),
        rollouts: deployments.iter().map(deployment).chain(stateful_sets.iter().map(stateful_set)).collect(),
        endpoints,
        bring_up: pods.watch.bring_up(),
        network,
        missing: reader.missing,
    };
    Evidence { cluster, objects: reader.raw, images }
}

fn images(pods: &[Pod]) -> BTreeMap<String, String> {
    let statuses = pods.iter().filter_map(|pod| pod.status.as_ref()?.container_statuses.as_ref()).flatten();
    let known = statuses.filter(|status| !status.image.is_empty() && !status.image_id.is_empty());
    known.map(|status| (status.image.clone(), status.image_id.clone())).collect()
}

struct Reader<'a> {
    connection: &'a Connection,
    missing: Vec<String>,
    raw: BTreeMap<&'static str, serde_json::Value>,
}

impl Reader<'_> {
    async fn namespaced<K>(&mut self, name: &'static str) -> Vec<K>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
        K::DynamicType: Default,
    {
        let api = self.connection.own();
        self.read(api, name).await
    }

    async fn read<K>(&mut self, api: Api<K>, name: &'static str) -> Vec<K>
    where
        K: Clone + DeserializeOwned + Serialize + std::fmt::Debug,
    {
        match api.list(&ListParams::default()).await {
            Ok(list) => {
                self.raw.insert(name, serde_json::to_value(&list.items).unwrap_or_default());
                list.items
            }
            Err(error) => {
                self.missing.push(format!("{name}: {}", error::reason(&error)));
                Vec::new()
            }
        }
    }
}

fn node(node: &ClusterNode, silences: &BTreeMap<String, Duration>) -> Node {
    let status = node.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    // Of all conditions only `Ready` is well when it is true.
    let is_well = |kind: &str, status: &str| (kind == "Ready") == (status == "True");
    let trouble = conditions.iter().filter(|c| !is_well(&c.type_, &c.status)).map(|c| {
        format!("{}={}: {}", c.type_, c.status, c.message.as_deref().or(c.reason.as_deref()).unwrap_or_default())
    });
    let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false);
    let cordon = cordoned.then(|| "it is cordoned (spec.unschedulable)".to_owned());
    let info = status.node_info.unwrap_or_default();
    let cpu_and_memory = |all: Option<BTreeMap<String, Quantity>>| {
        let all = all.unwrap_or_default().into_iter();
        all.filter(|(name, _)| name == "cpu" || name == "memory").map(|(name, quantity)| (name, quantity.0)).collect()
    };
    let silence = silences.get(&node.name_any());
    Node {
        name: node.name_any(),
        ready: nodes::is_ready(node),
        taints: nodes::taints(node).map(nodes::taint_text).collect(),
        machine: nodes::machine(node).map(str::to_owned),
        unheard: conditions.iter().any(|c| c.type_ == "Ready" && c.status == "Unknown"),
        silent_ms: silence.copied().map(duration::millis),
        troubles: trouble.chain(cordon).collect(),
        capacity: cpu_and_memory(status.capacity),
        allocatable: cpu_and_memory(status.allocatable),
        kubelet: info.kubelet_version,
        runtime: info.container_runtime_version,
    }
}

fn placement(pods: &K8sPods, nodes: &[ClusterNode]) -> Vec<Placement> {
    let of = |spec: &crate::provider::pods::PodSpec| {
        let (object, node) = pods.object(&spec.name).unzip();
        let pod = pods.watch.pod(&spec.name);
        let pod = pod.as_ref().and_then(|pod| pod.spec.as_ref());
        let choices = pod.map_or(0, |pod| nodes.iter().filter(|node| nodes::takes(node, pod)).count());
        Placement {
            component: spec.component.name.clone(),
            pod: spec.name.clone(),
            object: object.unwrap_or_default(),
            node: node.flatten(),
            choices: choices as u64,
        }
    };
    pods.specs.iter().map(of).collect()
}

fn deployment(deployment: &Deployment) -> Rollout {
    let status = deployment.status.clone().unwrap_or_default();
    let counts = [deployment.spec.replicas, status.updated_replicas, status.ready_replicas];
    rollout(format!("Deployment/{}", deployment.name_any()), counts)
}

fn stateful_set(set: &StatefulSet) -> Rollout {
    let status = set.status.clone().unwrap_or_default();
    let counts = [set.spec.replicas, status.updated_replicas, status.ready_replicas];
    rollout(format!("StatefulSet/{}", set.name_any()), counts)
}

fn rollout(object: String, [desired, updated, ready]: [Option<i32>; 3]) -> Rollout {
    Rollout { object, desired: desired.unwrap_or(1), updated: updated.unwrap_or(0), ready: ready.unwrap_or(0) }
}

fn service(endpoints: &Endpoints) -> ServiceEndpoints {
    let subsets = || endpoints.subsets.iter().flatten();
    let addresses = |ready: bool| {
        let of = move |subset: &k8s_openapi::api::core::v1::EndpointSubset| {
            let addresses = if ready { &subset.addresses } else { &subset.not_ready_addresses };
            addresses.iter().flatten().map(|address| address.ip.clone()).collect::<Vec<_>>()
        };
        subsets().flat_map(of).collect()
    };
    ServiceEndpoints { service: endpoints.name_any(), ready: addresses(true), not_ready: addresses(false) }
}
