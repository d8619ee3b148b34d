//! What an API server refuses, and what stands beside it that it takes. Each verdict is that of a server of 1.20
//! (`?dryRun=All`), but for the values that later ones have ruled on.

use rstest::rstest;

use super::*;

/// An object of a kind with a spec in flow style.
fn object(version: &str, kind: &str, spec: &str) -> String {
    format!("{BASE}---\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\nspec: {spec}\n")
}

/// The base with lines at the end of its Deployment's or its Service's spec.
fn with(place: &str, lines: &str) -> String {
    match place {
        "deployment" => base_with("  replicas: 2\n", &format!("  replicas: 2\n  {lines}\n")),
        "pod" => base_with("      volumes:\n", &format!("      {lines}\n      volumes:\n")),
        "container" => base_with("          args: []\n", &format!("          {lines}\n")),
        "service" => base_with(
            "  selector: {app: backend}\n  ports",
            &format!("  {lines}\n  selector: {{app: backend}}\n  ports"),
        ),
        _ => panic!("{place}"),
    }
}

/// A rule, by a text that breaks it and one beside it that does not.
fn assert_rule(refused: &str, message: &str, taken: &str) {
    let error = error_of(refused);
    assert!(error.ends_with(message) && !error.contains("faults"), "{error}\nis not\n{message}");
    plan_of(taken);
}

#[rstest]
#[case::recreate(
    "deployment",
    "strategy: {type: Recreate, rollingUpdate: {maxSurge: 1}}",
    "strategy: {type: Recreate}",
    "spec.strategy.rollingUpdate: type Recreate has no rollingUpdate; remove it, or change the type"
)]
#[case::no_step(
    "deployment",
    "strategy: {rollingUpdate: {maxSurge: 0%, maxUnavailable: 0}}",
    "strategy: {rollingUpdate: {maxSurge: 0}}",
    "spec.strategy.rollingUpdate.maxUnavailable: maxUnavailable and maxSurge are both 0, so that no pod can be replaced; raise one of the two"
)]
#[case::more_than_all(
    "deployment",
    "strategy: {rollingUpdate: {maxUnavailable: 110%}}",
    "strategy: {rollingUpdate: {maxSurge: 200%}}",
    "spec.strategy.rollingUpdate.maxUnavailable: 110% is more than all; write at most `100%`"
)]
#[case::step(
    "deployment",
    "strategy: {rollingUpdate: {maxSurge: few}}",
    "strategy: {rollingUpdate: {maxSurge: 3}}",
    "spec.strategy.rollingUpdate.maxSurge: `few` is not a percentage; write a number without quotes, or one such as `\"25%\"`"
)]
#[case::progress(
    "deployment",
    "progressDeadlineSeconds: 5\n  minReadySeconds: 5",
    "progressDeadlineSeconds: 6\n  minReadySeconds: 5",
    "spec.progressDeadlineSeconds: progressDeadlineSeconds (600 by default) is not above minReadySeconds; raise progressDeadlineSeconds, or lower minReadySeconds"
)]
#[case::deadline(
    "pod",
    "activeDeadlineSeconds: 5",
    "restartPolicy: Always",
    "spec.template.spec.activeDeadlineSeconds: a pod that is kept has no deadline; remove it, or write a Job"
)]
#[case::no_nameserver(
    "pod",
    "dnsPolicy: None",
    "dnsPolicy: None\n      dnsConfig: {nameservers: [192.0.2.1]}",
    "spec.template.spec.dnsPolicy: dnsPolicy None leaves the pod without a nameserver; add `dnsConfig.nameservers`, or remove dnsPolicy"
)]
#[case::address(
    "pod",
    "hostAliases: [{ip: db, hostnames: [a]}]",
    "hostAliases: [{ip: '::1', hostnames: [a.b]}]",
    "spec.template.spec.hostAliases[0].ip: `db` is not an IP address; write one, such as `192.0.2.1`"
)]
#[case::toleration(
    "pod",
    "tolerations: [{operator: Equal, value: a}]",
    "tolerations: [{operator: Exists}]",
    "spec.template.spec.tolerations[0].operator: without a key the operator is Exists; add the key, or write `operator: Exists`"
)]
#[case::spread(
    "pod",
    "topologySpreadConstraints: [{maxSkew: 1, whenUnsatisfiable: DoNotSchedule}]",
    "topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]",
    "spec.template.spec.topologySpreadConstraints[0]: it has no topologyKey; add `topologyKey: <topologykey>`"
)]
#[case::affinity(
    "pod",
    "affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 101, podAffinityTerm: {topologyKey: zone}}]}}",
    "affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 100, podAffinityTerm: {topologyKey: zone}}]}}",
    "preferredDuringSchedulingIgnoredDuringExecution[0].weight: 101 is out of range; write a number from 1 to 100"
)]
#[case::expression(
    "pod",
    "affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: zone, labelSelector: {matchExpressions: [{key: app, operator: In}]}}]}}",
    "affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: zone, labelSelector: {matchExpressions: [{key: app, operator: Exists}]}}]}}",
    "labelSelector.matchExpressions[0].values: the operator needs values; add them"
)]
#[case::profile(
    "pod",
    "securityContext: {seccompProfile: {type: Localhost}}",
    "securityContext: {seccompProfile: {type: RuntimeDefault}}",
    "spec.template.spec.securityContext.seccompProfile: type Localhost needs a profile; add `localhostProfile: <path>`"
)]
#[case::privilege(
    "container",
    "securityContext: {privileged: true, allowPrivilegeEscalation: false}",
    "securityContext: {privileged: true}",
    "securityContext.allowPrivilegeEscalation: `allowPrivilegeEscalation: false` contradicts privileged and CAP_SYS_ADMIN; remove it, or the privilege"
)]
#[case::key(
    "container",
    "envFrom: [{configMapRef: {name: Settings}}]",
    "envFrom: [{configMapRef: {name: settings}}]",
    "envFrom[0].configMapRef.name: `Settings` is not a valid name; use lower-case letters, digits, `.` and `-` between them, at most 253 characters"
)]
#[case::traffic(
    "service",
    "externalTrafficPolicy: Local",
    "externalTrafficPolicy: Local\n  type: NodePort",
    "spec.externalTrafficPolicy: a Service of type ClusterIP has no traffic from outside; remove it, or write `type: NodePort`"
)]
#[case::ranges(
    "service",
    "loadBalancerSourceRanges: [10.0.0.0/8]",
    "loadBalancerSourceRanges: [10.0.0.0/8]\n  type: LoadBalancer",
    "spec.loadBalancerSourceRanges: a Service of type ClusterIP has no loadBalancerSourceRanges; remove it, or change the type"
)]
#[case::cluster_address(
    "service",
    "clusterIP: none",
    "clusterIP: None",
    "spec.clusterIP: `none` is not an IP address; write `None` for a headless Service, or remove it"
)]
#[case::sysctl(
    "pod",
    "securityContext: {sysctls: [{name: Net core, value: '1'}]}",
    "securityContext: {sysctls: [{name: net.core.somaxconn, value: '1'}]}",
    "`Net core` is not the name of a sysctl; write one, such as `net.core.somaxconn`"
)]
#[case::overhead(
    "pod",
    "overhead: {cpu: little}",
    "overhead: {cpu: 10m}",
    "spec.template.spec.overhead.cpu: `little` is not a quantity; write a number, such as `1`, `500m` or `10Gi`"
)]
#[case::health_check(
    "service",
    "type: LoadBalancer\n  healthCheckNodePort: 30000",
    "type: LoadBalancer\n  externalTrafficPolicy: Local\n  healthCheckNodePort: 30000",
    "spec.healthCheckNodePort: only a LoadBalancer with `externalTrafficPolicy: Local` has a healthCheckNodePort; remove it"
)]
fn of_running_kinds(#[case] place: &str, #[case] refused: &str, #[case] taken: &str, #[case] message: &str) {
    assert_rule(&with(place, refused), message, &with(place, taken));
}

