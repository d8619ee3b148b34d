//! Which fields every target honours, and what happens to the others. `pod` stands for `spec.template.spec`, and init
//! containers count as containers. A field in neither table has no effect outside a cluster, and is reported so.

/// Fields that every target honours with all that is below them, or that say nothing about what runs.
pub(super) const HONOURED: &[&str] = &[
    "apiVersion",
    "binaryData",
    "data",
    "immutable",
    "kind",
    "metadata.creationTimestamp",
    "metadata.labels",
    "metadata.name",
    "pod.containers[].args",
    "pod.containers[].command",
    "pod.containers[].env[].name",
    "pod.containers[].env[].value",
    "pod.containers[].env[].valueFrom.configMapKeyRef",
    "pod.containers[].env[].valueFrom.fieldRef.apiVersion",
    "pod.containers[].env[].valueFrom.resourceFieldRef",
    "pod.containers[].env[].valueFrom.secretKeyRef",
    "pod.containers[].envFrom",
    "pod.containers[].image",
    "pod.containers[].lifecycle.postStart",
    "pod.containers[].lifecycle.preStop",
    "pod.containers[].livenessProbe",
    "pod.containers[].name",
    "pod.containers[].ports[].containerPort",
    "pod.containers[].ports[].name",
    "pod.containers[].readinessProbe",
    "pod.containers[].resources.requests.cpu",
    "pod.containers[].resources.requests.memory",
    "pod.containers[].startupProbe",
    "pod.containers[].volumeMounts[].mountPath",
    "pod.containers[].volumeMounts[].name",
    "pod.containers[].volumeMounts[].readOnly",
    "pod.containers[].restartPolicy",
    "pod.containers[].volumeMounts[].subPath",
    "pod.containers[].volumeMounts[].subPathExpr",
    "pod.containers[].workingDir",
    "pod.enableServiceLinks",
    "pod.terminationGracePeriodSeconds",
    "pod.restartPolicy",
    "pod.volumes[].configMap",
    "pod.volumes[].downwardAPI",
    "pod.volumes[].name",
    "pod.volumes[].projected.defaultMode",
    "pod.volumes[].projected.sources[].configMap",
    "pod.volumes[].projected.sources[].downwardAPI",
    "pod.volumes[].projected.sources[].secret",
    "pod.volumes[].secret",
    "spec.backoffLimit",
    "spec.completions",
    "spec.ports[].appProtocol",
    "spec.ports[].name",
    "spec.ports[].port",
    "spec.ports[].protocol",
    "spec.ports[].targetPort",
    "spec.publishNotReadyAddresses",
    "spec.replicas",
    "spec.serviceName",
    "spec.selector",
    "spec.suspend",
    "spec.template.metadata",
    "status",
    "stringData",
    "type",
];

/// Annotations that people alone read, or kubectl writes for itself.
pub(super) const DESCRIBING: &[&str] = &[
    "deployment.kubernetes.io/revision",
    "description",
    "kubectl.kubernetes.io/last-applied-configuration",
    "kubernetes.io/change-cause",
    "kubernetes.io/description",
];

/// What becomes of a field on each target; nothing to say where it is honoured.
pub(super) struct Rule {
    pub(super) path: &'static str,
    pub(super) unless: Unless,
    pub(super) docker: Option<&'static str>,
    pub(super) local: Option<&'static str>,
    pub(super) k8s: Option<&'static str>,
}

/// Values for which the rule says nothing.
pub(super) enum Unless {
    Never,
    Text(&'static [&'static str]),
    /// Every text but these.
    TextIsNot(&'static [&'static str]),
    Bool(bool),
    /// Every container has a `runAsUser`.
    UserIsSet,
    InMemory,
    /// As many pods at once as the Job has in all.
    AllAtOnce,
}

/// A rule for the two targets without a cluster.
const fn without_cluster(path: &'static str, reason: &'static str) -> Rule {
    Rule { path, unless: Unless::Never, docker: Some(reason), local: Some(reason), k8s: None }
}

/// A rule for plain processes.
const fn local(path: &'static str, reason: &'static str) -> Rule {
    Rule { path, unless: Unless::Never, docker: None, local: Some(reason), k8s: None }
}

impl Rule {
    const fn unless(mut self, unless: Unless) -> Self {
        self.unless = unless;
        self
    }
}

const ONE_MACHINE: &str = "everything runs on one machine, so nothing is scheduled";
const NO_API: &str = "there is no Kubernetes API for pods";
const NO_ROLLOUT: &str = "the replicas start together, and nothing is rolled out";
pub(super) const OWN_NAMESPACE: &str = "every run has its own namespace";
const CLAIM: &str = "an empty directory replaces the claim; its data ends with the run";
const EPHEMERAL: &str = "an empty directory replaces the claim; its data ends with the pod";
/// Of every kind of volume without a rule of its own.
pub(super) const EMPTY: &str = "replaced by an empty directory; its data ends with the run";
const NOT_PUBLISHED: &str = "the Service is reached at a free port of 127.0.0.1 instead";
const PLAIN_PROCESS: &str = "not enforced for plain processes";

