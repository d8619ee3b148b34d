//! `cargo xtask test`: every check for a clean machine.

use anyhow::Result;
use e2e_cli::options::block_on;
use e2e_run::{Options, exit::ExitCode, progress::Progress};
use xshell::{Shell, cmd};

use crate::{root, tidy};

/// Run tidy, unit, integration and documentation tests, the example, and a complete run for each fault.
///
/// Without a Docker engine, a cluster or helm, skips the tests that need it, and says so.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask test\n  cargo xtask test --no-tidy --no-faults")]
pub(crate) struct Args {
    /// Skip formatting, lints and documentation.
    #[arg(long)]
    no_tidy: bool,
    /// Skip the runs with a fault, which take half a minute each.
    #[arg(long)]
    no_faults: bool,
    /// With a cluster, also run each fault, twenty kills and the comparison with its kubelet's probes: a quarter of an hour.
    #[arg(long)]
    whole_cluster: bool,
}

pub(crate) fn run(args: &Args, project: &Options) -> Result<ExitCode> {
    let shell = Shell::new()?;
    shell.change_dir(root());
    if !args.no_tidy {
        tidy::run(&tidy::Args::default())?;
    }
    block_on(e2e_run::ensure_nextest(&Progress::new()))??;
    cmd!(shell, "cargo test --quiet --workspace --doc").run()?;
    let engine = block_on(e2e_run::docker_engine())?;
    let (profile, faults) = match &engine {
        Ok(description) => {
            eprintln!("{description} answers: tests that need an engine run too");
            ("all", "all()")
        }
        Err(error) => {
            eprintln!("SKIPPED: the tests that need a Docker engine: {error}");
            ("local", "not binary(=faults_docker)")
        }
    };
    build_ahead(&shell, engine.is_ok())?;
    // A failed stage must not hide the results of the next ones.
    let mut stages = vec![nextest(&shell, profile, "all()", &[])];
    match cmd!(shell, "helm version --short").quiet().read() {
        Ok(version) => {
            eprintln!("helm {version} is installed: tests that need it run too");
            let charts = "test(/charts::with_helm::/)";
            stages.push(nextest(&shell, profile, charts, &["--run-ignored", "only"]));
        }
        Err(error) => eprintln!("SKIPPED: the tests that need helm: {error}"),
    }
    match block_on(e2e_run::cluster(project))? {
        Ok(description) => {
            eprintln!("{description} answers: tests that need a cluster run too");
            let short = "binary(=k8s) and not test(twenty_kills)";
            let chosen = if args.whole_cluster { "all()" } else { short };
            stages.push(nextest(&shell, "k8s", chosen, &[]));
            if !args.whole_cluster {
                eprintln!(
                    "SKIPPED: faults, kills and the comparison of probes in the cluster; run them with --whole-cluster"
                );
            }
        }
        Err(error) => eprintln!("SKIPPED: the tests that need a cluster: {error}"),
    }
    if args.no_faults {
        eprintln!("SKIPPED: the faults (--no-faults)");
    } else {
        stages.push(nextest(&shell, "faults", faults, &[]));
    }
    let failed: Vec<String> = stages.into_iter().filter_map(Result::err).map(|error| error.to_string()).collect();
    anyhow::ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(ExitCode::Pass)
}

/// Runs the `chosen` tests of a profile. Each stage names the whole workspace: for some packages only, cargo would choose other
/// features for what they depend on, and build it again.
fn nextest(shell: &Shell, profile: &str, chosen: &str, flags: &[&str]) -> xshell::Result<()> {
    cmd!(shell, "cargo nextest run --workspace --profile {profile} -E {chosen} {flags...}").run()
}

/// Builds the system's binaries and images and the suites, so that tests' time limits exclude builds.
fn build_ahead(shell: &Shell, has_engine: bool) -> Result<()> {
    let progress = Progress::new();
    if has_engine {
        block_on(e2e_run::make_images(&e2e_run::Options::new(root()), &progress))??;
    } else {
        let packages = ["backend", "engine"].map(str::to_owned);
        block_on(e2e_run::image::cargo_binaries(root(), &packages, &|line| progress.plain(line)))??;
    }
    cmd!(shell, "cargo nextest run --package e2e --package xtask --test suites --profile e2e --no-run").run()?;
    cmd!(shell, "cargo nextest run --package e2e-run --example nginx_redis --no-run").run()?;
    Ok(())
}
