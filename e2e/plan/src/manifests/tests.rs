//! Inputs as people have them, good and bad.

use rstest::rstest;

use super::*;
use crate::{Errors, Plan};

mod charts;
mod refused;
mod text;

/// A directory with files, which goes with the value.
pub(crate) fn directory<T: AsRef<str>>(files: &[(&str, T)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.as_ref()).unwrap();
    }
    dir
}

/// A ConfigMap with a value.
fn map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{value: '{value}'}}\n")
}

pub(crate) fn read_at(root: &Path, paths: &[&str], overlays: &[&str]) -> Result<Plan, Errors> {
    let sources = Sources { paths: paths.iter().map(PathBuf::from).collect(), ..Sources::default() };
    let overlays: Vec<PathBuf> = overlays.iter().map(|overlay| root.join(overlay)).collect();
    Plan::of(read(root, &sources, &overlays))
}

/// Names of the objects, each with the file that it comes from.
fn names(plan: &Plan) -> Vec<String> {
    let name = |object: &crate::Object| format!("{} of {}", object.name, object.source.file.display());
    plan.objects.iter().map(name).collect()
}

fn error_of<T: AsRef<str>>(files: &[(&str, T)], paths: &[&str], overlays: &[&str]) -> String {
    let dir = directory(files);
    let error = read_at(dir.path(), paths, overlays).unwrap_err().to_string();
    error.replace(&format!("{}/", dir.path().display()), "")
}

#[rstest]
#[case::every_file_of_a_directory_by_name(
    &[("b.yaml", "b"), ("a.yml", "a"), ("c.json", r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "j"}}"#), ("d.txt", "?"), (".e.yaml", "?"), ("sub/f.yaml", "?")],
    &["."], &[],
    &["a of a.yml", "b of b.yaml", "j of c.json"]
)]
#[case::files_and_directories_in_the_order_in_which_they_are_named(
    &[("one.yaml", "a"), ("values.yaml", "?"), ("dir/b.yaml", "b"), ("dir/c.yaml", "c")],
    &["dir", "one.yaml"], &[],
    &["b of dir/b.yaml", "c of dir/c.yaml", "a of one.yaml"]
)]
#[case::the_file_of_a_kustomization_stands_for_its_directory(
    &[
        ("base/kustomization.yaml", "namePrefix: x-\nresources: [a.yaml]\n"),
        ("base/a.yaml", "a"),
        ("over/kustomization.yaml", "resources: [../base, b.yaml]\n"),
        ("over/b.yaml", "b"),
    ],
    &["base/kustomization.yaml"], &["over"],
    &["x-a of base/a.yaml", "b of over/b.yaml"]
)]
#[case::resources_of_a_kustomization_in_their_order(
    &[
        ("kustomization.yaml", "kind: Kustomization\nresources: [b.yaml, more]\n"),
        ("a.yaml", "?"),
        ("b.yaml", "b"),
        ("more/kustomization.yml", "resources: [c.yaml]"),
        ("more/c.yaml", "c"),
    ],
    &["."], &[],
    &["b of b.yaml", "c of more/c.yaml"]
)]
fn objects_and_their_files(
    #[case] files: &[(&str, &str)],
    #[case] paths: &[&str],
    #[case] overlays: &[&str],
    #[case] expected: &[&str],
) {
    // One letter stands for a ConfigMap of that name.
    let text = |text: &str| if text.len() == 1 && text != "?" { map(text, "") } else { text.to_owned() };
    let files: Vec<(&str, String)> = files.iter().map(|(name, content)| (*name, text(content))).collect();
    let dir = directory(&files);
    assert_eq!(names(&read_at(dir.path(), paths, overlays).unwrap()), expected);
}

#[test]
fn the_output_of_a_command() {
    let dir = directory(&[("a.yaml", &map("a", "x"))]);
    let render = ["cat", "a.yaml"].map(str::to_owned).to_vec();
    let plan = Plan::of(read(dir.path(), &Sources { render, ..Sources::default() }, &[])).unwrap();
    assert_eq!(names(&plan), ["a of cat a.yaml"]);
    let render = ["sh", "-c", "echo no such chart >&2; exit 1"].map(str::to_owned).to_vec();
    let error = Plan::of(read(dir.path(), &Sources { render, ..Sources::default() }, &[])).unwrap_err().to_string();
    assert_eq!(error, "echo no such chart >&2; exit 1: it failed: no such chart; run it on its own to see more");
}

