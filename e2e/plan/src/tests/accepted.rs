//! What Kubernetes accepts is never refused: each kind of it, and what the plan makes of it.

use rstest::rstest;

use super::*;

mod pods;

/// The base with further documents.
fn with(documents: &str) -> String {
    format!("{BASE}---\n{documents}")
}

/// What a target is said not to honour of an object.
pub(super) fn notes(plan: &Plan, target: Target, object: &str) -> Vec<String> {
    let warnings = plan.warnings(target).into_iter().filter(|warning| warning.object == object);
    warnings.map(|warning| format!("{}: {}", warning.path, warning.reason)).collect()
}

const POD: &str = "{metadata: {labels: {app: x}}, spec: {containers: [{name: x, image: x}]}}";

#[rstest]
#[case::daemon_set("apps/v1", "DaemonSet", "selector: {matchLabels: {app: x}}, template: {POD}", 1)]
#[case::replica_set("apps/v1", "ReplicaSet", "replicas: 3, selector: {matchLabels: {app: x}}, template: {POD}", 3)]
#[case::replication_controller("v1", "ReplicationController", "replicas: 2, selector: {app: x}, template: {POD}", 2)]
#[case::controller_without_a_selector("v1", "ReplicationController", "template: {POD}", 1)]
#[case::pod("v1", "Pod", "containers: [{name: x, image: x}]", 1)]
#[case::job("batch/v1", "Job", "template: {spec: {restartPolicy: Never, containers: [{name: x, image: x}]}}", 1)]
#[case::job_with_completions(
    "batch/v1",
    "Job",
    "completions: 3, parallelism: 2, template: {spec: {restartPolicy: OnFailure, containers: [{name: x, image: x}]}}",
    3
)]
#[case::suspended_job(
    "batch/v1",
    "Job",
    "suspend: true, template: {spec: {restartPolicy: Never, containers: [{name: x, image: x}]}}",
    0
)]
fn every_kind_of_workload(#[case] version: &str, #[case] kind: &str, #[case] spec: &str, #[case] replicas: u32) {
    let spec = spec.replace("{POD}", POD);
    let plan = plan_of(&format!(
        "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x, labels: {{app: x}}}}\nspec: {{{spec}}}\n"
    ));
    let component = plan.component("x").unwrap();
    assert_eq!((component.kind.as_str(), component.replicas), (kind, replicas));
    assert_eq!(plan.objects[0].component.as_deref(), Some("x"));
}

#[rstest]
#[case::pod("v1", "Pod", "{containers: [{name: x, image: x}]}", Restart::Always)]
#[case::pod_once("v1", "Pod", "{restartPolicy: Never, containers: [{name: x, image: x}]}", Restart::Never)]
#[case::pod_until_it_succeeds("v1", "Pod", "{restartPolicy: OnFailure, containers: [{name: x, image: x}]}", Restart::OnFailure { failures_max: None })]
#[case::job("batch/v1", "Job", "{template: {spec: {restartPolicy: Never, containers: [{name: x, image: x}]}}}", Restart::OnFailure { failures_max: Some(6) })]
#[case::patient_job("batch/v1", "Job", "{backoffLimit: 1, template: {spec: {restartPolicy: OnFailure, containers: [{name: x, image: x}]}}}", Restart::OnFailure { failures_max: Some(1) })]
fn what_becomes_of_containers_that_end(
    #[case] version: &str,
    #[case] kind: &str,
    #[case] spec: &str,
    #[case] expected: Restart,
) {
    let plan = plan_of(&format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\nspec: {spec}\n"));
    assert_eq!(plan.component("x").unwrap().pod.restart, expected);
}

/// As helm writes large numbers: kubectl makes JSON of them that has no fractions.
#[test]
fn whole_numbers_may_be_spelt_as_floats() {
    let plan = plan_of(&with(concat!(
        "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: high}\nvalue: 1e+06\n---\n",
        "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: x}\nspec: {replicas: 3.0, selector: {matchLabels: {app: x}}, ",
        "template: {metadata: {labels: {app: x}}, spec: {containers: [{name: x, image: x, ",
        "resources: {limits: {memory: 1.28e+08}}}]}}}\n",
    )));
    assert_eq!(plan.component("x").unwrap().replicas, 3);
    assert_eq!(plan.component("x").unwrap().pod.containers[0].resources.memory_limit_bytes, Some(128_000_000));
    let class = plan.objects.iter().find(|object| object.name == "high").unwrap();
    assert_eq!(class.json["value"].to_string(), "1000000");
}

/// As programs write it that have no labels to select by, and as it stands in a Job that was read from a cluster.
#[rstest]
#[case::empty("{}")]
#[case::of_no_labels("{matchLabels: {}}")]
#[case::null("")]
#[case::by_name("{matchLabels: {job-name: migrate}}")]
fn a_selector_of_a_job_that_selects_its_own_pods(#[case] selector: &str) {
    let job = format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: migrate}}\nspec:\n  selector: {selector}\n  template: {{spec: {{restartPolicy: Never, containers: [{{name: m, image: x}}]}}}}\n"
    );
    assert_eq!(plan_of(&job).component("migrate").unwrap().kind, "Job");
}

