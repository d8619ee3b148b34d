//! Volumes, files, variables and keys that Kubernetes accepts, and what the plan makes of them.

use rstest::rstest;

use super::{accepted::notes, *};

#[rstest]
#[case::none("          emptyDir: {}\n", "")]
#[case::host_path("emptyDir: {}", "hostPath: {path: /var}")]
#[case::network("emptyDir: {}", "nfs: {server: a, path: /}")]
#[case::driver("emptyDir: {}", "csi: {driver: a}")]
#[case::ephemeral(
    "emptyDir: {}",
    "ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}}"
)]
fn any_volume_is_a_directory(#[case] old: &str, #[case] new: &str) {
    let plan = plan_of(&base_with(old, new));
    let expected = match new.is_empty() || new.starts_with("ephemeral") {
        true => Volume::EmptyDir { in_memory: false, size_limit_bytes: None },
        false => Volume::Persistent { name: "backend.tmp".to_owned(), per_pod: false },
    };
    assert_eq!(plan.components[0].pod.volumes["tmp"], expected);
    let docker = notes(&plan, Target::Docker, "Deployment/backend");
    assert_eq!(docker.len(), usize::from(!new.is_empty()), "{docker:?}");
    assert_eq!(notes(&plan, Target::K8s, "Deployment/backend"), Vec::<String>::new());
}

/// The claim of a StatefulSet stands before a volume of its name.
#[test]
fn a_claim_template_wins() {
    let text = BASE.replace("kind: Deployment", "kind: StatefulSet").replace(
        "  replicas: 2\n",
        "  serviceName: backend\n  volumeClaimTemplates:\n    - metadata: {name: config}\n",
    );
    let volumes = &plan_of(&text).components[0].pod.volumes;
    assert_eq!(volumes["config"], Volume::Persistent { name: "config".to_owned(), per_pod: true });
}

fn content(plan: &Plan, volume: &str) -> Vec<(String, Value)> {
    let Volume::Files(files) = &plan.components[0].pod.volumes[volume] else { panic!("{volume} holds no files") };
    files.iter().map(|file| (file.path.display().to_string(), file.content.clone())).collect()
}

#[test]
fn metadata_as_files() {
    let text = base_with("emptyDir: {}", "downwardAPI: {items: [{path: l, fieldRef: {fieldPath: metadata.labels}}, {path: a, fieldRef: {fieldPath: metadata.annotations}}]}")
        .replace("      labels: {app: backend}", "      labels: {app: backend, b: c}\n      annotations: {x: \"say \\\"hi\\\"\\n\\tthere\", z: é}");
    let plan = plan_of(&text);
    let plain = |text: &str| Value::Plain(text.to_owned());
    let expected = [
        ("l".to_owned(), plain("app=\"backend\"\nb=\"c\"")),
        ("a".to_owned(), plain("x=\"say \\\"hi\\\"\\n\\tthere\"\nz=\"é\"")),
    ];
    assert_eq!(content(&plan, "tmp"), expected);
}

#[test]
fn tokens_are_told_and_left_out() {
    let sources = "projected: {sources: [{serviceAccountToken: {path: token}}, {configMap: {name: kube-root-ca.crt}}, {configMap: {name: settings}}]}";
    let plan = plan_of(&base_with("emptyDir: {}", sources));
    assert_eq!(content(&plan, "tmp"), [("level".to_owned(), Value::Plain("info".to_owned()))]);
    assert_eq!(plan.missing, []);
    let expected =
        "spec.template.spec.volumes[tmp].projected.sources[0].serviceAccountToken: there is no Kubernetes API for pods";
    assert_eq!(notes(&plan, Target::Docker, "Deployment/backend"), [expected]);
}

#[test]
fn bytes_that_are_no_text_are_files() {
    let text = base_with("emptyDir: {}", "secret: {secretName: bin}");
    let plan = plan_of(&format!(
        "{text}---\napiVersion: v1\nkind: Secret\nmetadata: {{name: bin}}\ndata:\n  key: |\n    /w\n    AB\n"
    ));
    let binary = Binary { name: "bin".into(), key: "key".into(), bytes: vec![0xff, 0x00, 0x01] };
    assert_eq!(content(&plan, "tmp"), [("key".to_owned(), Value::Binary(binary))]);
    let container = &plan.components[0].pod.containers[0];
    assert!(container.env.iter().all(|variable| variable.name != "key"));
}

