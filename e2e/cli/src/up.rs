//! `cargo xtask up`: brings the system up and leaves it running.

use std::{
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use e2e_node::poll::{Look, until};
use e2e_report::{
    command,
    environment::Environment,
    run_dir::{self, new_run_id},
};
use e2e_run::{HELD, Options, exit::ExitCode, progress::Progress};

use crate::{
    interrupts::Interrupts,
    options::{SystemArgs, block_on, project},
};

/// Bring the system up and leave it running.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask up
  cargo xtask up --target local --replicas backend=3
  E2E_ENVIRONMENT=target/e2e/latest/environment.json cargo nextest run --profile e2e")]
pub(crate) struct Args {
    #[command(flatten)]
    system: SystemArgs,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    args.system.one_target("up");
    if !args.system.hold {
        return detach(args.system.run_id.as_deref());
    }
    let options = Options { suites: false, ..args.system.options(None)? };
    Ok(block_on(e2e_run::run(options, &Progress::new()))??.exit)
}

/// Runs the same command in a background process and returns once the system is up and, with `--keep`, tested. Ctrl-C or SIGTERM
/// before that stops both.
pub(crate) fn detach(run_id: Option<&str>) -> Result<ExitCode> {
    let id = run_id.map_or_else(new_run_id, str::to_owned);
    let run = project().runs().join("runs").join(&id);
    let program = std::env::current_exe().context("cannot find the running executable")?;
    let mut arguments: Vec<_> = std::env::args_os().skip(1).collect();
    arguments.push("--hold".into());
    if run_id.is_none() {
        arguments.extend(["--run-id".into(), id.clone().into()]);
    }
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
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
            () = interrupts.come() => None,
            held = held => Some(held),
        };
        anyhow::Ok(held)
    })??;
    match held {
        None => {
            e2e_run::stop_process(child.id());
            child.wait().context("cannot wait for the process that keeps the system")?;
            Ok(ExitCode::Interrupted)
        }
        Some(Ok(Ok(code))) => {
            say_how_to_use(&run)?;
            Ok(code_of(code))
        }
        Some(Ok(Err(code))) => Ok(code_of(code)),
        Some(Err(timed_out)) => bail!(timed_out),
    }
}

/// Longer than all limits of bring-up and suites.
const FOREVER: Duration = Duration::from_secs(24 * 3600);

fn code_of(code: Option<i32>) -> ExitCode {
    match code {
        Some(0) => ExitCode::Pass,
        Some(1) => ExitCode::Fail,
        Some(2) => ExitCode::BadInput,
        Some(4) => ExitCode::Interrupted,
        Some(5) => ExitCode::Incomplete,
        _ => ExitCode::NotUp,
    }
}

fn say_how_to_use(run: &std::path::Path) -> Result<()> {
    let path = run.join(run_dir::ENVIRONMENT);
    let environment = Environment::read(&path)?;
    eprintln!("\nThe system is up. Inspect it:");
    for endpoint in &environment.services {
        eprintln!("  {:<10} {} (port {})", endpoint.service, endpoint.address, endpoint.port);
    }
    eprintln!("  {}", command::line("status"));
    eprintln!("  E2E_ENVIRONMENT={} cargo nextest run --profile e2e", path.display());
    eprintln!("Remove it:\n  {}", command::line(&format!("down {}", environment.run_id)));
    Ok(())
}
