//! `examples/python`: a system without a line of Rust, tested by the program `e2e` and by pytest.

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use e2e_report::{
    report::{Report, Verdict},
    run_dir::{REPORT_JSON, RunDir},
};
use e2e_run::docker_engine;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn example() -> PathBuf {
    workspace().join("examples/python")
}

#[test]
fn it_is_small_beside_its_manifests_app_and_checks() {
    let own = ["app", "checks", "deploy", "target", ".pytest_cache"];
    let of_the_framework = |file: &PathBuf| {
        let first = file.strip_prefix(example()).unwrap().iter().next().unwrap().to_owned();
        !own.iter().any(|name| first == **name)
    };
    let files: Vec<PathBuf> = files(&example()).into_iter().filter(of_the_framework).collect();
    let lines: usize = files.iter().map(|file| fs::read_to_string(file).unwrap().lines().count()).sum();
    assert!((1..=60).contains(&lines), "{lines} lines in {files:?}");
}

#[tokio::test]
async fn it_runs_in_containers() {
    if let Err(error) = docker_engine().await {
        return eprintln!("SKIPPED: {error}");
    }
    passes_on("docker");
}

#[test]
fn it_runs_as_plain_processes() {
    passes_on("local");
}

fn passes_on(target: &str) {
    let pytest = Command::new("python3").args(["-m", "pytest", "--version"]).output();
    if !pytest.is_ok_and(|pytest| pytest.status.success()) {
        return eprintln!("SKIPPED: python3 has no pytest; `pip install pytest` installs it");
    }
    // Blanks and letters beyond ASCII are in people's paths.
    let runs = tempfile::Builder::new().prefix("rüns of ").tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_e2e"))
        .args(["run", "--target", target, "--root", "../python/.", "--overlay", "deploy/overlays/staging", "--runs"])
        .arg(runs.path())
        .current_dir(example())
        .output()
        .unwrap();
    let (said, summary) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    if !support::has_programs(&said, "the example") {
        return;
    }
    let passed = summary.starts_with(&format!("PASS on {target}"));
    assert!(output.status.success() && passed, "{summary}\n{said}");

    let report: Report = RunDir::open(&runs.path().join("latest")).unwrap().read_json(REPORT_JSON).unwrap();
    assert_eq!(report.verdict, Verdict::Pass);
    let components: Vec<_> = report.components.iter().map(|c| (c.name.as_str(), c.ready, c.healthy)).collect();
    assert_eq!(
        components,
        [("postgres", 1, true), ("redis", 1, true), ("migrate", 1, true), ("shop", 3, true), ("nginx", 1, true)]
    );
    // pytest wrote no record: junit.xml alone makes these checks.
    let cases: Vec<_> =
        report.suites.iter().flat_map(|suite| suite.cases.iter().map(|case| case.name.as_str())).collect();
    let checks = ["test_an_item_is_kept_and_its_views_are_counted", "test_an_unknown_item_is_not_found"];
    assert_eq!(cases, [checks[0], checks[1], "shopping"]);
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