fn value(plan: &Plan, name: &str) -> String {
    let object = plan.objects.iter().find(|object| object.name == name).unwrap_or_else(|| panic!("no {name}"));
    object.json["data"]["value"].as_str().unwrap_or_default().to_owned()
}

/// A directory without a kustomization: patches of what exists, and new objects.
#[test]
fn an_overlay_of_plain_files() {
    let files = [("base/a.yaml", map("a", "old")), ("over/a.yaml", map("a", "new")), ("over/b.yaml", map("b", ""))];
    let dir = directory(&files);
    let plan = read_at(dir.path(), &["base"], &["over"]).unwrap();
    assert_eq!((value(&plan, "a").as_str(), plan.objects.len()), ("new", 2));
}

/// What overlays stand on, in every form.
#[rstest]
#[case::on_the_base(&["top"], "top")]
#[case::on_an_overlay(&["twice"], "twice")]
#[case::on_no_directory(&["loose"], "loose")]
#[case::a_component(&["component"], "component")]
#[case::several_in_order(&["top", "loose"], "loose")]
#[case::several_in_the_other_order(&["loose", "top"], "top")]
fn overlays_with_a_kustomization(#[case] overlays: &[&str], #[case] expected: &str) {
    let patch = |value: &str| {
        format!(
            "patches:\n- patch: |\n    apiVersion: v1\n    kind: ConfigMap\n    metadata: {{name: a}}\n    data: {{value: {value}}}\n"
        )
    };
    let files = [
        ("base/kustomization.yaml", "resources: [a.yaml]".to_owned()),
        ("base/a.yaml", map("a", "old")),
        ("top/kustomization.yaml", format!("resources: [../base, b.yaml]\n{}", patch("top"))),
        ("top/b.yaml", map("b", "")),
        ("twice/kustomization.yaml", format!("resources: [../top]\n{}", patch("twice"))),
        ("loose/kustomization.yaml", patch("loose")),
        ("component/kustomization.yaml", format!("kind: Component\n{}", patch("component"))),
    ];
    let dir = directory(&files);
    let plan = read_at(dir.path(), &["base"], overlays).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(value(&plan, "a"), expected);
    let has_more = overlays.iter().any(|overlay| matches!(*overlay, "top" | "twice"));
    assert_eq!(plan.objects.len(), if has_more { 2 } else { 1 });
}

/// Kustomize knows nothing of what such an overlay stands on, and would build it alone. What only it can build hides no other fault that
/// is one whatever it builds.
#[rstest]
#[case::on_no_directory("patches: [{patch: '[]', target: {kind: ConfigMap}}]", &["what the overlay builds on: name it under `resources`"])]
#[case::what_is_missing(
    "patches: [{path: gone.yaml}]",
    &["2 errors", "`replacements` is built by kustomize alone", "`gone.yaml` does not exist"]
)]
fn an_overlay_that_only_kustomize_can_build(#[case] over: &str, #[case] parts: &[&str]) {
    let over = format!("{over}\nreplacements: [{{path: r.yaml}}]");
    let error = error_of(&[("base/a.yaml", map("a", "")), ("over/kustomization.yaml", over)], &["base"], &["over"]);
    for part in parts {
        assert!(error.contains(part), "{error}");
    }
}

/// An overlay stands on what another machine has as on a directory.
#[rstest]
#[case("https://example.org/base")]
#[case("github.com/owner/name//base?ref=v1")]
#[case("git@example.org:owner/name")]
fn an_overlay_on_a_base_of_another_machine(#[case] name: &str) {
    let dir = directory(&[("kustomization.yaml", format!("resources: ['{name}']"))]);
    assert!(!kustomize::names_no_base(dir.path()));
}

/// Names with hashes are made at the very end, whatever overlays did to what they are made from.
#[test]
fn a_generated_map_is_changed_by_an_overlay() {
    let dir = directory(&[
        ("base/kustomization.yaml", "configMapGenerator: [{name: a, literals: [value=old]}]"),
        (
            "top/kustomization.yaml",
            "resources: [../base]\nconfigMapGenerator: [{name: a, behavior: merge, literals: [value=new]}]",
        ),
        ("same/kustomization.yaml", "configMapGenerator: [{name: a, literals: [value=new]}]"),
    ]);
    let overlaid = read_at(dir.path(), &["base"], &["top"]).unwrap();
    let whole = read_at(dir.path(), &["same"], &[]).unwrap();
    assert_eq!(overlaid.objects[0].name, whole.objects[0].name);
    assert_eq!(overlaid.objects[0].json["data"]["value"], "new");
}