#[rstest]
#[case::request(
    "{requests: {example.org/gpu: 1}}",
    "{limits: {example.org/gpu: 1}}",
    "resources.requests: example.org/gpu has a request and no limit; write it under limits"
)]
#[case::name(
    "{limits: {gpu: 1}}",
    "{limits: {hugepages-2Mi: 2Mi}}",
    "resources.limits: `gpu` is no resource of a container; write cpu, memory, ephemeral-storage, or a name with its domain, such as `example.org/gpu`"
)]
#[case::storage(
    "{limits: {ephemeral-storage: 1Gigabyte}}",
    "{limits: {ephemeral-storage: 1Gi}}",
    "resources.limits: `1Gigabyte` is not a quantity; write a number, such as `1`, `500m` or `10Gi`"
)]
fn of_resources(#[case] refused: &str, #[case] taken: &str, #[case] message: &str) {
    let with =
        |resources: &str| with("pod", &format!("initContainers: [{{name: first, image: x, resources: {resources}}}]"));
    assert_rule(&with(refused), message, &with(taken));
}

#[rstest]
#[case::value(
    "{key: app, operator: In, values: [front]}",
    "{key: app, operator: In, values: [front, backend]}",
    "app In front"
)]
#[case::absent("{key: tier, operator: Exists}", "{key: tier, operator: DoesNotExist}", "tier Exists")]
fn of_selectors(#[case] refused: &str, #[case] taken: &str, #[case] wish: &str) {
    let with = |expression: &str| {
        base_with("    matchLabels: {app: backend}\n", &format!("    matchExpressions: [{expression}]\n"))
    };
    let message = format!(
        "spec.selector: the selector wants {wish}, which the pods' labels do not have; write the same labels in spec.template.metadata.labels"
    );
    assert_rule(&with(refused), &message, &with(taken));
}

