//! The workflow of this repository and the action for others: whatever can be known of them without GitHub.

mod support;

use std::{
    io::Write as _,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

use rstest::rstest;
use serde_json::Value;
use support::{help, root};

fn read(file: &str) -> Value {
    serde_saphyr::from_str(&std::fs::read_to_string(root().join(file)).unwrap()).unwrap()
}

/// The steps of both files.
fn steps() -> Vec<Value> {
    let (workflow, action) = (read(".github/workflows/ci.yml"), read("action.yml"));
    let jobs = workflow["jobs"].as_object().unwrap().values().map(|job| &job["steps"]);
    let lists = jobs.chain([&action["runs"]["steps"]]);
    lists.flat_map(|steps| steps.as_array().unwrap().clone()).collect()
}

fn scripts() -> Vec<String> {
    steps().iter().filter_map(|step| step["run"].as_str().map(str::to_owned)).collect()
}

/// An expression in a script would be pasted into it before the shell reads it: values come as variables.
#[test]
fn every_step_is_a_script_that_bash_reads_or_an_action_of_a_fixed_version() {
    for step in steps() {
        match (step["run"].as_str(), step["uses"].as_str()) {
            (Some(script), None) => {
                assert!(!script.contains("${{"), "{script}");
                let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
                bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
                assert!(bash.wait().unwrap().success(), "{script}");
            }
            (None, Some(action)) => assert!(action == "./" || action.contains("@v"), "{action}"),
            _ => panic!("a step either runs or uses something: {step}"),
        }
    }
}

/// Each call of this program names a verb and flags that there are.
#[test]
fn commands_and_flags_exist() {
    let scripts = scripts();
    let calls = scripts.iter().flat_map(|script| script.lines()).filter_map(|line| {
        let line = line.trim();
        line.strip_prefix("cargo xtask ").or_else(|| line.strip_prefix("e2e "))
    });
    let mut seen = 0;
    for call in calls {
        let mut words = call.split_whitespace();
        let help = help(words.next().unwrap());
        for flag in words.filter(|word| word.starts_with("--")) {
            assert!(help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}\n")), "{flag} of `{call}`");
        }
        seen += 1;
    }
    assert!(seen >= 4, "{seen} calls");
}

/// The action's run with a program in place of `e2e` that prints each of its arguments.
#[rstest]
#[case::none("", &[])]
#[case::quoted("--during 'kill backend at 10s' --filter \"test(probe)\"", &["--during", "kill backend at 10s", "--filter", "test(probe)"])]
#[case::nothing_is_expanded("--set a.env.B=$HOME *", &["--set", "a.env.B=$HOME", "*"])]
#[case::on_several_lines("--target k8s\n--repeat 2\n", &["--target", "k8s", "--repeat", "2"])]
fn arguments_of_the_action_may_be_quoted(#[case] arguments: &str, #[case] expected: &[&str]) {
    let action = read("action.yml");
    let steps = action["runs"]["steps"].as_array().unwrap();
    let run = steps.iter().find(|step| step["name"] == "Run").unwrap()["run"].as_str().unwrap();
    let place = tempfile::tempdir().unwrap();
    let program = place.path().join("e2e");
    std::fs::write(&program, "#!/bin/sh\nprintf '%s\\n' \"$@\"\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut bash = Command::new("bash");
    bash.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", run]).current_dir(place.path());
    bash.env("ARGUMENTS", arguments).env("BIN", place.path()).env("RUNNER_TEMP", place.path());
    let output = bash.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let words = String::from_utf8(output.stdout).unwrap();
    let words: Vec<&str> = words.lines().collect();
    assert_eq!(words[..3], ["run", "--runs", "target/e2e"]);
    assert_eq!(words[3..], *expected);
}

/// The YAML blocks of the pages that show how another repository calls the action.
fn shown() -> Vec<Value> {
    let page = std::fs::read_to_string(root().join("docs/your-system.md")).unwrap();
    let blocks = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.filter(|block| block.contains("steps:")).map(|block| serde_saphyr::from_str(block).unwrap()).collect()
}

#[test]
fn the_tutorial_calls_the_action_with_inputs_that_it_declares() {
    let declared = read("action.yml");
    let shown = shown();
    assert_eq!(shown.len(), 2, "one for any language, one for Rust");
    for file in shown {
        let steps = file.pointer("/jobs/e2e/steps").or_else(|| file.get("steps")).and_then(Value::as_array).unwrap();
        let uses = |step: &&Value| step["uses"].as_str().is_some_and(|uses| matches!(uses, "OWNER/e2e@main" | "./e2e"));
        let with = steps.iter().find(uses).unwrap()["with"].as_object().unwrap();
        assert!(with.keys().all(|name| declared["inputs"].get(name).is_some()), "{with:?}");
    }
}

#[test]
fn inputs_that_steps_name_are_declared_and_no_token_may_write() {
    let action = std::fs::read_to_string(root().join("action.yml")).unwrap();
    let declared = read("action.yml");
    for (at, _) in action.match_indices("inputs.") {
        let name: String = action[at + 7..].chars().take_while(|c| c.is_alphanumeric() || *c == '-').collect();
        assert!(declared["inputs"].get(&name).is_some(), "{name}");
    }
    let workflow = read(".github/workflows/ci.yml");
    assert_eq!(workflow["permissions"], serde_json::json!({ "contents": "read" }));
    let with = workflow["jobs"]["action"]["steps"][1]["with"].as_object().unwrap();
    assert!(with.keys().all(|name| declared["inputs"].get(name).is_some()), "{with:?}");
}
