//! What to run and how. Main type: [`Options`].

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use e2e_plan::{EnvOverride, target::Target};
use e2e_report::{env_vars, fault::PlannedFault};

use super::history::History;
use crate::{
    config::{self, CONFIG, Config},
    provider::k8s,
};

/// What to run and how; by default a whole run.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The project's root; the configuration's paths are relative to it.
    pub root: PathBuf,
    /// The configuration file; by default `.config/e2e.toml` below the root.
    pub config: Option<PathBuf>,
    /// Directory for runs; by default `e2e` in cargo's target directory.
    pub runs: Option<PathBuf>,
    /// The target; `None` picks docker if an engine answers, else local.
    pub target: Option<Target>,
    /// Number of agents for a load from inside; one unless set.
    pub agents: Option<u32>,
    /// Whether the load comes from this machine; by default it comes from inside if the target supports agents.
    pub load_from_host: Option<bool>,
    /// On docker, reach pods through published ports even if this machine routes to them, as remote clients must.
    pub published_ports: bool,
    /// Which cluster, for the target k8s.
    pub cluster: k8s::Options,
    /// Files and directories of manifests in place of those that the configuration names, or a command that writes them.
    pub manifests: Option<e2e_plan::manifests::Sources>,
    /// Directories with patches, applied in order.
    pub overlays: Vec<PathBuf>,
    /// Single environment variables.
    pub sets: Vec<EnvOverride>,
    /// How long to wait for the system, in place of the configuration's `bring_up`.
    pub bring_up: Option<Duration>,
    /// Numbers of replicas by component.
    pub replicas: BTreeMap<String, u32>,
    /// The scenarios that run; all that are declared unless set.
    pub scenarios: Vec<String>,
    /// Overrides each scenario's clients.
    pub clients: Option<u32>,
    /// Overrides the length of each scenario.
    pub duration: Option<Duration>,
    /// Overrides each scenario's seed.
    pub seed: Option<u64>,
    /// Planned faults of every scenario, in place of its own.
    pub during: Vec<PlannedFault>,
    /// Decides what planned faults leave open; by default each scenario's seed does.
    pub during_seed: Option<u64>,
    /// A nextest filterset that selects checks; all of them by default.
    pub filter: Option<String>,
    /// Overwrite the snapshot.
    pub update_snapshots: bool,
    /// End after the bring-up, without the suites.
    pub up_only: bool,
    /// Keep the system up at the end until it is stopped. Further output goes to [`HELD_LOG`](super::HELD_LOG) in the run directory, so that a pipe
    /// on standard output can close.
    pub hold: bool,
    /// The run's id; a new one unless set.
    pub run_id: Option<String>,
    /// A run whose system is up on purpose while this one is.
    pub beside: Option<String>,
}

impl Options {
    /// A whole run of the project at `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), ..Self::default() }
    }

    /// The same run, waiting for its complete removal: for runs measured one after the other.
    #[must_use]
    pub fn waiting(mut self) -> Self {
        self.cluster.wait = true;
        self
    }

    /// Where runs are kept.
    pub fn runs(&self) -> PathBuf {
        match &self.runs {
            Some(runs) => self.root.join(runs),
            None => runs_beside(&self.root),
        }
    }

    /// The finished runs.
    pub fn history(&self, config: &Config) -> History {
        History { root: self.root.clone(), runs: self.runs(), reference: config.history_ref.clone() }
    }

    /// Reads the configuration; errors name it relative to the project's root.
    pub fn read_config(&self) -> Result<Config, config::Error> {
        let path = self.config.clone().unwrap_or_else(|| self.root.join(CONFIG));
        if self.config.is_none() && !path.exists() {
            return Ok(Config::default());
        }
        Config::read(&path, path.strip_prefix(&self.root).unwrap_or(&path))
    }

    /// The configuration of the scenarios that run, with what the options say of these in its place.
    pub(super) fn chosen(&self) -> Result<Config, config::Error> {
        let mut config = self.read_config()?;
        self.scenarios.iter().try_for_each(|name| config.scenario(name).map(drop))?;
        config.scenario.retain(|name, _| self.scenarios.is_empty() || self.scenarios.contains(name));
        for scenario in config.scenario.values_mut() {
            scenario.clients = self.clients.unwrap_or(scenario.clients);
            scenario.seed = self.seed.unwrap_or(scenario.seed);
        }
        Ok(config)
    }

    /// Whether unchanged manifests run all checks, as snapshots require.
    pub(super) fn is_unchanged(&self) -> bool {
        self.manifests.is_none()
            && self.overlays.is_empty()
            && self.sets.is_empty()
            && self.replicas.is_empty()
            && self.during.is_empty()
            && self.filter.is_none()
            && self.scenarios.is_empty()
    }
}

/// `e2e` in cargo's target directory: `CARGO_TARGET_DIR`, else `target` in the workspace.
fn runs_beside(root: &Path) -> PathBuf {
    match std::env::var_os(env_vars::CARGO_TARGET_DIR) {
        Some(directory) => root.join(directory).join("e2e"),
        None => workspace(root).join("target/e2e"),
    }
}

/// The root of the cargo workspace, which is `root` unless that is a member of a larger one. A repository ends the search: what lies
/// above a checkout has nothing to do with it.
pub(super) fn workspace(root: &Path) -> &Path {
    let is_workspace = |directory: &Path| {
        let manifest = std::fs::read_to_string(directory.join("Cargo.toml")).unwrap_or_default();
        directory.join("Cargo.lock").is_file()
            || toml::from_str::<toml::Table>(&manifest).is_ok_and(|manifest| manifest.contains_key("workspace"))
    };
    for directory in root.ancestors() {
        if is_workspace(directory) {
            return directory;
        }
        if directory.join(".git").exists() {
            break;
        }
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_is_not_looked_for_above_a_repository() {
        let top = tempfile::tempdir().expect("a directory");
        let (member, other) = (top.path().join("a/b"), top.path().join("other/deep"));
        for directory in [&member, &other, &top.path().join("other/.git")] {
            std::fs::create_dir_all(directory).expect("a directory");
        }
        std::fs::write(top.path().join("Cargo.lock"), "").expect("a file");
        assert_eq!(workspace(&member), top.path());
        assert_eq!(workspace(&other), other);
        // A workspace that was never built has no lock file of its own.
        std::fs::write(top.path().join("a/Cargo.toml"), "[workspace]\n").expect("a file");
        assert_eq!(workspace(&member), top.path().join("a"));
    }
}
