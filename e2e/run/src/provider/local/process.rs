//! One container as a plain process: its log, its user, its end. Main type: [`Process`].

use std::{
    fs::File,
    io::{ErrorKind, Read as _},
    os::unix::{
        fs::{PermissionsExt as _, fchown},
        process::ExitStatusExt,
    },
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use e2e_kubelet::status::Exit;
use e2e_node::node::ExecResult;
use e2e_plan::programs;
use rustix::process::Signal;
use tokio::{process::Command, sync::watch, time::timeout};

use super::usage::Processes;
use crate::{
    host::{signal, signal_group},
    provider::{end_with_parent, exec_output::both_outputs, owner::start_of},
};

/// The end of a process that nothing tells of.
pub(super) const UNKNOWN: Exit = Exit { code: -1, oom_killed: false };

#[derive(Clone)]
pub(super) struct Spec {
    pub(super) argv: Vec<String>,
    /// The whole environment.
    pub(super) env: Vec<(String, String)>,
    pub(super) directory: PathBuf,
    /// User and group to change to, when this process may.
    pub(super) user: Option<(u32, u32)>,
    /// Where its output goes, appended.
    pub(super) log: PathBuf,
    /// What asks it to stop.
    pub(super) stop_signal: Signal,
}

/// A process that was started; it ends with this program, whatever ends this program.
#[derive(Debug, Clone)]
pub(super) struct Process {
    pid: u32,
    stop_signal: Signal,
    oom_killed: Arc<AtomicBool>,
    exit: watch::Receiver<Option<Exit>>,
}

impl Spec {
    fn command(&self) -> std::io::Result<Command> {
        let Some((program, arguments)) = self.argv.split_first() else {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "no program to run"));
        };
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(self.env.iter().cloned()).current_dir(&self.directory);
        // A group of its own: Ctrl-C in the terminal is for the run, which then stops everything in order.
        command.process_group(0);
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        end_with_parent(&mut command);
        Ok(command)
    }

    /// The file of the program, if there is one.
    fn file(&self) -> Option<PathBuf> {
        let program = self.argv.first()?;
        if program.contains('/') {
            return Some(self.directory.join(program)).filter(|file| file.is_file());
        }
        let path = self.env.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path)?;
        let directories = std::env::split_paths(path).map(|directory| self.directory.join(directory));
        programs::find(program, directories)
    }

    pub(super) fn spawn(&self) -> std::io::Result<Process> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        // Programs open /dev/stdout, which needs a file of their user.
        if let Some((user, group)) = self.user {
            fchown(&log, Some(user), Some(group))?;
        }
        let mut child = self.command()?.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let pid = child.id().unwrap_or_default();
        let oom_killed = Arc::new(AtomicBool::new(false));
        let (sender, exit) = watch::channel(None);
        let oom = Arc::clone(&oom_killed);
        tokio::spawn(async move {
            let code = child.wait().await.map_or(UNKNOWN.code, code);
            // With its first process a container ends, whatever that one has started.
            signal_group(pid, Signal::KILL);
            let _ = sender.send(Some(Exit { code, oom_killed: oom.load(Ordering::Relaxed) }));
        });
        Ok(Process { pid, stop_signal: self.stop_signal, oom_killed, exit })
    }

    /// Runs another command the same way, for an exec probe. What it has started ends with it, and all of it when the future is
    /// dropped.
    pub(super) async fn exec(&self, command: &[String]) -> std::io::Result<ExecResult> {
        let spec = Self { argv: command.to_vec(), ..self.clone() };
        let file = spec.file();
        if file.as_ref().is_some_and(|file| is_text(file)) {
            // The C library would have sh run it; a container runtime does not.
            return Err(rustix::io::Errno::NOEXEC.into());
        }
        let child = spec.command()?.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| match file {
            Some(file) if error.kind() == ErrorKind::NotFound => {
                let text = format!("{} is there, but not what it needs to start: {error}", file.display());
                std::io::Error::new(ErrorKind::NotFound, text)
            }
            _ => error,
        })?;
        let _group = Group(child.id().unwrap_or_default());
        let output = both_outputs(child.stdout.take(), child.stderr.take()).await;
        let status = child.wait().await?;
        Ok(ExecResult { exit_code: code(status), output })
    }
}

/// As a shell and Kubernetes have it: 128 + signal.
fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Whether a file may be executed but is a mere text: neither a binary, in which zeros stand, nor a script whose first line names its
/// interpreter.
fn is_text(file: &Path) -> bool {
    let mut start = Vec::new();
    let opened = File::open(file).and_then(|file| Ok((file.metadata()?.permissions().mode(), file)));
    let read = opened.and_then(|(mode, file)| file.take(256).read_to_end(&mut start).map(|_| mode));
    read.is_ok_and(|mode| mode & 0o111 != 0) && !start.starts_with(b"#!") && !start.contains(&0)
}

/// A group of processes that ends when this is dropped.
struct Group(u32);

impl Drop for Group {
    fn drop(&mut self) {
        signal_group(self.0, Signal::KILL);
    }
}

impl Process {
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// How it ended, once it has.
    pub(super) async fn wait(&self) -> Exit {
        let mut exit = self.exit.clone();
        exit.wait_for(Option::is_some).await.ok().and_then(|exit| *exit).unwrap_or(UNKNOWN)
    }

    pub(super) fn is_running(&self) -> bool {
        self.exit.borrow().is_none()
    }