#[rstest]
#[case::disk(
    "awsElasticBlockStore: {fsType: ext4}",
    "awsElasticBlockStore: {volumeID: a}",
    "volumes[tmp].awsElasticBlockStore: it has no volumeID; add `volumeID: <volumeid>`"
)]
#[case::share(
    "azureFile: {shareName: a}",
    "azureFile: {shareName: a, secretName: b}",
    "volumes[tmp].azureFile: it has no secretName; add `secretName: <secretname>`"
)]
#[case::channel(
    "fc: {fsType: ext4}",
    "fc: {wwids: [a]}",
    "volumes[tmp].fc: it has not exactly one of targetWWNs, wwids; write one of them"
)]
#[case::field(
    "downwardAPI: {items: [{path: a, fieldRef: {fieldPath: status.podIP}}]}",
    "downwardAPI: {items: [{path: a, fieldRef: {fieldPath: metadata.uid}}]}",
    "items[a].fieldRef.fieldPath: a volume cannot hold `status.podIP`; take it from a variable, or write a field of `metadata`"
)]
fn of_volumes(#[case] refused: &str, #[case] taken: &str, #[case] message: &str) {
    let with = |source: &str| base_with("          emptyDir: {}\n", &format!("          {source}\n"));
    assert_rule(&with(refused), message, &with(taken));
}

#[rstest]
#[case::label(
    "fieldRef: {fieldPath: \"metadata.labels['a b']\"}",
    "fieldRef: {fieldPath: \"metadata.labels['app']\"}",
    "fieldRef.fieldPath: `a b` is not a qualified name; use letters, digits and `-`, `_`, `.` between them, with or without a domain and `/` before them"
)]
#[case::annotation(
    "fieldRef: {fieldPath: \"metadata.annotations['/a']\"}",
    "fieldRef: {fieldPath: \"metadata.annotations['Example.org/a']\"}",
    "fieldRef.fieldPath: `/a` is not a qualified name; use letters, digits and `-`, `_`, `.` between them, with or without a domain and `/` before them"
)]
#[case::cores(
    "resourceFieldRef: {resource: limits.cpu, divisor: 10m}",
    "resourceFieldRef: {resource: limits.cpu, divisor: 1m}",
    "resourceFieldRef.divisor: no divisor of this resource; write `1` or `1m`"
)]
#[case::bytes(
    "resourceFieldRef: {resource: limits.memory, divisor: 2Mi}",
    "resourceFieldRef: {resource: limits.memory, divisor: 1Mi}",
    "resourceFieldRef.divisor: no divisor of this resource; write `1`, or one of a unit, such as `1Mi` or `1G`"
)]
fn of_variables(#[case] refused: &str, #[case] taken: &str, #[case] message: &str) {
    let with = |source: &str| base_with("value: \"\"\n", &format!("valueFrom: {{{source}}}\n"));
    assert_rule(&with(refused), message, &with(taken));
}

/// Also where the port leads nowhere.
#[test]
fn of_ports_of_a_service() {
    let with = |second: &str| {
        base_with(
            "    - {name: http, port: 80, targetPort: http}\n",
            &format!("    - {{name: http, port: 80, targetPort: none}}\n    - {{name: other, {second}}}\n"),
        )
    };
    assert_rule(
        &with("port: 80"),
        "Service/backend: spec.ports[other].port: port 80 is declared twice; remove or change one of the two",
        &with("port: 80, protocol: UDP"),
    );
}

const INGRESS: &str = "networking.k8s.io/v1";

/// A rule of an Ingress, with the backend that each of its paths has.
fn rules(path: &str) -> String {
    format!("{{rules: [{{http: {{paths: [{{{path}, backend: {{service: {{name: s, port: {{number: 80}}}}}}}}]}}}}]}}")
}

#[rstest]
#[case::path_type(&rules("path: /"), &rules("path: /, pathType: Prefix"), "spec.rules[0].http.paths[0]: it has no pathType; add `pathType: <pathtype>`")]
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
    "spec.ports[0].port: port 0 does not exist; write a number from 1 to 65535"
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
    "spec.csi: it has no volumeHandle; add `volumeHandle: <volumehandle>`"
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

/// A document with what stands beside its metadata.
fn document(version: &str, kind: &str, rest: &str) -> String {
    format!("{BASE}---\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\n{rest}\n")
}

const RBAC: &str = "rbac.authorization.k8s.io/v1";

