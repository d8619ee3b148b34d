//! What kustomize refuses is refused here too, so that a run is of nothing that `kubectl apply -k` would not make.

use rstest::rstest;

use super::error_of;

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";

#[rstest]
#[case::one_name_in_the_end(
    "resources: [a.yaml]\nnamespace: prod\n",
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n",
    "kustomization.yaml:2:1, document 1: in namespace `prod` Namespace/prod of a.yaml, document 2 is the same object as that of \
     a.yaml, document 1; kustomize refuses it, since `namespace` renames both: remove one of the two"
)]
#[case::a_key_twice(
    "configMapGenerator: [{name: c, literals: [a=b, a=c]}]\n",
    MAP,
    "kustomization.yaml:1:22, document 1: `c` has the key `a` twice; kustomize refuses it: remove one of the two"
)]
#[case::a_component_among_resources(
    "resources: [c]\n",
    MAP,
    "c/kustomization.yaml:1:1, document 1: a Component is listed under `resources`; list it under `components`"
)]
#[case::a_kustomization_among_components(
    "components: [k]\n",
    MAP,
    "k/kustomization.yaml:1:1, document 1: a Kustomization is listed under `components`; list it under `resources`"
)]
#[case::another_version(
    "apiVersion: kustomize.config.k8s.io/v1\nresources: [a.yaml]\n",
    MAP,
    "kustomization.yaml:1:1, document 1: kustomize reads no Kustomization of apiVersion `kustomize.config.k8s.io/v1`; write \
     `kustomize.config.k8s.io/v1beta1`"
)]
#[case::several_patches_for_a_target(
    "resources: [a.yaml]\npatches: [{path: two.yaml, target: {kind: ConfigMap}}]\n",
    MAP,
    "kustomization.yaml:2:11, document 1: several patches share a target, which kustomize refuses; give each of them its own element"
)]
#[case::a_path_in_place_of_a_patch(
    "resources: [a.yaml]\npatches: [two.yaml]\n",
    MAP,
    "kustomization.yaml:2:11, document 1: patches[0]: expected a map, found a string; write `- path: two.yaml`"
)]
#[case::an_empty_patch(
    "resources: [a.yaml]\npatches: [{path: empty.yaml}]\n",
    MAP,
    "kustomization.yaml:2:11, document 1: the patch is empty; kustomize refuses it: write a patch there, or remove the element"
)]
#[case::a_name_that_a_cluster_makes_up(
    "resources: [a.yaml]\n",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: a-}\n",
    "a.yaml:1:1, document 1: the object has a generateName alone; kustomize wants `metadata.name`: add it, or move the object out \
     of the kustomization"
)]
#[case::two_kustomizations(
    "resources: [two]\n",
    MAP,
    "two/kustomization.yaml: two/kustomization.yml stands beside it; kustomize refuses both: remove one"
)]
#[case::nothing(
    "kind: Kustomization\n",
    MAP,
    "kustomization.yaml: the kustomization lists nothing; kustomize refuses it: list the manifests under `resources`"
)]
#[case::nothing_but_empty_keys(
    "resources:\nnamePrefix: ''\n",
    MAP,
    "kustomization.yaml: the kustomization lists nothing; kustomize refuses it: list the manifests under `resources`"
)]
#[case::a_patch_without_a_kind(
    "resources: [a.yaml]\npatches: [{target: {kind: ConfigMap}, patch: '{data: {a: b}}'}]\n",
    MAP,
    "kustomization.yaml (patch 1):1:1, document 1: the patch has no kind; kustomize refuses it: add `kind`, which may be anything if \
     there is a target"
)]
#[case::a_patch_without_a_name(
    "resources: [a.yaml]\npatches: [{target: {kind: ConfigMap}, patch: '{kind: any, data: {a: b}}'}]\n",
    MAP,
    "kustomization.yaml (patch 1):1:1, document 1: the patch has no metadata.name; kustomize refuses it: add `metadata.name`, which may \
     be anything if there is a target"
)]
#[case::operations_between_brackets_that_are_no_json(
    "resources: [a.yaml]\npatches: [{target: {kind: ConfigMap}, patch: '[{op: add, path: /data/a, value: b}]'}]\n",
    MAP,
    "kustomization.yaml:2:11, document 1: the patch starts with `[` and is no JSON; kustomize refuses it: write JSON, or `- op: ...`"
)]
#[case::a_key_that_is_no_text(
    "resources: [a.yaml]\n",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  8080: shop/web:80\n",
    "a.yaml:5:3, document 1: the key `8080` is not text; kustomize refuses it: put the key in quotes"
)]
#[case::a_type_of_a_config_map(
    "configMapGenerator: [{name: c, type: Opaque}]\n",
    MAP,
    "kustomization.yaml:1:22, document 1: a ConfigMap has no `type`; kustomize refuses it: remove the key, or move the element to \
     `secretGenerator`"
)]
#[case::metadata_of_its_own(
    "resources: [a.yaml]\nmetadata: {name: shop, owner: me}\n",
    MAP,
    "kustomization.yaml:2:24, document 1: metadata.owner: unknown field; the fields here are: annotations, labels, name, namespace"
)]
#[case::a_key_in_another_case_that_is_none(
    "Resources: [a.yaml]\nIMAGES: [{Name: a, Kind: x}]\n",
    MAP,
    "kustomization.yaml:2:20, document 1: IMAGES[0].Kind: unknown field; the fields here are: digest, name, newName, newTag, tagSuffix"
)]
#[case::a_subject_without_its_namespace(
    "resources: [a.yaml]\n",
    "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: a}\nroleRef: {kind: Role, name: a, apiGroup: \
     rbac.authorization.k8s.io}\nsubjects:\n  - kind: ServiceAccount\n    name: a\n    namespace:\n",
    "a.yaml:8:5, document 1: RoleBinding/a: the namespace of a ServiceAccount is not text; kustomize refuses it: write the namespace, \
     or remove the key"
)]
fn what_kustomize_refuses(#[case] kustomization: &str, #[case] resource: &str, #[case] expected: &str) {
    let two = format!("{MAP}---\n{MAP}");
    let files = [
        ("kustomization.yaml", kustomization),
        ("a.yaml", resource),
        ("two.yaml", &two),
        ("empty.yaml", "# nothing\n"),
        ("c/kustomization.yaml", "kind: Component\nnamePrefix: c-\n"),
        ("k/kustomization.yaml", "namePrefix: k-\n"),
        ("two/kustomization.yaml", "namePrefix: k-\n"),
        ("two/kustomization.yml", "namePrefix: k-\n"),
    ];
    assert_eq!(error_of(&files, &["."], &[]), expected);
}

/// Kustomize builds nothing of it.
#[rstest]
#[case::alone("kind: Component\npatches: [{target: {kind: Deployment}, patch: '[]'}]\n", true)]
#[case::with_maps("kind: Component\nconfigMapGenerator: [{name: c, literals: [a=b]}]\n", false)]
#[case::with_objects("kind: Component\nresources: [a.yaml]\n", false)]
fn a_component_as_manifests(#[case] kustomization: &str, #[case] is_refused: bool) {
    let dir = super::directory(&[("c/kustomization.yaml", kustomization), ("c/a.yaml", MAP)]);
    let error = super::read_at(dir.path(), &["c"], &[]).err().map(|error| error.to_string());
    let expected = "c/kustomization.yaml:1:1, document 1: this is a Component, which has no objects and changes those of a kustomization; \
                    list it under `components` of a kustomization, and name the directory of that one";
    assert_eq!(error.as_deref(), is_refused.then_some(expected));
}
