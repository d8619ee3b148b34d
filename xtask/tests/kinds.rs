//! `fixtures/kinds`: systems of every kind of workload, whose Jobs check what a cluster promises to pods. xtask/tests/k8s.rs has the same
//! for a cluster.

mod support;

use std::{path::Path, process::Output};

use e2e_kubelet::snapshot::Snapshot;
use e2e_report::{
    evidence::PODS,
    report::{Report, Verdict},
    run_dir::{REPORT_JSON, RunDir},
};
use rstest::rstest;
use support::{Bench, docker, has_engine, lifecycle, printed, said, unique};

const KINDS: &str = "../fixtures/kinds";

/// Whether a target is there.
fn is_there(target: &str) -> bool {
    target != "docker" || has_engine()
}

/// The output and the report of a run, or nothing where the target is not there.
fn run(target: &str, more: &[&str]) -> Option<(Output, Report)> {
    run_with_its_pods(target, more).map(|(output, report, _)| (output, report))
}

/// The same with what pods did.
fn run_with_its_pods(target: &str, more: &[&str]) -> Option<(Output, Report, Snapshot)> {
    if !is_there(target) {
        return None;
    }
    let (bench, id) = (Bench::of(KINDS), unique("kinds"));
    let output = bench.output(&[&["e2e", "--target", target, "--run-id", &id], more].concat());
    let read = |run: RunDir| Ok((run.read_json(REPORT_JSON)?, run.read_json(PODS)?));
    let (report, pods) = RunDir::open(&bench.run_directory(&id))
        .and_then(read)
        .unwrap_or_else(|error| panic!("{error}:\n{}", said(&output)));
    Some((output, report, pods))
}

/// Components with their ready pods.
fn components(report: &Report) -> Vec<(&str, u32)> {
    report.components.iter().map(|component| (component.name.as_str(), component.ready)).collect()
}

#[test]
fn a_service_is_to_pods_what_it_is_in_a_cluster() {
    let Some((output, report)) = run("docker", &[]) else { return };
    assert_eq!(report.verdict, Verdict::Pass, "{}\n{}", printed(&output), said(&output));
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
    assert_eq!(report.verdict, Verdict::Pass, "{}\n{}", printed(&output), said(&output));
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

#[rstest]
#[case("docker")]
#[case("local")]
fn a_cron_job_runs_when_it_is_asked_for(#[case] target: &str) {
    if is_there(target) {
        lifecycle::trigger(target, Path::new(KINDS).join("on-request").as_path());
    }
}

#[test]
fn a_component_that_is_deployed_anew_has_other_pods() {
    if is_there("docker") {
        lifecycle::redeploy("docker", |id| {
            docker(&["ps", "--quiet", "--filter", &format!("label=e2e.run={id}")]).join(" ")
        });
    }
}

#[rstest]
#[case("docker")]
#[case("local")]
fn hooks_run_after_the_start_and_before_the_end(#[case] target: &str) {
    let Some((output, report, pods)) = run_with_its_pods(target, &["--manifests", "../fixtures/kinds/hooks"]) else {
        return;
    };
    assert_eq!(components(&report), [("hooked", 1)], "{}", said(&output));
    let events = pods.pods["hooked-0"].all_events();
    let first = |start: &str| events.iter().find(|event| event.to_string().starts_with(start)).map(|event| event.first);
    let killed = first("Normal Killing: Container hooked failed liveness probe");
    let failed = first("Warning FailedPreStopHook: PreStopHook failed: command");
    assert!(killed.is_some() && killed < failed, "{events:#?}");
    assert!(report.components[0].restarts > 0, "{events:#?}");
}
