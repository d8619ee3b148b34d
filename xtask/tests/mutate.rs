//! `cargo xtask mutate` as a person runs it, on a project of one process: what is kept of a study that is cut short.

mod support;

use std::{fs, time::Duration};

use rustix::process::Signal;
use support::{Running, leave_project, wait_until, xtask_in};

/// Long enough for an interrupt to come in a run.
const SUITES: &str = "sleep 3\n\
    echo '<testsuites><testsuite name=\"all\"><testcase name=\"well\" classname=\"all\"/></testsuite></testsuites>' > \"$1\"\n";

#[test]
fn an_interrupt_keeps_what_was_judged() {
    let project = tempfile::tempdir().unwrap();
    leave_project(project.path(), "backend", 0);
    let manifest = project.path().join("manifests/one.yaml");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(manifest, text.replace("'sleep:1'", "'sleep:1', env: [{name: MODE, value: fast}]")).unwrap();
    let config = project.path().join(".config/e2e.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(config, text.replace("'suites.sh'", "'suites.sh', '{junit}'")).unwrap();
    fs::write(project.path().join("suites.sh"), SUITES).unwrap();
    let arguments = ["mutate", "--target", "local", "--only", "env-name", "--only", "env-value"];
    let mut run = Running::of(&mut xtask_in(project.path(), &arguments), None);
    let is_first_judged = || run.said().contains("1 of ");
    assert!(wait_until(Duration::from_secs(60), is_first_judged), "{}", run.said());
    run.signal(Signal::INT);
    let (status, _) = run.wait(Duration::from_secs(60));
    assert_eq!(status.code(), Some(4), "{}", run.said());

    let study = fs::read_dir(project.path().join("runs/mutation")).unwrap().next().unwrap().unwrap().path();
    let found: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(study.join("mutation.json")).unwrap()).unwrap();
    let fates: Vec<&str> = found["mutants"].as_array().unwrap().iter().filter_map(|one| one["fate"].as_str()).collect();
    assert!(fates.contains(&"survived") && fates.contains(&"not-run"), "{found}");
    assert!(fs::read_to_string(study.join("mutation.md")).unwrap().contains("## Survivors"));
}
