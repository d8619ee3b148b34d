//! The directories of runs that a verb may mean, and files beside them. Main functions: [`run_directory`], [`held_run_directory`].

use std::{fs, path::Path};

use anyhow::{Context, Result};
use e2e::control::Control;
use e2e_report::{
    command,
    environment::Environment,
    run_dir::{self, RunDir},
};
use e2e_run::{HELD, Options, exit::ExitCode};

use crate::failure::{Ended, bad_input};

/// The link to the latest run's directory, which stands for it in arguments too.
const LATEST: &str = "latest";

/// Writes a file, and makes the directories that it is in.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| fs::write(path, text)).with_context(|| format!("cannot write {}", path.display()))
}

/// What was brought up in a run directory, and the way to the process that keeps it.
pub(crate) fn system(directory: &RunDir) -> Result<(Environment, Control)> {
    // The secrets go with the system.
    if !directory.join(run_dir::SECRETS).exists() {
        return Err(Ended(ExitCode::NotUp, down()).into());
    }
    let environment = Environment::read(&directory.join(run_dir::ENVIRONMENT))?;
    let control = Control::of(&environment).with_context(down)?;
    Ok((environment, control))
}

/// What is wrong if the process that keeps a system does not answer.
pub(crate) fn down() -> String {
    let (up, gc) = (command::line("up"), command::line("gc"));
    format!("this system is down; bring one up with `{up}`, or remove leftovers of this one with `{gc}`")
}

/// The run directory that an argument names; `latest`, or no argument, is the latest one.
pub(crate) fn run_directory(run: Option<&Path>, project: &Options) -> Result<RunDir> {
    let runs = project.runs();
    let path = match run.filter(|run| run.as_os_str() != LATEST) {
        None => runs.join(LATEST),
        Some(path) if path.exists() => path.to_owned(),
        Some(id) => runs.join("runs").join(id),
    };
    RunDir::open(&path).with_context(|| format!("no such run; `{}` makes one", command::line("run")))
}

/// The run directory that a user means by an id or a path; without either that of the only system that was left up.
pub(crate) fn held_run_directory(run: Option<&Path>, project: &Options) -> Result<RunDir> {
    if run.is_some() {
        return run_directory(run, project);
    }
    let held = held_runs(&project.runs().join("runs"));
    match &held[..] {
        [] => run_directory(None, project),
        [only] => run_directory(Some(Path::new(only)), project),
        several => bad_input(format!("several systems are up: {}; name one of them", several.join(", "))),
    }
}

/// Ids of the runs below a directory whose systems were left up, in their order.
fn held_runs(runs: &Path) -> Vec<String> {
    let entries = fs::read_dir(runs).into_iter().flatten().flatten();
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
    fn latest_is_the_run_made_last() {
        let runs = tempfile::tempdir().expect("a temporary directory");
        let project = Options { runs: Some(runs.path().to_owned()), ..Options::new(runs.path()) };
        for id in ["older", "newer"] {
            RunDir::create(runs.path(), id, |_| Ok(())).expect("a run");
        }
        let id = |run: Option<&str>| run_directory(run.map(Path::new), &project).map(|run| run.id());
        assert_eq!(id(None).expect("a run"), "newer");
        assert_eq!(id(Some("latest")).expect("a run"), "newer");
        assert_eq!(id(Some("older")).expect("a run"), "older");
        assert!(id(Some("oldest")).is_err());
    }

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
