//! Runs the suites and the snapshot test with nextest. Main functions: [`run`], [`compare_snapshot`].

use std::{
    path::{Path, PathBuf},
    pin::pin,
    process::Stdio,
    time::Duration,
};

use e2e_report::{env_vars, run_data::OddEnd, run_dir};
use tokio::process::{Child, Command};

use super::{
    Error, Signal,
    prepare::{INHERITED, Prepared},
    system::System,
};
use crate::{lines, progress::Progress, provider::end_with_parent};

/// nextest's exit code for failed tests, from its documentation.
const TESTS_FAILED: i32 = 100;
/// The same for an empty selection.
const NO_TESTS: i32 = 4;

/// Runs the suites against the system. Failed tests are not an error: their records explain them. An abnormal end is not an error
/// either but returned, so that the measurements so far are kept.
pub(super) async fn run(
    system: &System,
    prepared: &Prepared,
    signal: &Signal,
    progress: &Progress,
) -> Result<Option<OddEnd>, Error> {
    progress.line(format!("running the suites: {}", prepared.config.suites.join(" ")));
    let profile = profile(&prepared.config.suites);
    // nextest's store is `target/nextest` of the workspace (`store.dir`), wherever cargo builds.
    let junit = workspace(&prepared.root).join(format!("target/nextest/{profile}/junit.xml"));
    // A file of an earlier run must not count.
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
        status = watch(command, prepared, &prepared.config.suites, signal, &show) => status?,
    };
    progress.live_done();
    let command = prepared.config.suites.join(" ");
    if status == Some(NO_TESTS) {
        let (reason, remedy) = ("it selected no test".to_owned(), "check its filters and its profile".to_owned());
        return Err(Error::Suites { command, reason, remedy });
    }
    let kept = keep_list(&junit, profile, prepared);
    Ok(oddity(status).or(kept.err()).map(|(reason, remedy)| OddEnd { command, reason, remedy }))
}

/// What is abnormal about an exit code, and the remedy.
fn oddity(status: Option<i32>) -> Option<(String, String)> {
    let status = match status {
        Some(0 | TESTS_FAILED) => return None,
        Some(code) => format!("exit code {code}"),
        None => "a signal".to_owned(),
    };
    Some((format!("it ended with {status}"), "see its output".to_owned()))
}

/// Copies the list of tests to the run directory, or returns why not, with the remedy.
fn keep_list(junit: &Path, profile: &str, prepared: &Prepared) -> Result<(), (String, String)> {
    let text = std::fs::read_to_string(junit).map_err(|error| {
        let remedy = format!("set `path = \"junit.xml\"` under [profile.{profile}.junit] in .config/nextest.toml");
        (format!("it left no {} ({error})", junit.display()), remedy)
    })?;
    let written = prepared.directory.write(run_dir::JUNIT, &text);
    written.map(drop).map_err(|error| (error.to_string(), "run again once it can be written".to_owned()))
}

/// Rejects a command whose program is missing, before anything starts.
pub(super) fn check(words: &[String], root: &Path) -> Result<(), Error> {
    let Some(program) = words.first() else { return Ok(()) };
    let is_there = match program.contains('/') {
        true => root.join(program).is_file(),
        false => std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .any(|directory| directory.join(program).is_file()),
    };
    match is_there {
        true => Ok(()),
        false => Err(Error::NoSuites { program: program.clone() }),
    }
}

/// The difference to the snapshot; `None` if there is none or it was accepted.
pub(super) async fn compare_snapshot(
    prepared: &Prepared,
    signal: &Signal,
    update: bool,
) -> Result<Option<String>, Error> {
    if prepared.config.snapshot_test.is_empty() {
        return Ok(None);
    }
    let mut command = command(&prepared.config.snapshot_test, &prepared.root)?;
    command
        .env(env_vars::E2E_RUN, prepared.directory.path())
        .env(env_vars::E2E_SNAPSHOTS, prepared.root.join(&prepared.config.snapshots))
        .env(env_vars::INSTA_UPDATE, if update { "always" } else { "no" })
        // Only the difference matters, not the position in the code.
        .env("RUST_BACKTRACE", "0");
    let output = std::sync::Mutex::new(String::new());
    let keep = |line: &str| {
        let mut output = output.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        output.push_str(line);
        output.push('\n');
    };
    let status = watch(command, prepared, &prepared.config.snapshot_test, signal, &keep).await?;
    let output = output.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    match status {
        Some(0) => Ok(None),
        Some(TESTS_FAILED) => Ok(Some(difference(&output))),
        _ => Err(Error::Suites {
            command: prepared.config.snapshot_test.join(" "),
            reason: output.lines().last().unwrap_or("no output").to_owned(),
            remedy: "see its output".to_owned(),
        }),
    }
}

/// The part of the test's output that shows the difference.
fn difference(output: &str) -> String {
    let summary = |line: &&str| line.contains("Snapshot Summary");
    let from = output.lines().position(|line| summary(&line)).unwrap_or(0);
    let lines: Vec<&str> = output
        .lines()
        .skip(from)
        .take_while(|line| !line.to_lowercase().contains("stopped on the first failure"))
        .collect();
    lines.join("\n")
}

