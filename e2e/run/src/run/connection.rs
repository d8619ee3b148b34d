//! The connection to where a run takes place. Main type: [`Connection`]; main function: [`choose`].

use e2e_plan::target::Target;
use e2e_report::environment::LoadFrom;

use super::{Error, Options};
use crate::{
    progress::Progress,
    provider::{self, docker::engine::Engine, k8s::Cluster},
};

/// Where a run takes place.
pub(super) enum Connection {
    Docker(Engine),
    Local,
    K8s(Box<Cluster>),
}

impl Connection {
    pub(super) fn target(&self) -> Target {
        match self {
            Self::Docker(_) => Target::Docker,
            Self::Local => Target::Local,
            Self::K8s(_) => Target::K8s,
        }
    }

    pub(super) fn context(&self) -> Option<&str> {
        match self {
            Self::Docker(_) | Self::Local => None,
            Self::K8s(cluster) => Some(&cluster.context),
        }
    }
}

/// From inside if the target supports agents, unless requested otherwise.
pub(super) fn load_from(options: &Options, connection: &Connection) -> Result<LoadFrom, Error> {
    let inside = LoadFrom::Inside { agents: options.agents.unwrap_or(1) };
    match (options.load_from_host, connection) {
        (Some(true), _) | (None, Connection::Docker(_) | Connection::Local) => Ok(LoadFrom::Host),
        (Some(false) | None, Connection::K8s(_)) => Ok(inside),
        (Some(false), Connection::Docker(_) | Connection::Local) => Err(provider::Error::LoadFromHost.into()),
    }
}

/// The requested target; else docker if an engine answers, else local. Prints which and why.
pub(super) async fn choose(options: &Options, run_id: &str, progress: &Progress) -> Result<Connection, Error> {
    match options.target {
        Some(Target::K8s) => {
            let cluster = Cluster::connect(&options.cluster, run_id).await?;
            progress.line(format!("target k8s: {}, namespace {}", cluster.description(), cluster.namespace));
            Ok(Connection::K8s(Box::new(cluster)))
        }
        Some(Target::Local) => Ok(Connection::Local),
        Some(Target::Docker) => Ok(Connection::Docker(Engine::connect(run_id).await?)),
        None => match Engine::connect(run_id).await {
            Ok(engine) => {
                progress.line(format!("target docker: {} answers", engine.description));
                Ok(Connection::Docker(engine))
            }
            Err(error) => {
                progress.line(format!("target local: {error}"));
                Ok(Connection::Local)
            }
        },
    }
}
