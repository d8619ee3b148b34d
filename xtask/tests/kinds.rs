//! `fixtures/kinds`: systems of every kind of workload, whose Jobs check what a cluster promises to pods. xtask/tests/k8s.rs has the same
//! for a cluster.

mod support;

use std::process::{Command, Output};

use e2e_report::{
    report::{Report, Verdict},
    run_dir::{REPORT_JSON, RunDir},
};
use rstest::rstest;
use support::{Bench, said, unique};

const KINDS: &str = "../fixtures/kinds";

/// The output and the report of a run, or nothing where the target is not there.
fn run(target: &str, more: &[&str]) -> Option<(Output, Report)> {
    let engine = || Command::new("docker").arg("version").output().is_ok_and(|output| output.status.success());
    if target == "docker" && !engine() {
        eprintln!("SKIPPED: no Docker engine answers");
        return None;
    }
    let (bench, id) = (Bench::of(KINDS), unique("kinds"));
    let output = bench.output(&[&["e2e", "--target", target, "--run-id", &id], more].concat());
    let report = RunDir::open(&bench.run_directory(&id)).and_then(|run| run.read_json(REPORT_JSON));
    let report = report.unwrap_or_else(|error| panic!("{error}:\n{}", said(&output)));
    Some((output, report))
}

/// Components with their ready pods.
fn components(report: &Report) -> Vec<(&str, u32)> {
    report.components.iter().map(|component| (component.name.as_str(), component.ready)).collect()
}

#[test]
fn a_service_is_to_pods_what_it_is_in_a_cluster() {
    let Some((output, report)) = run("docker", &[]) else { return };
    assert_eq!(report.verdict, Verdict::Pass, "{}\n{}", String::from_utf8_lossy(&output.stdout), said(&output));
    let mut expected =
        [("agent", 1), ("alone", 1), ("db", 2), ("late", 1), ("migrate", 1), ("services", 1), ("web", 2)];
    let mut found = components(&report);
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[rstest]
#[case("docker")]
#[case("local")]
fn every_kind_of_workload_runs(#[case] target: &str) {
    let Some((output, report)) = run(target, &["--manifests", "../fixtures/kinds/processes"]) else { return };
    assert_eq!(report.verdict, Verdict::Pass, "{}\n{}", String::from_utf8_lossy(&output.stdout), said(&output));
    let found = components(&report);
    let position = |name: &str| found.iter().position(|(component, _)| *component == name);
    assert!(position("migrate") < position("agent") && position("store") < position("migrate"), "{found:?}");
    assert_eq!(found.iter().map(|(_, ready)| ready).sum::<u32>(), 5, "{found:?}");
}

#[rstest]
#[case("docker")]
#[case("local")]
fn a_failed_migration_is_named_as_such(#[case] target: &str) {
    let more = ["--manifests", "../fixtures/kinds/processes", "--overlay", "../fixtures/kinds/overlays/failing"];
    let Some((_, report)) = run(target, &more) else { return };
    assert_eq!(report.verdict, Verdict::Fail);
    let claims: Vec<&str> = report.findings.iter().map(|finding| finding.claim.as_str()).collect();
    assert!(claims.iter().any(|claim| claim.starts_with("Job migrate did not run to completion")), "{claims:?}");
}
