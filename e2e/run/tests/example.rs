//! `examples/nginx_redis`: another project's system, suites and configuration, and the same report.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use e2e_plan::target::Target;
use e2e_report::{
    env_vars,
    finding::Severity,
    record::Outcome,
    report::{Report, Verdict},
    run_dir::{REPORT_JSON, REPORT_MARKDOWN, RunDir},
};
use e2e_run::{Options, docker_engine, make_images, progress::Progress};

#[test]
fn it_is_small_with_its_manifests() {
    let lines: usize = files(&example()).iter().map(|file| fs::read_to_string(file).unwrap().lines().count()).sum();
    assert!((1..60).contains(&lines), "{lines} lines");
}

#[test]
fn it_runs_as_processes() {
    expect_report(Target::Local);
}

#[tokio::test]
async fn it_runs_in_containers() {
    if let Err(error) = docker_engine().await {
        return eprintln!("SKIPPED: {error}");
    }
    // This workspace knows how to make nginx and redis where no registry answers.
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    make_images(&Options::new(workspace), &Progress::new()).await.unwrap();
    expect_report(Target::Docker);
}

fn expect_report(target: Target) {
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--package", "e2e-run", "--example", "nginx_redis", "--", target.as_str()]);
    // What nextest sets for this test would have cargo build ring, and all that is above it, again.
    for name in env_vars::of_cargo() {
        command.env_remove(name);
    }
    let output = command.output().unwrap();
    let (said, summary) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success() && summary.starts_with("PASS on "), "{summary}\n{said}");
    let path = said.lines().find_map(|line| line.strip_prefix("report: ")).expect("the path of the report");
    let run = RunDir::open(Path::new(path).parent().unwrap()).unwrap();

    let report: Report = run.read_json(REPORT_JSON).unwrap();
    assert_eq!((report.target, report.verdict), (target, Verdict::Pass));
    let components: Vec<_> = report.components.iter().map(|c| (c.name.as_str(), c.ready, c.healthy)).collect();
    assert_eq!(components, [("nginx", 1, true), ("redis", 1, true)]);
    let cases: Vec<_> =
        report.suites.iter().flat_map(|suite| &suite.cases).map(|c| (c.name.as_str(), c.outcome)).collect();
    assert_eq!(cases, [("nginx", Outcome::Passed), ("redis", Outcome::Passed)]);
    assert!(report.findings.iter().all(|finding| finding.severity == Severity::Warning), "{:#?}", report.findings);

    // What this project does not have was not left unmeasured.
    assert!(report.scenarios.is_empty());
    let markdown = run.read(REPORT_MARKDOWN).unwrap();
    for absent in ["Registration", "Throughput", "Conservation", "Expected performance", "Load pattern", "not measured"]
    {
        assert!(!markdown.contains(absent), "`{absent}` is in\n{markdown}");
    }
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/nginx_redis")
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
