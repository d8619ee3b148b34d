//! Provides cargo-nextest, which runs all tests. Main functions: [`ensure`], [`build`].

use std::{path::Path, process::Stdio};

use tokio::process::Command;

use super::Error;
use crate::progress::Progress;

/// The command that installs it, for all of the user's projects.
const INSTALL: [&str; 3] = ["install", "--locked", "cargo-nextest"];

/// nextest's exit code for an invalid filterset, from its documentation.
const INVALID_FILTERSET: i32 = 94;

/// Builds cargo-nextest if it is not installed.
pub async fn ensure(progress: &Progress) -> Result<(), Error> {
    let version = Command::new("cargo")
        .args(["nextest", "--version"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await;
    if version.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    progress.line("building cargo-nextest, which runs the tests; this takes a few minutes, once");
    let failed = |reason: String| Error::Suites {
        command: format!("cargo {}", INSTALL.join(" ")),
        reason,
        remedy: "install cargo-nextest by hand, https://nexte.st says how".to_owned(),
    };
    let status = Command::new("cargo").args(INSTALL).stdin(Stdio::null()).kill_on_drop(true).status().await;
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(status.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// Builds the suites ahead, so that they start as soon as the system is up and no build distorts the measurements. `filter` holds the
/// arguments added to the command.
pub(super) async fn build(
    suites: &[String],
    filter: Option<&str>,
    root: &Path,
    progress: &Progress,
) -> Result<(), Error> {
    let Some((program, arguments)) = suites.split_first() else { return Ok(()) };
    let failed = |reason: String| Error::Suites {
        command: format!("{} --no-run", suites.join(" ")),
        reason,
        remedy: "its output above says why".to_owned(),
    };
    let mut command = Command::new(program);
    command.args(arguments).arg("--no-run").current_dir(root).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    String::from_utf8_lossy(&output.stderr).lines().for_each(|line| progress.plain(line));
    match filter {
        Some(filter) if output.status.code() == Some(INVALID_FILTERSET) => {
            Err(Error::Filter { filter: filter.to_owned() })
        }
        _ => Err(failed(output.status.to_string())),
    }
}
