//! Runs a plan as containers, processes or pods of a cluster. Main type: [`Provider`].

mod accept;
mod balancer;
pub(crate) mod docker;
mod exec_output;
pub(crate) mod files;
pub mod k8s;
pub(crate) mod local;
pub(crate) mod owner;
mod parent;
pub(crate) mod pods;
mod sessions;
#[cfg(test)]
pub(crate) mod testing;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use e2e_kubelet::status::Exit;
use e2e_load::{
    agent::Order,
    load::{self, ClientReport, LoadResult},
};
use e2e_node::{
    node::{ExecError, ExecResult, Runtime, RuntimeError},
    probe::{Profile, Target as ProbeTarget},
};
use e2e_plan::{Plan, Warning};
use e2e_report::{
    environment::{Endpoint, Replica, ReplicaPort},
    evidence::{Machine, Throttling, Usage},
};

use self::{
    docker::DockerPods,
    k8s::{Evidence, K8sPods},
    local::LocalPods,
    pods::{PodSpec, Wanted},
};
use crate::host;

pub(crate) use self::parent::end_with_parent;

/// The pods of one run. One variant per target, so that `match` finds every place a new target affects.
#[derive(Debug)]
pub(crate) enum Provider {
    Docker(DockerPods),
    Local(LocalPods),
    K8s(K8sPods),
}

/// Why a system could not be brought up. Each message says what failed and what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no Docker engine answers: {reason}; start one, point DOCKER_HOST to one, or use --target local")]
    NoEngine { reason: String },
    #[error(
        "this user may not use the Docker engine: {reason}; join the group of its socket (`sudo usermod -aG docker $USER`, then log in \
         again), point DOCKER_HOST to an engine of your own, or use --target local"
    )]
    EngineDenied { reason: String },
    #[error("the Docker engine could not {action} {name}: {reason}")]
    Engine {
        /// The request, as a verb phrase.
        action: &'static str,
        name: String,
        reason: String,
    },
    #[error("the container of {pod} (image {image}) could not be started: {reason}")]
    Container { pod: String, image: String, reason: String },
    #[error("the sandbox of {pod} is unusable: {reason}")]
    Sandbox { pod: String, reason: String },
    #[error(transparent)]
    Image(#[from] crate::image::Error),
    #[error(transparent)]
    Cargo(#[from] crate::image::CargoError),
    #[error(transparent)]
    Program(#[from] local::ProgramError),
    #[error("{pod} could not start {program}: {reason}")]
    Process { pod: String, program: String, reason: String },
    #[error("{reason}")]
    Exec { reason: String },
    #[error("on this target the load comes from this machine; drop --load-from inside, or use --target k8s")]
    LoadFromHost,
    #[error(transparent)]
    Cluster(#[from] k8s::Error),
    #[error("no free port on 127.0.0.1 for {what}: {reason}; `ss -ltnp` shows the listeners")]
    Port { what: String, reason: String },
    #[error(
        "cannot listen at port {port} for Service {service}, which {named_by} names without a port: {reason}; stop what listens there \
         (`ss -ltnp`), or write {service}:{port}"
    )]
    Host { service: String, port: u16, named_by: String, reason: String },
    #[error("cannot write {}: {reason}; check disk space and the directory's permissions", path.display())]
    File { path: PathBuf, reason: String },
    #[error(
        "this engine cannot carry out `{fault}`: {reason}; leave the fault out, or use an engine with another kernel"
    )]
    Fault { fault: String, reason: String },
    #[error("{pod} does not run")]
    NotRunning { pod: String },
    #[error("no such pod or container: {pod}")]
    NoSuchPod { pod: String },
}

impl Error {
    pub(crate) fn engine(action: &'static str, name: &str, error: bollard::errors::Error) -> Self {
        Self::Engine { action, name: name.to_owned(), reason: error.to_string() }
    }

    pub(crate) fn file(path: &Path, error: &io::Error) -> Self {
        Self::File { path: path.to_owned(), reason: error.to_string() }
    }

    pub(crate) fn port(what: &str, error: &io::Error) -> Self {
        Self::Port { what: what.to_owned(), reason: error.to_string() }
    }

    pub(crate) fn sandbox(pod: &str, reason: impl Into<String>) -> Self {
        Self::Sandbox { pod: pod.to_owned(), reason: reason.into() }
    }

    pub(crate) fn no_such_container(pod: &str, container: &str) -> Self {
        Self::NoSuchPod { pod: format!("{pod}/{container}") }
    }
}

impl Provider {
    /// What runs it, with its version.
    pub(crate) fn description(&self) -> String {
        match self {
            Self::Docker(pods) => {
                let services = pods.without_addresses().map(|reason| format!(", Services by DNS alone: {reason}"));
                format!("{}, load by {}{}", pods.engine.description, pods.path(), services.unwrap_or_default())
            }
            Self::Local(pods) => pods.description(),
            Self::K8s(pods) => pods.description(),
        }
    }

