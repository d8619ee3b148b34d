//! Charts of helm, as helm renders them. `cargo xtask test` runs the tests that need helm where it is installed, and says so where it is not.

mod with_helm;

use std::{os::unix::fs::PermissionsExt as _, process::Command};

use super::*;
use crate::{Warning, target::Target};

/// A chart with a dependency in `charts/`, a definition, hooks of three kinds and values that it requires.
const CHART: &[(&str, &str)] = &[
    ("deploy/chart/Chart.yaml", "apiVersion: v2\nname: shop\nversion: 1.0.0\n"),
    ("deploy/chart/values.yaml", "level: info\ncache: {port: 6379}\n"),
    ("deploy/chart/crds/d.yaml", DEFINITION),
    ("deploy/chart/templates/NOTES.txt", "{{ .Release.Name }} is there.\n"),
    (
        "deploy/chart/templates/map.yaml",
        "{{ range list \"one\" \"two\" }}\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ $.Release.Name }}-{{ . }}, namespace: {{ $.Release.Namespace }}}\n\
         data: {level: {{ $.Values.level }}}\n---\n{{ end }}\n",
    ),
    ("deploy/chart/templates/jobs.yaml", JOBS),
    ("deploy/chart/charts/cache/Chart.yaml", "apiVersion: v2\nname: cache\nversion: 1.0.0\n"),
    (
        "deploy/chart/charts/cache/templates/pod.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: {{ .Release.Name }}-cache}\n\
         spec: {containers: [{name: c, image: redis, ports: [{containerPort: {{ .Values.port }}}]}]}\n",
    ),
];

const DEFINITION: &str = "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.org}
spec:
  group: example.org
  names: {kind: Thing, plural: things}
  scope: Namespaced
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
";

const JOBS: &str = "\
{{ range $hook, $name := dict \"pre-install\" \"migrate\" \"pre-upgrade\" \"check\" \"test\" \"try\" }}
apiVersion: batch/v1
kind: Job
metadata: {name: {{ $name }}, annotations: {helm.sh/hook: {{ $hook }}}}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: x}]}}}
---
{{ end }}
";

fn with(more: &[(&str, &str)]) -> tempfile::TempDir {
    directory(&[CHART, more].concat())
}

fn plan_at(path: &str, more: &[(&str, &str)]) -> Plan {
    read_at(with(more).path(), &[path], &[]).unwrap()
}

/// What a refusal says, where more files are in the chart.
fn refusal(more: &[(&str, &str)]) -> String {
    read_at(with(more).path(), &["deploy/chart"], &[]).unwrap_err().to_string()
}

/// What helm wrote, without helm.
#[test]
fn what_a_command_writes_names_the_templates_too() {
    let text = "---\n# Source: shop/templates/a.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: '1', x: '2'}\n\
                ---\n# Source: shop/templates/a.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\nspec: {}\n";
    let (good, _) = text.split_once("spec").unwrap();
    let project = directory(&[("good.yaml", good), ("bad.yaml", text)]);
    let of = |file: &str| {
        let sources = Sources { render: vec!["cat".to_owned(), file.to_owned()], ..Sources::default() };
        Plan::of(read(project.path(), &sources, &[]))
    };
    let plan = of("good.yaml").unwrap();
    assert_eq!(names(&plan), ["a of shop/templates/a.yaml", "b of shop/templates/a.yaml"]);
    assert!(plan.places.values().all(|places| places.is_empty()));
    let Warning { source, object, path, reason } = &plan.warnings(Target::Docker)[0];
    assert_eq!(
        format!("{source}: {object} {path}: {reason}"),
        "shop/templates/a.yaml, document 1: ConfigMap/a x: the map has this key twice; the last value wins"
    );
    let error = of("bad.yaml").unwrap_err().to_string();
    assert!(error.starts_with("shop/templates/a.yaml, document 2: ConfigMap/b: spec: unknown field; "), "{error}");
    // A file is no output: its lines are its own.
    let error = read_at(project.path(), &["bad.yaml"], &[]).unwrap_err().to_string();
    assert!(error.starts_with("bad.yaml:12:1, document 2: ConfigMap/b: spec"), "{error}");
}

/// Runs a test of this module with another `PATH`.
fn with_path(path: &Path, test: &str) {
    let test = format!("manifests::tests::charts::{test}");
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--ignored", "--exact", &test]).env("PATH", path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn a_chart_needs_helm() {
    with_path(Path::new("/nowhere"), "there_is_no_helm");
}

#[test]
#[ignore = "`a_chart_needs_helm` runs it"]
fn there_is_no_helm() {
    let expected = "deploy/chart: a chart is rendered by helm, which is not installed; install helm 3 or newer, or set `render` to a command \
                    that writes the manifests";
    assert_eq!(refusal(&[]), expected);
}

/// Without helm on this machine: what it is asked for, and what becomes of its answers.
#[test]
fn helm_is_asked_for_hooks_and_definitions_too() {
    let script = "#!/bin/sh\necho \"$@\" >> asked\ncase $1 in\nshow) echo 'name: shop';;\n*) echo '---'\necho '# Source: shop/templates/a.yaml'\n\
                  echo '{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}';;\nesac\n";
    let programs = directory(&[("helm", script)]);
    fs::set_permissions(programs.path().join("helm"), fs::Permissions::from_mode(0o755)).unwrap();
    with_path(programs.path(), "there_is_a_helm_of_this_test");
}

#[test]
#[ignore = "`helm_is_asked_for_hooks_and_definitions_too` runs it"]
fn there_is_a_helm_of_this_test() {
    let project = with(&[]);
    let plan = read_at(project.path(), &["deploy/chart"], &[]).unwrap();
    assert_eq!(names(&plan), ["a of deploy/chart/templates/a.yaml"]);
    let asked = fs::read_to_string(project.path().join("asked")).unwrap();
    assert_eq!(asked, "show chart deploy/chart\ntemplate shop deploy/chart --namespace default --include-crds\n");
}