/// What a pod printed that had these bytes of a Secret as a variable, in a cluster with containerd's and Docker's runtime.
#[rstest]
#[case::a_key("env: [{name: KEY, valueFrom: {secretKeyRef: {name: bin, key: KEY}}}]")]
#[case::all_keys("envFrom: [{secretRef: {name: bin}}]")]
fn bytes_that_are_no_text_are_replaced_in_variables(#[case] field: &str) {
    let plan = plan_of(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: x}}\nspec: {{containers: [{{name: x, image: x, {field}}}]}}\n---\n\
         apiVersion: v1\nkind: Secret\nmetadata: {{name: bin}}\ndata: {{KEY: Yf/+4oJi}}\n"
    ));
    let resolved = plan.components[0].pod.containers[0].resolve(&Identity::default());
    assert_eq!(resolved.env, [("KEY".to_owned(), "a\u{fffd}\u{fffd}\u{fffd}\u{fffd}b".to_owned())]);
    assert!(!format!("{plan:?}").contains("a\u{fffd}"), "a Secret is shown");
    for target in Target::ALL {
        let notes = notes(&plan, target, "Pod/x");
        assert!(notes.len() == 1 && notes[0].contains("key `KEY` of `bin` is not UTF-8"), "{notes:?}");
        assert!(notes[0].ends_with("; if the manifest has plain text there, write it under `stringData`"), "{notes:?}");
    }
}

/// A kubelet makes variables of a ConfigMap's `data` alone: "couldn't find key utf in ConfigMap".
#[test]
fn binary_data_gives_no_variables() {
    let pod = |field: &str| {
        plan_of(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: x}}\nspec: {{containers: [{{name: x, image: x, {field}}}]}}\n---\n\
             apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: map}}\ndata: {{text: t}}\nbinaryData: {{utf: aGk=}}\n"
        ))
    };
    let plan = pod("envFrom: [{configMapRef: {name: map}}]");
    let names = plan.components[0].pod.containers[0].env.iter().map(|variable| variable.name.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["text"]);
    let variable = |optional: bool| {
        pod(&format!(
            "env: [{{name: A, valueFrom: {{configMapKeyRef: {{name: map, key: utf, optional: {optional}}}}}}}]"
        ))
    };
    let missing = variable(false).missing[0].to_string();
    assert!(missing.contains("ConfigMap `map` has no key `utf`; it is under `binaryData`, and variables"), "{missing}");
    let plan = variable(true);
    assert_eq!((plan.missing, plan.components[0].pod.containers[0].env.len()), (vec![], 0));
}

#[test]
fn a_sub_path_of_variables() {
    let text = base_with("mountPath: /tmp", "mountPath: /tmp, subPathExpr: $(POD)/x").replace(
        "            - name: EMPTY\n",
        "            - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}\n            - name: EMPTY\n",
    );
    let container = plan_of(&text).components[0].pod.containers[0].clone();
    let identity = Identity { pod_name: "backend-1".into(), ..Identity::default() };
    let mount = container.mounts_of(&identity).into_iter().find(|mount| mount.volume == "tmp").unwrap();
    assert_eq!((mount.sub_path.as_deref(), mount.expand_sub_path), (Some("backend-1/x"), false));
}

fn outside(kind: &'static str, name: &str, key: &str, value: &str) -> OutsideObject {
    let values = vec![(key.to_owned(), value.as_bytes().to_vec())];
    OutsideObject { kind, name: name.into(), file: ".config/e2e.toml".into(), values }
}

/// The plan of one file and of what is given from outside.
fn plan_given(text: &str, given: Vec<OutsideObject>) -> Plan {
    let objects = Objects::read(&[manifest("app.yaml", text)]);
    let generate = &mut |_: &str, _: &str| String::new();
    Plan::from_manifests(Input { objects, sets: Vec::new(), replicas: BTreeMap::new(), given, generate }).unwrap()
}

