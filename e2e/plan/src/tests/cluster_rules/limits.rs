//! Rules of what limits a namespace, and of kinds without a spec: classes, addresses behind a Service, rights.

use rstest::rstest;

use super::*;

#[rstest]
#[case::counted(
    "ResourceQuota",
    "{hard: {deployments: 5}}",
    "{hard: {count/deployments.apps: 5, requests.example.org/gpu: 1, services.nodeports: 1, requests.hugepages-2Mi: 1Gi}}",
    "spec.hard: `deployments` is not a resource that a quota counts; write one such as `pods`, `limits.memory`, or `count/deployments.apps` for objects of a kind"
)]
#[case::negative(
    "ResourceQuota",
    "{hard: {pods: -1}}",
    "{hard: {pods: 0}}",
    "spec.hard.pods: `-1` is not a quantity; write a number, such as `1`, `500m` or `10Gi`"
)]
#[case::scope(
    "ResourceQuota",
    "{hard: {pods: 1}, scopes: [Best]}",
    "{hard: {pods: 1}, scopes: [BestEffort]}",
    "spec.scopes[0]: `Best` is none of its values; write Terminating, NotTerminating, BestEffort, NotBestEffort, PriorityClass, CrossNamespacePodAffinity or VolumeAttributesClass"
)]
#[case::scopes(
    "ResourceQuota",
    "{hard: {pods: 1}, scopes: [Terminating, NotTerminating]}",
    "{hard: {pods: 1}, scopes: [Terminating]}",
    "spec.scopes: Terminating and NotTerminating exclude each other; remove one of the two"
)]
#[case::selector(
    "ResourceQuota",
    "{hard: {pods: 1}, scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: In}]}}",
    "{hard: {pods: 1}, scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: In, values: [high]}]}}",
    "spec.scopeSelector.matchExpressions[0].values: the operator needs values; add them"
)]
#[case::kind_of_limit(
    "LimitRange",
    "{limits: [{type: container}]}",
    "{limits: [{type: Container}]}",
    "spec.limits[0].type: `container` is none of its values; write Pod, Container or PersistentVolumeClaim"
)]
#[case::twice(
    "LimitRange",
    "{limits: [{type: Container}, {type: Container}]}",
    "{limits: [{type: Container}, {type: Pod}]}",
    "spec.limits: two elements have the same type; remove one of the two"
)]
#[case::order(
    "LimitRange",
    "{limits: [{type: Container, default: {memory: 1Gi}, max: {memory: 512Mi}}]}",
    "{limits: [{type: Container, default: {memory: 512Mi}, max: {memory: 1Gi}, min: {cpu: 500m}, defaultRequest: {cpu: 1}}]}",
    "spec.limits[0].default: default of memory is above its max; lower it, or raise the other"
)]
#[case::defaults_of_pods(
    "LimitRange",
    "{limits: [{type: Pod, default: {cpu: 1}}]}",
    "{limits: [{type: Pod, max: {cpu: 1}}]}",
    "spec.limits[0].default: a limit of type Pod gives containers no value; remove it, or write `type: Container`"
)]
#[case::of_claims(
    "LimitRange",
    "{limits: [{type: PersistentVolumeClaim, default: {storage: 1Gi}}]}",
    "{limits: [{type: PersistentVolumeClaim, max: {storage: 1Gi}}]}",
    "spec.limits[0]: a limit of claims has neither min nor max of storage; add `max: {storage: <amount>}`"
)]
#[case::selector_of_a_claim(
    "PersistentVolumeClaim",
    "{accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}, selector: {matchExpressions: [{key: a, operator: Is, values: [b]}]}}",
    "{accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}, selector: {matchExpressions: [{key: a, operator: In, values: [b]}]}}",
    "spec.selector.matchExpressions[0].operator: `Is` is none of its values; write In, NotIn, Exists or DoesNotExist"
)]
#[case::nodes_of_a_volume(
    "PersistentVolume",
    "{accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, local: {path: /a}, nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Is, values: [b]}]}]}}}",
    "{accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, local: {path: /a}, nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: In, values: [b]}]}]}}}",
    "matchExpressions[0].operator: `Is` is none of its values; write In, NotIn, Exists, DoesNotExist, Gt or Lt"
)]
fn of_a_namespace(#[case] kind: &str, #[case] refused: &str, #[case] taken: &str, #[case] message: &str) {
    assert_rule(&object("v1", kind, refused), message, &object("v1", kind, taken));
}

