//! What dead runs left behind, and its removal: in an engine, in a cluster, and in the directories of the runs. Main type:
//! [`Leftovers`].

use std::{fs, path::Path, time::Duration};

use e2e_report::run_dir;

use crate::provider::{
    Error,
    docker::engine::{Engine, Removed},
    k8s::{self, Cluster},
    local::OUTSIDE,
    owner::is_left_behind,
};

/// The file that names a run's owner process.
pub(crate) const OWNER_FILE: &str = "owner";

/// A directory whose owner nothing names is a leftover after this long: a run writes it a moment after it makes the directory.
const UNOWNED_AGE: Duration = Duration::from_secs(600);

/// What dead runs left behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leftovers {
    of_engine: Removed,
    namespaces: usize,
    /// Private directories of runs.
    directories: usize,
}

impl Leftovers {
    /// Whether there were any.
    pub fn any(&self) -> bool {
        *self != Self::default()
    }

    /// Removes those of an engine.
    pub(crate) async fn remove_from_engine(&mut self, engine: &Engine) -> Result<(), Error> {
        self.of_engine += engine.remove_orphans().await?;
        Ok(())
    }

    /// Removes those of a cluster.
    pub(crate) async fn remove_from_cluster(&mut self, cluster: &Cluster) -> Result<(), Error> {
        self.namespaces += k8s::leftovers::remove_orphans(cluster).await?;
        Ok(())
    }

    /// Removes the private directories of the runs below `runs`.
    pub(crate) fn remove_directories(&mut self, runs: &Path) {
        for run in directories(runs) {
            let owner = fs::read_to_string(run.join(OWNER_FILE)).ok();
            let written = if owner.is_some() { run.join(OWNER_FILE) } else { run.clone() };
            let written = fs::metadata(written).and_then(|metadata| metadata.modified()).ok();
            let age = written.and_then(|written| written.elapsed().ok()).unwrap_or_default();
            if is_left_behind(owner.as_deref(), age) && (owner.is_some() || age > UNOWNED_AGE) {
                self.directories += usize::from(discard(&run));
            }
        }
    }
}

impl std::fmt::Display for Leftovers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { of_engine: Removed { containers, networks, volumes }, namespaces, directories } = self;
        write!(f, "{containers} containers, {networks} networks, {volumes} volumes, ")?;
        write!(f, "{namespaces} namespaces, {directories} private directories")
    }
}

/// Ids of the runs whose system is up.
pub(crate) fn active(runs: &Path) -> Vec<String> {
    let is_active = |run: &Path| {
        let owner = fs::read_to_string(run.join(OWNER_FILE)).ok();
        // Secrets go with the system.
        run.join(run_dir::SECRETS).exists() && !is_left_behind(owner.as_deref(), Duration::MAX)
    };
    let active = directories(runs).filter(|run| is_active(run));
    let mut ids: Vec<String> = active.filter_map(|run| Some(run.file_name()?.to_string_lossy().into_owned())).collect();
    ids.sort();
    ids
}

fn directories(runs: &Path) -> impl Iterator<Item = std::path::PathBuf> {
    fs::read_dir(runs.join("runs")).into_iter().flatten().flatten().map(|run| run.path())
}

/// Removes a run's private data and secrets; `true` if there were any. The secrets go last, so their absence means that everything is
/// gone.
pub(crate) fn discard(run: &Path) -> bool {
    let mut found = false;
    if let Ok(outside) = fs::read_link(run.join(OUTSIDE)) {
        found |= fs::remove_dir_all(outside).is_ok();
        let _ = fs::remove_file(run.join(OUTSIDE));
    }
    found |= fs::remove_dir_all(run.join(run_dir::WORK)).is_ok();
    found | fs::remove_file(run.join(run_dir::SECRETS)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_has_not_yet_named_its_owner_keeps_its_directories() {
        let project = tempfile::tempdir().expect("a directory");
        let run = project.path().join("runs/one");
        fs::create_dir_all(run.join(run_dir::WORK)).expect("a directory");
        let removed = || {
            let mut leftovers = Leftovers::default();
            leftovers.remove_directories(project.path());
            leftovers.directories
        };
        assert_eq!(removed(), 0);
        let old = std::time::SystemTime::now() - 2 * UNOWNED_AGE;
        fs::File::open(&run).and_then(|run| run.set_modified(old)).expect("another time");
        assert_eq!(removed(), 1);
    }
}
