//! What runs a plan: containers or processes. Main type: [`Provider`].

pub mod docker;
pub(crate) mod files;
pub mod local;
pub(crate) mod owner;
mod parent;
pub(crate) mod pods;

use std::{collections::BTreeMap, ops::AddAssign, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

pub(crate) use self::parent::end_with_parent;
use self::{docker::DockerPods, local::LocalPods, pods::PodSpec};
use crate::{
    environment::{Endpoint, Replica, ReplicaPort},
    kubelet::{
        node::{ExecError, ExecResult, Runtime, StartError},
        probe::Target as ProbeTarget,
        status::Exit,
    },
    plan::Plan,
};

/// The pods of one run, wherever they run. One variant per target; `match` finds every place that a new one concerns.
#[derive(Debug)]
pub(crate) enum Provider {
    /// Containers.
    Docker(DockerPods),
    /// Processes.
    Local(LocalPods),
}

/// What a pod uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Memory now, without page cache.
    pub memory_bytes: u64,
    /// Processor time since the start.
    pub cpu_seconds: f64,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.memory_bytes += other.memory_bytes;
        self.cpu_seconds += other.cpu_seconds;
    }
}

/// Why a system could not be brought up. Each message says what was tried and what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No Docker engine answers.
    #[error("no Docker engine answers: {reason}; start one, point DOCKER_HOST to one, or use --target local")]
    NoEngine {
        /// What was tried.
        reason: String,
    },
    /// The engine refused something.
    #[error("the Docker engine could not {action} {name}: {reason}")]
    Engine {
        /// What was asked for, as a verb phrase.
        action: &'static str,
        /// The thing.
        name: String,
        /// The engine's words.
        reason: String,
    },
    /// A container could not be started.
    #[error("the container of {pod} (image {image}) could not be started: {reason}")]
    Container {
        /// The pod.
        pod: String,
        /// The image.
        image: String,
        /// The engine's words.
        reason: String,
    },
    /// A sandbox is unusable.
    #[error("the sandbox of {pod} cannot be used: {reason}")]
    Sandbox {
        /// The pod.
        pod: String,
        /// Why.
        reason: String,
    },
    /// A volume cannot be made.
    #[error("the volumes of {pod} cannot be made: {reason}")]
    Volume {
        /// The pod.
        pod: String,
        /// Why.
        reason: String,
    },
    /// An image is nowhere.
    #[error(transparent)]
    Image(#[from] crate::image::Error),
    /// A binary of the workspace could not be built.
    #[error(transparent)]
    Cargo(#[from] crate::image::CargoError),
    /// No program stands for an image.
    #[error(transparent)]
    Program(#[from] local::ProgramError),
    /// A process could not be started.
    #[error("{pod} could not start {program}: {reason}")]
    Process {
        /// The pod.
        pod: String,
        /// The program.
        program: String,
        /// The system's words.
        reason: String,
    },
    /// A port is taken.
    #[error("no port of 127.0.0.1 can be used for {what}: {reason}; `ss -ltnp` shows who listens")]
    Port {
        /// What it is for.
        what: String,
        /// The system's words.
        reason: String,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {reason}; check the disk's room and the directory's permissions", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// Somebody asked for a pod that is not there.
    #[error("there is no pod or container {pod}")]
    NoSuchPod {
        /// Its name.
        pod: String,
    },
}

impl Error {
    pub(crate) fn engine(action: &'static str, name: &str, error: bollard::errors::Error) -> Self {
        Self::Engine { action, name: name.to_owned(), reason: error.to_string() }
    }
}

impl Provider {
    /// What runs it, with its version.
    pub(crate) fn description(&self) -> String {
        match self {
            Self::Docker(pods) => format!("{}, load by {}", pods.engine.description(), pods.path()),
            Self::Local(pods) => pods.description(),
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
                    Self::Docker(docker) => {
                        let pod = pods.iter().find(|pod| service.components.contains(&pod.component.name));
                        (
                            pod.and_then(|pod| docker.target(&pod.name)?.ports.get(&port.target_port).copied()),
                            docker.path(),
                        )
                    }
                };
                endpoints.extend(address.map(|address| Endpoint {
                    service: service.name.clone(),
                    port_name: port.name.clone(),
                    port: port.port,
                    address,
                    path: path.to_owned(),
                }));
            }
        }
        endpoints
    }

    /// The replicas of a component.
    pub(crate) fn replicas(&self, component: &str, pods: &[PodSpec]) -> Vec<Replica> {
        pods.iter()
            .filter(|pod| pod.component.name == component)
            .filter_map(|pod| {
                let target = self.target(&pod.name)?;
                let reached = pod.ports().filter_map(|port| {
                    let address = *target.ports.get(&port.number)?;
                    Some(ReplicaPort { name: port.name.clone(), number: port.number, address })
                });
                Some(Replica { name: pod.name.clone(), pod_ip: target.pod_ip, ports: reached.collect() })
            })
            .collect()
    }

    /// What each pod uses now; pods that cannot be measured are left out.
    pub(crate) async fn usage(&self) -> BTreeMap<String, Usage> {
        match self {
            Self::Docker(pods) => pods.usage().await,
            Self::Local(pods) => pods.usage(),
        }
    }

    /// Output of every container so far, by pod and container.
    pub(crate) async fn logs(&self) -> BTreeMap<(String, String), String> {
        match self {
            Self::Docker(pods) => pods.logs().await,
            Self::Local(pods) => pods.logs(),
        }
    }

    /// A pod became ready or ceased to be: Services with several replicas follow where the target allows.
    pub(crate) fn set_ready(&self, pod: &str, ready: bool) {
        match self {
            // The engine's DNS keeps every replica; a warning of the plan says so.
            Self::Docker(_) => {}
            Self::Local(pods) => pods.set_ready(pod, ready),
        }
    }

    /// Makes in the background what later starts will need, so that they need not wait for it.
    pub(crate) async fn prepare_ahead(&self) {
        match self {
            Self::Docker(pods) => pods.prepare_ahead().await,
            Self::Local(_) => {}
        }
    }

    /// Removes everything that was started.
    pub(crate) async fn teardown(&self) -> Result<(), Error> {
        match self {
            Self::Docker(pods) => pods.teardown().await,
            Self::Local(pods) => pods.teardown().await,
        }
    }
}

impl Runtime for Provider {
    async fn start(&self, pod: &str, container: &str) -> Result<(), StartError> {
        let started = match self {
            Self::Docker(pods) => pods.start(pod, container).await,
            Self::Local(pods) => pods.start(pod, container),
        };
        started.map_err(|error| StartError::run(error.to_string()))
    }

    async fn wait_exit(&self, pod: &str, container: &str) -> Exit {
        match self {
            Self::Docker(pods) => pods.wait_exit(pod, container).await,
            Self::Local(pods) => pods.wait_exit(pod, container).await,
        }
    }

    async fn kill(&self, pod: &str, container: &str, grace: Duration) {
        match self {
            Self::Docker(pods) => pods.kill(pod, container, grace).await,
            Self::Local(pods) => pods.kill(pod, container, grace).await,
        }
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
            }
        };
        match tokio::time::timeout(timeout, run).await {
            Ok(result) => result.map_err(|error| ExecError::Failed(error.to_string())),
            Err(_) => Err(ExecError::TimedOut),
        }
    }

    fn target(&self, pod: &str) -> Option<ProbeTarget> {
        match self {
            Self::Docker(pods) => pods.target(pod),
            Self::Local(pods) => pods.target(pod),
        }
    }
}