const STORAGE: &str = "storage.k8s.io/v1";
const PRIORITY: &str = "scheduling.k8s.io/v1";
const RBAC: &str = "rbac.authorization.k8s.io/v1";

#[rstest]
#[case::provisioner(
    STORAGE,
    "StorageClass",
    "parameters: {a: b}",
    "provisioner: kubernetes.io/no-provisioner",
    "StorageClass/x: it has no provisioner; add `provisioner: <provisioner>`"
)]
#[case::name_of_a_provisioner(
    STORAGE,
    "StorageClass",
    "provisioner: a b",
    "provisioner: Example.org/NFS",
    "provisioner: `a b` is not the name of a provisioner; write one with its domain, such as `example.org/nfs` or `kubernetes.io/no-provisioner`"
)]
#[case::reclaims(
    STORAGE,
    "StorageClass",
    "provisioner: a\nreclaimPolicy: Recycle",
    "provisioner: a\nreclaimPolicy: Retain",
    "reclaimPolicy: `Recycle` is none of its values; write Delete or Retain"
)]
#[case::binding(
    STORAGE,
    "StorageClass",
    "provisioner: a\nvolumeBindingMode: Late",
    "provisioner: a\nvolumeBindingMode: WaitForFirstConsumer",
    "volumeBindingMode: `Late` is none of its values; write Immediate or WaitForFirstConsumer"
)]
#[case::priority(
    PRIORITY,
    "PriorityClass",
    "value: 1000000001",
    "value: 1000000000",
    "value: 1000000001 is above 1000000000; lower it"
)]
#[case::addresses(
    "v1",
    "Endpoints",
    "subsets: [{ports: [{port: 80}]}]",
    "subsets: [{addresses: [{ip: 192.0.2.1}], ports: [{port: 80}]}]",
    "subsets[0]: it has neither addresses nor notReadyAddresses; add one of the two"
)]
#[case::loopback(
    "v1",
    "Endpoints",
    "subsets: [{addresses: [{ip: 127.0.0.1}]}]",
    "subsets: [{addresses: [{ip: 10.0.0.1}]}]",
    "ip: 127.0.0.1 is not an address that other machines reach; write the machine's own address"
)]
#[case::names_of_ports(
    "v1",
    "Endpoints",
    "subsets: [{addresses: [{ip: 192.0.2.1}], ports: [{name: a, port: 80}, {port: 81}]}]",
    "subsets: [{addresses: [{ip: 192.0.2.1}], ports: [{name: a, port: 80}, {name: b, port: 81}]}]",
    "subsets[0].ports: one of several ports has no name; add a name to each, such as `name: http`"
)]
#[case::family(
    "discovery.k8s.io/v1",
    "EndpointSlice",
    "endpoints: []",
    "addressType: IPv4\nendpoints: []",
    "EndpointSlice/x: it has no addressType; add `addressType`"
)]
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
#[case::account_of_no_namespace(
    RBAC,
    "ClusterRoleBinding",
    "roleRef: {kind: ClusterRole, name: a}\nsubjects: [{kind: ServiceAccount, name: a}]",
    "roleRef: {kind: ClusterRole, name: a}\nsubjects: [{kind: ServiceAccount, name: a, namespace: b}]",
    "subjects[a]: the ServiceAccount has no namespace; add `namespace: <namespace>`"
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
    "type: .dockerconfigjson is not a JSON object; write what `kubectl create secret docker-registry` makes, or remove the type"
)]
#[case::registries_in_base64(
    "v1",
    "Secret",
    "type: kubernetes.io/dockercfg\ndata: {.dockercfg: YWJj}",
    "type: kubernetes.io/dockercfg\ndata: {.dockercfg: e30=}",
    "type: .dockercfg is not a JSON object; write what `kubectl create secret docker-registry` makes, or remove the type"
)]
#[case::no_registries(
    "v1",
    "Secret",
    "type: kubernetes.io/dockercfg\ndata: {.dockercfg: W10=}",
    "type: kubernetes.io/dockercfg\ndata: {.dockercfg: bnVsbA==}",
    "type: .dockercfg is not a JSON object; write what `kubectl create secret docker-registry` makes, or remove the type"
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

/// Names that start with `system-` are Kubernetes' own.
#[test]
fn of_the_name_of_a_priority() {
    let named =
        |name: &str| document(PRIORITY, "PriorityClass", "value: 1").replace("{name: x}", &format!("{{name: {name}}}"));
    let message = "metadata.name: names that start with `system-` are Kubernetes' own; choose another name";
    assert_rule(&named("system-high"), message, &named("high"));
}
