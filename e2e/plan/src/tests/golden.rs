//! Small manifests and the plans that they mean, worked out by hand.

use std::{collections::BTreeSet, time::Duration};

use rstest::rstest;

use super::*;

fn app(plan: &Plan) -> &Container {
    &plan.components[0].pod.containers[0]
}

/// The first container of `BASE` with further lines in it.
fn app_with(lines: &str) -> Container {
    app(&plan_of(&base_with("          args: []\n", lines))).clone()
}

fn value(container: &Container, name: &str) -> Value {
    container.env.iter().find(|variable| variable.name == name).map(|variable| variable.value.clone()).unwrap()
}

fn plain(text: &str) -> Value {
    Value::Plain(text.into())
}

fn secret(name: &str, key: &str, text: &str) -> Value {
    Value::Secret(Secret { name: name.into(), key: key.into(), text: text.into() })
}

/// The container of the base.
fn base_container() -> Container {
    let variable = |name: &str, value, expand| EnvVar { name: name.into(), value, expand };
    let mount = |volume: &str, path: &str, read_only| Mount {
        volume: volume.into(),
        path: path.into(),
        sub_path: None,
        expand_sub_path: false,
        read_only,
    };
    Container {
        name: "app".into(),
        image: "backend:dev".into(),
        command: vec![],
        args: vec![],
        working_dir: None,
        env: vec![
            variable("EMPTY", plain(""), true),
            variable("DB", plain("postgres:5432"), true),
            variable("LEVEL", plain("info"), false),
            variable("PASSWORD", secret("keys", "password", "hunter2"), false),
        ],
        ports: vec![Port { name: Some("http".into()), number: 8000, protocol: "TCP".into() }],
        mounts: vec![mount("config", "/etc/app", true), mount("tmp", "/tmp", false)],
        resources: Resources {
            memory_request_bytes: Some(67_108_864),
            memory_limit_bytes: Some(134_217_728),
            cpu_request_millis: Some(100),
            cpu_limit_millis: Some(500),
        },
        probes: Probes {
            startup: None,
            readiness: None,
            liveness: Some(Probe {
                action: ProbeAction::HttpGet {
                    https: false,
                    host: None,
                    port: 8000,
                    path: "/livez".into(),
                    headers: vec![],
                },
                initial_delay: Duration::ZERO,
                period: Duration::from_secs(10),
                timeout: Duration::from_secs(1),
                success_threshold: 1,
                failure_threshold: 3,
                termination_grace: None,
            }),
        },
        hooks: Hooks::default(),
        security: Security::default(),
        is_sidecar: false,
    }
}

#[test]
fn the_base() {
    let plan = plan_of(BASE);
    let source = |document| Source { file: "app.yaml".into(), document };
    let labels = BTreeMap::from([("app".to_owned(), "backend".to_owned())]);
    let file = File { path: "level".into(), content: plain("info"), mode: 0o644 };
    let pod = Pod {
        labels,
        init_containers: vec![],
        containers: vec![base_container()],
        volumes: BTreeMap::from([
            ("config".to_owned(), Volume::Files(vec![file])),
            ("tmp".to_owned(), Volume::EmptyDir { in_memory: false, size_limit_bytes: None }),
        ]),
        termination_grace: Duration::from_secs(30),
        restart: Restart::Always,
        ports: BTreeSet::from([8000]),
        service_links: true,
    };
    let component = Component {
        name: "backend".into(),
        namespace: "default".into(),
        kind: "Deployment".into(),
        replicas: 2,
        pod,
        governed_by: None,
        hook: None,
        depends_on: vec![],
        after: vec![],
        source: source(1),
    };
    let port = ServicePort { name: Some("http".into()), port: 80, target_port: 8000, protocol: "TCP".into() };
    let service = Service {
        name: "backend".into(),
        namespace: "default".into(),
        components: vec!["backend".into()],
        ports: vec![port],
        headless: false,
        publish_not_ready: false,
        source: source(2),
    };
    assert_eq!(plan.components, [component]);
    assert_eq!(plan.services, [service]);
    let objects: Vec<_> = plan.objects.iter().map(crate::Object::label).collect();
    assert_eq!(objects, ["Deployment/backend", "Service/backend", "ConfigMap/settings", "Secret/keys"]);
}

