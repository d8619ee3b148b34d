//! `cargo xtask up`: brings the system up and leaves it running.

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use e2e_node::poll::{Look, until};
use e2e_plan::shell::quoted;
use e2e_report::{
    command, env_vars,
    environment::Environment,
    run_dir::{self, new_run_id},
};
use e2e_run::{HELD, Options, exit::ExitCode, progress::Progress};

use crate::{
    interrupts::Interrupts,
    options::{SystemArgs, block_on},
};

/// Bring the system up and leave it running.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask up
  cargo xtask up --target local --replicas backend=3

Prints the system's addresses, and the command that runs your suites against it.")]
pub(crate) struct Args {
    #[command(flatten)]
    system: SystemArgs,
}

pub(crate) fn run(args: &Args, project: &Options) -> Result<ExitCode> {
    args.system.one_target("up");
    if !args.system.hold {
        return Ok(detach(&args.system, project)?.1);
    }
    let options = Options { up_only: true, ..args.system.options(None, project)? };
    Ok(block_on(e2e_run::run(options, &Progress::new()))??.exit)
}

/// Runs the same command in a background process and returns the run's directory once the system is up and, with `--keep`, tested. Ctrl-C
/// or SIGTERM before that stops both.
pub(crate) fn detach(system: &SystemArgs, project: &Options) -> Result<(PathBuf, ExitCode)> {
    // First of all: what stands on standard input is for the other process too.
    let options = system.options(None, project)?;
    let run_id = system.run_id.as_deref();
    let id = run_id.map_or_else(new_run_id, str::to_owned);
    let run = options.runs().join("runs").join(&id);
    let program = std::env::current_exe().context("cannot find the running executable")?;
    let mut arguments: Vec<_> = std::env::args_os().skip(1).collect();
    arguments.push("--hold".into());
    if run_id.is_none() {
        arguments.extend(["--run-id".into(), id.clone().into()]);
    }
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(system.stdin())
        // Its own group, so that a later signal to the terminal's group does not reach the kept system.
        .process_group(0)
        .spawn()
        .context("cannot start the process that keeps the system")?;
    let held = block_on(async {
        let mut interrupts = Interrupts::install()?;
        let held = until("the system", FOREVER, Duration::from_millis(100), || {
            let look = match (child.try_wait(), std::fs::read_to_string(run.join(HELD))) {
                (Ok(Some(status)), _) => Look::Done(Err(status.code())),
                (_, Ok(code)) => Look::Done(Ok(code.trim().parse::<i32>().ok())),
                _ => Look::NotYet("still starting".to_owned()),
            };
            async { look }
        });
        let held = tokio::select! {
            () = interrupts.recv() => None,
            held = held => Some(held),
        };
        anyhow::Ok(held)
    })??;
    let code = match held {
        None => {
            e2e_run::stop_process(child.id());
            child.wait().context("cannot wait for the process that keeps the system")?;
            return Ok((run, ExitCode::Interrupted));
        }
        Some(Ok(Ok(code))) => {
            say_how_to_use(&run, &options)?;
            code
        }
        Some(Ok(Err(code))) => code,
        Some(Err(timed_out)) => bail!(timed_out),
    };
    Ok((run, code.and_then(ExitCode::of).unwrap_or(ExitCode::NotUp)))
}

/// Longer than all limits of bring-up and suites.
const FOREVER: Duration = Duration::from_secs(24 * 3600);

fn say_how_to_use(run: &Path, options: &Options) -> Result<()> {
    let path = run.join(run_dir::ENVIRONMENT);
    let environment = Environment::read(&path)?;
    eprintln!("\nThe system is up. Inspect it:");
    for endpoint in &environment.services {
        eprintln!("  {:<10} {} (port {})", endpoint.service, endpoint.address, endpoint.port);
    }
    eprintln!("  {}", command::line("status"));
    if let Some(line) = suites_line(&options.read_config()?.suites, &path, &options.runs()) {
        eprintln!("  {line}");
    }
    eprintln!("Remove it:\n  {}", command::line(&format!("down {}", environment.run_id)));
    Ok(())
}

/// The command that runs a project's suites against a system that is up; none for a project without suites. The list of tests goes
/// below `runs`: the run's own belongs to its report.
fn suites_line(suites: &[String], environment: &Path, runs: &Path) -> Option<String> {
    let junit = runs.join(run_dir::JUNIT);
    let words = e2e_run::suites_filled_in(suites, &junit, environment);
    let variable = format!("{}={}", env_vars::E2E_ENVIRONMENT, quoted(&environment.to_string_lossy()));
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    (!words.is_empty()).then(|| format!("{variable} {}", words.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case::built_in_checks(&[], None)]
    #[case::nextest(
        &["cargo", "nextest", "run", "--profile", "e2e"],
        Some("E2E_ENVIRONMENT=/runs/a/environment.json cargo nextest run --profile e2e")
    )]
    #[case::a_list_of_tests(
        &["pytest", "my checks", "--junitxml={junit}"],
        Some("E2E_ENVIRONMENT=/runs/a/environment.json pytest 'my checks' --junitxml=/runs/junit.xml")
    )]
    #[case::the_environment(
        &["sh", "-c", "echo 'it' $0", "{environment}"],
        Some(r"E2E_ENVIRONMENT=/runs/a/environment.json sh -c 'echo '\''it'\'' $0' /runs/a/environment.json")
    )]
    fn a_project_s_own_suites_are_named(#[case] suites: &[&str], #[case] expected: Option<&str>) {
        let suites: Vec<String> = suites.iter().map(|&word| word.to_owned()).collect();
        let line = suites_line(&suites, Path::new("/runs/a/environment.json"), Path::new("/runs"));
        assert_eq!(line.as_deref(), expected);
    }
}