#[test]
fn secrets_from_outside_are_told_and_given() {
    let text = base_with("{name: keys, key: password}", "{name: pg, key: password}")
        .replace("          env:\n", "          envFrom: [{configMapRef: {name: seting}}]\n          env:\n");
    let plan = plan_of(&text);
    let shown: Vec<_> = plan.missing.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "app.yaml, document 1: Deployment/backend: spec.template.spec.containers[app].envFrom[0].configMapRef: there is no ConfigMap \
             `seting` in the manifests; did you mean `settings`? Otherwise give it in .config/e2e.toml: its keys under `[config_map.\"seting\"]`",
            "app.yaml, document 1: Deployment/backend: spec.template.spec.containers[app].env[PASSWORD].valueFrom.secretKeyRef: there is no \
             Secret `pg` in the manifests; give it in .config/e2e.toml: `[secret.\"pg\"]` with `\"password\" = { env = \"...\" }`",
        ]
    );
    let given = vec![outside("Secret", "pg", "password", "hunter3"), outside("ConfigMap", "seting", "A", "b")];
    let plan = plan_given(&text, given);
    assert_eq!(plan.missing, []);
    let env = plan.components[0].pod.containers[0].resolve(&Identity::default()).env;
    assert!(
        env.contains(&("PASSWORD".to_owned(), "hunter3".to_owned())) && env.contains(&("A".to_owned(), "b".to_owned()))
    );
    // A cluster is given it too, and nobody is shown it.
    assert!(plan.objects.iter().any(|object| object.kind == "Secret" && object.name == "pg"));
    assert!(!format!("{plan:?} {}", serde_json::to_string(&plan).unwrap()).contains("hunter3"));
}

/// What is given completes every object of the name, whatever its namespace.
#[test]
fn what_is_given_is_for_every_namespace() {
    let of = |namespace: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: pg, namespace: {namespace}}}\nstringData: {{user: {namespace}}}\n---\n\
             apiVersion: v1\nkind: Pod\nmetadata: {{name: {namespace}, namespace: {namespace}}}\nspec: {{containers: [{{name: x, image: x, \
             env: [{{name: A, valueFrom: {{secretKeyRef: {{name: pg, key: password}}}}}}]}}]}}\n---\n"
        )
    };
    let plan = plan_given(&(of("a") + &of("b")), vec![outside("Secret", "pg", "password", "hunter3")]);
    assert_eq!(plan.missing, []);
    for component in &plan.components {
        let env = component.pod.containers[0].resolve(&Identity::default()).env;
        assert!(env.contains(&("A".to_owned(), "hunter3".to_owned())), "{}", component.name);
    }
}

/// A kubelet logs in to a registry with a Secret of this type alone.
#[rstest]
#[case::a_login("Secret", ".dockerconfigjson", "kubernetes.io/dockerconfigjson")]
#[case::another_key("Secret", "password", "")]
#[case::no_secret("ConfigMap", ".dockerconfigjson", "")]
fn the_type_of_what_is_given(#[case] kind: &'static str, #[case] key: &str, #[case] expected: &str) {
    let plan = plan_given(BASE, vec![outside(kind, "x", key, "{\"auths\": {}}")]);
    let object = plan.objects.iter().find(|object| object.name == "x").unwrap();
    assert_eq!(object.json["type"].as_str().unwrap_or_default(), expected);
}

