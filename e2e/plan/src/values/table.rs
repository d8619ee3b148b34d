//! The rules of `pkg/apis/*/validation` as data, by kinds and by paths as in the table of warnings.

mod carried;

use self::carried::*;
use super::{
    Rule::{self, Absent, Has, Is, Labels, Name, One, OneOf, That, Unique, Within},
    relations,
};
use crate::{forms::*, kinds::WITH_PODS};

const NOT_NEGATIVE: Rule = Within(0, i32::MAX as i64);
const POSITIVE: Rule = Within(1, i32::MAX as i64);
const PORT: Rule = Within(1, 65535);
const MODE: Rule = That(relations::mode);
const PROTOCOLS: Rule = OneOf(&["TCP", "UDP", "SCTP"]);
const TRAFFIC: Rule = OneOf(&["Cluster", "Local"]);

/// Rules of a path; one that starts with `*` stands for every path with this end.
pub(super) type Rules = &'static [(&'static str, Rule)];

/// What holds of every object, whoever defines its kind.
pub(super) const METADATA: Rules = &[
    ("metadata.annotations", Rule::Keys(QUALIFIED)),
    ("metadata.labels", Labels),
    ("metadata.namespace", Name { dots: false }),
    ("metadata.ownerReferences[]", Has(&["apiVersion", "kind", "name", "uid"])),
];

/// What holds of every object of Kubernetes' own kinds.
pub(super) const OWN: Rules = &[("metadata.finalizers[]", Is(FINALIZER))];

/// The kinds whose names may be any part of a URL.
pub(super) const FREELY_NAMED: [&str; 5] =
    ["ClusterRole", "ClusterRoleBinding", "PodDisruptionBudget", "Role", "RoleBinding"];

/// Rules of kinds of Kubernetes' own.
pub(super) const TABLES: &[(&[&str], Rules)] = &[
    (WITH_PODS, SELECTORS),
    (&["NetworkPolicy", "PersistentVolumeClaim", "PodDisruptionBudget"], SELECTORS),
    (&["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController"], KEPT),
    (&["Deployment"], DEPLOYMENT),
    (&["StatefulSet"], STATEFUL_SET),
    (&["DaemonSet"], DAEMON_SET),
    (&["Job"], JOB),
    (&["CronJob"], CRON_JOB),
    (&["Job", "CronJob"], JOBS),
    (WITH_PODS, POD),
    (WITH_PODS, SOURCES),
    (&["PersistentVolume"], SOURCES),
    (&["Service"], SERVICE),
    (&["ConfigMap"], &[("", That(relations::config_map))]),
    (&["Secret"], &[("", That(relations::secret))]),
    (&["Ingress"], INGRESS),
    (&["NetworkPolicy"], NETWORK_POLICY),
    (&["HorizontalPodAutoscaler"], AUTOSCALER),
    (&["PodDisruptionBudget"], BUDGET),
    (&["PersistentVolumeClaim"], CLAIM),
    (&["PersistentVolume"], VOLUME),
    (&["ResourceQuota"], QUOTA),
    (&["LimitRange"], LIMITS),
    (&["Role", "ClusterRole"], ROLE),
    (&["Role"], NAMESPACED_ROLE),
    (&["RoleBinding", "ClusterRoleBinding"], BINDING),
    (&["RoleBinding"], &[("roleRef.kind", OneOf(&["Role", "ClusterRole"]))]),
    (&["ClusterRoleBinding"], CLUSTER_ROLE_BINDING),
    (&["Endpoints"], ENDPOINTS),
    (&["EndpointSlice"], SLICE),
    (&["StorageClass"], STORAGE_CLASS),
    (&["PriorityClass"], PRIORITY_CLASS),
];

/// Selectors of labels, wherever they stand.
const SELECTORS: Rules = &[
    ("*.matchLabels", Labels),
    ("*.matchExpressions[]", Has(&["key", "operator"])),
    ("*.matchExpressions[]", That(relations::expression)),
    ("*.matchExpressions[].key", Is(QUALIFIED)),
];

