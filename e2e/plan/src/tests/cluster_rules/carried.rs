//! Rules of the kinds that run no pods.

use super::*;

const INGRESS: &str = "networking.k8s.io/v1";

/// A rule of an Ingress, with the backend that each of its paths has.
fn rules(path: &str) -> String {
    format!("{{rules: [{{http: {{paths: [{{{path}, backend: {{service: {{name: s, port: {{number: 80}}}}}}}}]}}}}]}}")
}

#[rstest]
#[case::path_type(&rules("path: /"), &rules("path: /, pathType: Prefix"), "spec.rules[0].http.paths[0]: it has no pathType; add `pathType: Prefix`")]
#[case::path(
    &rules("path: api, pathType: Prefix"), &rules("path: '/api(/|$)(.*)', pathType: ImplementationSpecific"),
    "spec.rules[0].http.paths[0].path: `api` is not an absolute path; start it with `/`"
)]
#[case::no_path(
    &rules("pathType: Exact"), &rules("pathType: ImplementationSpecific"),
    "spec.rules[0].http.paths[0].path: `` is not an absolute path; start it with `/`"
)]
#[case::host(
    "{rules: [{host: '10.0.0.1'}]}",
    "{rules: [{host: '*.example.org'}]}",
    "spec.rules[0].host: `10.0.0.1` is not a host name; write a DNS name in lower case, such as `shop.example.org` or `*.example.org`"
)]
#[case::backend(
    "{defaultBackend: {}}",
    "{defaultBackend: {service: {name: s, port: {name: http}}}}",
    "spec.defaultBackend: it has not exactly one of service, resource; write one of them"
)]
#[case::nothing(
    "{ingressClassName: nginx}",
    "{rules: [{host: a.b}]}",
    "spec: the Ingress leads nowhere; add `rules` or `defaultBackend`"
)]
fn of_an_ingress(#[case] refused: &str, #[case] taken: &str, #[case] message: &str) {
    assert_rule(&object(INGRESS, "Ingress", refused), message, &object(INGRESS, "Ingress", taken));
}

/// As clusters had it before 1.22. That there is no backend follows from it.
#[test]
fn a_backend_of_an_older_ingress() {
    let spec =
        "{rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {serviceName: web, servicePort: 80}}]}}]}";
    let error = error_of(&format!("apiVersion: {INGRESS}\nkind: Ingress\nmetadata: {{name: x}}\nspec: {spec}\n"));
    let remedy = "unknown field; write `service: {name: <name>, port: {number: <port>}}`";
    assert_eq!(error.matches(remedy).count(), 2, "{error}");
    assert!(error.starts_with("2 errors"), "{error}");
}

const TARGET: &str = "scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: backend}";

#[rstest]
#[case::external_name(
    "v1",
    "Service",
    "{type: ExternalName}",
    "{type: ExternalName, externalName: a.example.org.}",
    "spec: it has no externalName; add `externalName: <host>`"
)]
#[case::external_address(
    "v1",
    "Service",
    "{type: ExternalName, externalName: 'http://a.b'}",
    "{type: ExternalName, externalName: a.b}",
    "spec.externalName: `http://a.b` is not a DNS name; write one in lower case, without a scheme, port or path"
)]
#[case::external_port(
    "v1",
    "Service",
    "{type: ExternalName, externalName: a.b, ports: [{port: 0}]}",
    "{type: ExternalName, externalName: a.b, ports: [{port: 80}]}",
    "spec.ports[0].port: the port is missing or 0; write a number from 1 to 65535"
)]
#[case::node_port(
    "v1",
    "Service",
    "{type: NodePort, ports: [{name: a, port: 1, nodePort: 30000}, {name: b, port: 2, nodePort: 30000}]}",
    "{type: NodePort, ports: [{name: a, port: 1, nodePort: 30000}, {name: b, port: 2, nodePort: 30001}]}",
    "spec.ports: two ports take nodePort 30000; change one of the two"
)]
#[case::replicas("autoscaling/v2", "HorizontalPodAutoscaler",
    &format!("{{{TARGET}, minReplicas: 4, maxReplicas: 3}}"), &format!("{{{TARGET}, minReplicas: 3, maxReplicas: 3}}"),
    "spec.maxReplicas: maxReplicas 3 is below minReplicas 4; raise it")]
#[case::metric("autoscaling/v2", "HorizontalPodAutoscaler",
    &format!("{{{TARGET}, maxReplicas: 3, metrics: [{{type: Resource, pods: {{metric: {{name: a}}, target: {{type: AverageValue, averageValue: 1}}}}}}]}}"),
    &format!("{{{TARGET}, maxReplicas: 3, metrics: [{{type: Resource, resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 50}}}}}}]}}"),
    "spec.metrics[0]: a metric of type Resource has no resource; add `resource`")]