    /// What only a cluster could tell of the manifests: the objects that it has no place for.
    pub(crate) fn left_out(&self) -> &[Warning] {
        match self {
            Self::Docker(_) | Self::Local(_) => &[],
            Self::K8s(pods) => pods.left_out(),
        }
    }

    /// Every Service port, as reached from this machine.
    pub(crate) fn endpoints(&self, plan: &Plan, pods: &[PodSpec]) -> Vec<Endpoint> {
        let mut endpoints = Vec::new();
        for service in &plan.services {
            for port in &service.ports {
                let (address, path) = match self {
                    Self::Local(local) => {
                        (local.service(&service.name, port.port), local.path(&service.name, port.port))
                    }
                    Self::Docker(docker) if docker.balanced(&service.name, port.port).is_some() => {
                        (docker.balanced(&service.name, port.port), "balancer")
                    }
                    Self::Docker(_) | Self::K8s(_) => {
                        let pod = pods.iter().find(|pod| service.components.contains(&pod.component.name));
                        let reached = |pod: &PodSpec| self.target(&pod.name)?.ports.get(&port.target_port).copied();
                        (pod.and_then(reached), self.path())
                    }
                };
                endpoints.extend(address.map(|address| Endpoint {
                    service: service.name.clone(),
                    port_name: port.name.clone(),
                    port: port.port,
                    target_port: port.target_port,
                    address,
                    path: path.to_owned(),
                }));
            }
        }
        endpoints
    }

    /// How this machine reaches pods, if the same for all.
    fn path(&self) -> &'static str {
        match self {
            Self::Docker(pods) => pods.path(),
            Self::K8s(pods) => pods.path(),
            Self::Local(_) => "process",
        }
    }

    /// Waits until the target refuses a part of the system that it was to take later, which may never happen.
    pub(crate) async fn refusal(&self) -> Error {
        match self {
            Self::K8s(pods) => pods.refusal().await.into(),
            Self::Docker(_) | Self::Local(_) => std::future::pending().await,
        }
    }

    /// Waits until Services may lead to the pods that have just become ready: a cluster's nodes hear of them later than this machine.
    pub(crate) async fn settle_services(&self) {
        match self {
            Self::K8s(_) => tokio::time::sleep(k8s::SERVICES_FOLLOW).await,
            Self::Docker(_) | Self::Local(_) => {}
        }
    }

    /// Waits until it is known how pods are reached, where that has to be found out.
    pub(crate) async fn settle_route(&self) {
        match self {
            Self::K8s(pods) => pods.settle_route().await,
            Self::Docker(_) | Self::Local(_) => {}
        }
    }

    /// The replicas of a component that have an address.
    pub(crate) fn replicas(&self, component: &str, pods: &[PodSpec]) -> Vec<Replica> {
        pods::of_component(pods, component)
            .filter_map(|pod| {
                let target = self.target(&pod.name)?;
                let reached = pod.ports().filter_map(|number| {
                    let address = *target.ports.get(&number)?;
                    Some(ReplicaPort { name: pod.port_name(number), number, address })
                });
                let (object, node) = match self {
                    Self::K8s(pods) => pods.object(&pod.name).unzip(),
                    Self::Docker(_) | Self::Local(_) => (None, None),
                };
                let (name, ports) = (pod.name.clone(), reached.collect());
                Some(Replica { name, pod_ip: target.pod_ip, ports, object, node: node.flatten() })
            })
            .collect()
    }

    /// The kubelet that sends the pods' probes: the cluster's, or the one in the box.
    pub(crate) fn profile(&self) -> Profile {
        match self {
            Self::K8s(pods) => pods.profile(),
            Self::Docker(_) | Self::Local(_) => Profile::default(),
        }
    }

    /// Current usage of each pod and load of their machines. Omits what cannot be measured.
    pub(crate) async fn usage(&self) -> (BTreeMap<String, Usage>, BTreeMap<String, Machine>) {
        let this_machine = || host::machine().map(|machine| ("this machine".to_owned(), machine)).into_iter().collect();
        match self {
            Self::Docker(pods) if pods.engine.is_here() => (pods.usage().await, this_machine()),
            Self::Docker(pods) => (pods.usage().await, BTreeMap::new()),
            Self::Local(pods) => (pods.usage(), this_machine()),
            Self::K8s(pods) => pods.usage().await,
        }
    }

    /// How often each pod with a CPU limit was throttled; pods without data are omitted.
    pub(crate) async fn throttling(&self) -> BTreeMap<String, Throttling> {
        match self {
            Self::Docker(pods) => pods.throttling().await,
            // CPU limits are not enforced there, as a warning of the plan says.
            Self::Local(_) => BTreeMap::new(),
            Self::K8s(pods) => pods.throttling().await,
        }
    }

    /// The digest of each image in use, by its name. What a cluster runs stands in its objects, and local runs programs.
    pub(crate) async fn images(&self) -> BTreeMap<String, String> {
        match self {
            Self::Docker(pods) => pods.images().await,
            Self::Local(_) | Self::K8s(_) => BTreeMap::new(),
        }
    }

    /// Output of every container so far, by pod and container.
    pub(crate) async fn logs(&self) -> BTreeMap<(String, String), String> {
        self.logs_of(&|_| true).await
    }

    /// The same of some pods.
    pub(crate) async fn logs_of(&self, is_wanted: &Wanted<'_>) -> BTreeMap<(String, String), String> {
        match self {
            Self::Docker(pods) => pods.logs(is_wanted).await,
            Self::Local(pods) => pods.logs(is_wanted),
            Self::K8s(pods) => pods.logs(is_wanted).await,
        }
    }

    /// Generates a load with agents inside the target; `watch` receives its progress.
    pub(crate) async fn load(
        &self,
        agents: u32,
        order: &Order,
        watch: impl FnMut(&load::Snapshot),
    ) -> Result<LoadResult<ClientReport>, Error> {
        match self {
            Self::K8s(pods) => Ok(pods.load(agents, order, watch).await?),
            Self::Docker(_) | Self::Local(_) => Err(Error::LoadFromHost),
        }
    }

    /// The cluster's account of itself and the run; `None` on other targets.
    pub(crate) async fn cluster(&self) -> Option<Evidence> {
        match self {
            Self::K8s(pods) => Some(pods.evidence().await),
            Self::Docker(_) | Self::Local(_) => None,
        }
    }

    /// A pod's readiness changed: Services with several replicas follow, if the target allows.
    pub(crate) fn set_ready(&self, pod: &str, ready: bool) {
        match self {
            Self::Docker(pods) => pods.set_ready(pod, ready),
            Self::Local(pods) => pods.set_ready(pod, ready),
            // The cluster's own Services do.
            Self::K8s(_) => {}
        }
    }

    /// Prepares in the background what later starts need.
    pub(crate) async fn prepare_ahead(&self) {
        match self {
            Self::Docker(pods) => pods.prepare_ahead().await,
            Self::Local(_) | Self::K8s(_) => {}
        }
    }

    /// Removes everything that was started.
    pub(crate) async fn teardown(&self) -> Result<(), Error> {
        match self {
            Self::Docker(pods) => pods.teardown().await,
            Self::Local(pods) => pods.teardown().await,
            Self::K8s(pods) => Ok(pods.teardown().await?),
        }
    }
}

