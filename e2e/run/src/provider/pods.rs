//! The pods of a plan, with the names and identities that they get in this run. Main type: [`PodSpec`].

use std::net::IpAddr;

use e2e_plan::{Component, Container, Identity, Plan, ResolvedContainer, pod_name};

use super::Error;
use crate::host::host;

/// What a planned fault does to a pod that runs as containers or processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    /// SIGKILL to the program of each container.
    Kill,
    /// SIGTERM, likewise.
    Terminate,
    /// All its processes stand still.
    Freeze,
    /// They go on.
    Thaw,
}

/// Whether something is asked about a pod of this name.
pub(crate) type Wanted<'a> = dyn Fn(&str) -> bool + Sync + 'a;

/// One pod that should run.
#[derive(Debug, Clone)]
pub(crate) struct PodSpec {
    /// `component-index`.
    pub(crate) name: String,
    pub(crate) component: Component,
}

/// All pods, in start order.
pub(crate) fn of(plan: &Plan, run_id: &str) -> Vec<PodSpec> {
    plan.components.iter().flat_map(|component| make(component, run_id)).collect()
}

/// The pods of one component.
pub(crate) fn make(component: &Component, run_id: &str) -> impl Iterator<Item = PodSpec> {
    (0..component.replicas).map(move |index| {
        let pod = PodSpec { name: pod_name(&component.name, index), component: component.clone() };
        pod.with_own_mounts(run_id)
    })
}

/// Those of the pods that are of a component.
pub(crate) fn of_component<'a>(pods: &'a [PodSpec], name: &str) -> impl Iterator<Item = &'a PodSpec> {
    pods.iter().filter(move |pod| pod.component.name == name)
}

/// The namespace of a run's pods.
pub(crate) fn namespace(run_id: &str) -> String {
    format!("e2e-{run_id}")
}

/// What an engine calls something of a run.
pub(crate) fn name(run_id: &str, own: &str) -> String {
    format!("{}-{own}", namespace(run_id))
}

impl PodSpec {
    /// The same with the mounts that depend on the pod.
    fn with_own_mounts(mut self, run_id: &str) -> Self {
        let identity = self.identity(run_id, None);
        let pod = &mut self.component.pod;
        for container in pod.init_containers.iter_mut().chain(&mut pod.containers) {
            container.mounts = container.mounts_of(&identity);
        }
        self
    }

    pub(crate) fn all_containers(&self) -> impl Iterator<Item = &Container> {
        self.component.pod.init_containers.iter().chain(&self.component.pod.containers)
    }

    /// The name of storage that outlives the pod, unique in the run: with the namespace, whose claims it is one of.
    pub(crate) fn storage(&self, name: &str, per_pod: bool) -> String {
        let own = if per_pod { format!("-{}", self.name) } else { String::new() };
        format!("{}.{name}{own}", self.component.namespace)
    }

    /// What its manifest says of a container.
    pub(crate) fn container(&self, name: &str) -> Result<&Container, Error> {
        let found = self.all_containers().find(|container| container.name == name);
        found.ok_or_else(|| Error::no_such_container(&self.name, name))
    }

    /// A container with everything that depends on the pod filled in. `links` are the variables of the run's Services.
    pub(crate) fn resolve(
        &self,
        container: &Container,
        run_id: &str,
        pod_ip: IpAddr,
        links: Vec<(String, String)>,
    ) -> ResolvedContainer {
        let service_links = if self.component.pod.service_links { links } else { Vec::new() };
        container.resolve(&Identity { service_links, ..self.identity(run_id, Some(pod_ip)) })
    }

    /// What the pod knows about itself; its address only once it has one.
    pub(crate) fn identity(&self, run_id: &str, pod_ip: Option<IpAddr>) -> Identity {
        let machine = host();
        Identity {
            node_cpu_millis: machine.cpus * 1000,
            node_memory_bytes: machine.memory_bytes,
            pod_name: self.name.clone(),
            namespace: namespace(run_id),
            pod_uid: format!("{run_id}-{}", self.name),
            pod_ip: pod_ip.map(|ip| ip.to_string()).unwrap_or_default(),
            host_ip: "127.0.0.1".to_owned(),
            node_name: "e2e".to_owned(),
            service_links: Vec::new(),
        }
    }

    /// TCP ports of the pod that something reaches, declared or not.
    pub(crate) fn ports(&self) -> impl Iterator<Item = u16> {
        self.component.pod.ports.iter().copied()
    }

    /// The name that a container gives to a port.
    pub(crate) fn port_name(&self, number: u16) -> Option<String> {
        let mut ports = self.all_containers().flat_map(|container| &container.ports);
        ports.find(|port| port.number == number)?.name.clone()
    }
}
