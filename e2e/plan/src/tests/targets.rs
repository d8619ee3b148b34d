//! What each target is said not to honour.

use rstest::rstest;

use super::*;
use crate::warnings::Warning;

/// Path and reason of the warnings about a changed base.
fn warnings(text: &str, target: Target) -> Vec<(String, String)> {
    let pair = |warning: Warning| (warning.path, warning.reason);
    plan_of(text).warnings(target).into_iter().map(pair).collect()
}

/// The same without those about the base itself.
fn added(text: &str, target: Target) -> Vec<(String, String)> {
    let base = warnings(BASE, target);
    warnings(text, target).into_iter().filter(|warning| !base.contains(warning)).collect()
}

#[test]
fn the_base() {
    let paths = |target| warnings(BASE, target).into_iter().map(|(path, _)| path).collect::<Vec<_>>();
    assert_eq!(paths(Target::Docker), [""; 0]);
    assert_eq!(paths(Target::K8s), [""; 0]);
    let limits = ["cpu", "memory"].map(|kind| format!("spec.template.spec.containers[app].resources.limits.{kind}"));
    assert_eq!(paths(Target::Local), limits);
}

#[rstest]
#[case::strategy("workload", "strategy: {type: Recreate}", "spec.strategy")]
#[case::min_ready("workload", "minReadySeconds: 5", "spec.minReadySeconds")]
#[case::affinity(
    "pod",
    "affinity: {podAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, podAffinityTerm: {topologyKey: a}}]}}",
    "spec.template.spec.affinity"
)]
#[case::node_selector("pod", "nodeSelector: {a: b}", "spec.template.spec.nodeSelector")]
#[case::service_account("pod", "serviceAccountName: default", "spec.template.spec.serviceAccountName")]
#[case::token("pod", "automountServiceAccountToken: true", "spec.template.spec.automountServiceAccountToken")]
#[case::host_network("pod", "hostNetwork: true", "spec.template.spec.hostNetwork")]
#[case::host_aliases("pod", "hostAliases: [{ip: 1.2.3.4}]", "spec.template.spec.hostAliases")]
#[case::spread(
    "pod",
    "topologySpreadConstraints: [{maxSkew: 1, topologyKey: a, whenUnsatisfiable: DoNotSchedule}]",
    "spec.template.spec.topologySpreadConstraints"
)]
#[case::group("pod", "securityContext: {fsGroup: 5}", "spec.template.spec.securityContext.fsGroup")]
#[case::non_root("pod", "securityContext: {runAsNonRoot: true}", "spec.template.spec.securityContext.runAsNonRoot")]
#[case::sysctls(
    "pod",
    "securityContext: {sysctls: [{name: a, value: b}]}",
    "spec.template.spec.securityContext.sysctls"
)]
#[case::lifecycle(
    "container",
    "lifecycle: {stopSignal: SIGUSR1}",
    "spec.template.spec.containers[app].lifecycle.stopSignal"
)]
#[case::terminal("container", "tty: true", "spec.template.spec.containers[app].tty")]
#[case::proc_mount(
    "container",
    "securityContext: {procMount: Default}",
    "spec.template.spec.containers[app].securityContext.procMount"
)]
#[case::size("volume", "emptyDir: {sizeLimit: 1Mi}", "spec.template.spec.volumes[tmp].emptyDir.sizeLimit")]
#[case::node_port("service", "type: NodePort", "spec.type")]
#[case::load_balancer("service", "type: LoadBalancer", "spec.type")]
#[case::affinity_of_a_service("service", "sessionAffinity: ClientIP", "spec.sessionAffinity")]
fn not_outside_a_cluster(#[case] place: &str, #[case] line: &str, #[case] path: &str) {
    let text = with(place, line);
    for target in [Target::Docker, Target::Local] {
        let found: Vec<_> = added(&text, target).into_iter().map(|(path, _)| path).collect();
        assert_eq!(found, [path], "{target}");
    }
    assert_eq!(warnings(&text, Target::K8s), []);
}

