//! The directories of runs that a verb may mean. Main functions: [`run_directory`], [`held_run_directory`].

use std::path::Path;

use anyhow::{Context, Result};
use e2e_report::{
    command,
    run_dir::{self, RunDir},
};
use e2e_run::HELD;

use crate::options::{BadInput, project};

/// The remedy if no system is up.
pub(crate) fn bring_one_up() -> String {
    format!("bring one up with `{}`", command::line("up"))
}

/// The run directory that a flag names, or the latest one.
pub(crate) fn run_directory(run: Option<&Path>) -> Result<RunDir> {
    let runs = project().runs();
    let path = match run {
        None => runs.join("latest"),
        Some(path) if path.exists() => path.to_owned(),
        Some(id) => runs.join("runs").join(id),
    };
    RunDir::open(&path).with_context(|| format!("no such run; `{}` makes one", command::line("run")))
}

/// The run directory that a user means by an id or a path; without either that of the only system that was left up.
pub(crate) fn held_run_directory(run: Option<&Path>) -> Result<RunDir> {
    if run.is_some() {
        return run_directory(run);
    }
    let held = held_runs(&project().runs().join("runs"));
    match &held[..] {
        [] => run_directory(None),
        [only] => run_directory(Some(Path::new(only))),
        several => Err(BadInput(format!("several systems are up: {}; name one of them", several.join(", "))).into()),
    }
}

/// Ids of the runs below a directory whose systems were left up, in their order.
fn held_runs(runs: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(runs).into_iter().flatten().flatten();
    // The secrets are removed last.
    let is_up = |path: &Path| path.join(HELD).exists() && path.join(run_dir::SECRETS).exists();
    let names = entries.filter(|entry| is_up(&entry.path())).map(|entry| entry.file_name());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_up_until_its_secrets_are_gone() {
        let runs = tempfile::tempdir().expect("a temporary directory");
        for (run, files) in [("b", &["held", "secrets.json"][..]), ("a", &["held"]), ("c", &["secrets.json"])] {
            std::fs::create_dir(runs.path().join(run)).expect("a directory");
            files.iter().for_each(|file| std::fs::write(runs.path().join(run).join(file), "").expect("a file"));
        }
        assert_eq!(held_runs(runs.path()), ["b"]);
    }
}