pub(super) const RULES: &[Rule] = &[
    Rule {
        path: "metadata.annotations.e2e/generate",
        unless: Unless::Never,
        docker: None,
        local: None,
        k8s: Some("the values are generated for each run; `kubectl apply` alone leaves the keys without a value"),
    },
    Rule {
        path: "metadata.namespace",
        unless: Unless::Never,
        docker: Some(OWN_NAMESPACE),
        local: Some(OWN_NAMESPACE),
        k8s: Some(OWN_NAMESPACE),
    },
    // Workloads.
    without_cluster("spec.activeDeadlineSeconds", "the pods have no time limit"),
    without_cluster("spec.completionMode", "the pods get no completion index").unless(Unless::Text(&["NonIndexed"])),
    without_cluster("spec.minReadySeconds", NO_ROLLOUT),
    without_cluster("spec.parallelism", "all pods start together").unless(Unless::AllAtOnce),
    without_cluster("spec.paused", NO_ROLLOUT),
    without_cluster("spec.podManagementPolicy", NO_ROLLOUT).unless(Unless::Text(&["Parallel"])),
    without_cluster("spec.progressDeadlineSeconds", NO_ROLLOUT),
    without_cluster("spec.revisionHistoryLimit", NO_ROLLOUT),
    without_cluster("spec.strategy", NO_ROLLOUT),
    without_cluster("spec.ttlSecondsAfterFinished", "ended pods stay until the run ends"),
    without_cluster("spec.updateStrategy", NO_ROLLOUT),
    without_cluster("spec.volumeClaimTemplates", CLAIM),
    // Pods.
    without_cluster("pod.affinity", ONE_MACHINE),
    without_cluster("pod.automountServiceAccountToken", NO_API).unless(Unless::Bool(false)),
    without_cluster("pod.nodeName", ONE_MACHINE),
    without_cluster("pod.nodeSelector", ONE_MACHINE),
    without_cluster("pod.priorityClassName", ONE_MACHINE),
    without_cluster("pod.schedulerName", ONE_MACHINE),
    without_cluster("pod.serviceAccount", NO_API),
    without_cluster("pod.serviceAccountName", NO_API),
    without_cluster("pod.tolerations", ONE_MACHINE),
    without_cluster("pod.topologySpreadConstraints", ONE_MACHINE),
    Rule {
        path: "pod.imagePullSecrets",
        unless: Unless::Never,
        docker: Some("images are pulled without a login; run `docker pull` for a private one first"),
        local: None,
        k8s: None,
    },
    // Security. Docker's containers have a default seccomp profile of their own.
    without_cluster("pod.securityContext.fsGroup", "volumes belong to the user of the container"),
    local("pod.securityContext.runAsGroup", PLAIN_PROCESS),
    without_cluster("pod.securityContext.runAsNonRoot", "the image's user is not checked").unless(Unless::UserIsSet),
    local("pod.securityContext.runAsUser", PLAIN_PROCESS),
    local("pod.securityContext.seccompProfile.type", PLAIN_PROCESS),
    local("pod.containers[].securityContext.allowPrivilegeEscalation", PLAIN_PROCESS).unless(Unless::Bool(true)),
    local("pod.containers[].securityContext.capabilities", PLAIN_PROCESS),
    local("pod.containers[].securityContext.privileged", PLAIN_PROCESS).unless(Unless::Bool(false)),
    local("pod.containers[].securityContext.readOnlyRootFilesystem", PLAIN_PROCESS).unless(Unless::Bool(false)),
    local("pod.containers[].securityContext.runAsGroup", PLAIN_PROCESS),
    without_cluster("pod.containers[].securityContext.runAsNonRoot", "the image's user is not checked")
        .unless(Unless::UserIsSet),
    local("pod.containers[].securityContext.runAsUser", PLAIN_PROCESS),
    local("pod.containers[].securityContext.seccompProfile.type", PLAIN_PROCESS),
    // Containers.
    Rule {
        path: "pod.containers[].imagePullPolicy",
        unless: Unless::Text(&["IfNotPresent"]),
        docker: Some("an image is pulled only if the engine does not have it"),
        local: None,
        k8s: None,
    },
    local(
        "pod.containers[].env[].valueFrom.fieldRef.fieldPath",
        "the address is fictitious: probes name it, but nothing can listen on it or connect to it",
    )
    .unless(Unless::TextIsNot(&["status.podIP", "status.podIPs"])),
    local("pod.containers[].ports[].protocol", "only TCP is carried between components").unless(Unless::Text(&["TCP"])),
    local("pod.containers[].resources.limits.cpu", PLAIN_PROCESS),
    local("pod.containers[].resources.limits.memory", "enforced by sampling, so only approximately"),
    // Volumes.
    local("pod.volumes[].emptyDir.medium", "the directory is on disk, and its size is not limited")
        .unless(Unless::Text(&[""])),
    without_cluster("pod.volumes[].emptyDir.sizeLimit", "the directory's size is not limited").unless(Unless::InMemory),
    without_cluster("pod.volumes[].ephemeral", EPHEMERAL),
    without_cluster("pod.volumes[].hostPath", "replaced by an empty directory: pods never see this machine's files"),
    without_cluster("pod.volumes[].persistentVolumeClaim", CLAIM),
    without_cluster("pod.volumes[].projected.sources[].clusterTrustBundle", NO_API),
    without_cluster("pod.volumes[].projected.sources[].podCertificate", NO_API),
    without_cluster("pod.volumes[].projected.sources[].serviceAccountToken", NO_API),
    // Services.
    without_cluster("spec.clusterIP", "the engine or the system chooses the address")
        .unless(Unless::Text(&["None", ""])),
    without_cluster(
        "spec.externalName",
        "in a cluster the Service's name is an alias of this host; pods here cannot resolve it: use the host's own name",
    ),
    without_cluster("spec.ports[].nodePort", NOT_PUBLISHED),
    without_cluster("spec.sessionAffinity", "each connection is balanced on its own").unless(Unless::Text(&["None"])),
    without_cluster("spec.type", NOT_PUBLISHED).unless(Unless::Text(&["ClusterIP", "ExternalName"])),
];
