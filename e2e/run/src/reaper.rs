//! Removes what a run leaves behind when its program is killed: a process in a session of its own that outlives the program and ends with
//! it otherwise. Main type: [`Reaper`]; the process itself is [`main`].
//!
//! The process is this program itself under the name [`PROGRAM`], with the run's directory and, of a run in a cluster, the kubeconfig
//! context as arguments. It waits until the other end of its standard input closes, which happens however the owner ends. If the run's
//! secrets are still there then, the owner did not remove its system, and the reaper does.

use std::{
    fs,
    io::Read,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use e2e_node::poll::{Look, until};
use e2e_report::run_dir::{SECRETS, WORK};
use rustix::process::Signal;

use crate::{
    host::signal,
    leftovers::{OWNER_FILE, discard},
    provider::{
        docker::engine::Engine,
        k8s::{self, Cluster},
        local::OUTSIDE,
    },
};

/// The name by which this program is asked to be a reaper.
pub const PROGRAM: &str = "e2e-reaper";
/// Processes have got SIGTERM from the kernel when their parent ended, and as long to end as PostgreSQL takes for a shutdown under load.
const ORDERLY_END: Duration = Duration::from_secs(3);
/// How often an engine or a cluster is asked that did not remove everything.
const ATTEMPTS: u32 = 5;
/// The time before a cluster is asked, in which it ends what the killed program had asked of it, and between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// Whether this program answers to [`PROGRAM`], so that it may start itself as one.
static IS_KNOWN: AtomicBool = AtomicBool::new(false);

/// Whether this process is to be a reaper. A program that asks this first, and then calls [`main`], has its runs reaped.
pub fn is_asked_for() -> bool {
    IS_KNOWN.store(true, Ordering::Relaxed);
    std::env::args_os().next().is_some_and(|name| Path::new(&name).file_name().is_some_and(|name| name == PROGRAM))
}

/// The reaper of a run. Dropped once the system is removed, it ends and removes nothing.
#[derive(Debug)]
pub(crate) struct Reaper {
    process: Child,
    run: PathBuf,
}

impl Reaper {
    /// Starts it. Where that fails, or the program cannot be one, leftovers wait for `gc`.
    pub(crate) fn start(run: &Path, context: Option<&str>) -> Option<Self> {
        if !IS_KNOWN.load(Ordering::Relaxed) {
            return None;
        }
        let mut command = Command::new(std::env::current_exe().ok()?);
        command.arg0(PROGRAM).arg(run).args(context);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()
            .map(|process| Self { process, run: run.to_owned() })
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        if !self.run.join(SECRETS).exists() {
            // It looks for them, too, and ends.
            let _ = self.process.wait();
        }
    }
}

/// Waits for the owner's end and removes what it left.
#[must_use]
pub fn main() -> ExitCode {
    // Ctrl-C and a closed terminal are for the owner.
    let _ = rustix::process::setsid();
    let mut arguments = std::env::args_os().skip(1);
    let Some(run) = arguments.next().map(PathBuf::from) else { return ExitCode::FAILURE };
    let context = arguments.next().map(|context| context.to_string_lossy().into_owned());
    // An error means the same as the end.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    if !run.join(SECRETS).exists() {
        return ExitCode::SUCCESS;
    }
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    let is_removed = match context {
        Some(context) => runtime.block_on(remove_namespace(&run, context)),
        None => {
            // They are not to wait for an engine that may not even be there.
            runtime.block_on(end_processes(&run));
            runtime.block_on(remove_containers(&run))
        }
    };
    // What is still in an engine or a cluster is found by its labels, without the directory.
    discard(&run);
    if is_removed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Removes everything of the run from the engine; `false` if the engine did not.
async fn remove_containers(run: &Path) -> bool {
    is_done_in_time(async || match Engine::connect(&id(run)).await {
        Ok(engine) => engine.remove_run().await.is_ok(),
        // It may be starting again. Where there is none, a run of plain processes has nothing there, and nobody asks how this ends.
        Err(_) => false,
    })
    .await
}

/// Whether one of several attempts succeeds.
async fn is_done_in_time(mut attempt: impl AsyncFnMut() -> bool) -> bool {
    for number in 0..ATTEMPTS {
        if number > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        if attempt().await {
            return true;
        }
    }
    false
}

/// Removes the namespace that the run made in a cluster; `false` if the cluster did not.
async fn remove_namespace(run: &Path, context: String) -> bool {
    let Ok(owner) = fs::read_to_string(run.join(OWNER_FILE)) else { return false };
    // The run itself was allowed to go there.
    let options =
        k8s::Options { context: Some(context.clone()), allow_remote: Some(context), ..k8s::Options::default() };
    tokio::time::sleep(PAUSE).await;
    is_done_in_time(async || match Cluster::connect(&options, &id(run)).await {
        Ok(cluster) => k8s::leftovers::remove_of(&cluster, owner.trim()).await.is_ok(),
        Err(_) => false,
    })
    .await
}

/// The id of the run in this directory.
fn id(run: &Path) -> String {
    run.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Ends the processes that work in the run's private directories.
async fn end_processes(run: &Path) {
    let places: Vec<PathBuf> =
        [Some(run.join(WORK)), fs::read_link(run.join(OUTSIDE)).ok()].into_iter().flatten().collect();
    let ended = until("their end", ORDERLY_END, Duration::from_millis(50), async || match working_in(&places).len() {
        0 => Look::Done(()),
        left => Look::NotYet(format!("{left} left")),
    });
    let _ = ended.await;
    working_in(&places).into_iter().for_each(|pid| signal(pid, Signal::KILL));
}

/// The processes whose working directory is below one of these.
fn working_in(places: &[PathBuf]) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let found = entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let directory = fs::read_link(entry.path().join("cwd")).ok()?;
        places.iter().any(|place| directory.starts_with(place)).then_some(pid)
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_answers_late_is_asked_again() {
        let mut asked = 0;
        let answers_on = async |number: u32, asked: &mut u32| {
            is_done_in_time(async || {
                *asked += 1;
                *asked == number
            })
            .await
        };
        assert!(answers_on(3, &mut asked).await);
        assert_eq!(asked, 3);
        asked = 0;
        assert!(!answers_on(ATTEMPTS + 1, &mut asked).await, "it never does");
        assert_eq!(asked, ATTEMPTS);
    }
}