    /// Asks it to stop, and after `grace` kills it; then kills what it has started, also what is in groups of its own.
    pub(super) async fn stop(&self, grace: Duration) {
        if !self.is_running() {
            return;
        }
        let tree = Processes::read().map(|processes| processes.tree(self.pid)).unwrap_or_default();
        // Read before the main process can end, with what tells each from a stranger that gets its number later.
        let below: Vec<_> = tree.into_iter().skip(1).map(|pid| (pid, start_of(pid))).collect();
        if !grace.is_zero() {
            signal(self.pid, self.stop_signal);
            let _ = timeout(grace, self.wait()).await;
        }
        if self.is_running() {
            signal(self.pid, Signal::KILL);
            self.wait().await;
        }
        for (pid, started) in below {
            if started.is_some() && start_of(pid) == started {
                signal(pid, Signal::KILL);
            }
        }
    }

    /// Kills it as the kernel does on too much memory.
    pub(super) fn kill_out_of_memory(&self) {
        self.oom_killed.store(true, Ordering::Relaxed);
        self.signal_tree(Signal::KILL);
    }

    pub(super) fn signal(&self, it: Signal) {
        signal(self.pid, it);
    }

    /// Sends a signal to it and to all that it has started.
    pub(super) fn signal_tree(&self, it: Signal) {
        let tree = Processes::read().map(|processes| processes.tree(self.pid)).unwrap_or_else(|| vec![self.pid]);
        tree.into_iter().for_each(|pid| signal(pid, it));
    }
}

#[cfg(test)]
mod tests {
    use e2e_node::poll::{Look, until};
    use rstest::rstest;

    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    /// Runs a script of `sh`, which can write numbers of processes into `pids`.
    fn script(directory: &tempfile::TempDir, text: &str) -> Spec {
        Spec {
            argv: ["sh", "-c", text].map(str::to_owned).to_vec(),
            env: vec![("PATH".to_owned(), std::env::var("PATH").expect("a PATH"))],
            directory: directory.path().to_owned(),
            user: None,
            log: directory.path().join("log"),
            stop_signal: Signal::TERM,
        }
    }

    /// Waits until a script has written so many numbers, and returns them.
    async fn pids(directory: &tempfile::TempDir, count: usize) -> Vec<u32> {
        let look = || async {
            let text = std::fs::read_to_string(directory.path().join("pids")).unwrap_or_default();
            let pids: Vec<u32> = text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
            if pids.len() == count { Look::Done(pids) } else { Look::NotYet(text) }
        };
        until("the numbers", SOON, Duration::from_millis(10), look).await.expect("the script has started")
    }

    /// A process that was killed stays in the table until whoever inherited it has looked.
    async fn assert_gone(pids: &[u32]) {
        let look = || async {
            let left: Vec<&u32> = pids.iter().filter(|pid| start_of(**pid).is_some()).collect();
            if left.is_empty() { Look::Done(()) } else { Look::NotYet(format!("{left:?} still run")) }
        };
        until("their end", SOON, Duration::from_millis(10), look).await.expect("nothing is left");
    }

    #[tokio::test]
    async fn what_a_process_has_started_ends_with_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let process = script(&directory, "sleep 1000 & echo $! > pids; exit 1").spawn().expect("a process");
        assert_eq!(process.wait().await.code, 1);
        assert_gone(&pids(&directory, 1).await).await;
    }

    #[tokio::test]
    async fn a_stop_ends_what_left_the_group() {
        let directory = tempfile::tempdir().expect("a directory");
        let text = "setsid sh -c 'echo $$ >> pids; trap \"\" TERM; sleep 1000 & echo $! >> pids; wait' & \
                    trap 'exit 0' TERM; wait";
        let process = script(&directory, text).spawn().expect("a process");
        let pids = pids(&directory, 2).await;
        process.stop(SOON).await;
        assert_gone(&pids).await;
    }

    /// What is said of a command that is a file with this content and mode.
    async fn refusal(directory: &tempfile::TempDir, content: &str, mode: u32) -> String {
        let file = directory.path().join("check");
        std::fs::write(&file, content).expect("a file");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("its rights");
        let result = script(directory, "").exec(&["./check".to_owned()]).await;
        result.map_or_else(|error| error.to_string(), |result| format!("exit status {}", result.exit_code))
    }

    #[rstest]
    #[case::a_script("#!/bin/sh\nexit 3\n", 0o755, "exit status 3")]
    #[case::no_interpreter_is_named("exit 3\n", 0o755, "Exec format error")]
    #[case::a_byte_order_mark("\u{feff}#!/bin/sh\nexit 3\n", 0o755, "Exec format error")]
    #[case::the_interpreter_is_missing("#!/no/such/shell\n", 0o755, "is there, but not what it needs")]
    #[case::it_may_not_be_executed("exit 3\n", 0o644, "Permission denied")]
    #[tokio::test]
    async fn a_file_is_executed_as_in_a_container(#[case] content: &str, #[case] mode: u32, #[case] expected: &str) {
        let directory = tempfile::tempdir().expect("a directory");
        let said = refusal(&directory, content, mode).await;
        assert!(said.contains(expected), "{said}");
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_is_not_found() {
        let directory = tempfile::tempdir().expect("a directory");
        for program in ["./check", "no-machine-has-this-program"] {
            let error = script(&directory, "").exec(&[program.to_owned()]).await.expect_err("no such file");
            assert_eq!(error.raw_os_error(), Some(2), "{error}");
        }
    }

    #[tokio::test]
    async fn a_command_that_is_given_up_leaves_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let spec = script(&directory, "");
        let text = "sh -c 'echo $$ >> pids; exec sleep 1000' | sh -c 'echo $$ >> pids; exec cat'";
        let command = ["sh", "-c", text].map(str::to_owned);
        let (given_up, pids) = tokio::join!(timeout(Duration::from_secs(1), spec.exec(&command)), pids(&directory, 2));
        given_up.expect_err("it never ends by itself");
        assert_gone(&pids).await;
    }
}
