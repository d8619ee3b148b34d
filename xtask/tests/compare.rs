//! `cargo xtask compare` on reports that runs left behind.

mod support;

use std::{fs, path::Path, process::Output};

use e2e_report::report::{Verdict, empty};
use support::{expect, printed, said};

fn xtask(runs: &Path, arguments: &[&str]) -> Output {
    support::xtask(arguments).arg("--runs").arg(runs).output().unwrap()
}

/// The report of a run that came up after so many milliseconds, where `compare` looks for it.
fn leave_report(runs: &Path, id: &str, target: &str, up_ms: u64) {
    let mut report = empty(target.parse().unwrap(), Verdict::Pass);
    (report.run_id, report.environment.up_ms) = (id.to_owned(), up_ms);
    let directory = runs.join("runs").join(id);
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("report.json"), serde_json::to_string(&report).unwrap()).unwrap();
}

#[test]
fn sets_of_runs_are_compared_and_kept() {
    let runs = tempfile::tempdir().unwrap();
    for (id, target, up_ms) in
        [("a", "docker", 4000), ("b", "docker", 4100), ("c", "local", 1000), ("d", "local", 1100)]
    {
        leave_report(runs.path(), id, target, up_ms);
    }
    let output = xtask(runs.path(), &["compare", "a,b", "c,d"]);
    let (page, said) = (printed(&output), said(&output));
    assert!(output.status.success(), "{said}");
    // Means 4050 and 1050, standard errors 50 and 50, 2 degrees of freedom: -3000 ± 9.925 * 70.71, as shares of 4050.
    assert!(page.contains("ready after ms 74.1% less (91.4% less to 56.7% less) on local"), "{page}");
    let html = said.lines().find_map(|line| line.strip_prefix("comparison: ")).unwrap();
    assert!(fs::read_to_string(html).unwrap().contains("<h1>End-to-end comparison: docker against local</h1>"));
    assert!(Path::new(html).with_file_name("comparison.json").exists());
}

#[test]
fn what_cannot_be_compared_is_named() {
    let runs = tempfile::tempdir().unwrap();
    leave_report(runs.path(), "a", "docker", 1);
    fs::create_dir_all(runs.path().join("runs/unfinished")).unwrap();
    let cases: [(&[&str], &str); 5] = [
        (&["compare", "a", "nowhere"], "no such run"),
        (&["compare", "a", "unfinished"], "unfinished cannot be compared"),
        (&["compare", "a", ","], "every side needs a run"),
        (&["e2e", "--target", "docker,docker"], "is listed twice"),
        (&["e2e", "--target", "docker,local", "--keep"], "takes a single target"),
    ];
    for (arguments, expected) in cases {
        expect(&xtask(runs.path(), arguments), 2, &[expected]);
    }
}

#[test]
fn several_runs_with_json_print_their_comparison_alone() {
    let project = tempfile::tempdir().unwrap();
    support::leave_project(project.path(), "redis", 0);
    let arguments = ["e2e", "--target", "local", "--repeat", "2", "--format", "json"];
    let output = support::xtask_in(project.path(), &arguments).output().unwrap();
    let (printed, said) = (printed(&output), said(&output));
    let comparison: serde_json::Value =
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}\n{said}"));
    assert!(comparison.is_object(), "{comparison}");
    assert_eq!(said.matches("\nreport: ").count(), 2, "{said}");
}