#[rstest]
#[case("pod", "securityContext: {runAsUser: 5, runAsNonRoot: true}", "spec.template.spec.securityContext.runAsUser")]
#[case(
    "pod",
    "securityContext: {seccompProfile: {type: RuntimeDefault}}",
    "spec.template.spec.securityContext.seccompProfile.type"
)]
#[case(
    "container",
    "securityContext: {readOnlyRootFilesystem: true}",
    "spec.template.spec.containers[app].securityContext.readOnlyRootFilesystem"
)]
#[case(
    "container",
    "securityContext: {capabilities: {drop: [ALL]}}",
    "spec.template.spec.containers[app].securityContext.capabilities"
)]
#[case(
    "container",
    "securityContext: {allowPrivilegeEscalation: false}",
    "spec.template.spec.containers[app].securityContext.allowPrivilegeEscalation"
)]
#[case("volume", "emptyDir: {medium: Memory}", "spec.template.spec.volumes[tmp].emptyDir.medium")]
#[case("volume", "emptyDir: {medium: Memory, sizeLimit: 1Mi}", "spec.template.spec.volumes[tmp].emptyDir.medium")]
fn not_for_processes(#[case] place: &str, #[case] line: &str, #[case] path: &str) {
    let text = with(place, line);
    assert_eq!(added(&text, Target::Docker), []);
    let found: Vec<_> = added(&text, Target::Local).into_iter().map(|(path, _)| path).collect();
    assert_eq!(found, [path]);
}

#[rstest]
#[case("workload", "strategy: {}")]
#[case("workload", "replicas: 3")]
#[case("pod", "affinity: null")]
#[case("pod", "tolerations: []")]
#[case("pod", "automountServiceAccountToken: false")]
#[case("pod", "enableServiceLinks: false")]
#[case("pod", "enableServiceLinks: true")]
#[case("pod", "restartPolicy: Always")]
#[case("container", "imagePullPolicy: IfNotPresent")]
#[case(
    "container",
    "securityContext: {privileged: false, readOnlyRootFilesystem: false, allowPrivilegeEscalation: true}"
)]
#[case("service", "type: ClusterIP")]
#[case("service", "clusterIP: None")]
#[case("service", "sessionAffinity: None")]
fn nothing_to_say(#[case] place: &str, #[case] line: &str) {
    let text = with(place, line);
    assert_eq!(added(&text, Target::Docker), []);
    assert_eq!(added(&text, Target::Local), []);
}

/// A Job's pods start together outside a cluster, which differs only where some would wait for others.
#[rstest]
#[case("parallelism: 2", false)]
#[case("completions: 2, parallelism: 2", false)]
#[case("completions: 3, parallelism: 2", true)]
fn a_job_s_pods_start_together(#[case] spec: &str, #[case] is_said: bool) {
    let text = format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: x}}\nspec: {{{spec}, template: {{spec: {{restartPolicy: Never, \
         containers: [{{name: x, image: x}}]}}}}}}\n"
    );
    let warnings = plan_of(&text).warnings(Target::Docker);
    assert_eq!(warnings.iter().any(|warning| warning.path == "spec.parallelism"), is_said, "{warnings:?}");
}

#[test]
fn a_warning_in_full() {
    let text = format!("# A comment.\n---\n{}", with("workload", "strategy: {type: Recreate}"));
    let expected = Warning {
        source: Source { file: "app.yaml".into(), document: 1 },
        object: "Deployment/backend".into(),
        path: "spec.strategy".into(),
        reason: "the replicas start together, and nothing is rolled out".into(),
    };
    assert_eq!(plan_of(&text).warnings(Target::Docker)[0], expected);
}

#[test]
fn a_field_in_no_table_has_a_reason_too() {
    let text = with("pod", "hostPID: true");
    assert_eq!(
        added(&text, Target::Docker),
        [("spec.template.spec.hostPID".to_owned(), "has no effect on docker".to_owned())]
    );
}

