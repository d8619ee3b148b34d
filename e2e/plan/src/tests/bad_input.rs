//! Bad documents, fields and overrides, each with the whole message that a person sees. Places are those of `BASE`'s lines.

use rstest::rstest;

use super::*;

#[rstest]
// Documents.
#[case::tabs(
    "  replicas: 2",
    "\treplicas: 2",
    "app.yaml:6:2: not valid YAML: tabs disallowed within this context (block indentation); correct the line, or the one before it"
)]
#[case::indentation(
    "  replicas: 2",
    "    replicas: 2\n   x: 1",
    "app.yaml:7:4: not valid YAML: while parsing a block mapping, did not find expected key; correct the line, or the one before it"
)]
#[case::bracket(
    "args: []",
    "args: [",
    "app.yaml:23:13: not valid YAML: \"-\" is only valid inside a block; correct the line, or the one before it"
)]
#[case::template(
    "  replicas: 2",
    "  replicas: {{ .Values.replicas }}",
    "app.yaml:6:14: the line is a template, not YAML; set `render` to a command that fills it in, or name the directory of the chart, if there is a Chart.yaml"
)]
#[case::list(
    "apiVersion: apps/v1\nkind: Deployment\n",
    "- a\n---\napiVersion: apps/v1\nkind: Deployment\n",
    "app.yaml:1:1, document 1: expected a Kubernetes object, found a list; start the document with apiVersion, kind and metadata"
)]
#[case::no_kind("kind: Deployment\n", "", "app.yaml:1:1, document 1: the document has no kind; add `kind: Deployment`")]
#[case::no_name(
    "  name: backend\nspec:\n  replicas",
    "  labels: {}\nspec:\n  replicas",
    "app.yaml:1:1, document 1: Deployment: the document has no metadata.name; add `metadata.name: <name>`"
)]
#[case::a_number_as_name(
    "  name: backend\nspec:\n  replicas",
    "  name: 123\nspec:\n  replicas",
    "app.yaml:4:9, document 1: Deployment: metadata.name: expected a string, found an integer; put the value in quotes"
)]
#[case::dashes_before_a_key(
    "---\napiVersion: v1\nkind: ConfigMap",
    "---\n---apiVersion: v1\nkind: ConfigMap",
    "app.yaml:52:1, document 3: `---apiVersion` is read as a key; let `---` stand alone on its line"
)]
#[case::encrypted(
    "  password: hunter2\n",
    "  password: hunter2\nsops: {mac: x}\n",
    "app.yaml:65:7, document 4: Secret/keys: the object is encrypted with SOPS; decrypt it in `render`, such as `render = [\"sops\", \
     \"--decrypt\", \"FILE\"]`, or leave it out and give the values in .config/e2e.toml: `[secret.\"keys\"]`"
)]
#[case::encrypted_with_its_head(
    "apiVersion: v1\nkind: Secret\nmetadata:\n  name: keys\n",
    "apiVersion: ENC[AES256_GCM,data:Lb/w=]\nkind: ENC[AES256_GCM,data:Ir=]\nmetadata:\n  name: ENC[AES256_GCM,data:Pd=]\nsops: {mac: x}\n",
    "app.yaml:63:7, document 4: the object is encrypted with SOPS; decrypt it in `render`, such as `render = [\"sops\", \"--decrypt\", \
     \"FILE\"]`, or leave it out and give the values in .config/e2e.toml: `[secret.\"NAME\"]`"
)]
#[case::no_metadata(
    "metadata:\n  name: backend\nspec:",
    "spec:",
    "app.yaml:1:1, document 1: Deployment: the document has no metadata, so it is not a Kubernetes object; add \
     `metadata.name`, or move the file out of the manifests if it belongs to another program"
)]
#[case::bad_name(
    "  name: backend\nspec:\n  replicas",
    "  name: ../backend\nspec:\n  replicas",
    "app.yaml:4:3, document 1: Deployment/../backend: metadata.name: `../backend` is not a valid name; use lower-case letters, digits, `.` and `-` between them, at most 253 characters"
)]
#[case::no_version(
    "apiVersion: apps/v1\n",
    "",
    "app.yaml:1:1, document 1: Deployment/backend: apiVersion: the document has no apiVersion; add `apiVersion: apps/v1`"
)]
#[case::old_version(
    "apiVersion: apps/v1",
    "apiVersion: extensions/v1beta1",
    "app.yaml:1:1, document 1: Deployment/backend: apiVersion: Kubernetes 1.16 removed `extensions/v1beta1` of a Deployment; write `apiVersion: apps/v1`"
)]
#[case::misspelt_kind(
    "kind: Service",
    "kind: Servce",
    "app.yaml:44:1, document 2: Servce/backend: kind: apiVersion `v1` has no kind `Servce`; did you mean `Service`?"
)]
#[case::unknown_kind(
    "kind: ConfigMap",
    "kind: Widget",
    "app.yaml:53:1, document 3: Widget/settings: kind: apiVersion `v1` has no kind `Widget`; if the file belongs to another program, move it out of the manifests; the apiVersion of a custom resource has its group, such as `apiVersion: example.org/v1`"
)]
// Fields.
#[case::misspelt(
    "livenessProbe:",
    "livenesProbe:",
    "app.yaml:37:11, document 1: Deployment/backend: spec.template.spec.containers[app].livenesProbe: unknown field; did you mean `livenessProbe`?"
)]
#[case::misspelt_in_flow(
    "port: 80, targetPort",
    "port: 80, targetport",
    "app.yaml:50:30, document 2: Service/backend: spec.ports[http].targetport: unknown field; did you mean `targetPort`?"
)]
#[case::a_selector_of_two_sorts(
    "  selector: {app: backend}\n  ports",
    "  selector: {matchLabels: {app: backend}}\n  ports",
    "app.yaml:48:27, document 2: Service/backend: spec.selector.matchLabels: expected a string, found a map; write the labels directly \
     under `selector`, without `matchLabels`"
)]
#[case::misplaced(
    "  replicas: 2",
    "  replicas: 2\n  image: x",
    "app.yaml:7:3, document 1: Deployment/backend: spec.image: unknown field; the fields here are: minReadySeconds, paused, progressDeadlineSeconds, replicas, revisionHistoryLimit, selector, strategy, template"
)]
#[case::misspelt_empty(
    "emptyDir: {}",
    "emtpyDir: {}",
    "app.yaml:17:11, document 1: Deployment/backend: spec.template.spec.volumes[tmp].emtpyDir: unknown field; did you mean `emptyDir`?"
)]
#[case::misspelt_null(
    "args: []",
    "agrs: null",
    "app.yaml:21:11, document 1: Deployment/backend: spec.template.spec.containers[app].agrs: unknown field; did you mean `args`?"
)]
#[case::misspelt_in_an_ignored_kind(
    "---\napiVersion: v1\nkind: ConfigMap",
    "---\napiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: x}\nspec: {minAvailabel: 1}\n---\napiVersion: v1\nkind: ConfigMap",
    "app.yaml:55:8, document 3: PodDisruptionBudget/x: spec.minAvailabel: unknown field; did you mean `minAvailable`?"
)]
#[case::misspelt_in_secret(
    "stringData:",
    "stringdata:",
    "app.yaml:63:1, document 4: Secret/keys: stringdata: unknown field; did you mean `stringData`?"
)]
#[case::number_for_text(
    "value: \"\"",
    "value: 15",
    "app.yaml:24:22, document 1: Deployment/backend: spec.template.spec.containers[app].env[EMPTY].value: expected a string, found an integer; put the value in quotes"
)]
#[case::boolean_for_text(
    "value: \"\"",
    "value: yes",
    "app.yaml:24:22, document 1: Deployment/backend: spec.template.spec.containers[app].env[EMPTY].value: expected a string, found a boolean; put the value in quotes"
)]
#[case::text_for_number(
    "replicas: 2",
    "replicas: \"2\"",
    "app.yaml:6:13, document 1: Deployment/backend: spec.replicas: expected an integer, found a string; remove the quotes, or correct the value"
)]
#[case::too_large(
    "replicas: 2",
    "replicas: 5000000000",
    "app.yaml:6:13, document 1: Deployment/backend: spec.replicas: the number is out of range; write a smaller one"
)]
#[case::map_for_list(
    "args: []",
    "args: {a: b}",
    "app.yaml:21:17, document 1: Deployment/backend: spec.template.spec.containers[app].args: expected a list, found a map; check the indentation and the dashes of the lines below"
)]
#[case::text_for_map(
    "emptyDir: {}",
    "emptyDir: yes please",
    "app.yaml:17:21, document 1: Deployment/backend: spec.template.spec.volumes[tmp].emptyDir: expected a map, found a string; check the indentation and the dashes of the lines below"
)]
#[case::number_in_config(
    "level: info",
    "level: 3",
    "app.yaml:57:10, document 3: ConfigMap/settings: data.level: expected a string, found an integer; put the value in quotes"
)]
#[case::not_base64(
    "stringData:",
    "data:",
    "app.yaml:64:13, document 4: Secret/keys: data.password: the value is not base64; encode it with `base64 -w0`, or put the plain text under `stringData`"
)]
#[case::bad_key(
    "  level: info",
    "  level: info\n  ../up: x",
    "app.yaml:52:1, document 3: ConfigMap/settings: `../up` is not a valid key; use letters, digits, `-`, `_` and `.`"
)]
// Secrets that are generated.
#[case::annotation(
    "  name: keys\n",
    "  name: keys\n  annotations: {e2e/generat: x}\n",
    "app.yaml:63:17, document 4: Secret/keys: metadata.annotations['e2e/generat']: unknown annotation; there are `e2e/generate` for Secrets and `e2e/lint-ignore` for workloads"
)]
#[case::annotated_config(
    "  name: settings\n",
    "  name: settings\n  annotations: {e2e/generate: x}\n",
    "app.yaml:56:17, document 3: ConfigMap/settings: metadata.annotations['e2e/generate']: only the keys of a Secret can be generated; move it to a Secret"
)]
#[case::no_key(
    "  name: keys\n",
    "  name: keys\n  annotations: {e2e/generate: 'a,,b'}\n",
    "app.yaml:63:17, document 4: Secret/keys: metadata.annotations['e2e/generate']: a key to generate has no name; write the keys as \"key1,key2\""
)]
fn refused(#[case] old: &str, #[case] new: &str, #[case] expected: &str) {
    assert_eq!(error_of(&base_with(old, new)), expected);
}

