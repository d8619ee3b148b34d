//! Kustomizations are built as kustomize builds them, object for object. What kustomize 5.5 makes of each case stands with the case;
//! `E2E_UPDATE_KUSTOMIZE=1` asks the kustomize of this machine again and writes that down.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use e2e_plan::{
    Plan,
    manifests::{self, Sources},
};
use rstest::rstest;
use serde_json::Value;

/// Before the objects that kustomize makes.
const EXPECTED: &str = "-- expected --\n";

/// The cases: each is a text with files, and last what kustomize makes of them.
fn cases() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kustomize");
    let mut cases: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

/// The files of a case in a directory of their own.
fn unpacked(text: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let files = text.split_once(EXPECTED).map_or(text, |(files, _)| files);
    for file in files.split("-- ").skip(1) {
        let Some((name, content)) = file.split_once(" --\n") else { continue };
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    directory
}

/// Objects by version, kind, namespace and name.
fn by_name(objects: impl IntoIterator<Item = Value>) -> BTreeMap<String, Value> {
    let name = |object: &Value| {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let names = ["/apiVersion", "/kind", "/metadata/namespace", "/metadata/name"];
        names.map(text).join(" ")
    };
    objects.into_iter().map(|object| (name(&object), object)).collect()
}

/// Every kustomization of the corpus, without help from any tool: what only the tool can build would be an error.
#[test]
fn as_kustomize_builds_it() {
    let cases = cases();
    assert!(cases.len() > 10, "{cases:?}");
    for case in cases {
        let text = fs::read_to_string(&case).unwrap();
        let directory = unpacked(&text);
        let text = match std::env::var_os("E2E_UPDATE_KUSTOMIZE") {
            Some(_) => recorded_again(&case, &text, directory.path()),
            None => text,
        };
        let (_, expected) =
            text.split_once(EXPECTED).unwrap_or_else(|| panic!("{}: nothing is expected", case.display()));
        let expected: Vec<Value> = serde_saphyr::from_multiple(expected).unwrap();
        let sources = Sources { paths: vec![".".into()], ..Sources::default() };
        let objects = manifests::read(directory.path(), &sources, &[]);
        let objects = objects.documents().unwrap_or_else(|error| panic!("{}: {error}", case.display()));
        assert_eq!(by_name(objects), by_name(expected), "{}", case.display());
    }
}

/// A case with what the kustomize of this machine makes of it.
fn recorded_again(case: &Path, text: &str, directory: &Path) -> String {
    let built = Command::new("kubectl").arg("kustomize").arg(directory).output().expect("kubectl is installed");
    assert!(built.status.success(), "{}: {}", case.display(), String::from_utf8_lossy(&built.stderr));
    let files = text.split_once(EXPECTED).map_or(text, |(files, _)| files);
    let text = format!("{files}{EXPECTED}{}", String::from_utf8(built.stdout).unwrap());
    fs::write(case, &text).unwrap();
    text
}

/// Where the tool is installed and new enough, it builds what is beyond the keys that are known here.
#[rstest]
#[case::replacements(
    "replacements:\n- source: {kind: ConfigMap, name: a, fieldPath: data.from}\n  targets: [{select: {kind: ConfigMap}, fieldPaths: [data.to]}]\n",
    "data: {from: x, to: y}\n",
    "x",
    "`replacements` is built by kustomize alone"
)]
#[case::a_suffix_of_a_tag(
    "images: [{name: x, TagSuffix: -q}]\n",
    "data: {to: x}\n",
    "x",
    "`tagSuffix` of `images` is built by kustomize alone"
)]
#[case::folded_text_with_indented_lines(
    "",
    "data:\n  to: >\n    a\n      b\n",
    "a\n\n  b\n",
    "which kustomize reformats, is built by kustomize alone"
)]
#[case::a_date(
    "",
    "data:\n  to: 2026-11-28\n",
    "2026-11-28T00:00:00Z",
    "a date without quotes, which kustomize reformats, is built by kustomize alone"
)]
fn what_is_beyond_is_left_to_the_tool(
    #[case] more: &str,
    #[case] data: &str,
    #[case] built: &str,
    #[case] refused: &str,
) {
    let map = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\n{data}");
    let directory = unpacked(&format!("-- kustomization.yaml --\nresources: [a.yaml]\n{more}-- a.yaml --\n{map}"));
    let sources = Sources { paths: vec![".".into()], ..Sources::default() };
    match Plan::of(manifests::read(directory.path(), &sources, &[])) {
        Ok(plan) => assert_eq!(plan.objects[0].json["data"]["to"], built),
        Err(error) => {
            let remedy = "; install kustomize 5 or kubectl 1.27, or newer ones, which build it";
            assert!(error.to_string().contains(&format!("{refused}{remedy}")), "{error}");
        }
    }
}
