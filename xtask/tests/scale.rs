//! `cargo xtask scale` as a person runs it, on a project whose runs have no throughput: what is kept of a study, and how it ends.

mod support;

use std::{fs, path::Path, process::Command, time::Duration};

use rustix::process::Signal;
use support::{Running, expect, leave_project, printed, said, wait_until, xtask_in};

/// A project with one component, and one scenario whose requests have nowhere to go: the component has no Service.
fn leave_study(root: &Path, component: &str, suites_seconds: u32) {
    leave_project(root, component, suites_seconds);
    let config = root.join(".config/e2e.toml");
    let scenario = "[[scenario.order.steps]]\nname = 'order'\npath = '/'\n";
    fs::write(&config, fs::read_to_string(&config).unwrap() + scenario).unwrap();
}

fn scale(root: &Path, more: &[&str]) -> Command {
    let mut command = xtask_in(root, &["scale", "--target", "local", "--replicas", "1,2", "--repeat", "1"]);
    command.args(more);
    command
}

/// What the study left: its data and its page.
fn study(root: &Path) -> (serde_json::Value, String) {
    let directories: Vec<_> = fs::read_dir(root.join("runs/scale")).unwrap().collect();
    let [Ok(directory)] = &directories[..] else { panic!("not one study: {directories:?}") };
    let read = |file| fs::read_to_string(directory.path().join(file)).unwrap();
    let page = read("scale.md");
    // There is a plot where a rate was measured.
    assert_eq!(page.contains("(scale.svg)"), directory.path().join("scale.svg").exists());
    (serde_json::from_str(&read("scale.json")).unwrap(), page)
}

#[test]
fn levels_without_a_throughput_and_their_verdicts_are_told() {
    let project = tempfile::tempdir().unwrap();
    leave_study(project.path(), "backend", 0);
    let output = scale(project.path(), &[]).output().unwrap();
    let (found, page) = study(project.path());
    assert_eq!(output.status.code(), Some(1), "{}\n{page}\n{found}", said(&output));
    assert!(page.starts_with("# Rate of order by replicas of backend on "), "{page}");
    assert_eq!(printed(&output).lines().next(), page.lines().next());
    for (at, level) in (0..2).zip(["1 replica", "2 replicas"]) {
        assert!(page.contains(&format!("Not measured: {level} in ")), "{page}");
        assert!(page.contains(&format!("Verdict fail: {level} in ")), "{page}");
        assert_eq!(found["runs"][at]["verdict"], "fail", "{found}");
    }
}

#[test]
fn an_interrupt_keeps_what_was_measured() {
    let project = tempfile::tempdir().unwrap();
    leave_study(project.path(), "backend", 3);
    let mut run = Running::of(&mut scale(project.path(), &[]), None);
    let in_second = || run.said().matches("running the suites").count() == 2;
    assert!(wait_until(Duration::from_secs(60), in_second), "{}", run.said());
    run.signal(Signal::INT);
    let (status, _) = run.wait(Duration::from_secs(30));
    assert_eq!(status.code(), Some(4), "{}", run.said());
    let (found, page) = study(project.path());
    assert_eq!(found["runs"].as_array().map(Vec::len), Some(1), "{found}");
    assert!(page.contains(" failed and ended the study: interrupted"), "{page}");
}

#[test]
fn what_no_study_can_be_made_of_is_bad_input() {
    let project = tempfile::tempdir().unwrap();
    leave_study(project.path(), "redis", 0);
    for (more, expected) in [
        (&["--controls"][..], "needs --target docker"),
        (&["--component", "backend"], "--component: there is no component `backend`; components: redis"),
        (&["--scenario", "pay"], "pay"),
    ] {
        expect(&scale(project.path(), more).output().unwrap(), 2, &[expected]);
        assert!(!project.path().join("runs/scale").exists());
    }
}
