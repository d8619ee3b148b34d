//! The pods of a plan, with the names and identities that they get in this run. Pure. Main type: [`PodSpec`].

use std::net::IpAddr;

use e2e_plan::{Component, Container, Identity, Plan, ResolvedContainer};
use e2e_report::environment::pod_name;

/// One pod that should run.
#[derive(Debug, Clone)]
pub(crate) struct PodSpec {
    /// `component-index`.
    pub(crate) name: String,
    /// The component, with its pod template.
    pub(crate) component: Component,
}

/// All pods, in start order.
pub(crate) fn of(plan: &Plan) -> Vec<PodSpec> {
    plan.components
        .iter()
        .flat_map(|component| {
            (0..component.replicas)
                .map(|index| PodSpec { name: pod_name(&component.name, index), component: component.clone() })
        })
        .collect()
}

impl PodSpec {
    /// Init containers and containers.
    pub(crate) fn all_containers(&self) -> impl Iterator<Item = &Container> {
        self.component.pod.init_containers.iter().chain(&self.component.pod.containers)
    }

    /// A container by name.
    pub(crate) fn container(&self, name: &str) -> Option<&Container> {
        self.all_containers().find(|container| container.name == name)
    }

    /// A container with everything that depends on the pod filled in.
    pub(crate) fn resolve(&self, container: &Container, run_id: &str, pod_ip: IpAddr) -> ResolvedContainer {
        container.resolve(&self.identity(run_id, Some(pod_ip)))
    }

    /// What the pod knows about itself; its address only once it has one.
    pub(crate) fn identity(&self, run_id: &str, pod_ip: Option<IpAddr>) -> Identity {
        Identity {
            pod_name: self.name.clone(),
            namespace: format!("e2e-{run_id}"),
            pod_uid: format!("{run_id}-{}", self.name),
            pod_ip: pod_ip.map(|ip| ip.to_string()).unwrap_or_default(),
            host_ip: "127.0.0.1".to_owned(),
            node_name: "e2e".to_owned(),
        }
    }

    /// TCP ports that the pod's containers declare.
    pub(crate) fn ports(&self) -> impl Iterator<Item = &e2e_plan::Port> {
        self.component
            .pod
            .containers
            .iter()
            .flat_map(|container| &container.ports)
            .filter(|port| port.protocol == "TCP")
    }
}