fn command(words: &[String], root: &Path) -> Result<Command, Error> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(Error::Suites {
            command: String::new(),
            reason: "it is empty".to_owned(),
            remedy: "set suites in .config/e2e.toml, or remove the key".to_owned(),
        });
    };
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in INHERITED {
        command.env_remove(name);
    }
    // Its own group: on Ctrl-C this process stops it.
    command.process_group(0);
    end_with_parent(&mut command);
    Ok(command)
}

/// The nextest profile that a command names.
fn profile(words: &[String]) -> &str {
    let named = words.iter().enumerate().find_map(|(position, word)| match word.as_str() {
        "--profile" | "-P" => words.get(position + 1).map(String::as_str),
        word => word.strip_prefix("--profile="),
    });
    named.unwrap_or("default")
}

/// Runs a command and passes on its lines; returns its exit code, or `None` if a signal ended it. If this process must stop, the
/// command is stopped first.
async fn watch(
    mut command: Command,
    prepared: &Prepared,
    words: &[String],
    signal: &Signal,
    on_line: &dyn Fn(&str),
) -> Result<Option<i32>, Error> {
    let child = command.spawn().map_err(|error| Error::Suites {
        command: words.join(" "),
        reason: error.to_string(),
        remedy: format!("install {}, or set another command in .config/e2e.toml", words[0]),
    })?;
    let mut child = Group(child);
    let ended = signal.or(end(&mut child.0, on_line)).await;
    if ended.is_none() {
        child.stop().await;
    }
    ended.ok_or_else(|| prepared.interrupted())
}

/// How long to wait for a command's last output after its end. A program that it left behind may hold its output open forever.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Passes on a command's lines until its end; returns its exit code, or `None` if a signal ended it.
async fn end(child: &mut Child, on_line: &dyn Fn(&str)) -> Option<i32> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut said = pin!(async { tokio::join!(lines::each(stdout, on_line), lines::each(stderr, on_line)) });
    let status = tokio::select! {
        _ = &mut said => child.wait().await,
        status = child.wait() => {
            let _ = tokio::time::timeout(LAST_WORDS, &mut said).await;
            status
        }
    };
    status.ok().and_then(|status| status.code())
}

/// How long nextest may take to stop its tests, which it gives 10 s.
const STOP_LIMIT: Duration = Duration::from_secs(12);

/// A command and its process group: nextest, and during builds cargo and compilers.
struct Group(Child);

impl Group {
    /// Asks the group to stop, which nextest passes on to its tests, and waits.
    async fn stop(&mut self) {
        self.signal(rustix::process::Signal::TERM);
        if tokio::time::timeout(STOP_LIMIT, self.0.wait()).await.is_err() {
            self.signal(rustix::process::Signal::KILL);
            // It cannot refuse that.
            let _ = self.0.wait().await;
        }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let id = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(group) = id {
            // It may have ended just now.
            let _ = rustix::process::kill_process_group(group, signal);
        }
    }
}

impl Drop for Group {
    /// Reached before the command's end only by a panic.
    fn drop(&mut self) {
        self.signal(rustix::process::Signal::TERM);
    }
}

/// Cargo's target directory: `CARGO_TARGET_DIR`, else `target` in the workspace.
pub(super) fn target_directory(root: &Path) -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => root.join(directory),
        None => workspace(root).join("target"),
    }
}

/// The directory of the workspace's `Cargo.lock`, which is `root` unless that is a member of a larger workspace.
fn workspace(root: &Path) -> &Path {
    root.ancestors().find(|directory| directory.join("Cargo.lock").is_file()).unwrap_or(root)
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, time::Instant};

    use super::*;

    async fn shell(script: &str) -> (Option<i32>, Vec<String>, Duration) {
        let words = ["sh", "-c", script].map(str::to_owned);
        let mut child = command(&words, Path::new("/")).expect("words").spawn().expect("a shell");
        let (lines, started) = (RefCell::new(Vec::new()), Instant::now());
        let code = end(&mut child, &|line| lines.borrow_mut().push(line.to_owned())).await;
        (code, lines.into_inner(), started.elapsed())
    }

    #[tokio::test]
    async fn output_that_is_no_text_is_read_to_its_end() {
        // More than a pipe holds comes after it: a command whose output nobody reads would be ended by a signal, or wait.
        let script = "printf '\\377\\n'; yes | head -n 100000 >&2; yes | head -n 100000; echo last; exit 100";
        let (code, lines, _) = shell(script).await;
        assert_eq!((code, lines.len(), lines[0].as_str()), (Some(100), 200_002, "\u{fffd}"));
    }

    #[tokio::test]
    async fn a_program_that_is_left_behind_does_not_hold_the_run() {
        let (code, lines, took) = shell("sleep 20 & echo last; exit 3").await;
        assert_eq!((code, lines), (Some(3), vec!["last".to_owned()]));
        assert!(took < Duration::from_secs(10), "{took:?}");
    }

    #[tokio::test]
    async fn a_command_that_closes_its_output_is_waited_for() {
        let (code, ..) = shell("exec >&- 2>&-; sleep 0.3; exit 7").await;
        assert_eq!(code, Some(7));
    }

    #[rstest::rstest]
    #[case("cargo nextest run", "default")]
    #[case("cargo nextest run --profile e2e", "e2e")]
    #[case("cargo nextest run -P mine --workspace", "mine")]
    #[case("cargo nextest run --profile=ci", "ci")]
    fn a_command_names_its_profile(#[case] command: &str, #[case] expected: &str) {
        let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
        assert_eq!(profile(&words), expected);
    }
}