/// A cluster takes pods whose keys come later; a run needs them.
#[rstest]
#[case::of_a_variable(
    "{name: keys, key: password}",
    "{name: keys, key: pasword}",
    "containers[app].env[PASSWORD].valueFrom.secretKeyRef: Secret `keys` has no key `pasword`; did you mean `password`? Otherwise give it in \
     .config/e2e.toml: `[secret.\"keys\"]` with `\"pasword\" = { env = \"...\" }`"
)]
#[case::of_a_file(
    "configMap: {name: settings}",
    "configMap: {name: settings, items: [{key: nginx.conf, path: x}]}",
    "volumes[config].configMap.items[nginx.conf]: ConfigMap `settings` has no key `nginx.conf`; give it in .config/e2e.toml: \
     `[config_map.\"settings\"]` with `\"nginx.conf\" = { env = \"...\" }`"
)]
fn a_key_that_is_not_there_is_told(#[case] old: &str, #[case] new: &str, #[case] expected: &str) {
    let shown: Vec<_> = plan_of(&base_with(old, new)).missing.iter().map(ToString::to_string).collect();
    assert_eq!(shown, [format!("app.yaml, document 1: Deployment/backend: spec.template.spec.{expected}")]);
    let optional = new
        .replace("name: keys,", "name: keys, optional: true,")
        .replace("{name: settings,", "{name: settings, optional: true,");
    assert_eq!(plan_of(&base_with(old, &optional)).missing, []);
}

/// A kubelet ignores a volume that no container mounts.
#[rstest]
#[case::secret("secret: {secretName: x}", &["x"])]
#[case::a_key("secret: {secretName: x, items: [{key: a, path: a}]}", &["x"])]
#[case::config_map("configMap: {name: x}", &["x"])]
#[case::projected("projected: {sources: [{secret: {name: x}}, {configMap: {name: z}}]}", &["x", "z"])]
fn what_no_container_mounts_is_not_needed(#[case] source: &str, #[case] expected: &[&str]) {
    let mount = "volumeMounts: [{name: v, mountPath: /v}]";
    let missing = |init: &str, container: &str| {
        let plan = plan_of(&format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: p}}, spec: {{volumes: [{{name: v, {source}}}], \
             initContainers: [{{name: i, image: x, {init}}}], containers: [{{name: c, image: x, {container}}}]}}}}\n"
        ));
        plan.missing.into_iter().map(|missing| missing.name).collect::<Vec<_>>()
    };
    assert_eq!(missing("", ""), [""; 0]);
    assert_eq!(missing(mount, ""), expected);
    assert_eq!(missing("", mount), expected);
}

#[test]
fn what_is_missing_is_told_once_for_each_object() {
    let pod = |name: &str, keys: &[&str]| {
        let env = |key: &&str| format!("{{name: {key}, valueFrom: {{secretKeyRef: {{name: db, key: {key}}}}}}}");
        let env: Vec<String> = keys.iter().map(env).collect();
        format!(
            "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{containers: [{{name: c, image: x, env: [{}]}}]}}}}\n",
            env.join(", ")
        )
    };
    let lines = |text: &str| crate::Missing::lines(&plan_of(text).missing);
    let wanted = pod("a", &["user", "password"]) + &pod("b", &["user"]);
    let remedy = "give it in .config/e2e.toml: `[secret.\"db\"]` with `\"user\" = { env = \"...\" }`";
    let place = "app.yaml, document 1: Pod/a: spec.containers[c].env[user].valueFrom.secretKeyRef";
    assert_eq!(
        lines(&wanted),
        [format!(
            "{place} (and 2 more fields; 2 workloads use it): there is no Secret `db` in the manifests, of which pods want the keys \
             `password`, `user`; {remedy}"
        )]
    );
    let secret = "---\n{apiVersion: v1, kind: Secret, metadata: {name: db}}\n";
    let one = pod("a", &["user", "password"]) + secret;
    assert_eq!(
        lines(&one),
        [format!("{place} (and 1 more field): Secret `db` has no keys `password`, `user`; {remedy}")]
    );
}

/// In a cluster another object may make it.
#[rstest]
#[case::named("external-secrets.io/v1", "ExternalSecret", "x", "target: {name: pg-app}", true)]
#[case::cloud_native_pg("postgresql.cnpg.io/v1", "Cluster", "pg", "instances: 1", true)]
#[case::the_end_of_a_name("postgresql.cnpg.io/v1", "Cluster", "app", "instances: 1", false)]
#[case::a_part_of_a_word("postgresql.cnpg.io/v1", "Cluster", "p", "instances: 1", false)]
#[case::a_route("networking.istio.io/v1", "VirtualService", "pg", "hosts: [pg]", false)]
#[case::of_kubernetes("networking.k8s.io/v1", "IngressClass", "pg", "controller: a.b/c", false)]
fn what_another_object_makes(
    #[case] api_version: &str,
    #[case] kind: &str,
    #[case] name: &str,
    #[case] spec: &str,
    #[case] is_made: bool,
) {
    let text = base_with("{name: keys, key: password}", "{name: pg-app, key: password}");
    let object =
        format!("---\napiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n");
    let plan = plan_of(&(text + &object));
    let [missing] = &plan.missing[..] else { panic!("{:?}", plan.missing) };
    assert_eq!(plan.is_made_in(missing, Target::K8s), is_made);
    assert!(!plan.is_made_in(missing, Target::Docker));
}

