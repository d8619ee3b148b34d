//! What an API server refuses, and what stands beside it that it takes. Each verdict is that of a server of 1.20
//! (`?dryRun=All`), but for the values that later ones have ruled on.

mod carried;
mod limits;
mod metadata;

use rstest::rstest;

use super::*;

/// An object of a kind with a spec in flow style.
fn object(version: &str, kind: &str, spec: &str) -> String {
    document(version, kind, &format!("spec: {spec}"))
}

/// A document with what stands beside its metadata.
fn document(version: &str, kind: &str, rest: &str) -> String {
    format!("{BASE}---\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\n{rest}\n")
}

/// A rule, by a text that breaks it and one beside it that does not.
fn assert_rule(refused: &str, message: &str, taken: &str) {
    let error = error_of(refused);
    assert!(error.ends_with(message) && !error.contains("faults"), "{error}\nis not\n{message}");
    plan_of(taken);
}

#[rstest]
#[case::recreate(
    "workload",
    "strategy: {type: Recreate, rollingUpdate: {maxSurge: 1}}",
    "strategy: {type: Recreate}",
    "spec.strategy.rollingUpdate: type Recreate has no rollingUpdate; remove it, or change the type"
)]
#[case::no_step(
    "workload",
    "strategy: {rollingUpdate: {maxSurge: 0%, maxUnavailable: 0}}",
    "strategy: {rollingUpdate: {maxSurge: 0}}",
    "spec.strategy.rollingUpdate.maxUnavailable: maxUnavailable and maxSurge are both 0, so that no pod can be replaced; raise one of the two"
)]
#[case::more_than_all(
    "workload",
    "strategy: {rollingUpdate: {maxUnavailable: 110%}}",
    "strategy: {rollingUpdate: {maxSurge: 200%}}",
    "spec.strategy.rollingUpdate.maxUnavailable: 110% is more than all; write at most `100%`"
)]
#[case::step(
    "workload",
    "strategy: {rollingUpdate: {maxSurge: few}}",
    "strategy: {rollingUpdate: {maxSurge: 3}}",
    "spec.strategy.rollingUpdate.maxSurge: `few` is not a percentage; write a number without quotes, or one such as `\"25%\"`"
)]
#[case::progress(
    "workload",
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
    "spec.template.spec.topologySpreadConstraints[0]: it has no topologyKey; add `topologyKey`"
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
    "resources.limits: `gpu` is not a resource of a container; write cpu, memory, ephemeral-storage, or a name with its domain, such as `example.org/gpu`"
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
    "volumes[tmp].awsElasticBlockStore: it has no volumeID; add `volumeID`"
)]
#[case::share(
    "azureFile: {shareName: a}",
    "azureFile: {shareName: a, secretName: b}",
    "volumes[tmp].azureFile: it has no secretName; add `secretName`"
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
#[case::a_binary_unit_as_a_number(
    "resourceFieldRef: {resource: limits.ephemeral-storage, divisor: 1024}",
    "resourceFieldRef: {resource: limits.ephemeral-storage, divisor: 1024Ki}",
    "resourceFieldRef.divisor: no divisor of this resource; write `1`, or one of a unit, such as `1Mi` or `1G`"
)]
#[case::an_exponent(
    "resourceFieldRef: {resource: limits.memory, divisor: '1e3'}",
    "resourceFieldRef: {resource: limits.memory, divisor: 1000}",
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