#[rstest]
#[case("backend.env.A", "it has no `=`; write component.env.NAME=value")]
#[case(
    "backend:PASSWORD:aHVudGVy=",
    "what stands before `=` does not name an environment variable; write component.env.NAME=value"
)]
#[case("backend.A=b", "`backend.A` does not name an environment variable; write component.env.NAME=value")]
#[case(".env.A=b", "`.env.A` names no component; write component.env.NAME=value")]
#[case("backend.env.=b", "`backend.env.` names no variable; write component.env.NAME=value")]
#[case("bakend.env.A=b", "--set bakend.env.A: there is no component `bakend`; did you mean `backend`?")]
#[case("x.env.A=b", "--set x.env.A: there is no component `x`; components: backend")]
fn sets(#[case] set: &str, #[case] expected: &str) {
    assert_eq!(plan_with(BASE, Vec::new(), &[set], &[]).unwrap_err().to_string(), expected);
}

#[test]
fn replicas_of_nothing() {
    let error = plan_with(BASE, Vec::new(), &[], &[("engine", 1)]).unwrap_err().to_string();
    assert_eq!(error, "--replicas engine=1: there is no component `engine`; components: backend");
}

#[rstest]
#[case::nothing("", "the manifests declare nothing to run; add a manifest of kind Deployment or StatefulSet")]
#[case::comments(
    "# nothing\n---\n# here\n",
    "the manifests declare nothing to run; add a manifest of kind Deployment or StatefulSet"
)]
fn empty(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(error_of(text), expected);
}

