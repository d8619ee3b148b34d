//! Directories as people write them, good and bad.

use rstest::rstest;

use super::*;

/// A directory with files, which goes with the value.
fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

/// Names relative to the directory, so that they can be compared.
fn names<'a>(dir: &tempfile::TempDir, manifests: impl IntoIterator<Item = &'a Manifest>) -> Vec<String> {
    let name =
        |manifest: &Manifest| manifest.file.display().to_string().replace(&format!("{}/", dir.path().display()), "");
    manifests.into_iter().map(name).collect()
}

#[test]
fn every_yaml_file_by_name() {
    let dir = directory(&[("b.yaml", "b"), ("a.yml", "a"), ("c.txt", ""), (".hidden.yaml", ""), ("sub/d.yaml", "")]);
    let manifests = read_dir(dir.path()).unwrap();
    assert_eq!(names(&dir, &manifests), ["a.yml", "b.yaml"]);
    assert_eq!(manifests[1].text, "b");
}

#[test]
fn resources_of_a_kustomization_in_their_order() {
    let dir = directory(&[
        ("kustomization.yaml", "kind: Kustomization\nresources: [b.yaml, more]\n"),
        ("a.yaml", ""),
        ("b.yaml", ""),
        ("more/c.yaml", ""),
    ]);
    assert_eq!(names(&dir, &read_dir(dir.path()).unwrap()), ["b.yaml", "more/c.yaml"]);
}

#[test]
fn an_overlay_of_plain_files() {
    let dir = directory(&[("b.yaml", ""), ("a.yaml", "")]);
    let overlay = read_overlay(dir.path()).unwrap();
    assert_eq!(overlay.label, dir.path().display().to_string());
    assert_eq!(names(&dir, overlay.parts.iter().map(|part| &part.manifest)), ["a.yaml", "b.yaml"]);
    assert!(overlay.parts.iter().all(|part| part.role == PartRole::Either));
}

#[test]
fn an_overlay_on_an_overlay_on_a_base() {
    let dir = directory(&[
        ("base/kustomization.yaml", "resources: [app.yaml]"),
        ("base/app.yaml", ""),
        ("slow/kustomization.yaml", "resources: [../base]\npatches:\n  - path: slow.yaml\n"),
        ("slow/slow.yaml", ""),
        (
            "top/kustomization.yaml",
            "resources: [../slow, extra.yaml]\npatches:\n- patch: |\n    kind: Service\npatchesStrategicMerge: [old.yaml]\n",
        ),
        ("top/extra.yaml", ""),
        ("top/old.yaml", ""),
    ]);
    let parts = read_overlay(&dir.path().join("top")).unwrap().parts;
    let expected = [
        ("top/../slow/slow.yaml", PartRole::Patch),
        ("top/extra.yaml", PartRole::Resource),
        ("top/kustomization.yaml (patch 1)", PartRole::Patch),
        ("top/old.yaml", PartRole::Patch),
    ];
    assert_eq!(names(&dir, parts.iter().map(|part| &part.manifest)), expected.map(|(name, _)| name));
    assert_eq!(parts.iter().map(|part| part.role).collect::<Vec<_>>(), expected.map(|(_, role)| role));
    assert_eq!(parts[2].manifest.text, "kind: Service\n");
}

#[rstest]
#[case::missing(&[], "x", "x: there is no such file or directory; check the path")]
#[case::file(&[("x", "")], "x", "x: this is a file; name the directory that holds it")]
#[case::empty(&[("x/readme.txt", "")], "x", "x: no *.yaml file is in it; put the manifests there, or name another directory")]
#[case::unknown_key(
    &[("x/kustomization.yaml", "resources: [a.yaml]\nnamePrefix: a-\n"), ("x/a.yaml", "")],
    "x",
    "x/kustomization.yaml:2: unknown field `namePrefix`, expected one of apiVersion, kind, resources, patches, \
     patchesStrategicMerge; keep to resources and patches (strategic merge): other keys are kustomize's own"
)]
#[case::missing_resource(
    &[("x/kustomization.yaml", "resources: [a.yaml]")],
    "x",
    "x/kustomization.yaml: `a.yaml` does not exist; correct the path, which starts at this directory"
)]
#[case::remote_resource(
    &[("x/kustomization.yaml", "resources: ['https://example.org/a.yaml']")],
    "x",
    "x/kustomization.yaml: `https://example.org/a.yaml` is not a file; copy it to this machine: nothing is fetched"
)]
#[case::circle(
    &[("x/kustomization.yaml", "resources: [../y]"), ("y/kustomization.yaml", "resources: [../x]")],
    "x",
    "x/../y/../x/kustomization.yaml: the directory stands on itself; remove it from the `resources` of one of the two"
)]
#[case::patches_in_a_base(
    &[("x/kustomization.yaml", "resources: [a.yaml]\npatches: [{path: a.yaml}]"), ("x/a.yaml", "")],
    "x",
    "x/kustomization.yaml: `patches` change other manifests; name the directory of the manifests as manifests, and this \
     one as an overlay"
)]
#[case::other_kind(
    &[("x/kustomization.yaml", "kind: Component")],
    "x",
    "x/kustomization.yaml: this is no Kustomization; write `kind: Kustomization` and \
     `apiVersion: kustomize.config.k8s.io/v1beta1`, or neither"
)]
fn bad_directories(#[case] files: &[(&str, &str)], #[case] name: &str, #[case] expected: &str) {
    let dir = directory(files);
    let message = read_dir(&dir.path().join(name)).unwrap_err().to_string();
    assert_eq!(message.replace(&format!("{}/", dir.path().display()), ""), expected);
}

#[rstest]
#[case::nothing_in_it(&[("x/kustomization.yaml", "resources: [../y]"), ("y/a.yaml", "")], "x: no *.yaml file is in it")]
#[case::patch_target(
    &[("x/kustomization.yaml", "patches:\n- path: a.yaml\n  target: {kind: Deployment}"), ("x/a.yaml", "")],
    "x/kustomization.yaml:3: unknown field `target`"
)]
#[case::patch_of_nothing(&[("x/kustomization.yaml", "patches: [{}]")], "x/kustomization.yaml: a patch has not exactly one")]
#[case::circle(
    &[("x/kustomization.yaml", "resources: [../x]\npatches: [{path: a.yaml}]"), ("x/a.yaml", "")],
    "x/../x/kustomization.yaml: the directory stands on itself"
)]
fn bad_overlays(#[case] files: &[(&str, &str)], #[case] expected: &str) {
    let dir = directory(files);
    let message = read_overlay(&dir.path().join("x")).unwrap_err().to_string();
    let message = message.replace(&format!("{}/", dir.path().display()), "");
    assert!(message.starts_with(expected), "{message}");
}

#[test]
fn text_that_is_not_utf8() {
    let dir = directory(&[]);
    fs::write(dir.path().join("a.yaml"), [0xff]).unwrap();
    let message = read_dir(dir.path()).unwrap_err().to_string();
    assert!(message.contains("a.yaml: cannot be read"), "{message}");
}
