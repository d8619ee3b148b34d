//! Removes what a run leaves behind when its program is killed: a process in a session of its own that outlives the program and ends with
//! it otherwise. Main type: [`Reaper`]; the process itself is [`main`].
//!
//! The process is this program itself under the name [`PROGRAM`]. It waits until the other end of its standard input closes, which happens
//! however the owner ends. If the run's secrets are still there then, the owner did not remove its system, and the reaper does.

use std::{
    fs,
    io::Read,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use e2e_report::run_dir::{SECRETS, WORK};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    leftovers::discard,
    provider::{docker::engine::Engine, local::OUTSIDE},
};

/// The name by which this program is asked to be a reaper.
pub const PROGRAM: &str = "e2e-reaper";
/// Processes have got SIGTERM from the kernel when their parent ended, and as long to end as PostgreSQL takes for a shutdown under load.
const ORDERLY_END: Duration = Duration::from_secs(3);
/// How often an engine is asked again that did not remove everything, with a second between two attempts.
const ATTEMPTS: u32 = 5;

/// Whether this program answers to [`PROGRAM`], so that it may start itself as one.
static IS_KNOWN: AtomicBool = AtomicBool::new(false);

/// Whether this process is to be a reaper. A program that asks this first, and then calls [`main`], has its runs reaped.
pub fn is_asked_for() -> bool {
    IS_KNOWN.store(true, Ordering::Relaxed);
    std::env::args_os().next().is_some_and(|name| Path::new(&name).file_name().is_some_and(|name| name == PROGRAM))
}

/// The reaper of a run. Dropped once the system is removed, it ends and removes nothing.
#[derive(Debug)]
pub(crate) struct Reaper(Child);

impl Reaper {
    /// Starts it. Where that fails, or the program cannot be one, leftovers wait for `gc`.
    pub(crate) fn start(run: &Path) -> Option<Self> {
        if !IS_KNOWN.load(Ordering::Relaxed) {
            return None;
        }
        let mut command = Command::new(std::env::current_exe().ok()?);
        command.arg0(PROGRAM).arg(run).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok().map(Self)
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It looks for one file and ends.
        let _ = self.0.wait();
    }
}

/// Waits for the owner's end and removes what it left.
#[must_use]
pub fn main() -> ExitCode {
    // Ctrl-C and a closed terminal are for the owner.
    let _ = rustix::process::setsid();
    let Some(run) = std::env::args_os().nth(1).map(PathBuf::from) else { return ExitCode::FAILURE };
    // An error means the same as the end.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    if !run.join(SECRETS).exists() {
        return ExitCode::SUCCESS;
    }
    remove_containers(&run);
    end_processes(&run);
    discard(&run);
    ExitCode::SUCCESS
}

/// Removes everything of the run from the engine, if one answers: a run of plain processes has nothing there.
fn remove_containers(run: &Path) {
    let id = run.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        let Ok(engine) = Engine::connect(&id).await else { return };
        for _ in 0..ATTEMPTS {
            if engine.remove_run().await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
}

/// Ends the processes that work in the run's private directories.
fn end_processes(run: &Path) {
    let places: Vec<PathBuf> =
        [Some(run.join(WORK)), fs::read_link(run.join(OUTSIDE)).ok()].into_iter().flatten().collect();
    let until = std::time::Instant::now() + ORDERLY_END;
    while !working_in(&places).is_empty() && std::time::Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    for pid in working_in(&places) {
        // It may have ended just now.
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// The processes whose working directory is below one of these.
fn working_in(places: &[PathBuf]) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pid = |name: &std::ffi::OsStr| name.to_str()?.parse().ok().and_then(Pid::from_raw);
    let found = entries.filter_map(|entry| {
        let pid = pid(&entry.file_name())?;
        let directory = fs::read_link(entry.path().join("cwd")).ok()?;
        places.iter().any(|place| directory.starts_with(place)).then_some(pid)
    });
    found.collect()
}