/// The rules of today's fields do not hold of those that an older version had in their place.
#[rstest]
#[case::ingress(
    "networking.k8s.io/v1beta1",
    "Ingress",
    "{rules: [{http: {paths: [{backend: {serviceName: a, servicePort: 80}}]}}]}"
)]
#[case::autoscaler(
    "autoscaling/v2beta1",
    "HorizontalPodAutoscaler",
    "{scaleTargetRef: {kind: Deployment, name: backend}, maxReplicas: 3, metrics: [{type: Resource, resource: {name: cpu, targetAverageUtilization: 80}}]}"
)]
fn fields_of_an_older_version(#[case] version: &str, #[case] kind: &str, #[case] spec: &str) {
    let plan = plan_of(&with(&format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\nspec: {spec}\n")));
    assert_eq!(plan.objects.last().unwrap().kind, kind);
}

/// Clusters of today do not have them, and older ones do.
#[rstest]
#[case::ingress(
    "extensions/v1beta1",
    "Ingress",
    "apiVersion: Kubernetes 1.22 removed `extensions/v1beta1`: only older clusters take it; write `apiVersion: networking.k8s.io/v1`"
)]
#[case::budget(
    "policy/v1beta1",
    "PodDisruptionBudget",
    "apiVersion: Kubernetes 1.25 removed `policy/v1beta1`: only older clusters take it; write `apiVersion: policy/v1`"
)]
#[case::policy(
    "policy/v1beta1",
    "PodSecurityPolicy",
    "apiVersion: Kubernetes 1.25 removed `policy/v1beta1`: only older clusters take it; nothing took its place"
)]
fn versions_that_only_older_clusters_have(#[case] version: &str, #[case] kind: &str, #[case] expected: &str) {
    let plan = plan_of(&with(&format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\nspec: {{}}\n")));
    for target in Target::ALL {
        assert!(notes(&plan, target, &format!("{kind}/x")).contains(&expected.to_owned()), "{target:?}");
    }
}

/// As Go reads it, null is the zero of a type.
#[test]
fn a_quantity_of_null_is_none() {
    let plan = plan_of(
        &base_with("limits: {cpu: 500m, memory: 128Mi}", "limits: {cpu: , memory: 128Mi}").replace("cpu: 100m, ", ""),
    );
    let resources = &plan.component("backend").unwrap().pod.containers[0].resources;
    assert_eq!((resources.cpu_limit_millis, resources.memory_limit_bytes), (Some(0), Some(128 << 20)));
}

#[test]
fn a_name_is_made_of_its_prefix() {
    let job = "apiVersion: batch/v1\nkind: Job\nmetadata: {generateName: migrate-}\nspec: {template: {spec: {restartPolicy: Never, containers: [{name: m, image: x}]}}}\n";
    let plan = plan_of(&with(job));
    assert_eq!(plan.component("migrate").unwrap().kind, "Job");
    let metadata = &plan.objects.last().unwrap().json["metadata"];
    assert_eq!(*metadata, serde_json::json!({"name": "migrate"}));
}

#[test]
fn a_job_without_pods_is_left_out_and_told() {
    let plan = plan_of(&with("apiVersion: batch/v1\nkind: Job\nmetadata: {generateName: migrate-}\nspec: {}\n"));
    assert_eq!((plan.components.len(), plan.objects.len()), (1, 4));
    let expected = "spec: it is left out: it has no pod template, and a cluster refuses it";
    assert_eq!(notes(&plan, Target::K8s, "Job/migrate"), [expected]);
}

#[test]
fn two_workloads_of_one_name_are_told_apart_by_their_kinds() {
    let job = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: backend}\nspec: {template: {spec: {restartPolicy: Never, containers: [{name: m, image: x}]}}}\n";
    let plan = plan_of(&with(job));
    let names: Vec<_> = plan.components.iter().map(|component| component.name.as_str()).collect();
    assert_eq!(names, ["backend", "backend-job"]);
    assert_eq!(plan.objects.last().unwrap().component.as_deref(), Some("backend-job"));
}

#[rstest]
#[case::current("batch/v1")]
#[case::before_1_21("batch/v1beta1")]
fn a_cron_job_is_a_job_on_request(#[case] version: &str) {
    let pod = "restartPolicy: Never, containers: [{name: c, image: clean:1, env: [{name: A, valueFrom: {secretKeyRef: {name: outside, key: k}}}]}]";
    let job = format!("backoffLimit: 1, completions: 2, template: {{spec: {{{pod}}}}}");
    let plan = plan_of(&with(&format!(
        "apiVersion: {version}\nkind: CronJob\nmetadata: {{name: clean}}\nspec: {{schedule: '0 3 * * *', jobTemplate: {{spec: {{{job}}}}}}}\n"
    )));
    assert_eq!(plan.components.len(), 1);
    let [CronJob { job, missing }] = plan.cron_jobs.as_slice() else { panic!("{:?}", plan.cron_jobs) };
    assert_eq!((job.name.as_str(), job.replicas), ("clean", 2));
    assert_eq!(job.pod.restart, Restart::OnFailure { failures_max: Some(1) });
    // Only its Job waits for that.
    assert_eq!((plan.missing.len(), missing.len(), missing[0].name.as_str()), (0, 1, "outside"));
    let expected = "kind: its schedule is ignored outside a cluster; `trigger` runs its Job once";
    assert!(notes(&plan, Target::Docker, "CronJob/clean").contains(&expected.to_owned()));
}

#[test]
fn a_cron_job_that_no_cluster_takes_is_refused() {
    let text = "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: c}\nspec: {schedule: '@daily', jobTemplate: {spec: {template: {spec: {containers: [{name: c, image: x}]}}}}}\n";
    let error = error_of(&with(text));
    let path = "CronJob/c: spec.jobTemplate.spec.template.spec.restartPolicy: a CronJob needs a restartPolicy";
    assert!(error.contains(path), "{error}");
}

#[rstest]
#[case::of_a_definition("gateway.networking.k8s.io/v1", "HTTPRoute")]
#[case::of_an_operator("monitoring.coreos.com/v1", "ServiceMonitor")]
#[case::with_the_name_of_another("serving.knative.dev/v1", "Service")]
#[case::rare("v1", "PodTemplate")]
fn other_kinds_are_carried(#[case] version: &str, #[case] kind: &str) {
    let plan = plan_of(&with(&format!(
        "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\nspec: {{template: {{spec: {{}}}}}}\n"
    )));
    let object = plan.objects.last().unwrap();
    assert_eq!((object.kind.as_str(), object.component.as_deref()), (kind, None));
    for target in [Target::Docker, Target::Local] {
        assert_eq!(notes(&plan, target, &format!("{kind}/x")).len(), 1);
    }
    assert_eq!(notes(&plan, Target::K8s, &format!("{kind}/x")), Vec::<String>::new());
}

#[rstest]
#[case::volume(
    "apiVersion: v1\nkind: PersistentVolume\nmetadata: {name: x}\nspec: {accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, hostPath: {path: /data}}\n",
    "PersistentVolume/x"
)]
#[case::role("apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: x}\n", "ClusterRole/x")]
#[case::api("apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nmetadata: {name: x}\n", "APIService/x")]
#[case::defined_here(
    "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: w}\nspec: {group: example.org, scope: Cluster, names: {kind: Widget}}\n\
     ---\napiVersion: example.org/v1\nkind: Widget\nmetadata: {name: x}\n",
    "Widget/x"
)]
fn what_belongs_to_the_whole_cluster_is_listed_everywhere(#[case] document: &str, #[case] object: &str) {
    let plan = plan_of(&with(document));
    for target in Target::ALL {
        assert_eq!(notes(&plan, target, object).len(), 1, "{target}");
    }
}

