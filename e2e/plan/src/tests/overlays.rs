//! Overlays. The results are those of `kubectl kustomize` (v5.6) for the same base and patch.

use rstest::rstest;
use serde_json::{Value as Json, json};

use super::*;

/// Every sort of field that a patch treats in its own way.
const WIDE: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: backend, labels: {a: \"1\", b: \"2\"}}
spec:
  replicas: 2
  selector: {matchLabels: {app: backend}}
  template:
    metadata: {labels: {app: backend}}
    spec:
      securityContext: {runAsUser: 1, runAsGroup: 2}
      tolerations: [{key: a}, {key: b}]
      imagePullSecrets: [{name: one}, {name: two}]
      volumes:
        - {name: config, configMap: {name: settings, items: [{key: a, path: a}]}}
        - {name: tmp, emptyDir: {}}
      containers:
        - name: app
          image: backend:1
          command: [run, \"1\"]
          args: [a, b]
          env: [{name: A, value: \"1\"}, {name: B, value: \"2\"}, {name: C, value: \"3\"}]
          envFrom: [{configMapRef: {name: settings}}]
          ports: [{name: http, containerPort: 8000}, {name: udp, containerPort: 9000, protocol: UDP}]
          resources: {requests: {cpu: 100m}, limits: {memory: 128Mi}}
          livenessProbe:
            httpGet: {path: /livez, port: 8000, httpHeaders: [{name: a, value: b}]}
            periodSeconds: 5
          volumeMounts: [{name: config, mountPath: /etc/app}, {name: tmp, mountPath: /tmp}]
        - {name: side, image: \"side:1\"}
---
apiVersion: v1
kind: Service
metadata: {name: backend}
spec:
  selector: {app: backend}
  ports: [{name: http, port: 80, targetPort: 8000}, {name: other, port: 81, targetPort: 8000}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {a: \"1\", b: \"2\"}
";

/// A patch of the Deployment's pod.
fn pod_patch(spec: &str) -> Overlay {
    overlay(&format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: backend}}\nspec: {{template: {{spec: {spec}}}}}\n"
    ))
}

fn merged(patch: Overlay) -> Json {
    let plan = plan_with(WIDE, vec![patch], &[], &[]).unwrap_or_else(|error| panic!("{error}"));
    let objects = plan.objects.into_iter().map(|object| (object.kind, object.json));
    Json::Object(objects.collect())
}

fn pod(spec: &str) -> Json {
    merged(pod_patch(spec))["Deployment"]["spec"]["template"]["spec"].clone()
}

fn app(container: &str) -> Json {
    pod(&format!("{{containers: [{{name: app, {container}}}]}}"))["containers"][0].clone()
}

#[rstest]
#[case::scalar("image: 'backend:2'", "image", json!("backend:2"))]
#[case::null_deletes("args: null", "args", Json::Null)]
#[case::plain_list_is_replaced("command: [go]", "command", json!(["go"]))]
#[case::list_without_key_is_replaced("envFrom: [{prefix: P_, configMapRef: {name: settings}}]", "envFrom", json!([{"prefix": "P_", "configMapRef": {"name": "settings"}}]))]
#[case::env_merges_with_the_patch_first(
    "env: [{name: Z, value: z}, {name: C, value: c}, {name: A, $patch: delete}]",
    "env",
    json!([{"name": "Z", "value": "z"}, {"name": "C", "value": "c"}, {"name": "B", "value": "2"}])
)]
#[case::value_gives_way_to_a_source(
    "env: [{name: A, value: null, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]",
    "env",
    json!([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}, {"name": "B", "value": "2"}, {"name": "C", "value": "3"}])
)]
#[case::whole_list_replaced("env: [{$patch: replace}, {name: Q, value: q}]", "env", json!([{"name": "Q", "value": "q"}]))]
#[case::new_elements_have_no_directives("env: [{name: N, $patch: delete}, {name: A, value: '9'}]", "env", json!([{"name": "A", "value": "9"}, {"name": "B", "value": "2"}, {"name": "C", "value": "3"}]))]
#[case::ports_by_number_and_protocol(
    "ports: [{containerPort: 8000, name: web}, {containerPort: 9000, protocol: TCP}]",
    "ports",
    json!([{"containerPort": 9000, "protocol": "TCP"}, {"name": "web", "containerPort": 8000}, {"name": "udp", "containerPort": 9000, "protocol": "UDP"}])
)]
#[case::maps_merge("resources: {requests: {memory: 1Mi}}", "resources", json!({"requests": {"cpu": "100m", "memory": "1Mi"}, "limits": {"memory": "128Mi"}}))]
#[case::map_replaced("resources: {limits: {$patch: replace, cpu: '1'}}", "resources", json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}}))]
#[case::map_deleted("resources: {limits: {$patch: delete}}", "resources", json!({"requests": {"cpu": "100m"}}))]
#[case::probe(
    "livenessProbe: {httpGet: {httpHeaders: [{name: c, value: d}]}, periodSeconds: null}",
    "livenessProbe",
    json!({"httpGet": {"path": "/livez", "port": 8000, "httpHeaders": [{"name": "c", "value": "d"}]}})
)]
#[case::probe_with_another_action("livenessProbe: {$patch: replace, tcpSocket: {port: 8000}}", "livenessProbe", json!({"tcpSocket": {"port": 8000}}))]
#[case::nulls_of_new_values_go("readinessProbe: {tcpSocket: {port: 8000}, periodSeconds: null}", "readinessProbe", json!({"tcpSocket": {"port": 8000}}))]
#[case::mounts_by_path(
    "volumeMounts: [{mountPath: /tmp, readOnly: true}, {mountPath: /x, name: tmp}]",
    "volumeMounts",
    json!([{"name": "tmp", "mountPath": "/tmp", "readOnly": true}, {"mountPath": "/x", "name": "tmp"}, {"name": "config", "mountPath": "/etc/app"}])
)]
fn fields_of_a_container(#[case] patch: &str, #[case] field: &str, #[case] expected: Json) {
    assert_eq!(app(patch)[field], expected);
}