#[rstest]
#[case::missing(&[], "x", "x: there is no such file or directory; check the path")]
#[case::empty(&[("x/readme.txt", "")], "x", "x: no *.yaml, *.yml or *.json file is in it; put the manifests there, or name another directory")]
#[case::below(
    &[("x/api/a.yaml", ""), ("x/db/b.yaml", ""), ("x/doc/c.txt", "")],
    "x",
    "x: no *.yaml, *.yml or *.json file is in it; name the directories below it that have some: x/api, x/db"
)]
#[case::in_another_language(
    &[("x.jsonnet", "{}")],
    "x.jsonnet",
    "x.jsonnet: it is Jsonnet, not a manifest; set `render` in .config/e2e.toml to the command that makes manifests from it, such as `[\"jsonnet\", \"--yaml-stream\", \"FILE\"]`"
)]
#[case::in_another_language_alone(
    &[("x/web.cue", "web: {}")],
    "x",
    "x: no *.yaml, *.yml or *.json file is in it; set `render` in .config/e2e.toml to the command that makes manifests from it, such as \
     `[\"cue\", \"export\", \"--out\", \"yaml\", \"FILE\"]`"
)]
#[case::of_ytt(
    &[("x.yaml", "#@ load(\"@ytt:data\", \"data\")\n---\nkind: Deployment\nspec: {replicas: #@ data.values.replicas\n}\n")],
    "x.yaml",
    "x.yaml:1:1: the line is an instruction for ytt; let ytt make manifests of it: `render = [\"ytt\", \"--file\", \"DIRECTORY\"]` in \
     .config/e2e.toml"
)]
#[case::of_open_shift(
    &[("x.yaml", "apiVersion: template.openshift.io/v1\nkind: Template\nmetadata: {name: shop}\nobjects: []\nparameters: []\n")],
    "x.yaml",
    "x.yaml:1:1, document 1: Template: an OpenShift Template must be processed before it is a manifest; process it: \
     set `render = [\"oc\", \"process\", \"--local\", \"--filename\", \"FILE\"]` in .config/e2e.toml, with `\"--param\", \"NAME=VALUE\"` for \
     each parameter that needs a value"
)]
#[case::of_open_shift_before_it_had_groups(
    &[("x.yaml", "apiVersion: v1\nkind: Template\nmetadata: {name: shop}\nobjects: []\n")],
    "x.yaml",
    "x.yaml:1:1, document 1: Template: an OpenShift Template must be processed before it is a manifest; process it: \
     set `render = [\"oc\", \"process\", \"--local\", \"--filename\", \"FILE\"]` in .config/e2e.toml, with `\"--param\", \"NAME=VALUE\"` for \
     each parameter that needs a value"
)]
#[case::a_kustomization_of_another_name(
    &[("x/kustomize.yaml", "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: []\n")],
    "x",
    "x/kustomize.yaml:1:1, document 1: Kustomization: a kustomization is not a manifest, and is read only from a file \
     named kustomization.yaml; rename the file, and name its directory"
)]
#[case::unknown_key(
    &[("x/kustomization.yaml", "resources: []\nnamePrefixes: a-\n")],
    "x",
    "x/kustomization.yaml:2:1, document 1: namePrefixes: unknown field; did you mean `namePrefix`?"
)]
#[case::missing_resource(
    &[("x/kustomization.yaml", "resources:\n- a.yaml")],
    "x",
    "x/kustomization.yaml:2:3, document 1: `a.yaml` does not exist; correct the path, which starts at this directory"
)]
#[case::file_above(
    &[("x/kustomization.yaml", "resources:\n- ../a.yaml"), ("a.yaml", "")],
    "x",
    "x/kustomization.yaml:2:3, document 1: `../a.yaml` is not below the directory of the kustomization; kustomize refuses it: \
     move the file, or set `render` to a command with `--load-restrictor LoadRestrictionsNone`"
)]
#[case::circle(
    &[("x/kustomization.yaml", "resources: [../y]"), ("y/kustomization.yaml", "resources: [../x]")],
    "x",
    "x/kustomization.yaml: the directory includes itself; remove it from the `resources` of one of the two"
)]
#[case::a_directory_without_one(
    &[("x/kustomization.yaml", "resources: [../y]"), ("y/a.yaml", "")],
    "x",
    "y: the directory has no kustomization.yaml; kustomize wants one there: write one that lists its files under `resources`"
)]
#[case::other_kind(
    &[("x/kustomization.yaml", "kind: Kustomisation")],
    "x",
    "x/kustomization.yaml:1:1, document 1: this is not a Kustomization; write `kind: Kustomization` and \
     `apiVersion: kustomize.config.k8s.io/v1beta1`, or neither"
)]
#[case::a_patch_of_nothing(
    &[("x/kustomization.yaml", "patches:\n- patch: |\n    apiVersion: v1\n    kind: ConfigMap\n    metadata: {name: a}\n")],
    "x",
    "x/kustomization.yaml (patch 1):3:12, document 1: ConfigMap/a: metadata.name: the patch matches no object; names of kind \
     ConfigMap in the manifests: none"
)]
#[case::a_json_patch_without_a_target(
    &[("x/kustomization.yaml", "patches:\n- patch: '- {op: remove, path: /spec}'\n")],
    "x",
    "x/kustomization.yaml (patch 1):1:1, document 1: a JSON patch needs a target; write a `target` beside it \
     in the kustomization"
)]
#[case::neither_path_nor_patch(
    &[("x/kustomization.yaml", "patches:\n- target: {kind: Service}\n")],
    "x",
    "x/kustomization.yaml:2:3, document 1: a patch has not exactly one of `path` and `patch`; write `- path: <file>`"
)]
fn bad_inputs(#[case] files: &[(&str, &str)], #[case] path: &str, #[case] expected: &str) {
    assert_eq!(error_of(files, &[path], &[]), expected);
}

