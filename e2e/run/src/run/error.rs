//! Why a run has no report, with an exit code each. Main type: [`Error`].

use std::path::PathBuf;

use e2e_report::{command, environment, run_dir};

use crate::{config, exit::ExitCode, provider};

/// Why a run has no report.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum Error {
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error(transparent)]
    Plan(#[from] e2e_plan::Errors),
    #[error("the manifests declare nothing to run; add a manifest of kind Deployment or StatefulSet")]
    NothingToRun,
    #[error(
        "no manifests are named, and {root} has none of the directories {}; name them with `--manifests <PATH>` or in .config/e2e.toml, which \
         `{}` writes",
        config::MANIFESTS.join(", "),
        command::line("init --manifests <PATH>")
    )]
    NoManifests { root: String },
    #[error("{}", .0.join("\n  "))]
    Missing(Vec<String>),
    #[error(transparent)]
    Provider(#[from] provider::Error),
    #[error(transparent)]
    RunDir(#[from] run_dir::Error),
    #[error(transparent)]
    Environment(#[from] environment::Error),
    #[error("cannot listen on 127.0.0.1 for the suites: {0}; check the limits on ports and file descriptors")]
    Control(std::io::Error),
    #[error("cannot detach from the terminal: {0}; check disk space and the limit on file descriptors")]
    Hold(std::io::Error),
    /// Signals cannot be caught, so nothing was started.
    #[error("cannot catch SIGINT and SIGTERM: {0}")]
    Signals(std::io::Error),
    #[error(
        "{program}, which runs the suites, was not found in PATH; install it, or correct suites in .config/e2e.toml"
    )]
    NoSuites { program: String },
    #[error(
        "--filter is in nextest's language, and `{suites}` runs the suites; leave it out, or set suites in .config/e2e.toml to a \
         `cargo nextest run`"
    )]
    FilterWithoutNextest { suites: String },
    /// A filter that nextest rejects; its message was shown.
    #[error(
        "--filter {filter} is not a valid filterset, see nextest's message above and https://nexte.st/docs/filtersets"
    )]
    Filter { filter: String },
    #[error("cannot run the suites with `{command}`: {reason}; {remedy}")]
    Suites { command: String, reason: String, remedy: String },
    /// The snapshot cannot be compared or replaced; the report is complete.
    #[error(
        "cannot use the snapshot {}: {reason}; repair it, or replace it with `{}`",
        file.display(),
        e2e_report::command::line("run --update-snapshots")
    )]
    Snapshot { file: PathBuf, reason: String },
    #[error(transparent)]
    BuiltIn(#[from] e2e::built_in::BuiltInError),
    #[error("nothing to compare: every side needs a run with a report")]
    NothingToCompare,
    #[error(
        "the run {run} cannot be compared: {reason}; if its evidence is complete, make its report with `{}`",
        command::line(&format!("report {run}"))
    )]
    NoReport { run: String, reason: run_dir::Error },
    #[error(transparent)]
    Git(#[from] crate::git::Error),
    #[error(
        "--against needs a scenario with steps to load both versions with; add one to .config/e2e.toml: docs/configuration.md shows how"
    )]
    NoScenario,
    #[error(
        "cargo would build both versions into {}, and mix up their programs; unset CARGO_TARGET_DIR, or the \
         target-dir of a .cargo/config.toml, for --against REF",
        directory.display()
    )]
    SharedBuilds { directory: PathBuf },
    #[error("--against-image: {0}")]
    AgainstImage(String),
    #[error("another comparison runs here ({} is locked); wait for its end, or choose another directory with --runs", path.display())]
    AgainstBusy { path: PathBuf },
    #[error(
        "{name} did not become ready, so it cannot be compared: {state}; run `{}` on that version to find out why",
        command::line("run")
    )]
    NotComparable { name: String, state: String },
    #[error(transparent)]
    Scenario(#[from] e2e::scenario::Error),
    /// A signal came before anything was created.
    #[error("interrupted before anything was started")]
    NotStarted,
    /// A signal came; everything that was started has been removed.
    #[error("interrupted; everything that was started has been removed, the evidence so far is in {}", directory.display())]
    Interrupted { directory: PathBuf },
    /// The work is done, but not everything could be removed.
    #[error(
        "not everything could be removed: {reason}; fix that, then remove the rest with `{}`; the evidence is in {}",
        command::line("gc"),
        directory.display()
    )]
    NotRemoved { reason: String, directory: PathBuf },
}

impl From<provider::k8s::Error> for Error {
    fn from(error: provider::k8s::Error) -> Self {
        Self::Provider(error.into())
    }
}

impl From<crate::image::Error> for Error {
    fn from(error: crate::image::Error) -> Self {
        Self::Provider(error.into())
    }
}

impl Error {
    /// Its exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_)
            | Self::Plan(_)
            | Self::NothingToRun
            | Self::NoManifests { .. }
            | Self::Missing(_)
            | Self::Environment(_)
            | Self::FilterWithoutNextest { .. }
            | Self::Filter { .. }
            | Self::NothingToCompare
            | Self::Git(_)
            | Self::NoScenario
            | Self::AgainstImage(_)
            | Self::SharedBuilds { .. }
            | Self::AgainstBusy { .. }
            | Self::NoReport { .. } => ExitCode::BadInput,
            Self::Provider(provider::Error::Cluster(error)) if error.is_bad_input() => ExitCode::BadInput,
            // Only the manifests name these images, so they must change.
            Self::Provider(provider::Error::Program(provider::local::ProgramError::Unknown { .. })) => {
                ExitCode::BadInput
            }
            Self::Provider(_)
            | Self::RunDir(_)
            | Self::Control(_)
            | Self::Hold(_)
            | Self::Signals(_)
            | Self::NotRemoved { .. }
            | Self::NotComparable { .. }
            | Self::NoSuites { .. } => ExitCode::NotUp,
            Self::Suites { .. } | Self::Snapshot { .. } | Self::BuiltIn(_) | Self::Scenario(_) => ExitCode::Incomplete,
            Self::NotStarted | Self::Interrupted { .. } => ExitCode::Interrupted,
        }
    }
}
