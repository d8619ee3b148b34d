//! Charts of helm, as helm renders them. Where helm is not installed, the tests that need it say so.

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

fn has_helm() -> bool {
    let found = Command::new("helm").arg("version").output().is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("SKIPPED: this test needs helm, which is not installed");
    }
    found
}

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

#[test]
fn everything_that_an_installation_makes_is_in_the_plan_and_the_rest_is_said() {
    if !has_helm() {
        return;
    }
    let expected = [
        "things.example.org of deploy/chart/crds/d.yaml",
        "shop-one of deploy/chart/templates/map.yaml",
        "shop-two of deploy/chart/templates/map.yaml",
        "shop-cache of deploy/chart/charts/cache/templates/pod.yaml",
        "migrate of deploy/chart/templates/jobs.yaml",
    ];
    // The directory, its file, and a link that ends where it does.
    for path in ["deploy/chart", "deploy/chart/Chart.yaml", "deploy/../deploy/chart/"] {
        assert_eq!(names(&plan_at(path, &[])).len(), expected.len(), "{path}");
    }
    let plan = plan_at("deploy/chart", &[]);
    assert_eq!(names(&plan), expected);
    assert_eq!(plan.objects[1].json["metadata"]["namespace"], "default");
    assert_eq!(plan.objects[2].source.to_string(), "deploy/chart/templates/map.yaml, document 2");
    assert_eq!(plan.component("shop-cache").unwrap().after, ["migrate"]);
    let left_out = |job: &str, hook: &str| {
        let text = format!("helm creates Job/{job} for `{hook}` only, not at installation: it is left out");
        plan.warnings(Target::Docker).iter().any(|warning| warning.reason == text)
    };
    assert!(left_out("try", "test") && left_out("check", "pre-upgrade"), "{:?}", plan.warnings(Target::Docker));
}

#[test]
fn a_chart_may_be_the_project_itself_or_one_file() {
    if !has_helm() {
        return;
    }
    let project = with(&[]);
    let root = project.path().join("deploy/chart");
    let sources = Sources { paths: vec![".".into()], ..Sources::default() };
    let plan = Plan::of(read(&root, &sources, &[])).unwrap();
    assert_eq!(names(&plan)[4], "migrate of templates/jobs.yaml");
    let packed = Command::new("helm").args(["package", "deploy/chart"]).current_dir(project.path()).output().unwrap();
    assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    let plan = read_at(project.path(), &["shop-1.0.0.tgz"], &[]).unwrap();
    assert_eq!(names(&plan)[4], "migrate of shop-1.0.0.tgz/templates/jobs.yaml");
}

#[test]
fn a_fault_names_the_template() {
    if !has_helm() {
        return;
    }
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndta: {}\n";
    let expected = "deploy/chart/templates/a.yaml, document 1: ConfigMap/a: dta: unknown field; did you mean `data`?";
    assert_eq!(refusal(&[("deploy/chart/templates/a.yaml", text)]), expected);
}

/// Each refusal of helm's with its reason and a remedy that works.
#[rstest]
#[case::a_required_value(
    ("templates/a.yaml", "a: {{ required \"set name\" .Values.name }}\n"),
    "deploy/chart: helm refuses the chart: execution error at (shop/templates/a.yaml:1:6): set name; \
     correct the chart, or give it the values that it wants: `render = [\"helm\", \"template\", \"shop\", \"deploy/chart\", \
     \"--namespace\", \"default\", \"--include-crds\", \"--values\", \"FILE\"]`"
)]
#[case::values_by_their_schema(
    ("values.schema.json", "{\"required\": [\"a\", \"b\"]}"),
    "deploy/chart: helm refuses the chart: values don't meet the specifications of the schema(s) in the following chart(s): shop: - (root): \
     a is required - (root): b is required; correct the chart, or"
)]
#[case::a_cluster_of_another_version(
    ("Chart.yaml", "apiVersion: v2\nname: shop\nversion: 1.0.0\nkubeVersion: '>=9'\n"),
    "deploy/chart: helm refuses the chart: chart requires kubeVersion: >=9 which is incompatible with Kubernetes v1."
)]
#[case::no_yaml(
    ("templates/a.yaml", "a: b: c\n"),
    "deploy/chart: helm refuses the chart: YAML parse error on shop/templates/a.yaml: error converting YAML to JSON"
)]
#[case::an_absent_dependency(
    ("Chart.yaml", "apiVersion: v2\nname: shop\nversion: 1.0.0\ndependencies: [{name: db, version: 1.x, repository: 'https://example.org'}]\n"),
    "deploy/chart: helm refuses the chart: An error occurred while checking for chart dependencies. You may need to run `helm dependency \
     build` to fetch missing dependencies: found in Chart.yaml, but missing in charts/ directory: db; run `helm dependency update deploy/chart`"
)]
#[case::a_library(
    ("Chart.yaml", "apiVersion: v2\nname: shop\nversion: 1.0.0\ntype: library\n"),
    "deploy/chart: helm refuses the chart: library charts are not installable; name a chart that uses this one"
)]
#[case::no_chart(("Chart.yaml", "name: shop\n"), "deploy/chart: helm refuses the chart: validation: chart.metadata.version is required; correct the chart")]
fn what_helm_refuses(#[case] (file, text): (&str, &str), #[case] expected: &str) {
    if !has_helm() {
        return;
    }
    let message = refusal(&[(&format!("deploy/chart/{file}"), text)]);
    assert!(message.starts_with(expected), "{message}");
}

/// As people keep it: the versions in a lock file, and a dependency beside the chart. The remedy is typed as it stands.
#[test]
fn the_remedy_for_absent_dependencies_works() {
    if !has_helm() {
        return;
    }
    let chart = "apiVersion: v2\nname: shop\nversion: 1.0.0\ndependencies: [{name: db, version: 1.x, repository: 'file://../db'}]\n";
    let project = with(&[
        ("deploy/chart/Chart.yaml", chart),
        ("deploy/chart/Chart.lock", "dependencies: []\n"),
        ("deploy/db/Chart.yaml", "apiVersion: v2\nname: db\nversion: 1.0.0\n"),
        ("deploy/db/templates/map.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}-db}\n"),
    ]);
    let message = read_at(project.path(), &["deploy/chart"], &[]).unwrap_err().to_string();
    let (_, remedy) = message.split_once("; run `").unwrap();
    let (command, more) = remedy.split_once('`').unwrap();
    assert_eq!(
        more,
        ", or, for the versions of Chart.lock, `helm repo add` their repositories and run `helm dependency build deploy/chart`"
    );
    let typed = Command::new("sh").args(["-c", command]).current_dir(project.path()).output().unwrap();
    assert!(typed.status.success(), "{command}: {}", String::from_utf8_lossy(&typed.stderr));
    let plan = read_at(project.path(), &["deploy/chart"], &[]).unwrap();
    assert!(names(&plan).contains(&"shop-db of deploy/chart/charts/db/templates/map.yaml".to_owned()));
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