/// Operators of selectors that know no numbers.
const OPERATORS: Rule = OneOf(&["In", "NotIn", "Exists", "DoesNotExist"]);
/// Operators of selectors of nodes.
const NODE_OPERATORS: Rule = OneOf(&["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]);

const KEPT: Rules = &[
    ("pod.activeDeadlineSeconds", Absent("a pod that is kept has no deadline", "remove it, or write a Job")),
    ("spec.minReadySeconds", NOT_NEGATIVE),
    ("spec.selector.matchExpressions[].operator", OPERATORS),
];

const DEPLOYMENT: Rules = &[
    ("spec", That(relations::progress)),
    ("spec.progressDeadlineSeconds", NOT_NEGATIVE),
    ("spec.revisionHistoryLimit", NOT_NEGATIVE),
    ("spec.strategy", That(relations::rollout)),
    ("spec.strategy.rollingUpdate", That(relations::steps)),
    ("spec.strategy.rollingUpdate.maxSurge", That(relations::amount)),
    ("spec.strategy.rollingUpdate.maxUnavailable", That(relations::part)),
    ("spec.strategy.type", OneOf(&["RollingUpdate", "Recreate"])),
];

const STATEFUL_SET: Rules = &[
    ("spec.podManagementPolicy", OneOf(&["OrderedReady", "Parallel"])),
    ("spec.updateStrategy", That(relations::rollout)),
    ("spec.updateStrategy.rollingUpdate.maxUnavailable", That(relations::part)),
    ("spec.updateStrategy.rollingUpdate.partition", NOT_NEGATIVE),
    ("spec.updateStrategy.type", OneOf(&["RollingUpdate", "OnDelete"])),
    ("spec.volumeClaimTemplates[].spec.resources.requests.storage", Is(QUANTITY)),
];

const DAEMON_SET: Rules = &[
    ("spec.revisionHistoryLimit", NOT_NEGATIVE),
    ("spec.updateStrategy.rollingUpdate", That(relations::node_steps)),
    ("spec.updateStrategy.rollingUpdate.maxSurge", That(relations::amount)),
    ("spec.updateStrategy.rollingUpdate.maxUnavailable", That(relations::part)),
    ("spec.updateStrategy.type", OneOf(&["RollingUpdate", "OnDelete"])),
];

const JOB: Rules = &[
    ("", Has(&["spec"])),
    ("", That(relations::job_name)),
    ("", That(relations::job_selector)),
    ("spec", Has(&["template"])),
    ("spec", That(relations::job)),
    ("spec.completionMode", OneOf(&["Indexed", "NonIndexed"])),
];

const CRON_JOB: Rules = &[
    ("", Has(&["spec"])),
    ("metadata.name", That(relations::cron_job_name)),
    ("spec", Has(&["schedule"])),
    ("spec.concurrencyPolicy", OneOf(&["Allow", "Forbid", "Replace"])),
    ("spec.failedJobsHistoryLimit", NOT_NEGATIVE),
    ("spec.jobTemplate.spec", That(relations::job)),
    ("spec.jobTemplate.spec", That(relations::made_job)),
    ("spec.schedule", Is(SCHEDULE)),
    ("spec.startingDeadlineSeconds", NOT_NEGATIVE),
    ("spec.successfulJobsHistoryLimit", NOT_NEGATIVE),
];

/// Of a Job, and of what a CronJob makes.
const JOBS: Rules = &[
    ("*spec.activeDeadlineSeconds", NOT_NEGATIVE),
    ("*spec.backoffLimit", NOT_NEGATIVE),
    ("*spec.completions", NOT_NEGATIVE),
    ("*spec.parallelism", NOT_NEGATIVE),
    ("*spec.ttlSecondsAfterFinished", NOT_NEGATIVE),
];

const POD: Rules = &[
    ("*spec.template.metadata.annotations", Rule::Keys(QUALIFIED)),
    ("*spec.template.metadata.labels", Labels),
    ("pod", That(relations::pod)),
    ("pod.activeDeadlineSeconds", POSITIVE),
    ("pod.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[]", Has(&["weight"])),
    ("pod.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution", Has(&["nodeSelectorTerms"])),
    ("pod.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[]", Has(&["topologyKey"])),
    ("pod.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[]", Has(&["weight", "podAffinityTerm"])),
    ("pod.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[]", Has(&["topologyKey"])),
    (
        "pod.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[]",
        Has(&["weight", "podAffinityTerm"]),
    ),
    ("*DuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[].matchExpressions[].operator", NODE_OPERATORS),
    ("*[].preference.matchExpressions[].operator", NODE_OPERATORS),
    ("*.labelSelector.matchExpressions[].operator", OPERATORS),
    ("*DuringExecution[].weight", Within(1, 100)),
    ("*.podAffinityTerm", Has(&["topologyKey"])),
    ("*DuringExecution[].topologyKey", Is(QUALIFIED)),
    ("*.podAffinityTerm.topologyKey", Is(QUALIFIED)),
    ("pod.dnsConfig.nameservers[]", Is(ADDRESS)),
    ("pod.dnsConfig.options[]", Has(&["name"])),
    ("pod.dnsPolicy", OneOf(&["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"])),
    ("pod.hostAliases[]", Has(&["ip"])),
    ("pod.hostAliases[].hostnames[]", Name { dots: true }),
    ("pod.hostAliases[].ip", Is(ADDRESS)),
    ("pod.hostname", Name { dots: false }),
    ("pod.nodeName", Name { dots: true }),
    ("pod.nodeSelector", Labels),
    ("pod.overhead", Rule::Values(QUANTITY)),
    ("pod.preemptionPolicy", OneOf(&["PreemptLowerPriority", "Never"])),
    ("pod.priorityClassName", Name { dots: true }),
    ("pod.readinessGates[]", Has(&["conditionType"])),
    ("pod.readinessGates[].conditionType", Is(QUALIFIED)),
    ("pod.runtimeClassName", Name { dots: true }),
    ("pod.securityContext.fsGroup", NOT_NEGATIVE),
    ("pod.securityContext.fsGroupChangePolicy", OneOf(&["OnRootMismatch", "Always"])),
    ("pod.securityContext.supplementalGroups[]", NOT_NEGATIVE),
    ("pod.securityContext.sysctls", Unique(&["name"])),
    ("pod.securityContext.sysctls[]", Has(&["name"])),
    ("pod.securityContext.sysctls[].name", Is(SYSCTL)),
    ("*.seccompProfile", Has(&["type"])),
    ("*.seccompProfile", That(relations::seccomp)),
    ("*.seccompProfile.type", OneOf(&["RuntimeDefault", "Localhost", "Unconfined"])),
    ("pod.serviceAccountName", Name { dots: true }),
    ("pod.subdomain", Name { dots: false }),
    ("pod.tolerations[]", That(relations::toleration)),
    ("pod.tolerations[].effect", OneOf(&["NoSchedule", "PreferNoSchedule", "NoExecute"])),
    ("pod.tolerations[].key", Is(QUALIFIED)),
    ("pod.tolerations[].operator", OneOf(&["Exists", "Equal", "Lt", "Gt"])),
    ("pod.tolerations[].value", Is(LABEL_VALUE)),
    ("pod.topologySpreadConstraints", Unique(&["topologyKey", "whenUnsatisfiable"])),
    ("pod.topologySpreadConstraints[]", Has(&["maxSkew", "topologyKey", "whenUnsatisfiable"])),
    ("pod.topologySpreadConstraints[].maxSkew", POSITIVE),
    ("pod.topologySpreadConstraints[].whenUnsatisfiable", OneOf(&["DoNotSchedule", "ScheduleAnyway"])),
    // Volumes.
    ("pod.volumes[].configMap", Has(&["name"])),
    ("pod.volumes[].csi", Has(&["driver"])),
    ("pod.volumes[].ephemeral.volumeClaimTemplate.spec", Has(&["accessModes", "resources"])),
    (
        "pod.volumes[].hostPath.type",
        OneOf(&["DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"]),
    ),
    ("pod.volumes[].persistentVolumeClaim", Has(&["claimName"])),
    ("pod.volumes[].projected.sources[].configMap", Has(&["name"])),
    ("pod.volumes[].projected.sources[].secret", Has(&["name"])),
    ("pod.volumes[].projected.sources[].serviceAccountToken", Has(&["path"])),
    // Ten minutes to 2^32 seconds.
    ("pod.volumes[].projected.sources[].serviceAccountToken.expirationSeconds", Within(600, 1 << 32)),
    ("pod.volumes[].secret", Has(&["secretName"])),
    ("*.defaultMode", MODE),
    ("*.configMap.items[]", Has(&["key", "path"])),
    ("*.secret.items[]", Has(&["key", "path"])),
    ("*.downwardAPI.items[]", Has(&["path"])),
    ("*.items[].mode", MODE),
    ("*.items[].path", Is(INSIDE)),
    // Containers.
    ("pod.containers[].env[].valueFrom.configMapKeyRef", Has(&["name", "key"])),
    ("pod.containers[].env[].valueFrom.configMapKeyRef.key", Is(DATA_KEY)),
    ("pod.containers[].env[].valueFrom.configMapKeyRef.name", Name { dots: true }),
    ("pod.containers[].env[].valueFrom.fieldRef.apiVersion", OneOf(&["v1"])),
    ("pod.containers[].env[].valueFrom.secretKeyRef", Has(&["name", "key"])),
    ("pod.containers[].env[].valueFrom.secretKeyRef.key", Is(DATA_KEY)),
    ("pod.containers[].env[].valueFrom.secretKeyRef.name", Name { dots: true }),
    ("pod.containers[].envFrom[].configMapRef", Has(&["name"])),
    ("pod.containers[].envFrom[].configMapRef.name", Name { dots: true }),
    ("pod.containers[].envFrom[].secretRef", Has(&["name"])),
    ("pod.containers[].envFrom[].secretRef.name", Name { dots: true }),
    ("pod.containers[].image", Is(TRIMMED)),
    ("pod.containers[].imagePullPolicy", OneOf(&["Always", "IfNotPresent", "Never"])),
    ("*.httpGet.httpHeaders[]", Has(&["name"])),
    ("*.httpGet.httpHeaders[].name", Is(HEADER)),
    ("pod.containers[].ports[].hostPort", Within(0, 65535)),
    ("pod.containers[].ports[].name", Is(PORT_NAME)),
    ("pod.containers[].ports[].protocol", PROTOCOLS),
    ("pod.containers[].resources", That(relations::resources)),
    ("pod.containers[].securityContext", That(relations::security)),
    ("pod.containers[].terminationMessagePolicy", OneOf(&["File", "FallbackToLogsOnError"])),
    ("pod.containers[].volumeMounts[].mountPropagation", OneOf(&["None", "HostToContainer", "Bidirectional"])),
];

/// Where volumes come from, in a pod and as a PersistentVolume.
const SOURCES: Rules = &[
    ("*.awsElasticBlockStore", Has(&["volumeID"])),
    ("*.azureDisk", Has(&["diskName", "diskURI"])),
    ("*.azureFile", Has(&["secretName", "shareName"])),
    ("*.cephfs", Has(&["monitors"])),
    ("*.cinder", Has(&["volumeID"])),
    ("*.fc", One(&["targetWWNs", "wwids"])),
    ("*.flexVolume", Has(&["driver"])),
    ("*.gcePersistentDisk", Has(&["pdName"])),
    ("*.gitRepo", Has(&["repository"])),
    ("*.glusterfs", Has(&["endpoints", "path"])),
    ("*.hostPath", Has(&["path"])),
    ("*.hostPath.path", Is(WITHIN_ROOT)),
    ("*.iscsi", Has(&["targetPortal", "iqn"])),
    ("*.nfs", Has(&["server", "path"])),
    ("*.nfs.path", Is(ABSOLUTE)),
    ("*.rbd", Has(&["monitors", "image"])),
    ("*.vsphereVolume", Has(&["volumePath"])),
];

const SERVICE: Rules = &[
    ("spec", That(relations::service)),
    ("spec.clusterIP", Is(CLUSTER_ADDRESS)),
    ("spec.externalIPs[]", Is(ADDRESS)),
    ("spec.externalName", Is(DOMAIN)),
    ("spec.externalTrafficPolicy", TRAFFIC),
    ("spec.internalTrafficPolicy", TRAFFIC),
    ("spec.ipFamilyPolicy", OneOf(&["SingleStack", "PreferDualStack", "RequireDualStack"])),
    ("spec.loadBalancerSourceRanges[]", Is(NETWORK)),
    ("spec.ports[].appProtocol", Is(QUALIFIED)),
    ("spec.ports[].protocol", PROTOCOLS),
    ("spec.ports[].targetPort", That(relations::target_port)),
    ("spec.selector", Labels),
    ("spec.sessionAffinity", OneOf(&["None", "ClientIP"])),
    ("spec.sessionAffinityConfig.clientIP.timeoutSeconds", Within(1, 86400)),
    ("spec.type", OneOf(&["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"])),
];