#[rstest]
#[case::map("{securityContext: {runAsUser: null, fsGroup: 3}}", "securityContext", json!({"runAsGroup": 2, "fsGroup": 3}))]
#[case::atomic_list("{tolerations: [{key: c}]}", "tolerations", json!([{"key": "c"}]))]
#[case::list_by_name("{imagePullSecrets: [{name: three}, {name: two}]}", "imagePullSecrets", json!([{"name": "three"}, {"name": "two"}, {"name": "one"}]))]
#[case::volume_source_changes(
    "{volumes: [{name: tmp, emptyDir: null, configMap: {name: settings}}]}",
    "volumes",
    json!([{"name": "tmp", "configMap": {"name": "settings"}}, {"name": "config", "configMap": {"name": "settings", "items": [{"key": "a", "path": "a"}]}}])
)]
fn fields_of_a_pod(#[case] patch: &str, #[case] field: &str, #[case] expected: Json) {
    assert_eq!(pod(patch)[field], expected);
}

#[test]
fn containers_come_and_go() {
    let names = |patch: &str| -> Vec<String> {
        let pod = pod(patch);
        let containers = pod["containers"].as_array().unwrap();
        containers.iter().map(|container| container["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("{containers: [{name: new, image: x}]}"), ["new", "app", "side"]);
    assert_eq!(names("{containers: [{name: side, $patch: delete}]}"), ["app"]);
    assert_eq!(names("{containers: [{name: side, image: 'side:2'}]}"), ["side", "app"]);
}

#[test]
fn service_ports_merge_by_port() {
    let patch =
        "apiVersion: v1\nkind: Service\nmetadata: {name: backend}\nspec: {ports: [{port: 81, targetPort: 9000}]}\n";
    let ports = merged(overlay(patch))["Service"]["spec"]["ports"].clone();
    assert_eq!(
        ports,
        json!([{"name": "other", "port": 81, "targetPort": 9000}, {"name": "http", "port": 80, "targetPort": 8000}])
    );
}

#[test]
fn config_maps_merge_by_key() {
    let patch = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {b: null, c: '3'}\n";
    assert_eq!(merged(overlay(patch))["ConfigMap"]["data"], json!({"a": "1", "c": "3"}));
}

#[test]
fn an_object_can_be_deleted_and_another_one_added() {
    let patch = "$patch: delete\napiVersion: v1\nkind: Service\nmetadata: {name: backend}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: more}\ndata: {x: z}\n";
    let plan = plan_with(WIDE, vec![overlay(patch)], &[], &[]).unwrap();
    let names: Vec<_> = plan.objects.iter().map(crate::Object::label).collect();
    assert_eq!(names, ["Deployment/backend", "ConfigMap/settings", "ConfigMap/more"]);
    assert_eq!(plan.objects[2].source, Source { file: "patch.yaml".into(), document: 2 });
    assert!(plan.services.is_empty());
}

#[test]
fn overlays_apply_in_order() {
    let image = |image: &str| pod_patch(&format!("{{containers: [{{name: app, image: '{image}'}}]}}"));
    let plan = plan_with(WIDE, vec![image("a:1"), image("b:2")], &[], &[]).unwrap();
    assert_eq!(plan.components[0].pod.containers[0].image, "b:2");
}

const HEAD: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: backend}\n";

#[rstest]
#[case::no_match(
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: bakend}\nspec: {replicas: 1}\n",
    "patch.yaml:3:12, document 1: Deployment/bakend: metadata.name: the patch of overlay fault matches no object; did you mean `backend`?"
)]
#[case::wrong_kind(
    "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: backend}\nspec: {replicas: 1}\n",
    "patch.yaml:3:12, document 1: StatefulSet/backend: metadata.name: the patch of overlay fault matches no object; did you mean Deployment/backend?"
)]
#[case::no_such_service(
    "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {type: NodePort}\n",
    "patch.yaml:3:12, document 1: Service/x: metadata.name: the patch of overlay fault matches no object; names of kind Service in the manifests: backend; a new object must be complete"
)]
#[case::misspelt_field(
    "{HEAD}spec:\n  template:\n    spec:\n      containers:\n        - name: app\n          livenesProbe: {periodSeconds: 1}\n",
    "patch.yaml:9:11, document 1: Deployment/backend: spec.template.spec.containers[app].livenesProbe: unknown field; did you mean `livenessProbe`?"
)]
#[case::wrong_type(
    "{HEAD}spec: {replicas: '3'}\n",
    "patch.yaml:4:18, document 1: Deployment/backend: spec.replicas: expected an integer, found a string; remove the quotes, or correct the value"
)]
#[case::list_for_map(
    "{HEAD}spec: {template: {spec: {containers: {name: app}}}}\n",
    "patch.yaml:4:38, document 1: Deployment/backend: spec.template.spec.containers: expected a list, found a map; check the indentation and the dashes of the lines below"
)]
#[case::no_merge_key(
    "{HEAD}spec: {template: {spec: {containers: [{image: x}]}}}\n",
    "patch.yaml:4:39, document 1: Deployment/backend: spec.template.spec.containers[0]: the element has no `name`, by which this list is merged; add `name`"
)]
#[case::unknown_directive(
    "{HEAD}spec: {$patch: remove}\n",
    "patch.yaml:4:8, document 1: Deployment/backend: spec.$patch: unknown $patch directive; write merge, replace or delete"
)]
#[case::other_directive(
    "{HEAD}spec: {template: {spec: {$setElementOrder/containers: []}}}\n",
    "patch.yaml:4:26, document 1: Deployment/backend: spec.template.spec['$setElementOrder/containers']: the directive `$setElementOrder/containers` is not supported; use `$patch`, or `null` to delete a field"
)]
#[case::replace_in_an_element(
    "{HEAD}spec: {template: {spec: {containers: [{name: app, $patch: replace, image: x}]}}}\n",
    "patch.yaml:4:39, document 1: Deployment/backend: spec.template.spec.containers[app]: `$patch: replace` \
     together with other fields of a list element; write `- $patch: replace` as a separate element"
)]
#[case::consequence(
    "{HEAD}spec: {template: {spec: {volumes: [{name: tmp, $patch: delete}]}}}\n",
    "app.yaml:28:64, document 1: Deployment/backend: spec.template.spec.containers[app].volumeMounts[tmp].name: there is no volume `tmp`; volumes of the pod: config"
)]
#[case::two_volume_sources(
    "{HEAD}spec: {template: {spec: {volumes: [{name: tmp, secret: {secretName: x}}]}}}\n",
    "app.yaml:15:11, document 1: Deployment/backend: spec.template.spec.volumes[tmp]: the volume has 2 sources: emptyDir, secret; write exactly one, such as `emptyDir: {}`; a patch removes the other with `null`"
)]
#[case::json_patch(
    "- {op: remove, path: /spec}\n",
    "patch.yaml:1:1, document 1: expected a Kubernetes object, found a list; start the document with apiVersion, kind and metadata"
)]
fn bad_patches(#[case] patch: &str, #[case] expected: &str) {
    let error = plan_with(WIDE, vec![overlay(&patch.replace("{HEAD}", HEAD))], &[], &[]).unwrap_err();
    assert_eq!(error.to_string(), expected);
}

#[test]
fn warnings_name_the_patch_that_a_field_comes_from() {
    let plan = plan_with(BASE, vec![pod_patch("{nodeSelector: {disk: ssd}}")], &[], &[]).unwrap();
    let warning = &plan.warnings(Target::Docker)[0];
    assert_eq!(warning.source, Source { file: "patch.yaml".into(), document: 1 });
    assert_eq!(
        (warning.object.as_str(), warning.path.as_str()),
        ("Deployment/backend", "spec.template.spec.nodeSelector")
    );
}