#[test]
fn kinds_without_a_part_in_a_plan() {
    let text = format!(
        "{BASE}---\napiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {{name: backend}}\nspec: {{minAvailable: 1}}\n"
    );
    let plan = plan_of(&text);
    let warnings = plan.warnings(Target::Docker);
    let last = warnings.last().expect("a warning");
    assert_eq!(last.object, "PodDisruptionBudget/backend");
    assert_eq!(last.reason, "objects of kind PodDisruptionBudget exist in a cluster only");
    assert_eq!(plan.warnings(Target::K8s), []);
}

#[test]
fn a_service_for_a_name_outside() {
    let service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: mail}\nspec: {type: ExternalName, externalName: mail.example.org}\n";
    let plan = plan_of(&format!("{BASE}{service}"));
    assert_eq!(plan.services.len(), 1);
    let warnings: Vec<_> =
        plan.warnings(Target::Docker).into_iter().map(|warning| (warning.path, warning.reason)).collect();
    let reason = "in a cluster the Service's name is an alias of this host; pods here cannot resolve it: use the host's own name";
    assert_eq!(warnings, [("spec.externalName".to_owned(), reason.to_owned())]);
}

#[test]
fn a_claim_of_the_manifests() {
    let claim = "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: a}\nspec: {accessModes: [ReadWriteOnce], \
                 resources: {requests: {storage: 1Gi}}}\n";
    let text = with("volume", "persistentVolumeClaim: {claimName: a}") + claim;
    let paths = |target| added(&text, target).into_iter().map(|(path, _)| path).collect::<Vec<_>>();
    assert_eq!(paths(Target::Docker), ["spec.template.spec.volumes[tmp].persistentVolumeClaim", "kind"]);
    assert_eq!(paths(Target::K8s), [""; 0]);
}

#[rstest]
#[case::outside("8080", 1)]
#[case::within("30080", 0)]
fn a_port_of_the_nodes(#[case] port: &str, #[case] expected: usize) {
    let ports = format!("  type: NodePort\n  selector: {{app: backend}}\n  ports:\n    - {{nodePort: {port}, ");
    let text = base_with("  selector: {app: backend}\n  ports:\n    - {", &ports);
    let found = warnings(&text, Target::K8s);
    assert_eq!(found.len(), expected, "{found:?}");
    assert!(
        found.iter().all(|(path, reason)| path == "spec.ports[http].nodePort" && reason.contains("30000 to 32767"))
    );
}

const CLAIM: &str = "{name: x, persistentVolumeClaim: {claimName: data}}";

#[rstest]
#[case::account("serviceAccountName: app", "ServiceAccount", "app", "no pod can be created: ")]
#[case::claim(&format!("volumes: [{CLAIM}]"), "PersistentVolumeClaim", "data", "the pods stay pending: ")]
#[case::login("imagePullSecrets: [{name: login}]", "Secret", "login", "images are pulled without a login: ")]
#[case::priority("priorityClassName: high", "PriorityClass", "high", "no pod can be created unless ")]
fn what_the_runs_namespace_lacks(#[case] line: &str, #[case] kind: &str, #[case] name: &str, #[case] reason: &str) {
    let pod = format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n  containers: [{{name: c, image: x}}]\n  {line}\n"
    );
    let reasons = |more: &str, scoped: bool| {
        let of_pod = plan_of(&format!("{BASE}{pod}{more}")).warnings_of_run(Target::K8s, scoped).into_iter();
        of_pod.filter(|warning| warning.object == "Pod/p").map(|warning| warning.reason).collect::<Vec<_>>()
    };
    let found = reasons("", false);
    assert!(
        found.len() == 1 && found[0].starts_with(reason) && found[0].contains(&format!("{kind} `{name}`")),
        "{found:?}"
    );
    // A definition of its own, and another object that makes it.
    let version = if kind == "PriorityClass" { "scheduling.k8s.io/v1" } else { "v1" };
    let spec = match kind {
        "PriorityClass" => "value: 1",
        "PersistentVolumeClaim" => "spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}",
        _ => "",
    };
    let own = format!("---\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}}}\n{spec}\n");
    assert_eq!(reasons(&own, false).len(), usize::from(kind == "PriorityClass"));
    assert_eq!(reasons(&own, true), [""; 0]);
    let foreign =
        format!("---\napiVersion: example.org/v1\nkind: Maker\nmetadata: {{name: m}}\nspec: {{makes: {name}}}\n");
    assert_eq!(reasons(&foreign, false).len(), usize::from(kind == "PriorityClass"));
}