#[rstest]
#[case::rights_beyond_objects(
    RBAC,
    "Role",
    "rules: [{nonResourceURLs: [/x], verbs: [get]}]",
    "rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]",
    "rules[0].nonResourceURLs: a Role has no nonResourceURLs; write a ClusterRole for them"
)]
#[case::field_of_a_cluster_role(
    RBAC,
    "ClusterRole",
    "rules: [{apiGroups: [''], resources: [pods], resourceName: [a], verbs: [get]}]",
    "rules: [{nonResourceURLs: [/x], verbs: [get]}]",
    "rules[0].resourceName: unknown field; did you mean `resourceNames`?"
)]
#[case::role_of_a_cluster(
    RBAC,
    "ClusterRoleBinding",
    "roleRef: {kind: Role, name: a}\nsubjects: [{kind: User, name: a}]",
    "roleRef: {kind: ClusterRole, name: a}\nsubjects: [{kind: User, name: a}]",
    "roleRef.kind: `Role` is none of its values; write ClusterRole"
)]
#[case::account(
    RBAC,
    "RoleBinding",
    "roleRef: {kind: Role, name: a}\nsubjects: [{kind: ServiceAccount, name: A}]",
    "roleRef: {kind: Role, name: a}\nsubjects: [{kind: ServiceAccount, name: a}]",
    "subjects[A].name: `A` is not the name of a ServiceAccount; use lower-case letters, digits, `.` and `-` between them, at most 253 characters"
)]
#[case::group_of_an_account(
    RBAC,
    "RoleBinding",
    "roleRef: {kind: Role, name: a}\nsubjects: [{kind: ServiceAccount, name: a, apiGroup: rbac.authorization.k8s.io}]",
    "roleRef: {kind: Role, name: a}\nsubjects: [{kind: User, name: 'A:b', apiGroup: rbac.authorization.k8s.io}]",
    "subjects[a].apiGroup: a ServiceAccount has no apiGroup; remove it"
)]
#[case::group_of_a_user(
    RBAC,
    "RoleBinding",
    "roleRef: {kind: Role, name: a}\nsubjects: [{kind: User, name: a, apiGroup: v1}]",
    "roleRef: {kind: Role, name: a}\nsubjects: [{kind: Group, name: a}]",
    "subjects[a].apiGroup: `v1` has no such subject; write rbac.authorization.k8s.io"
)]
#[case::address_of_an_endpoint(
    "v1",
    "Endpoints",
    "subsets: [{addresses: [{ip: db.example.org}], ports: [{port: 80}]}]",
    "subsets: [{addresses: [{ip: 192.0.2.1}], ports: [{port: 80}]}]",
    "subsets[0].addresses[0].ip: `db.example.org` is not an IP address; write one, such as `192.0.2.1`"
)]
#[case::token(
    "v1",
    "Secret",
    "type: kubernetes.io/service-account-token",
    "type: Opaque",
    "metadata: a Secret of this type needs the annotation kubernetes.io/service-account.name; add it with the account's name"
)]
#[case::registries(
    "v1",
    "Secret",
    "type: kubernetes.io/dockerconfigjson\nstringData: {.dockerconfigjson: 'user:password'}",
    "type: kubernetes.io/dockerconfigjson\nstringData: {.dockerconfigjson: '{\"auths\": {}}'}",
    "type: .dockerconfigjson is no JSON object; write what `kubectl create secret docker-registry` makes, or remove the type"
)]
#[case::registries_in_base64(
    "v1",
    "Secret",
    "type: kubernetes.io/dockercfg\ndata: {.dockercfg: YWJj}",
    "type: kubernetes.io/dockercfg\ndata: {.dockercfg: e30=}",
    "type: .dockercfg is no JSON object; write what `kubectl create secret docker-registry` makes, or remove the type"
)]
#[case::no_registries(
    "v1",
    "Secret",
    "type: kubernetes.io/dockercfg\ndata: {.dockercfg: W10=}",
    "type: kubernetes.io/dockercfg\ndata: {.dockercfg: bnVsbA==}",
    "type: .dockercfg is no JSON object; write what `kubectl create secret docker-registry` makes, or remove the type"
)]
fn of_kinds_without_a_spec(
    #[case] version: &str,
    #[case] kind: &str,
    #[case] refused: &str,
    #[case] taken: &str,
    #[case] message: &str,
) {
    assert_rule(&document(version, kind, refused), message, &document(version, kind, taken));
}

/// A Job's name is a label of its pods.
#[test]
fn of_the_name_of_a_job() {
    let job = |length: usize| {
        let spec = "{template: {spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}";
        object("batch/v1", "Job", spec).replace("{name: x}", &format!("{{name: {}}}", "a".repeat(length)))
    };
    assert_rule(&job(64), "metadata.name: a Job's name has at most 63 characters; shorten it", &job(63));
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
