//! What helm renders and refuses.

use super::*;

#[test]
#[ignore = "needs helm"]
fn everything_that_an_installation_makes_is_in_the_plan_and_the_rest_is_said() {
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
#[ignore = "needs helm"]
fn a_chart_may_be_the_project_itself_or_one_file() {
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
#[ignore = "needs helm"]
fn a_fault_names_the_template() {
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
#[ignore = "needs helm"]
fn what_helm_refuses(#[case] (file, text): (&str, &str), #[case] expected: &str) {
    let message = refusal(&[(&format!("deploy/chart/{file}"), text)]);
    assert!(message.starts_with(expected), "{message}");
}

/// As people keep it: the versions in a lock file, and a dependency beside the chart. The remedy is typed as it stands.
#[test]
#[ignore = "needs helm"]
fn the_remedy_for_absent_dependencies_works() {
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