#[test]
fn secrets_show_nowhere() {
    let plan = plan_of(BASE);
    assert_eq!(plan.secrets().iter().map(|secret| secret.text.as_str()).collect::<Vec<_>>(), ["hunter2"]);
    let json = serde_json::to_string(&plan).unwrap();
    assert!(json.contains("\"keys/password\""), "{json}");
    let resolved = app(&plan).resolve(&Identity::default());
    for text in [
        json,
        format!("{plan:?}"),
        format!("{:?}", plan.objects),
        format!("{resolved:?}"),
        format!("{:?}", manifest("f", BASE)),
    ] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn empty_and_null_values_are_no_faults() {
    let text = base_with(
        "          args: []\n",
        "          args: null\n          command: []\n          lifecycle: {}\n          securityContext: {}\n          workingDir: \"\"\n",
    );
    let container = app(&plan_of(&text)).clone();
    assert_eq!(container, *app(&plan_of(BASE)));
}

#[rstest]
#[case("{metadata.name}", Value::Field(Field::PodName))]
#[case("{metadata.namespace}", Value::Field(Field::Namespace))]
#[case("{metadata.uid}", Value::Field(Field::PodUid))]
#[case("{status.podIP}", Value::Field(Field::PodIp))]
#[case("{status.hostIP}", Value::Field(Field::HostIp))]
#[case("{spec.nodeName}", Value::Field(Field::NodeName))]
#[case("{spec.serviceAccountName}", plain("default"))]
#[case("{\"metadata.labels['app']\"}", plain("backend"))]
#[case("{\"metadata.annotations['none']\"}", plain(""))]
fn fields_of_the_pod(#[case] path: &str, #[case] expected: Value) {
    let source = format!("{{fieldRef: {{fieldPath: {}}}}}", path.trim_matches(['{', '}']));
    let plan = plan_of(&base_with("{configMapKeyRef: {name: settings, key: level}}", &source));
    assert_eq!(value(app(&plan), "LEVEL"), expected);
}

#[rstest]
#[case::rounded_up("resource: limits.cpu", "1")]
#[case::in_millis("resource: limits.cpu, divisor: 1m", "500")]
#[case::bytes("resource: limits.memory", "134217728")]
#[case::in_mebibytes("resource: requests.memory, divisor: 1Mi", "64")]
#[case::of_a_container("containerName: app, resource: requests.cpu, divisor: '0'", "1")]
fn resources_in_env(#[case] reference: &str, #[case] expected: &str) {
    let source = format!("{{resourceFieldRef: {{{reference}}}}}");
    let plan = plan_of(&base_with("{configMapKeyRef: {name: settings, key: level}}", &source));
    assert_eq!(value(app(&plan), "LEVEL"), plain(expected));
}

#[test]
fn env_from_comes_first_with_its_prefix() {
    let container = app_with(
        "          envFrom:\n            - {prefix: CFG_, configMapRef: {name: settings}}\n            - {secretRef: {name: keys}}\n            - {secretRef: {name: none, optional: true}}\n",
    );
    assert_eq!(container.env[0], EnvVar { name: "CFG_level".into(), value: plain("info"), expand: false });
    assert_eq!(
        container.env[1],
        EnvVar { name: "password".into(), value: secret("keys", "password", "hunter2"), expand: false }
    );
    assert_eq!(container.env[2].name, "EMPTY");
}

#[rstest]
#[case("{configMapKeyRef: {name: settings, key: none, optional: true}}")]
#[case("{configMapKeyRef: {name: none, key: none, optional: true}}")]
#[case("{secretKeyRef: {name: none, key: none, optional: true}}")]
fn optional_references_leave_the_variable_out(#[case] source: &str) {
    let plan = plan_of(&base_with("{configMapKeyRef: {name: settings, key: level}}", source));
    let names: Vec<_> = app(&plan).env.iter().map(|variable| variable.name.as_str()).collect();
    assert_eq!(names, ["EMPTY", "DB", "PASSWORD"]);
}

#[rstest]
#[case::base64("data:\n  password: aHVudGVyMg==", "hunter2")]
// Go takes no notice of the bits behind the last byte.
#[case::base64_with_bits_left("data:\n  password: aHVudGVyMh==", "hunter2")]
#[case::plain_text_wins("data:\n  password: b2xk\nstringData:\n  password: hunter2", "hunter2")]
#[case::generated("metadata2", "made-up-keys-password")]
fn texts_of_a_secret(#[case] data: &str, #[case] expected: &str) {
    let text = if data == "metadata2" {
        BASE.replace(
            "  name: keys\nstringData:\n  password: hunter2\n",
            "  name: keys\n  annotations: {e2e/generate: 'other, password'}\n",
        )
    } else {
        base_with("stringData:\n  password: hunter2", data)
    };
    assert_eq!(value(app(&plan_of(&text)), "PASSWORD"), secret("keys", "password", expected));
}

#[test]
fn generated_keys_keep_values_that_they_have_and_reach_the_objects() {
    let text = base_with("  name: keys\n", "  name: keys\n  annotations: {e2e/generate: 'password,token'}\n");
    let plan = plan_of(&text);
    assert_eq!(value(app(&plan), "PASSWORD"), secret("keys", "password", "hunter2"));
    let secret = &plan.objects[3].json;
    assert_eq!(secret["stringData"], serde_json::json!({"password": "hunter2", "token": "made-up-keys-token"}));
}

fn files(volume: &str) -> Vec<(String, Value, u32)> {
    let plan = plan_of(&base_with("configMap: {name: settings}", volume));
    match &plan.components[0].pod.volumes["config"] {
        Volume::Files(files) => {
            files.iter().map(|file| (file.path.display().to_string(), file.content.clone(), file.mode)).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn files_of_volumes() {
    let level = |path: &str, mode| (path.to_owned(), plain("info"), mode);
    assert_eq!(files("configMap: {name: settings, defaultMode: 0400}"), [level("level", 0o400)]);
    assert_eq!(files("configMap: {name: settings, defaultMode: 420}"), [level("level", 0o644)]);
    assert_eq!(
        files("configMap: {name: settings, items: [{key: level, path: a/b, mode: 0600}]}"),
        [level("a/b", 0o600)]
    );
    assert_eq!(files("configMap: {name: settings, items: [{key: none, path: x}], optional: true}"), []);
    assert_eq!(files("configMap: {name: none, optional: true}"), []);
    let password = ("password".to_owned(), secret("keys", "password", "hunter2"), 0o440);
    assert_eq!(files("secret: {secretName: keys, defaultMode: 0440}"), std::slice::from_ref(&password));
    let name = ("name".to_owned(), Value::Field(Field::PodName), 0o644);
    assert_eq!(files("downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}"), [name]);
    let sources = "[{secret: {name: keys}}, {configMap: {name: settings}}]";
    assert_eq!(
        files(&format!("projected: {{defaultMode: 0440, sources: {sources}}}")),
        [password, level("level", 0o440)]
    );
}

#[test]
fn directories_of_volumes() {
    let volume = |text: &str| plan_of(&base_with("emptyDir: {}", text)).components[0].pod.volumes["tmp"].clone();
    let empty = |in_memory, size_limit_bytes| Volume::EmptyDir { in_memory, size_limit_bytes };
    assert_eq!(volume("emptyDir: {medium: Memory, sizeLimit: 1Mi}"), empty(true, Some(1_048_576)));
    assert_eq!(
        volume(
            "ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}}"
        ),
        empty(false, None)
    );
    let persistent = |name: &str| Volume::Persistent { name: name.to_owned(), per_pod: false };
    assert_eq!(volume("persistentVolumeClaim: {claimName: data}"), persistent("data"));
    assert_eq!(volume("nfs: {server: files, path: /}"), persistent("backend.tmp"));
}

#[test]
fn a_stateful_set_with_a_claim_and_a_headless_service() {
    let text = BASE
        .replace("kind: Deployment", "kind: StatefulSet")
        .replace("  replicas: 2\n", "  serviceName: backend\n  volumeClaimTemplates:\n    - metadata: {name: data}\n")
        .replace("{name: tmp, mountPath: /tmp}", "{name: data, mountPath: /data}")
        .replace(
            "  selector: {app: backend}\n  ports:\n    - {name: http, port: 80, targetPort: http}\n",
            "  clusterIP: None\n  selector: {app: backend}\n",
        );
    let plan = plan_of(&text);
    let component = &plan.components[0];
    assert_eq!((component.kind.as_str(), component.replicas), ("StatefulSet", 1));
    assert_eq!(component.pod.volumes["data"], Volume::Persistent { name: "data".to_owned(), per_pod: true });
    assert_eq!(plan.services[0].ports, []);
}

#[test]
fn probes_with_everything_set() {
    let probe = "          startupProbe:\n            httpGet: {port: 8000, scheme: HTTPS, host: 1.2.3.4, httpHeaders: [{name: Host, value: a}, {name: X, value: b}]}\n            initialDelaySeconds: 1\n            periodSeconds: 2\n            timeoutSeconds: 3\n            failureThreshold: 5\n            terminationGracePeriodSeconds: 6\n          readinessProbe:\n            exec: {command: [check, now]}\n            successThreshold: 4\n            periodSeconds: 0\n";
    let probes = app_with(probe).probes;
    let startup = probes.startup.unwrap();
    let headers = vec![("Host".to_owned(), "a".to_owned()), ("X".to_owned(), "b".to_owned())];
    let action =
        ProbeAction::HttpGet { https: true, host: Some("1.2.3.4".into()), port: 8000, path: "/".into(), headers };
    assert_eq!(startup.action, action);
    let times = [startup.initial_delay, startup.period, startup.timeout].map(|time| time.as_secs());
    assert_eq!((times, startup.failure_threshold), ([1, 2, 3], 5));
    assert_eq!(startup.termination_grace, Some(Duration::from_secs(6)));
    let readiness = probes.readiness.unwrap();
    assert_eq!(readiness.action, ProbeAction::Exec { command: vec!["check".into(), "now".into()] });
    // The API server reads 0 as the default.
    assert_eq!((readiness.success_threshold, readiness.period), (4, Duration::from_secs(10)));
}

#[rstest]
#[case::tcp("tcpSocket: {port: http}", ProbeAction::TcpSocket { host: None, port: 8000 })]
#[case::grpc("grpc: {port: 8000, service: a}", ProbeAction::Grpc { port: 8000, service: "a".into() })]
fn other_probe_actions(#[case] action: &str, #[case] expected: ProbeAction) {
    let plan = plan_of(&base_with("httpGet: {path: /livez, port: http}", action));
    assert_eq!(app(&plan).probes.liveness.as_ref().unwrap().action, expected);
}

#[test]
fn the_containers_security_wins_over_the_pods() {
    let text = base_with("      volumes:\n", "      securityContext: {runAsUser: 1, runAsGroup: 2, runAsNonRoot: true}\n      volumes:\n")
        .replace("          args: []\n", "          securityContext: {runAsUser: 3, readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL], add: [CHOWN]}}\n");
    let security = Security {
        run_as_user: Some(3),
        run_as_group: Some(2),
        read_only_root: true,
        privileged: false,
        no_new_privileges: true,
        drop_capabilities: vec!["ALL".into()],
        add_capabilities: vec!["CHOWN".into()],
    };
    assert_eq!(app(&plan_of(&text)).security, security);
}

#[test]
fn a_list_is_its_items_and_aliases_are_followed() {
    let text = "\
kind: List
apiVersion: v1
items:
  - apiVersion: apps/v1
    kind: Deployment
    metadata: {name: a}
    spec:
      selector: {matchLabels: &labels {app: a}}
      template:
        metadata: {labels: *labels}
        spec: {containers: [{name: a, image: a}]}
";
    assert_eq!(plan_of(text).components[0].pod.labels["app"], "a");
}

/// As kubectl reads it, items take what the list says of all of them.
#[test]
fn a_list_of_one_kind_says_it_for_its_items() {
    let item = "{metadata: {name: a}, spec: {containers: [{name: a, image: a}]}}";
    let other = "{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}";
    let list = |kind: &str| format!("apiVersion: v1\nkind: {kind}\nitems:\n- {item}\n- {other}\n");
    let plan = plan_of(&list("PodList"));
    let labels: Vec<String> = plan.objects.iter().map(Object::label).collect();
    assert_eq!(labels, ["Pod/a", "ConfigMap/b"]);
    assert!(error_of(&list("List")).contains("the document has neither apiVersion nor kind"));
}

#[test]
fn overrides_from_the_command_line() {
    let sets = ["backend.env.DB=redis:6379", "backend.env.NEW=a=$(DB)"];
    let plan = plan_with(BASE, Vec::new(), &sets, &[("backend", 5)]).unwrap();
    let container = app(&plan);
    assert_eq!(plan.components[0].replicas, 5);
    assert_eq!(container.env[1], EnvVar { name: "DB".into(), value: plain("redis:6379"), expand: true });
    assert_eq!(container.env[4].name, "NEW");
    assert_eq!(container.resolve(&Identity::default()).env[4], ("NEW".to_owned(), "a=redis:6379".to_owned()));
    // The cluster is given the same.
    assert_eq!(plan.objects[0].json["spec"]["replicas"], 5);
    let env = &plan.objects[0].json["spec"]["template"]["spec"]["containers"][0]["env"];
    assert_eq!(env[4], serde_json::json!({"name": "NEW", "value": "a=$(DB)"}));
}