#[case::budget(
    "policy/v1",
    "PodDisruptionBudget",
    "{minAvailable: 1, maxUnavailable: 1}",
    "{minAvailable: 100%}",
    "spec.maxUnavailable: minAvailable and maxUnavailable exclude each other; remove one of the two"
)]
#[case::claim(
    "v1",
    "PersistentVolumeClaim",
    "{accessModes: [RWO], resources: {requests: {storage: 1Gi}}}",
    "{accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}",
    "spec.accessModes[0]: `RWO` is none of its values; write ReadWriteOnce, ReadOnlyMany, ReadWriteMany or ReadWriteOncePod"
)]
#[case::claim_without_size(
    "v1",
    "PersistentVolumeClaim",
    "{accessModes: [ReadWriteOnce], resources: {requests: {cpu: 1}}}",
    "{accessModes: [ReadWriteOnce], resources: {requests: {storage: 1}}}",
    "spec.resources.requests: it has no storage; add `storage: <storage>`"
)]
#[case::volume(
    "v1",
    "PersistentVolume",
    "{accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, storageClassName: a}",
    "{accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, csi: {driver: a, volumeHandle: b}}",
    "spec: the volume has no source; add one, such as `hostPath` or `csi`"
)]
#[case::claim_of_nothing(
    "v1",
    "PersistentVolumeClaim",
    "{accessModes: [ReadWriteOnce], resources: {requests: {storage: '0'}}}",
    "{accessModes: [ReadWriteOnce], resources: {requests: {storage: 1m}}}",
    "spec.resources.requests.storage: it is not above zero; raise it"
)]
#[case::volume_without_a_handle(
    "v1",
    "PersistentVolume",
    "{accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, csi: {driver: a}}",
    "{accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, csi: {driver: a, volumeHandle: b}}",
    "spec.csi: it has no volumeHandle; add `volumeHandle`"
)]
#[case::older_autoscaler("autoscaling/v1", "HorizontalPodAutoscaler",
    &format!("{{{TARGET}, maxReplicas: '3'}}"), &format!("{{{TARGET}, maxReplicas: 3}}"),
    "spec.maxReplicas: expected an integer, found a string; remove the quotes, or correct the value")]
#[case::older_target("autoscaling/v1", "HorizontalPodAutoscaler",
    &format!("{{{TARGET}, maxReplicas: 3, targetCPUUtilizationPercentage: 0}}"),
    &format!("{{{TARGET}, maxReplicas: 3, targetCPUUtilizationPercentage: 80}}"),
    "spec.targetCPUUtilizationPercentage: 0 is out of range; write a number from 1 to 2147483647")]
#[case::target("autoscaling/v2", "HorizontalPodAutoscaler",
    &format!("{{{TARGET}, maxReplicas: 3, metrics: [{{type: Resource, resource: {{name: cpu, target: {{type: AverageValue, averageValue: '0'}}}}}}]}}"),
    &format!("{{{TARGET}, maxReplicas: 3, metrics: [{{type: Resource, resource: {{name: cpu, target: {{type: AverageValue, averageValue: 1m}}}}}}]}}"),
    "resource.target.averageValue: it is not above zero; raise it")]
#[case::limits(
    "v1",
    "LimitRange",
    "{limits: {type: Container}}",
    "{limits: [{type: Container}]}",
    "spec.limits: expected a list, found a map; check the indentation and the dashes of the lines below"
)]
#[case::quota(
    "v1",
    "ResourceQuota",
    "{hards: {pods: 3}}",
    "{hard: {pods: 3}}",
    "spec.hards: unknown field; did you mean `hard`?"
)]
#[case::controller(
    "v1",
    "ReplicationController",
    "{template: {spec: {containers: [{name: a, image: b}]}}}",
    "{template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: b}]}}}",
    "spec.selector: the workload has no selector, and its pods have no labels; add them under spec.template.metadata.labels"
)]
#[case::manual_selector(
    "batch/v1",
    "Job",
    "{manualSelector: true, template: {metadata: {labels: {a: b}}, spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}",
    "{manualSelector: true, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}",
    "Job/x: spec: manualSelector is set, and there is no selector; add `selector` with the labels of its pods, or remove manualSelector"
)]
#[case::selector_of_a_job(
    "batch/v1",
    "Job",
    "{selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}",
    "{selector: {matchLabels: {job-name: x}}, template: {metadata: {labels: {a: b}}, spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}",
    "Job/x: spec: a cluster generates the selector of a Job; remove `selector`"
)]
#[case::selector_of_others(
    "batch/v1",
    "Job",
    "{manualSelector: true, selector: {matchLabels: {a: c}}, template: {metadata: {labels: {a: b}}, spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}",
    "{manualSelector: true, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}",
    "Job/x: spec: the selector wants a=c, which the pods' labels do not have; write the same labels in spec.template.metadata.labels"
)]
#[case::selector_of_jobs(
    "batch/v1",
    "CronJob",
    "{schedule: '@daily', jobTemplate: {spec: {selector: {}, template: {spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}}}",
    "{schedule: '@daily', jobTemplate: {spec: {manualSelector: false, template: {spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}}}",
    "spec.jobTemplate.spec.selector: a cluster generates the selector of a Job; remove it"
)]
#[case::label_of_a_job(
    "batch/v1",
    "Job",
    "{template: {metadata: {labels: {job-name: other}}, spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}",
    "{template: {metadata: {labels: {job-name: x}}, spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}",
    "Job/x: spec: a cluster sets the label job-name on a Job's pods; remove it"
)]
#[case::peer(
    "networking.k8s.io/v1",
    "NetworkPolicy",
    "{podSelector: {}, ingress: [{from: [{}]}]}",
    "{podSelector: {}, ingress: [{from: []}]}",
    "spec.ingress[0].from[0]: it names no peer; add podSelector, namespaceSelector or ipBlock"
)]
#[case::network(
    "networking.k8s.io/v1",
    "NetworkPolicy",
    "{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.0.0.1}}]}]}",
    "{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.0.0.1/32}}]}]}",
    "spec.egress[0].to[0].ipBlock.cidr: `10.0.0.1` is not a range of addresses; write one, such as `10.0.0.0/8`"
)]
fn of_other_kinds(
    #[case] version: &str,
    #[case] kind: &str,
    #[case] refused: &str,
    #[case] taken: &str,
    #[case] message: &str,
) {
    assert_rule(&object(version, kind, refused), message, &object(version, kind, taken));
}