/// An operator completes a Secret of the manifests only where its object names it.
#[rstest]
#[case::named("x", "target: {name: keys-app}", true)]
#[case::derived("keys", "instances: 1", false)]
fn a_key_that_an_operator_adds(#[case] name: &str, #[case] spec: &str, #[case] is_made: bool) {
    let text = BASE.replace("name: keys", "name: keys-app").replace("key: password", "key: pin");
    let object =
        format!("---\napiVersion: example.org/v1\nkind: Maker\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n");
    let plan = plan_of(&(text + &object));
    let [missing] = &plan.missing[..] else { panic!("{:?}", plan.missing) };
    assert_eq!(plan.is_made_in(missing, Target::K8s), is_made);
}

/// How operators name the Secrets that they make.
#[rstest]
#[case::crunchy("hippo-pguser-hippo", "hippo", true)]
#[case::eck("quickstart-es-elastic-user", "quickstart", true)]
#[case::zalando("app.acid-db.credentials.postgresql.acid.zalan.do", "acid-db", true)]
#[case::a_name_with_dots("app.acid.db.credentials", "acid.db", true)]
#[case::another_one("app.acid-db2.credentials", "acid-db", false)]
fn names_of_operators(#[case] secret: &str, #[case] object: &str, #[case] is_made: bool) {
    let object = serde_json::json!({"apiVersion": "example.org/v1", "kind": "Maker", "metadata": {"name": object}});
    assert_eq!(crate::made::by_operator(&object, "Secret", secret), is_made);
    assert!(!crate::made::by_operator(&object, "ConfigMap", secret));
}

/// What makes a webhook's certificate: a Job with a Role for it.
const CERTIFICATE_JOB: &str = "\
---
{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [{name: c, image: x, env:
  [{name: P, valueFrom: {secretKeyRef: {name: hook-cert, key: tls.crt}}}]}]}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: gen}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: gen},
 rules: [{apiGroups: [\"\"], resources: [secrets], verbs: [get, create]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: gen},
 roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: gen}, subjects: [{kind: ServiceAccount, name: gen}]}
---
{apiVersion: batch/v1, kind: Job, metadata: {name: gen}, spec: {template: {spec: {serviceAccountName: gen,
  restartPolicy: OnFailure, containers: [{name: c, image: x, args: [create, --secret-name=hook-cert]}]}}}}
";

#[rstest]
#[case::argument("--secret-name=", "--secret-name=", true)]
#[case::script(
    "args: [create, --secret-name=hook-cert]",
    "command: [sh, -c, 'kubectl create secret tls hook-cert']",
    true
)]
#[case::variable("args: [create, --secret-name=hook-cert]", "env: [{name: SECRET, value: hook-cert}]", true)]
#[case::all_verbs("[get, create]", "['*']", true)]
#[case::another_name("=hook-cert", "=hook-cert-2", false)]
#[case::that_may_only_read("[get, create]", "[get]", false)]
#[case::of_another_account(
    "subjects: [{kind: ServiceAccount, name: gen}]",
    "subjects: [{kind: ServiceAccount, name: other}]",
    false
)]
fn what_a_job_makes(#[case] old: &str, #[case] new: &str, #[case] is_made: bool) {
    let plan = plan_of(&CERTIFICATE_JOB.replace(old, new));
    let [missing] = &plan.missing[..] else { panic!("{:?}", plan.missing) };
    assert_eq!(plan.is_made_in(missing, Target::K8s), is_made);
    assert!(!plan.is_made_in(missing, Target::Docker));
}