#[test]
fn what_no_installation_by_helm_makes_is_left_out() {
    let hook = |hooks: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: x, annotations: {{helm.sh/hook: '{hooks}'}}}}\nspec: {{containers: [{{name: x, image: x}}]}}\n"
        )
    };
    for hooks in ["test", "pre-upgrade,post-rollback"] {
        let plan = plan_of(&with(&hook(hooks)));
        assert!(plan.objects.iter().all(|object| object.kind != "Pod"));
        let expected = format!(
            "metadata.annotations['helm.sh/hook']: helm creates Pod/x for `{hooks}` only, not at installation: it is left out"
        );
        assert_eq!(notes(&plan, Target::K8s, "Pod/x"), [expected]);
    }
    for hooks in ["pre-install,post-delete", "Post-Install, pre-upgrade", "crd-install"] {
        assert_eq!(plan_of(&with(&hook(hooks))).components.len(), 2, "{hooks}");
    }
}

#[test]
fn of_an_object_that_is_declared_again_the_last_one_counts() {
    let again = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {level: debug}\n";
    let plan = plan_of(&with(again));
    assert_eq!(plan.objects.len(), 4);
    assert_eq!(plan.objects[2].json["data"]["level"], "debug");
    let expected = "metadata.name: it is declared again in app.yaml, document 5, which wins";
    assert_eq!(notes(&plan, Target::K8s, "ConfigMap/settings"), [expected]);
    let same = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {level: info}\n";
    assert_eq!(notes(&plan_of(&with(same)), Target::K8s, "ConfigMap/settings"), Vec::<String>::new());
}

