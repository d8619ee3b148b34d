//! One run from manifests to report, as a pipeline. Main function: [`run`].

pub mod against;
mod bring_up;
mod collect;
pub mod comparison;
mod connection;
mod error;
mod examine;
pub mod history;
mod junit;
mod known;
mod main;
mod nextest;
mod options;
mod prepare;
mod prepared;
mod provide;
mod signal;
mod snapshot;
mod suites;
mod system;

use std::{any::Any, future::Future, panic::AssertUnwindSafe, time::Instant};

use e2e_plan::duration;
use e2e_report::{
    report::{Report, Verdict},
    run_dir::{self, RunDir},
};
use futures_util::FutureExt;

use self::{bring_up::Up, prepared::Prepared, signal::Signal, system::System};
use crate::{ci, exit::ExitCode, progress::Progress, provider::Provider, reaper::Reaper};

pub use self::{
    collect::{load, report_again},
    error::Error,
    known::{Facts, known},
    main::{leave_cargo, main},
    nextest::ensure as ensure_nextest,
    options::Options,
    prepare::{cluster, collect_garbage, docker_engine, plan, planned, unhonoured},
    provide::make_images,
    signal::Interrupts,
    snapshot::Change as SnapshotChange,
    suites::filled_in as suites_filled_in,
};

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// Exit code of the process.
    pub exit: ExitCode,
    /// The run directory.
    pub directory: RunDir,
    /// The report; `None` without suites.
    pub report: Option<Report>,
    /// How the run differs from the snapshots of its target.
    pub snapshot_changes: Vec<SnapshotChange>,
}

/// Runs everything and removes what was started, after success, failure, a panic, SIGINT or SIGTERM alike.
pub async fn run(options: Options, progress: &Progress) -> Result<Outcome, Error> {
    let started = Instant::now();
    let options = rooted(options);
    let body = async |system: &System, prepared: &Prepared, signal: &Signal| {
        let up = work(system, prepared, signal, progress).await?;
        if options.hold {
            hold(system, prepared, signal, progress, started, up).await?;
        }
        Ok(up)
    };
    let Ended { prepared, value: up, removed } = in_system(&options, progress, body).await?;
    let outcome = if options.up_only || options.hold {
        let directory = prepared.directory.clone();
        Outcome { exit: ExitCode::Pass, directory, report: None, snapshot_changes: Vec::new() }
    } else {
        // Report the measurements even if the removal failed.
        finish(&prepared, progress, started, up)?
    };
    removed.map(|()| outcome)
}

/// The same options with everything named from the real root; a root that is not there is named by what is looked for in it.
fn rooted(options: Options) -> Options {
    let root = options.root.canonicalize().unwrap_or_else(|_| options.root.clone());
    Options { root, ..options }
}

/// Work in a system that is gone again.
struct Ended<T> {
    prepared: Prepared,
    value: T,
    /// Whether everything was removed.
    removed: Result<(), Error>,
}

