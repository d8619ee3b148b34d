//! A complete program for projects without their own commands. Main function: [`main`].

use e2e_load::{agent, load::Registry};
use e2e_report::{command, env_vars, report::summary, run_dir};

use super::{Options, Outcome, run};
use crate::{
    exit::ExitCode,
    progress::{Progress, wants_colour},
    reaper,
};

/// Restarts this program without the variables that `cargo run` sets for a program's package, if any.
///
/// See [`env_vars::of_cargo`]. Call it first. If the restart fails, everything still works, but builds take longer.
pub fn leave_cargo() {
    use std::{env, os::unix::process::CommandExt, process::Command};
    let cargos = env_vars::of_cargo();
    if let (false, Ok(program)) = (cargos.is_empty(), env::current_exe()) {
        let mut anew = Command::new(program);
        anew.args(env::args_os().skip(1));
        for name in &cargos {
            anew.env_remove(name);
        }
        // Returns only on failure.
        let _ = anew.exec();
    }
}

/// Runs the project and prints the summary to standard output, everything else to standard error. Returns one of the
/// [exit codes](ExitCode).
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     e2e_run::main(e2e_run::Options::new(env!("CARGO_MANIFEST_DIR")))
/// }
/// ```
pub fn main(options: Options) -> std::process::ExitCode {
    if agent::is_asked_for() {
        return agent::main(&Registry::default());
    }
    if reaper::is_asked_for() {
        return reaper::main();
    }
    leave_cargo();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start the runtime: {error}; check the limits on threads and file descriptors");
            return ExitCode::NotUp.into();
        }
    };
    let progress = Progress::new();
    let outcome = match runtime.block_on(run(options, &progress)) {
        Ok(outcome) => outcome,
        Err(error) => {
            eprintln!("error: {error}");
            return error.exit_code().into();
        }
    };
    if let Some(summary) = outcome.summary() {
        println!("{summary}");
    }
    outcome.say_where();
    outcome.exit.into()
}

impl Outcome {
    /// The report's summary for a terminal; `None` without suites.
    pub fn summary(&self) -> Option<String> {
        self.report.as_ref().map(|report| summary::render(report, wants_colour()))
    }

    /// Prints the differences from the snapshots and the report's path to standard error.
    pub fn say_where(&self) {
        for change in &self.snapshot_changes {
            let accept = command::line("run --update-snapshots");
            eprintln!("{change}\nthe snapshot changed; accept it with `{accept}`, then review `git diff snapshots/`");
        }
        eprintln!("report: {}", self.directory.join(run_dir::REPORT_MARKDOWN).display());
    }
}