/// JSON after JSON, and what Windows makes of files that it joins.
#[rstest]
#[case::json(
    "{\"apiVersion\": \"v1\", \"kind\": \"Secret\", \"metadata\": {\"name\": \"a\"}}\n{\"apiVersion\": \"v1\", \"kind\": \"Secret\", \"metadata\": {\"name\": \"b\"}}\n"
)]
#[case::marks(
    "\u{feff}apiVersion: v1\r\nkind: Secret\r\nmetadata: {name: a}\r\n---\r\n\u{feff}apiVersion: v1\r\nkind: Secret\r\nmetadata: {name: b}\r\n"
)]
fn documents_without_a_clear_separator(#[case] text: &str) {
    let names: Vec<_> = plan_of(text).objects.iter().map(|object| object.json["metadata"]["name"].clone()).collect();
    assert_eq!(names, ["a", "b"]);
}

/// A block of text that the end of the file ends.
#[test]
fn kubectl_ends_the_last_line_of_a_file() {
    let plan = plan_of(&with("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: last}\ndata:\n  a: |\n    x"));
    let object = plan.objects.iter().find(|object| object.json["metadata"]["name"] == "last").unwrap();
    assert_eq!(object.json["data"]["a"], "x\n");
}

/// kubectl makes JSON of YAML, whose keys are texts.
#[test]
fn keys_that_are_no_texts() {
    let keys = "on: a\n  no: b\n  1.50: c\n  0x10: d\n  \"off\": e\n  8080: f";
    let plan = plan_of(&with(&format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: odd}}\ndata:\n  {keys}\n")));
    let object = plan.objects.iter().find(|object| object.json["metadata"]["name"] == "odd").unwrap();
    let expected = serde_json::json!({"true": "a", "false": "b", "1.5": "c", "16": "d", "off": "e", "8080": "f"});
    assert_eq!(object.json["data"], expected);
}

/// Two namespaces with objects of one name, as a cluster takes them.
#[test]
fn each_namespace_has_names_of_its_own() {
    let of = |namespace: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: {namespace}}}\nspec:\n  selector: {{matchLabels: {{app: web}}}}\n  \
             template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n      containers:\n        - name: web\n          image: web\n          \
             env:\n            - {{name: API_URL, value: 'http://api/'}}\n            - {{name: OTHER_URL, value: 'http://api.a/'}}\n          \
             envFrom: [{{configMapRef: {{name: settings}}}}]\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: api, namespace: {namespace}}}\n\
             spec: {{selector: {{app: api}}, ports: [{{port: 80}}]}}\n---\napiVersion: v1\nkind: Pod\n\
             metadata: {{name: api, namespace: {namespace}, labels: {{app: api}}}}\nspec: {{containers: [{{name: api, image: api}}]}}\n---\n\
             apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings, namespace: {namespace}}}\ndata: {{of: {namespace}}}\n---\n"
        )
    };
    let plan = plan_of(&(of("a") + &of("b")));
    let components: Vec<_> = plan.components.iter().map(|of| (of.name.as_str(), of.depends_on.join(","))).collect();
    let expected = [("api", ""), ("web", "api"), ("api-b", ""), ("web-b", "api,api-b")];
    assert_eq!(components, expected.map(|(name, needs)| (name, needs.to_owned())));
    let services: Vec<_> = plan.services.iter().map(|of| (of.name.as_str(), of.components.join(","))).collect();
    assert_eq!(services, [("api", "api".to_owned()), ("api.b", "api-b".to_owned())]);
    let settings =
        |index: usize| plan.components[index].pod.containers[0].env.iter().find(|of| of.name == "of").unwrap();
    assert_eq!([1, 3].map(|index| settings(index).value.clone()), ["a", "b"].map(|text| Value::Plain(text.into())));
    assert!(plan.check(Target::Docker).is_ok());
    let refused = plan.check(Target::K8s).unwrap_err().to_string();
    assert!(refused.starts_with("4 errors in the manifests"), "{refused}");
    let line = "app.yaml: Service/api: its name is also that of app.yaml, document 2 in namespace a, and a run has one namespace in a cluster";
    assert!(refused.contains(line), "{refused}");
}