#[rstest]
#[case::of_another_base(
    &[("base/a.yaml", "a"), ("other/kustomization.yaml", "resources: [b.yaml]"), ("other/b.yaml", "b"), ("x/kustomization.yaml", "resources: [../other]")],
    "x/kustomization.yaml: the overlay builds on ../other, not on the manifests of base; name it as the manifests instead of as an \
     overlay, or let it build on them"
)]
#[case::missing(&[("base/a.yaml", "a")], "x: there is no such file or directory; check the path")]
#[case::empty(&[("base/a.yaml", "a"), ("x/a.txt", "")], "x: no *.yaml, *.yml or *.json file is in it; put the manifests there, or name another directory")]
#[case::twice(
    &[("base/kustomization.yaml", "resources: [a.yaml]"), ("base/a.yaml", "a"), ("x/kustomization.yaml", "resources: [../base, b.yaml]"), ("x/b.yaml", "a")],
    "x/b.yaml:1:1, document 1: ConfigMap/a: ConfigMap/a is already declared in base/a.yaml, document 1; kustomize refuses a second \
     one: change it by a patch, or remove it"
)]
fn bad_overlays(#[case] files: &[(&str, &str)], #[case] expected: &str) {
    let maps: Vec<(&str, String)> = files
        .iter()
        .map(|(name, text)| (*name, if text.len() == 1 { map(text, "") } else { (*text).to_owned() }))
        .collect();
    assert_eq!(error_of(&maps, &["base"], &["x"]), expected);
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let good = map("good", "");
    let files = [
        ("x/kustomization.yaml", "resources:\n- a.yaml\n- b.yaml\n- missing.yaml\n"),
        (
            "x/a.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndta: {}\n---\napiVersion: v1\nkind: Servce\nmetadata: {name: a}\n",
        ),
        (
            "x/b.yaml",
            "apiVersion: v1\n  kind: ConfigMap\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\ndata: {a: 1, b: true}\n",
        ),
        ("good.yaml", &good),
    ];
    let error = error_of(&files, &["x", "nowhere", "good.yaml"], &[]);
    let expected = [
        "7 errors in the manifests",
        "x/a.yaml:4:1, document 1: ConfigMap/a: dta: unknown field; did you mean `data`?",
        "x/a.yaml:7:1, document 2: Servce/a: kind: apiVersion `v1` has no kind `Servce`; did you mean `Service`?",
        "x/b.yaml:2:7: not valid YAML: ",
        "x/b.yaml:7:11, document 1: ConfigMap/b: data.a: expected a string, found an integer; put the value in quotes",
        "x/b.yaml:7:17, document 1: ConfigMap/b: data.b: expected a string, found a boolean; put the value in quotes",
        "x/kustomization.yaml:4:3, document 1: `missing.yaml` does not exist; correct the path, which starts at this directory",
        "nowhere: there is no such file or directory; check the path",
    ];
    let lines: Vec<&str> = error.lines().map(str::trim).collect();
    assert_eq!(lines.len(), expected.len(), "{error}");
    for expected in expected {
        assert!(lines.iter().any(|line| line.starts_with(expected)), "{expected} is not in {error}");
    }
}

