//! Runs the suites and the snapshot test with nextest. Main functions: [`run`], [`compare_snapshot`].

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
};

use super::{
    Error,
    prepare::{INHERITED, Prepared},
    system::System,
};
use crate::{env_vars, progress::Progress, run_dir};

/// Where nextest writes the suites' JUnit file, below cargo's target directory; the profile of `.config/nextest.toml` says so.
const NEXTEST_JUNIT: &str = "nextest/e2e/junit.xml";
/// nextest's own words for "some tests failed", from its documented list of exit codes.
const TESTS_FAILED: i32 = 100;
/// The same for "no test was selected".
const NO_TESTS: i32 = 4;

/// Runs the suites against the system. Failed tests are no error: their records say what failed.
pub(super) async fn run(system: &System, prepared: &Prepared, progress: &Progress) -> Result<(), Error> {
    progress.line(format!("running the suites: {}", prepared.config.suites.join(" ")));
    let junit = target_directory(&prepared.root).join(NEXTEST_JUNIT);
    // An old file must not stand for this run.
    let _ = std::fs::remove_file(&junit);
    let mut command = command(&prepared.config.suites, &prepared.root)?;
    command.env(env_vars::E2E_ENVIRONMENT, prepared.directory.join(run_dir::ENVIRONMENT));
    let mut said = system.said.clone();
    let live = async {
        while said.changed().await.is_ok() {
            progress.live(&said.borrow_and_update());
        }
        std::future::pending().await
    };
    let show = |line: &str| progress.plain(line);
    let status = tokio::select! {
        () = live => None,
        status = watch(command, &prepared.config.suites, &show) => status?,
    };
    progress.live_done();
    let failed = |reason: String, remedy| Error::Suites { command: prepared.config.suites.join(" "), reason, remedy };
    match status {
        Some(0 | TESTS_FAILED) => {}
        Some(NO_TESTS) => {
            return Err(failed("it selected no test".to_owned(), "check the profile in .config/nextest.toml"));
        }
        status => {
            let status = status.map_or("a signal".to_owned(), |code| format!("exit code {code}"));
            return Err(failed(format!("it ended with {status}"), "its output above says why"));
        }
    }
    let text = std::fs::read_to_string(&junit).map_err(|error| {
        failed(
            format!("it left no {} ({error})", junit.display()),
            "set [profile.e2e.junit] path in .config/nextest.toml",
        )
    })?;
    prepared.directory.write(run_dir::JUNIT, &text)?;
    Ok(())
}

/// The difference to the snapshot, or `None` when there is none or it was accepted.
pub(super) async fn compare_snapshot(prepared: &Prepared, update: bool) -> Result<Option<String>, Error> {
    let mut command = command(&prepared.config.snapshot_test, &prepared.root)?;
    command
        .env(env_vars::E2E_RUN, prepared.directory.path())
        .env(env_vars::E2E_SNAPSHOTS, prepared.root.join(&prepared.config.snapshots))
        .env(env_vars::INSTA_UPDATE, if update { "always" } else { "no" })
        .env("INSTA_WORKSPACE_ROOT", &prepared.root)
        // The difference is the message; where the comparison stands in the code is none.
        .env("RUST_BACKTRACE", "0");
    let output = std::sync::Mutex::new(String::new());
    let keep = |line: &str| {
        let mut output = output.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        output.push_str(line);
        output.push('\n');
    };
    let status = watch(command, &prepared.config.snapshot_test, &keep).await?;
    let output = output.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    match status {
        Some(0) => Ok(None),
        Some(TESTS_FAILED) => Ok(Some(difference(&output))),
        _ => Err(Error::Suites {
            command: prepared.config.snapshot_test.join(" "),
            reason: output.lines().last().unwrap_or("no output").to_owned(),
            remedy: "its output says why",
        }),
    }
}

/// The part of the test's output that shows the difference.
fn difference(output: &str) -> String {
    let summary = |line: &&str| line.contains("Snapshot Summary");
    let from = output.lines().position(|line| summary(&line)).unwrap_or(0);
    let lines: Vec<&str> =
        output.lines().skip(from).take_while(|line| !line.contains("stopped on the first failure")).collect();
    lines.join("\n")
}

fn command(words: &[String], root: &Path) -> Result<Command, Error> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(Error::Suites {
            command: String::new(),
            reason: "it is empty".to_owned(),
            remedy: "set suites and snapshot_test in .config/e2e.toml, or remove the keys",
        });
    };
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in INHERITED {
        command.env_remove(name);
    }
    // A group of its own: on Ctrl-C this process ends it, in order.
    command.process_group(0);
    Ok(command)
}

/// Runs a command and hands over its lines; its exit code, or `None` when a signal ended it. When the future is dropped the
/// command is asked to stop, which nextest passes on to its tests.
async fn watch(mut command: Command, words: &[String], on_line: &dyn Fn(&str)) -> Result<Option<i32>, Error> {
    let mut child = command.spawn().map_err(|error| Error::Suites {
        command: words.join(" "),
        reason: error.to_string(),
        remedy: "install cargo-nextest with `cargo install --locked cargo-nextest`",
    })?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut guard = StopOnDrop(Some(child));
    tokio::join!(lines(stdout, on_line), lines(stderr, on_line));
    let status = match guard.0.as_mut() {
        Some(child) => child.wait().await.ok(),
        None => None,
    };
    guard.0 = None;
    Ok(status.and_then(|status| status.code()))
}

async fn lines(stream: Option<impl AsyncRead + Unpin>, on_line: &dyn Fn(&str)) {
    let Some(stream) = stream else { return };
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        on_line(&line);
    }
}

/// How long nextest may take to stop its tests; it gives them 10 s itself.
const STOP_LIMIT: Duration = Duration::from_secs(12);

struct StopOnDrop(Option<Child>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        let Some(mut child) = self.0.take() else { return };
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended just now.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        tokio::spawn(async move {
            if tokio::time::timeout(STOP_LIMIT, child.wait()).await.is_err() {
                let _ = child.kill().await;
            }
        });
    }
}

/// Where cargo puts what it builds.
fn target_directory(root: &Path) -> std::path::PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |directory| root.join(directory))
}
