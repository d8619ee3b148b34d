//! `cargo xtask test`: everything that a clean machine can check.

use anyhow::Result;
use e2e::exit::ExitCode;
use xshell::{Shell, cmd};

use crate::{
    options::{block_on, root},
    tidy,
};

/// Run unit, integration and documentation tests, the example, and tidy.
///
/// Tests that need a Docker engine are skipped without one, aloud.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask test\n  cargo xtask test --no-tidy")]
pub(crate) struct Args {
    /// Leave formatting, lints and documentation out.
    #[arg(long)]
    no_tidy: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let shell = Shell::new()?;
    shell.change_dir(root());
    if !args.no_tidy {
        tidy::run(&tidy::Args::default())?;
    }
    install_nextest(&shell)?;
    cmd!(shell, "cargo test --quiet --workspace --doc").run()?;
    let engine = block_on(e2e::run::docker_engine())?;
    let profile = match &engine {
        Ok(description) => {
            eprintln!("{description} answers: tests that need an engine run too");
            "all"
        }
        Err(error) => {
            eprintln!("SKIPPED: the tests that need a Docker engine: {error}");
            "default"
        }
    };
    cmd!(shell, "cargo nextest run --workspace --profile {profile}").run()?;
    Ok(ExitCode::Pass)
}

/// Builds nextest when the machine has none.
fn install_nextest(shell: &Shell) -> Result<()> {
    if cmd!(shell, "cargo nextest --version").quiet().ignore_stdout().ignore_stderr().run().is_err() {
        eprintln!("installing cargo-nextest, which is built once");
        cmd!(shell, "cargo install --locked cargo-nextest").run()?;
    }
    Ok(())
}