/// A cluster starts its own pods; see [`crate::run()`], which runs no node for it.
fn by_the_cluster() -> Error {
    Error::NoSuchPod { pod: "a cluster starts its own pods".to_owned() }
}

impl From<Error> for RuntimeError {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

impl Runtime for Provider {
    async fn start(&self, pod: &str, container: &str) -> Result<(), RuntimeError> {
        match self {
            Self::Docker(pods) => pods.start(pod, container).await?,
            Self::Local(pods) => pods.start(pod, container)?,
            Self::K8s(_) => return Err(by_the_cluster().into()),
        }
        Ok(())
    }

    async fn wait_exit(&self, pod: &str, container: &str) -> Exit {
        match self {
            Self::Docker(pods) => pods.wait_exit(pod, container).await,
            Self::Local(pods) => pods.wait_exit(pod, container).await,
            Self::K8s(_) => std::future::pending().await,
        }
    }

    async fn kill(&self, pod: &str, container: &str, grace: Duration) -> Result<(), RuntimeError> {
        match self {
            Self::Docker(pods) => pods.kill(pod, container, grace).await?,
            Self::Local(pods) => pods.kill(pod, container, grace).await,
            Self::K8s(_) => {}
        }
        Ok(())
    }

    async fn exec(
        &self,
        pod: &str,
        container: &str,
        command: &[String],
        timeout: Duration,
    ) -> Result<ExecResult, ExecError> {
        let run = async {
            match self {
                Self::Docker(pods) => pods.exec(pod, container, command).await,
                Self::Local(pods) => pods.exec(pod, container, command).await,
                Self::K8s(pods) => Ok(pods.exec(pod, container, command).await?),
            }
        };
        match tokio::time::timeout(timeout, run).await {
            Ok(result) => result.map_err(|error| ExecError::Failed(error.to_string())),
            Err(_) => Err(ExecError::TimedOut),
        }
    }

    async fn replace(&self, pod: &str) -> Result<(), RuntimeError> {
        match self {
            Self::Docker(pods) => pods.replace(pod).await?,
            Self::Local(pods) => pods.replace(pod)?,
            Self::K8s(_) => return Err(by_the_cluster().into()),
        }
        Ok(())
    }

    fn target(&self, pod: &str) -> Option<ProbeTarget> {
        match self {
            Self::Docker(pods) => pods.target(pod),
            Self::Local(pods) => pods.target(pod),
            Self::K8s(pods) => pods.target(pod),
        }
    }
}