/// Each pod gets the settings of its own namespace, also where those of two namespaces are equal and a third one has others.
#[test]
fn equal_settings_of_two_namespaces_are_not_those_of_a_third() {
    let of = |namespace: &str, level: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings, namespace: {namespace}}}\ndata: {{level: {level}}}\n---\n\
             apiVersion: v1\nkind: Pod\nmetadata: {{name: {namespace}, namespace: {namespace}}}\nspec: {{containers: [{{name: x, image: x, \
             envFrom: [{{configMapRef: {{name: settings}}}}]}}]}}\n---\n"
        )
    };
    let plan = plan_of(&(of("b", "info") + &of("c", "info") + &of("a", "debug")));
    let level = |name: &str| plan.component(name).unwrap().pod.containers[0].env[0].value.clone();
    assert_eq!(["a", "b", "c"].map(level), ["debug", "info", "info"].map(|level| Value::Plain(level.to_owned())));
    assert_eq!(plan.objects.iter().filter(|object| object.kind == "ConfigMap").count(), 2);
}

/// `default` is the namespace of what names none.
#[test]
fn no_namespace_and_the_default_one_are_the_same() {
    let settings =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: default}\ndata: {level: debug}\n";
    let plan = plan_of(&with(settings));
    assert_eq!((plan.objects.len(), &plan.objects[2].json["data"]["level"]), (4, &serde_json::json!("debug")));
}

/// What a run's one namespace makes of several.
#[test]
fn objects_of_one_name_in_two_namespaces() {
    let settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: b}\ndata:\n  level: info\n";
    assert_eq!(plan_of(&with(settings)).objects.len(), 4, "the same settings stand once");
    let account = |namespace: &str| {
        format!("apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: x, namespace: {namespace}}}\n---\n")
    };
    let plan = plan_of(&with(&(account("a") + &account("b"))));
    let own = "metadata.namespace: app.yaml, document 6 has the same kind and name in another namespace; a run has one namespace and uses that object";
    assert!(notes(&plan, Target::K8s, "ServiceAccount/x").contains(&own.to_owned()));
    assert_eq!(plan.objects.len(), 6);
}

#[test]
fn of_a_key_that_is_there_twice_the_last_one_counts() {
    let plan = plan_of(&base_with("  replicas: 2\n", "  replicas: 2\n  replicas: 3\n"));
    assert_eq!(plan.components[0].replicas, 3);
    let warnings = plan.warnings(Target::K8s);
    assert_eq!((warnings[0].object.as_str(), warnings[0].path.as_str()), ("line 7", "replicas"));
}

/// No API server looks for a colon in a path, and a key without a value is an empty text to it.
#[test]
fn colons_in_paths_and_keys_without_values() {
    let text = base_with("mountPath: /tmp}", "mountPath: '/tmp:x'}").replacen("  level: info\n", "  level:\n", 1);
    let plan = plan_of(&text);
    let container = &plan.component("backend").unwrap().pod.containers[0];
    assert_eq!(container.mounts[1].path, "/tmp:x");
    let level = container.env.iter().find(|variable| variable.name == "LEVEL").map(|variable| &variable.value);
    assert_eq!(level, Some(&Value::Plain(String::new())));
}

/// A kubelet says InvalidImageName; a local program may stand for any text.
#[rstest]
#[case::placeholder("${REGISTRY}/backend:dev", false)]
#[case::upper_case("Backend:dev", false)]
#[case::two_tags("backend:a:b", false)]
#[case::plain("backend", true)]
#[case::registry("Registry.example:5000/team/back__end-2:V1.0_x", true)]
#[case::digest("localhost/backend:1@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", true)]
fn names_of_images(#[case] image: &str, #[case] is_name: bool) {
    let plan = plan_of(&base_with("image: backend:dev", &format!("image: {image}")));
    let said = format!(
        "spec.template.spec.containers[app].image: `{image}` cannot be an image's name, so no container starts: fill in its placeholder"
    );
    let expected: &[String] = if is_name { &[] } else { &[said] };
    assert_eq!(notes(&plan, Target::K8s, "Deployment/backend"), expected);
    assert!(!notes(&plan, Target::Local, "Deployment/backend").iter().any(|note| note.contains("placeholder")));
}