#[test]
fn kinds_of_errors() {
    let kind =
        |old, new| plan_with(&base_with(old, new), Vec::new(), &[], &[]).unwrap_err().iter().next().unwrap().kind;
    assert_eq!(kind("args: []", "args: ["), ErrorKind::Syntax);
    assert_eq!(kind("livenessProbe:", "livenesProbe:"), ErrorKind::UnknownField);
    assert_eq!(kind("replicas: 2", "replicas: two"), ErrorKind::Type);
    assert_eq!(kind("port: 80,", "port: 0,"), ErrorKind::Value);
    assert_eq!(kind("kind: Service", "kind: Servce"), ErrorKind::Object);
}

/// Where a Secret is wrong, its text is not shown.
#[rstest]
#[case("stringData:\n  password: hunter2", "data:\n  password: hunter2")]
#[case("stringData:\n  password: hunter2", "stringData:\n  password: [hunter2]")]
#[case("stringData:\n  password: hunter2", "stringData:\n  password: {hunter2: x}")]
#[case("stringData:\n  password: hunter2", "stringdata:\n  password: hunter2")]
#[case("stringData:\n  password: hunter2", "stringData:\n  password: 'hunter2")]
fn secrets_stay_secret(#[case] old: &str, #[case] new: &str) {
    let error = plan_with(&base_with(old, new), Vec::new(), &[], &[]).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
}
