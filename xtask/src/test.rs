//! `cargo xtask test`: every check for a clean machine.

use std::fs;

use anyhow::Result;
use e2e_cli::options::block_on;
use e2e_run::{Options, exit::ExitCode, progress::Progress};
use roxmltree::{Document, Node};
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
    let mut stages = vec![stage(&shell, profile, "all()", &[])];
    stages.extend(with_helm(&shell, profile));
    stages.extend(on_cluster(&shell, args.whole_cluster, project)?);
    if args.no_faults {
        eprintln!("SKIPPED: the faults (--no-faults)");
    } else {
        stages.push(stage(&shell, "faults", faults, &[]));
    }
    let failed: Vec<String> = stages.iter().filter_map(|stage| stage.failure.clone()).collect();
    let skipped: Vec<&str> = stages.iter().flat_map(|stage| &stage.skipped).map(String::as_str).collect();
    if !skipped.is_empty() {
        eprintln!("{} of the passed tests count as SKIPPED:\n  {}", skipped.len(), skipped.join("\n  "));
    }
    anyhow::ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(ExitCode::Pass)
}

/// The tests that need helm, where it is installed.
fn with_helm(shell: &Shell, profile: &str) -> Option<Stage> {
    match cmd!(shell, "helm version --short").quiet().read() {
        Ok(version) => {
            eprintln!("helm {version} is installed: tests that need it run too");
            Some(stage(shell, profile, "test(/charts::with_helm::/)", &["--run-ignored", "only"]))
        }
        Err(error) => {
            eprintln!("SKIPPED: the tests that need helm: {error}");
            None
        }
    }
}

/// The tests that need a cluster, where one answers.
fn on_cluster(shell: &Shell, is_whole: bool, project: &Options) -> Result<Option<Stage>> {
    let description = match block_on(e2e_run::cluster(project))? {
        Ok(description) => description,
        Err(error) => {
            eprintln!("SKIPPED: the tests that need a cluster: {error}");
            return Ok(None);
        }
    };
    eprintln!("{description} answers: tests that need a cluster run too");
    if is_whole {
        return Ok(Some(stage(shell, "k8s", "all()", &[])));
    }
    let stage = stage(shell, "k8s", "binary(=k8s) and not test(twenty_kills)", &[]);
    eprintln!("SKIPPED: faults, kills and the comparison of probes in the cluster; run them with --whole-cluster");
    Ok(Some(stage))
}

/// How a stage ended.
struct Stage {
    failure: Option<String>,
    /// Tests that nextest counts as passed and that printed that they could not run, with their reason.
    skipped: Vec<String>,
}

/// Runs the `chosen` tests of a profile. Each stage names the whole workspace: for some packages only, cargo would choose other
/// features for what they depend on, and build it again.
fn stage(shell: &Shell, profile: &str, chosen: &str, flags: &[&str]) -> Stage {
    let junit = root().join("target/nextest").join(profile).join("junit.xml");
    // What is read must not be an earlier stage's.
    let _ = fs::remove_file(&junit);
    let run = cmd!(shell, "cargo nextest run --workspace --profile {profile} -E {chosen} {flags...}").run();
    let text = fs::read_to_string(&junit).map_err(|error| format!("{}: {error}", junit.display()));
    let skipped = text.and_then(|text| skipped(&text).map_err(|error| format!("{}: {error}", junit.display())));
    Stage {
        failure: run.err().map(|error| error.to_string()).or(skipped.as_ref().err().cloned()),
        skipped: skipped.unwrap_or_default(),
    }
}

/// The tests of a JUnit file that passed and printed a line `SKIPPED: REASON`. A test binary has no other way to say so.
fn skipped(junit: &str) -> Result<Vec<String>, roxmltree::Error> {
    let document = Document::parse(junit)?;
    let has_failed = |case: &Node<'_, '_>| case.children().any(|child| child.has_tag_name("failure"));
    let cases = document.descendants().filter(|node| node.has_tag_name("testcase") && !has_failed(node));
    let reason = |case: Node<'_, '_>| {
        let mut lines = case.descendants().filter_map(|node| node.text()).flat_map(str::lines);
        lines.find_map(|line| line.strip_prefix("SKIPPED: ").map(str::to_owned))
    };
    let name = |case: Node<'_, '_>| ["classname", "name"].map(|key| case.attribute(key).unwrap_or_default()).join(" ");
    Ok(cases.filter_map(|case| Some(format!("{}: {}", name(case), reason(case)?))).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_says_that_it_could_not_run_is_skipped() {
        let junit = r#"<testsuites><testsuite name="a">
            <testcase classname="cli::images" name="postgres"><system-err>looking
SKIPPED: initdb was not found in PATH
</system-err></testcase>
            <testcase classname="cli::images" name="redis"><system-out>the word SKIPPED: within a line</system-out></testcase>
        </testsuite></testsuites>"#;
        assert_eq!(skipped(junit).unwrap(), ["cli::images postgres: initdb was not found in PATH"]);
    }
}