/// Each of these is either built by the tool of that name or refused, and never half done.
#[rstest]
#[case::replacements(
    "replacements: [{path: x}]\n",
    "x/kustomization.yaml:1:1, document 1: `replacements` is built by kustomize alone"
)]
#[case::charts(
    "helmCharts: [{name: x}]\n",
    "x/kustomization.yaml:1:1, document 1: `helmCharts` is built by kustomize alone"
)]
#[case::remote(
    "resources:\n- https://example.org/a.yaml\n",
    "x/kustomization.yaml:2:3, document 1: `https://example.org/a.yaml` is not on this machine"
)]
#[case::fields_of_labels(
    "labels: [{pairs: {a: b}, fields: [{path: spec/x}]}]\n",
    "x/kustomization.yaml:1:1, document 1: `fields` of `labels` are built by kustomize alone"
)]
#[case::labels_of_claims(
    "resources: [s.yaml]\nlabels: [{pairs: {a: b}, includeTemplates: true}]\n",
    "x/kustomization.yaml:2:1, document 1: labels of `volumeClaimTemplates` are built by kustomize alone"
)]
#[case::labels_of_claims_by_name(
    "labels: [{pairs: {a: b}, includeVolumeClaimTemplates: true}]\n",
    "x/kustomization.yaml:1:1, document 1: labels of `volumeClaimTemplates` are built by kustomize alone"
)]
#[case::tag_suffix(
    "images: [{name: a, tagSuffix: -x}]\n",
    "x/kustomization.yaml:1:1, document 1: `tagSuffix` of `images` is built by kustomize alone"
)]
#[case::a_subject_that_is_several(
    "namePrefix: a-\nresources: [b.yaml]\n",
    "x: ClusterRoleBinding/a-b refers to ServiceAccount `c`, which is several"
)]
#[case::an_element_twice(
    "resources: [d.yaml]\npatches: [{patch: '{apiVersion: v1, kind: Pod, metadata: {name: d, labels: {a: b}}}'}]\n",
    "x/d.yaml:4:48, document 1: Pod/d: only kustomize itself can patch a list that has an element twice"
)]
#[case::namespaces_of_kinds_that_some_versions_know(
    "namespace: a\nresources: [p.yaml]\n",
    "x/kustomization.yaml:1:1, document 1: `namespace` changes ValidatingAdmissionPolicy/p in a way that only kustomize knows"
)]
fn beyond_what_is_built_here(#[case] text: &str, #[case] expected: &str) {
    let account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: c, namespace: ";
    let binding = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: b}\nsubjects: [{name: c}]\n";
    let binding = format!("{account}x}}\n---\n{account}y}}\n---\n{binding}");
    let policy = "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {name: p}\n";
    let set = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: s}\nspec: {volumeClaimTemplates: [{metadata: {name: d}}]}\n";
    let twice = "apiVersion: v1\nkind: Pod\nmetadata: {name: d}\nspec: {containers: [{name: c, env: [{name: A}, {name: A}]}]}\n";
    let files = [
        ("x/kustomization.yaml", text),
        ("x/b.yaml", &binding),
        ("x/p.yaml", policy),
        ("x/s.yaml", set),
        ("x/d.yaml", twice),
    ];
    let dir = directory(&files);
    let beyond = kustomize::build(&dir.path().join("x"), dir.path(), None).beyond.errors;
    assert_eq!(beyond.iter().map(|error| error.to_string()).collect::<Vec<_>>(), [format!("{expected}; ")]);
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere() {
    let dir = directory(&[("a.yaml", &map("a", ""))]);
    std::os::unix::fs::symlink("gone.yaml", dir.path().join("b.yaml")).unwrap();
    let message = read_at(dir.path(), &["."], &[]).unwrap_err().to_string();
    assert_eq!(message, "b.yaml: the link leads to no file; correct it, or remove it");
}