#[test]
fn what_every_namespace_has() {
    let text = base_with(
        "      volumes:\n",
        "      serviceAccountName: default\n      priorityClassName: system-node-critical\n      volumes:\n",
    );
    assert_eq!(added(&text, Target::K8s), []);
    let text = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\nspec:\n  selector: {matchLabels: {a: b}}\n  \
                volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]\n  \
                template:\n    metadata: {labels: {a: b}}\n    spec: {containers: [{name: c, image: x}]}\n---\n\
                apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: x}], volumes: [{name: d, \
                persistentVolumeClaim: {claimName: data-db-0}}]}\n";
    assert_eq!(plan_of(text).warnings(Target::K8s), []);
}

/// Tools write dozens of them; one line for each object is enough.
#[test]
fn annotations_are_told_together() {
    let text = base_with(
        "  name: settings\n",
        "  name: settings\n  annotations: {a.io/b: c, kubernetes.io/description: d, e: f}\n",
    );
    let expected = ("metadata.annotations".to_owned(), "only a cluster reads them: a.io/b, e".to_owned());
    assert_eq!(added(&text, Target::Docker), [expected]);
    assert_eq!(added(&text, Target::K8s), []);
}

#[test]
fn generated_secrets_concern_kubectl() {
    let text = base_with("  name: keys\n", "  name: keys\n  annotations: {e2e/generate: password}\n");
    let found = warnings(&text, Target::K8s);
    assert_eq!(found[0].0, "metadata.annotations['e2e/generate']");
    assert_eq!(added(&text, Target::Docker), []);
}

#[test]
fn an_address_that_is_made_up() {
    let with_field = |field: &str| {
        let line = format!("            - {{name: FIELD, valueFrom: {{fieldRef: {{fieldPath: {field}}}}}}}\n");
        base_with(
            "          ports:\n            - name: http\n",
            &format!("{line}          ports:\n            - name: http\n"),
        )
    };
    let found = added(&with_field("status.podIP"), Target::Local);
    assert_eq!(found[0].0, "spec.template.spec.containers[app].env[FIELD].valueFrom.fieldRef.fieldPath");
    assert_eq!(found.len(), 1);
    assert_eq!(added(&with_field("status.podIP"), Target::Docker), []);
    assert_eq!(added(&with_field("metadata.name"), Target::Local), []);
}

const FOR_OTHERS: &str = "---\napiVersion: v1\nkind: Service\nmetadata: {name: other}\nspec: {selector: {app: other}, ports: [{port: 80}]}\n";

#[rstest]
#[case::an_endpoint_slice(
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: x, labels: {kubernetes.io/service-name: other}}\n\
     addressType: IPv4\nports: [{port: 80}]\nendpoints: [{addresses: [192.0.2.1]}]\n",
    "selector: {app: other}, "
)]
#[case::endpoints(
    "apiVersion: v1\nkind: Endpoints\nmetadata: {name: other}\nsubsets: []\n",
    "selector: {app: other}, "
)]
#[case::pods_of_another_controller(
    "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: other}\nspec: {template: {metadata: {labels: {app: other}}}}\n",
    ""
)]
fn a_cluster_may_have_what_answers(#[case] object: &str, #[case] removed: &str) {
    let text = BASE.to_owned() + &FOR_OTHERS.replace(removed, "");
    let said = |text: &str, target| {
        let all = plan_of(text).warnings(target);
        all.iter().filter(|warning| warning.object == "Service/other").count()
    };
    for target in Target::ALL {
        assert_eq!(said(&text, target), 1, "{target}");
        let with_object = format!("{text}---\n{object}");
        assert_eq!(said(&with_object, target), usize::from(target != Target::K8s), "{target}");
    }
}
