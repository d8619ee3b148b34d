//! Manifests on standard input, for verbs that read them more than once.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

/// A process of this machine that is up at once.
const CONFIG: &str = "suites = ['true']\n[local.'sleep:1']\nrun = ['sleep', '600']\nbinaries = ['sleep']\n";
const MANIFEST: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: sleeper }\nspec:\n  \
                        selector: { matchLabels: { app: sleeper } }\n  template:\n    \
                        metadata: { labels: { app: sleeper } }\n    \
                        spec: { containers: [{ name: app, image: 'sleep:1', args: [a, b] }] }\n";

/// A project without manifests.
fn project() -> tempfile::TempDir {
    let project = tempfile::tempdir().unwrap();
    fs::create_dir(project.path().join(".config")).unwrap();
    fs::write(project.path().join(".config/e2e.toml"), CONFIG).unwrap();
    project
}

fn e2e(root: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_e2e"));
    command.arg("--root").arg(root).args(arguments).env_remove("CARGO_TARGET_DIR");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn told(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).concat()
}

#[test]
fn each_mutant_is_planned_from_it() {
    let project = project();
    let output = e2e(project.path(), &["mutate", "--list", "--manifests", "-"], MANIFEST);
    let told = told(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("not run") && !told.contains("refused"), "{told}");
}

#[test]
fn the_process_that_keeps_a_system_reads_it_too() {
    let project = project();
    let up = e2e(project.path(), &["up", "--target", "local", "--manifests", "-"], MANIFEST);
    assert_eq!(up.status.code(), Some(0), "{}", told(&up));
    let status = e2e(project.path(), &["status"], "");
    let down = e2e(project.path(), &["down"], "");
    assert!(told(&status).contains("sleeper-0"), "{}", told(&status));
    assert_eq!(down.status.code(), Some(0), "{}", told(&down));
}

#[test]
fn what_is_wrong_in_it_has_a_line() {
    let output = e2e(project().path(), &["plan", "--manifests", "-"], "kind: [");
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(told(&output).contains("/dev/stdin:1:"), "{}", told(&output));
}