#[rstest]
#[case::six_fields("0 */5 * * * *", "*/5 * * * *")]
#[case::sunday("0 0 * * 7", "0 0 * * 0")]
#[case::minute("60 * * * *", "59,0-5/2 * ? JAN-MAR mon-fri")]
#[case::word("@reboot", "@daily")]
#[case::time("@every day", "@every 1h30m")]
#[case::step("*/0 * * * *", "5/10 * * * *")]
fn of_schedules(#[case] refused: &str, #[case] taken: &str) {
    let spec = |schedule: &str| {
        let pod = "{restartPolicy: Never, containers: [{name: a, image: b}]}";
        object(
            "batch/v1",
            "CronJob",
            &format!("{{schedule: '{schedule}', jobTemplate: {{spec: {{template: {{spec: {pod}}}}}}}}}"),
        )
    };
    let message = format!(
        "CronJob/x: spec.schedule: `{refused}` is not a schedule; write minute, hour, day, month and day of the week, such as `\"*/5 * * * *\"`, or one such as `\"@daily\"`"
    );
    assert_rule(&spec(refused), &message, &spec(taken));
}

/// A Job's name is a label of its pods, unless it has a selector of its own, and begins the host names of numbered pods.
#[rstest]
#[case::label("", 64, "", 63, "a Job's name has at most 63 characters; shorten it")]
#[case::own_selector(
    "",
    64,
    "manualSelector: true, selector: {matchLabels: {app: a}}, ",
    64,
    "a Job's name has at most 63 characters; shorten it"
)]
#[case::numbered(
    "completionMode: Indexed, completions: 11, ",
    61,
    "completionMode: Indexed, completions: 10, ",
    61,
    "-10` cannot be the host name of a pod; use lower-case letters, digits and `-` alone, at most 63 characters with the number"
)]
fn of_the_name_of_a_job(
    #[case] refused: &str,
    #[case] refused_length: usize,
    #[case] taken: &str,
    #[case] taken_length: usize,
    #[case] message: &str,
) {
    let job = |fields: &str, length: usize| {
        let pod = "metadata: {labels: {app: a}}, spec: {restartPolicy: Never, containers: [{name: a, image: b}]}";
        let spec = format!("{{{fields}template: {{{pod}}}}}");
        object("batch/v1", "Job", &spec).replace("{name: x}", &format!("{{name: {}}}", "a".repeat(length)))
    };
    assert_rule(&job(refused, refused_length), message, &job(taken, taken_length));
}

/// A MiB is the most that a ConfigMap or a Secret holds, as bytes.
#[rstest]
#[case::text("ConfigMap", "data", "a", 1 << 20)]
#[case::binary("ConfigMap", "binaryData", "AAAA", (1 << 20) / 3)]
#[case::secret("Secret", "stringData", "a", 1 << 20)]
#[case::encoded_secret("Secret", "data", "AAAA", (1 << 20) / 3)]
fn of_the_size_of_data(#[case] kind: &str, #[case] field: &str, #[case] unit: &str, #[case] most: usize) {
    let with = |count: usize| document("v1", kind, &format!("{field}: {{key: {}}}", unit.repeat(count)));
    let message = "bytes, and a cluster takes at most 1048576; divide it, or put it into an image or a volume";
    assert_rule(&with(most + 1), message, &with(most));
}

/// Those of a Secret may be made up in a run.
#[test]
fn of_keys_that_a_type_of_secret_needs() {
    let secret = |lines: &str| format!("{BASE}---\napiVersion: v1\nkind: Secret\nmetadata: {{name: x{lines}\n");
    assert_rule(
        &secret("}\ntype: kubernetes.io/tls\nstringData: {tls.crt: a}"),
        "Secret/x: type: a Secret of type kubernetes.io/tls needs the key tls.key; add it, or remove the type",
        &secret(", annotations: {e2e/generate: 'tls.crt,tls.key'}}\ntype: kubernetes.io/tls"),
    );
}
