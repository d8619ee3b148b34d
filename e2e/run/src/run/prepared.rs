//! Everything that is decided before a run starts. Main type: [`Prepared`].

use std::{collections::BTreeMap, path::PathBuf};

use e2e_plan::{Plan, Warning, target::Target};
use e2e_report::{environment::LoadFrom, run_dir::RunDir};

use super::{Error, place::Place};
use crate::{config::Config, provider::pods::PodSpec};

/// Everything decided before the start.
pub(super) struct Prepared {
    pub(super) config: Config,
    /// Whether only some of the declared scenarios were chosen.
    pub(super) some_scenarios: bool,
    /// Whether a filter chose some of the suites' checks.
    pub(super) some_checks: bool,
    pub(super) plan: Plan,
    pub(super) pods: Vec<PodSpec>,
    pub(super) directory: RunDir,
    pub(super) root: PathBuf,
    /// By `name/key`.
    pub(super) secrets: BTreeMap<String, String>,
    pub(super) warnings: Vec<Warning>,
    /// Number of agents for a load from inside.
    pub(super) agents: u32,
    pub(super) load_from: LoadFrom,
    /// Whether pods on docker are reached only through published ports.
    pub(super) published_ports: bool,
    pub(super) place: Place,
}

impl Prepared {
    pub(super) fn target(&self) -> Target {
        self.place.target()
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
        match &self.place {
            Place::K8s(cluster) => cluster.made().map(|_| format!("removing the namespace {}", cluster.namespace)),
            Place::Docker(_) | Place::Local => Some("removing what was started".to_owned()),
        }
    }
}
