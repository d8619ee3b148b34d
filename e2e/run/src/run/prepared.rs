//! Everything that is decided before a run starts. Main type: [`Prepared`].

use std::collections::BTreeMap;

use e2e_plan::{Plan, Warning, target::Target};
use e2e_report::{environment::LoadFrom, run_dir::RunDir};

use super::{Error, Options, connection::Connection};
use crate::{config::Config, provider::pods::PodSpec, supply::Supply};

/// Everything decided before the start.
pub(super) struct Prepared {
    pub(super) options: Options,
    /// With what the options say in its place.
    pub(super) config: Config,
    pub(super) supply: Supply,
    pub(super) plan: Plan,
    pub(super) pods: Vec<PodSpec>,
    pub(super) directory: RunDir,
    /// By `name/key`.
    pub(super) secrets: BTreeMap<String, String>,
    pub(super) warnings: Vec<Warning>,
    pub(super) load_from: LoadFrom,
    pub(super) connection: Connection,
}

impl Prepared {
    pub(super) fn target(&self) -> Target {
        self.connection.target()
    }

    /// The error of a run ended by a signal.
    pub(super) fn interrupted(&self) -> Error {
        Error::Interrupted { directory: self.directory.path().to_owned() }
    }

    /// How a removal ended; `None` if the user did not wait for it.
    pub(super) fn removed(&self, ended: Option<Result<(), Error>>) -> Result<(), Error> {
        let reason = match ended {
            Some(Ok(())) => return Ok(()),
            Some(Err(error)) => error.to_string(),
            None => "a second signal ended the wait for it".to_owned(),
        };
        Err(Error::NotRemoved { reason, directory: self.directory.path().to_owned() })
    }

    /// The announcement of the removal, which may take a while; `None` if there is nothing to remove.
    pub(super) fn removing(&self) -> Option<String> {
        match &self.connection {
            Connection::K8s(cluster) => cluster.made().map(|_| format!("removing the namespace {}", cluster.namespace)),
            Connection::Docker(_) | Connection::Local => Some("removing what was started".to_owned()),
        }
    }
}