/// Starts a system, does `body` in it and removes it, however `body` ends. `body` ends itself on a signal.
async fn in_system<T>(
    options: &Options,
    progress: &Progress,
    body: impl AsyncFnOnce(&System, &Prepared, &Signal) -> Result<T, Error>,
) -> Result<Ended<T>, Error> {
    // Before anything is created: from here on a signal ends the run cleanly.
    let signal = Signal::install()?;
    progress.phase("prepare");
    let prepared = signal.unless_interrupted(Box::pin(prepare::prepare(options, progress))).await;
    let prepared = prepared.ok_or(Error::NotStarted).flatten().inspect_err(|_| progress.phases_done())?;

    // Dropped at the end, once everything is removed.
    let _reaper = Reaper::start(prepared.directory.path(), prepared.connection.context());
    progress.phase("build");
    let provided =
        signal.unless_interrupted_twice(&prepared, caught(Box::pin(provide(&prepared, &signal, progress)))).await;
    let abandon = async || remove(&prepared, &signal, progress, provide::abandon(&prepared)).await;
    let (provider, began) = match provided.unwrap_or_else(|| Ok(Err(prepared.interrupted()))) {
        Ok(Ok(provided)) => provided,
        Ok(Err(error)) => return Err(both(error, abandon().await, progress)),
        Err(panic) => {
            let _ = abandon().await;
            std::panic::resume_unwind(panic)
        }
    };
    progress.phase("start");
    let system = System::start(provider, &prepared, began, progress).await;
    let system = system.inspect_err(|_| progress.phases_done())?;
    let worked = caught(Box::pin(body(&system, &prepared, &signal))).await;
    progress.live_done();
    let removed = remove(&prepared, &signal, progress, system.remove(&prepared)).await;
    match worked {
        Ok(Ok(value)) => Ok(Ended { prepared, value, removed }),
        Ok(Err(error)) => Err(both(error, removed, progress)),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// The last phase, which removes what was started.
async fn remove(
    prepared: &Prepared,
    signal: &Signal,
    progress: &Progress,
    removal: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    progress.phase("remove");
    prepared.removing().iter().for_each(|line| progress.parting_line(line));
    let removed = prepared.removed(signal.unless_interrupted_twice(prepared, removal).await);
    progress.phases_done();
    removed
}

/// Builds the suites and the system concurrently, and creates the provider. Returns it with the moment from which the bring-up
/// counts.
async fn provide(prepared: &Prepared, signal: &Signal, progress: &Progress) -> Result<(Provider, Instant), Error> {
    let Prepared { options, config, .. } = prepared;
    let suites = async {
        if !options.up_only && config.needs_nextest() {
            nextest::ensure(progress).await?;
            nextest::build(&config.suites, options.filter.as_deref(), &options.root, progress).await?;
        }
        Ok(())
    };
    let built = async { tokio::try_join!(provide::supply(prepared, progress), suites) };
    let built = async { signal.or_interrupted(prepared, built).await? };
    // A panic in one must not cut the other short.
    let (built, early) = tokio::join!(caught(built), provide::provide_early(prepared, signal, progress));
    let ((programs, ()), early) = (built.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?, early?);
    let now = Instant::now();
    Ok(match early {
        // Its time counts, although it overlapped with work that does not.
        Some((provider, took)) => (provider, now.checked_sub(took).unwrap_or(now)),
        None => (provide::provide(prepared, &programs).await?, now),
    })
}

/// Of two errors, returns the one that leaves something behind, and prints the other unless it claims the contrary.
fn both(error: Error, removed: Result<(), Error>, progress: &Progress) -> Error {
    let Err(removed) = removed else { return error };
    if !matches!(error, Error::Interrupted { .. }) {
        progress.line(error.to_string());
    }
    removed
}

/// Everything between "it runs" and "it is removed".
async fn work(system: &System, prepared: &Prepared, signal: &Signal, progress: &Progress) -> Result<Up, Error> {
    let up = signal.or_interrupted(prepared, bring_up::wait(system, prepared, progress)).await??;
    if !prepared.options.up_only {
        progress.phase("suites");
        let odd = match up {
            Up::Ready | Up::Unready => suites::run(system, prepared, signal, progress).await?,
            Up::Stuck => {
                progress.line("skipping the suites: the system is not complete");
                None
            }
        };
        if let Some(odd) = &odd {
            progress.line(format!("`{}` ended abnormally: {}; {}", odd.command, odd.reason, odd.remedy));
        }
        progress.phase("evidence");
        signal.or_interrupted(prepared, collect::gather(system, prepared, progress)).await??;
        if let Some(odd) = &odd {
            prepared.directory.write_json(run_dir::SUITES, odd)?;
        }
    }
    Ok(up)
}

/// The work's result, or the panic that ended it.
async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Box<dyn Any + Send>> {
    AssertUnwindSafe(work).catch_unwind().await
}

/// Makes the report and compares it with the snapshot.
fn finish(prepared: &Prepared, progress: &Progress, started: Instant, up: Up) -> Result<Outcome, Error> {
    let Prepared { options, config, .. } = prepared;
    let directory = prepared.directory.clone();
    let duration_ms = duration::millis(started.elapsed());
    directory.write_json(collect::DURATION, &duration_ms)?;
    let report = report_again(&directory)?;
    ci::publish(&report, &options.root, progress);
    let history = options.history(config);
    let entries = history.append(&report).and_then(|()| history.read());
    if let Err(error) = &entries {
        progress.line(format!("this run is not in the history: {error}"));
    }
    // A failing run differs because it fails, which it says better; only who asks for it accepts such a report.
    let is_worth_it = report.verdict == Verdict::Pass || options.update_snapshots;
    let is_comparable =
        options.is_unchanged() && is_worth_it && report.verdict != Verdict::Incomplete && up != Up::Stuck;
    let mut snapshot_changes = Vec::new();
    if let Some(snapshots) = config.snapshots.as_ref().filter(|_| is_comparable) {
        let (snapshots, accept) = (options.root.join(snapshots), options.update_snapshots);
        snapshot_changes.extend(snapshot::compare(&report, &snapshots, accept)?);
        let names = &config.snapshot_figures;
        if !names.is_empty() {
            let change = snapshot::compare_figures(names, &entries?, report.target, &snapshots, accept, progress)?;
            snapshot_changes.extend(change);
        }
    }
    let exit = match report.verdict {
        _ if up == Up::Stuck => ExitCode::NotUp,
        Verdict::Pass if snapshot_changes.is_empty() => ExitCode::Pass,
        Verdict::Fail | Verdict::Pass => ExitCode::Fail,
        Verdict::Incomplete => ExitCode::Incomplete,
    };
    Ok(Outcome { exit, directory, report: Some(report), snapshot_changes })
}

/// Reports that the system is up, releases the starter, and waits for the request to end.
async fn hold(
    system: &System,
    prepared: &Prepared,
    signal: &Signal,
    progress: &Progress,
    started: Instant,
    up: Up,
) -> Result<(), Error> {
    let exit = match (prepared.options.up_only, up) {
        (false, _) => {
            let outcome = finish(prepared, progress, started, up)?;
            // Standard output belongs to the process that waits for this one.
            outcome.summary().iter().for_each(|summary| eprintln!("{summary}"));
            outcome.say_where();
            outcome.exit
        }
        (true, Up::Ready | Up::Unready) => ExitCode::Pass,
        (true, Up::Stuck) => ExitCode::NotUp,
    };
    progress.phases_done();
    progress.line("the system stays up");
    let log = prepared.directory.write(HELD_LOG, "")?;
    let log = std::fs::OpenOptions::new().append(true).open(log).map_err(Error::Hold)?;
    rustix::stdio::dup2_stdout(&log)
        .and_then(|()| rustix::stdio::dup2_stderr(&log))
        .map_err(|e| Error::Hold(e.into()))?;
    prepared.directory.write(HELD, &(exit as u8).to_string())?;
    let _ = signal.unless_interrupted(system.stopped()).await;
    Ok(())
}

/// Written by a run that keeps its system up; contains the run's exit code.
pub const HELD: &str = "held";
/// Further output of a run that keeps its system up.
pub const HELD_LOG: &str = "held.log";

/// Asks a process to stop, as Ctrl-C does.
pub fn stop_process(pid: u32) {
    crate::host::signal(pid, rustix::process::Signal::INT);
}
