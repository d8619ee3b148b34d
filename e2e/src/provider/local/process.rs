//! One container as a plain process: its log, its user, its end. Main type: [`Process`].

use std::{
    fs::File,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{process::Command, sync::watch, time::timeout};

use super::usage::Processes;
use crate::{
    kubelet::{node::ExecResult, status::Exit},
    provider::end_with_parent,
};

/// What to run.
#[derive(Clone)]
pub(super) struct Spec {
    /// Program and arguments.
    pub(super) argv: Vec<String>,
    /// The whole environment.
    pub(super) env: Vec<(String, String)>,
    /// Working directory.
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

    /// Starts it.
    pub(super) fn spawn(&self) -> std::io::Result<Process> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut child =
            self.command()?.stdin(std::process::Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let pid = child.id().unwrap_or_default();
        let oom_killed = Arc::new(AtomicBool::new(false));
        let (sender, exit) = watch::channel(None);
        let oom = Arc::clone(&oom_killed);
        tokio::spawn(async move {
            let code = match child.wait().await {
                // As a shell and Kubernetes have it: 128 + signal.
                Ok(status) => status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
                Err(_) => -1,
            };
            let _ = sender.send(Some(Exit { code, oom_killed: oom.load(Ordering::Relaxed) }));
        });
        Ok(Process { pid, stop_signal: self.stop_signal, oom_killed, exit })
    }

    /// Runs another command the same way, for an exec probe. Dropping the future kills it.
    pub(super) async fn exec(&self, command: &[String]) -> std::io::Result<ExecResult> {
        let spec = Self { argv: command.to_vec(), ..self.clone() };
        let mut command = spec.command()?;
        let output = command.kill_on_drop(true).stdin(std::process::Stdio::null()).output().await?;
        let exit_code = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0));
        Ok(ExecResult { exit_code, output: [output.stdout, output.stderr].concat() })
    }
}

impl Process {
    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// How it ended, once it has.
    pub(super) async fn wait(&self) -> Exit {
        let mut exit = self.exit.clone();
        match exit.wait_for(Option::is_some).await {
            Ok(exit) => exit.unwrap_or(Exit { code: -1, oom_killed: false }),
            Err(_) => Exit { code: -1, oom_killed: false },
        }
    }

    /// Whether it still runs.
    pub(super) fn is_running(&self) -> bool {
        self.exit.borrow().is_none()
    }

    /// Asks it to stop, and after `grace` kills it with everything below it.
    pub(super) async fn stop(&self, grace: Duration) {
        let tree = Processes::read().map(|processes| processes.tree(self.pid)).unwrap_or_default();
        if self.is_running() && !grace.is_zero() {
            signal(self.pid, self.stop_signal);
            let _ = timeout(grace, self.wait()).await;
        }
        if self.is_running() {
            signal(self.pid, Signal::KILL);
            self.wait().await;
        }
        // What the main process left behind; its children were read before it could end.
        for pid in tree.into_iter().skip(1).filter(|pid| is_child_of_init(*pid)) {
            signal(pid, Signal::KILL);
        }
    }

    /// Ends it as the kernel ends what uses too much memory.
    pub(super) fn kill_out_of_memory(&self) {
        self.oom_killed.store(true, Ordering::Relaxed);
        let tree = Processes::read().map(|processes| processes.tree(self.pid)).unwrap_or_else(|| vec![self.pid]);
        tree.into_iter().for_each(|pid| signal(pid, Signal::KILL));
    }
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended just now; that is what the signal is for.
        let _ = kill_process(pid, signal);
    }
}

/// An orphan of a process that we stopped, and not a stranger that got its number since.
fn is_child_of_init(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| Some(stat.rsplit_once(')')?.1.split_whitespace().nth(1)? == "1"))
        .unwrap_or(false)
}
