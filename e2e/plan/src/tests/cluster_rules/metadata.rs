//! Rules of metadata, and of the groups of kinds.

use super::*;

/// The metadata of objects whose kind others define is the API server's own business too.
#[test]
fn of_metadata_of_any_kind() {
    let object = |metadata: &str| {
        format!(
            "{BASE}---\napiVersion: example.org/v1\nkind: Widget\nmetadata: {{name: X:y, {metadata}}}\nspec: {{labels: {{a: b c}}}}\n"
        )
    };
    assert_rule(
        &object("annotations: {a b: c}"),
        "Widget/X:y: metadata.annotations: `a b` is not a qualified name; use letters, digits and `-`, `_`, `.` between them, with or without a domain and `/` before them",
        &object("annotations: {Example.org/A_b: 'c d'}"),
    );
}

#[rstest]
#[case::owner(
    "ownerReferences: [{apiVersion: v1, kind: Pod, name: a}]",
    "ownerReferences: [{apiVersion: v1, kind: Pod, name: a, uid: b}]",
    "metadata.ownerReferences[a]: it has no uid; add `uid: <uid>`"
)]
#[case::finalizer(
    "finalizers: [cleanup]",
    "finalizers: [example.org/cleanup, orphan]",
    "metadata.finalizers[0]: `cleanup` is not the name of a finalizer; write one with its domain, such as `example.org/cleanup`"
)]
fn of_metadata(#[case] refused: &str, #[case] taken: &str, #[case] message: &str) {
    let with = |field: &str| base_with("  name: settings\n", &format!("  name: settings\n  {field}\n"));
    assert_rule(&with(refused), message, &with(taken));
}

#[rstest]
#[case::core("v1", "Ingress", "apiVersion `v1` has no kind `Ingress`; write `apiVersion: networking.k8s.io/v1`")]
#[case::role("v1", "Role", "apiVersion `v1` has no kind `Role`; write `apiVersion: rbac.authorization.k8s.io/v1`")]
#[case::batch("apps/v1", "CronJob", "apiVersion `apps/v1` has no kind `CronJob`; write `apiVersion: batch/v1`")]
#[case::planned(
    "networking.k8s.io/v1",
    "Deployment",
    "apiVersion `networking.k8s.io/v1` is not read for a Deployment; write `apiVersion: apps/v1`"
)]
#[case::misspelt(
    "networking.k8s.io/v1",
    "Ingres",
    "apiVersion `networking.k8s.io/v1` has no kind `Ingres`; did you mean `Ingress`?"
)]
fn of_kinds_in_their_groups(#[case] version: &str, #[case] kind: &str, #[case] message: &str) {
    let error = error_of(&object(version, kind, "{}"));
    assert!(error.ends_with(message), "{error}");
}
