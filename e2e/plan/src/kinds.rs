//! Kinds of objects as data: which take part in a plan, which are Kubernetes' own, which have no namespace.
//! Main function: [`role`].

use super::suggest::nearest;

/// What a kind means to a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Workload,
    Service,
    ConfigMap,
    Secret,
    /// No part in a plan: a cluster is given it as it is.
    Carried,
}

/// The kinds that take part in a plan, with the API version that is read.
const PLANNED: &[(&str, &str, Role)] = &[
    ("Deployment", "apps/v1", Role::Workload),
    ("StatefulSet", "apps/v1", Role::Workload),
    ("DaemonSet", "apps/v1", Role::Workload),
    ("ReplicaSet", "apps/v1", Role::Workload),
    ("ReplicationController", "v1", Role::Workload),
    ("Job", "batch/v1", Role::Workload),
    ("Pod", "v1", Role::Workload),
    ("Service", "v1", Role::Service),
    ("ConfigMap", "v1", Role::ConfigMap),
    ("Secret", "v1", Role::Secret),
];

/// The kinds that run pods.
pub(crate) const WITH_PODS: &[&str] =
    &["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "CronJob", "Pod"];

/// The API versions of workloads that no current cluster has.
const REMOVED: [&str; 3] = ["apps/v1beta1", "apps/v1beta2", "extensions/v1beta1"];

/// Other API versions that no current cluster has: the kind, or all of the version's; the release that removed it; what took its place.
/// From the deprecated API migration guide of Kubernetes.
const REMOVED_LATER: &[(&str, &str, &str, &str)] = &[
    ("admissionregistration.k8s.io/v1beta1", "MutatingWebhookConfiguration", "1.22", "admissionregistration.k8s.io/v1"),
    (
        "admissionregistration.k8s.io/v1beta1",
        "ValidatingWebhookConfiguration",
        "1.22",
        "admissionregistration.k8s.io/v1",
    ),
    ("apiextensions.k8s.io/v1beta1", "", "1.22", "apiextensions.k8s.io/v1"),
    ("apiregistration.k8s.io/v1beta1", "", "1.22", "apiregistration.k8s.io/v1"),
    ("autoscaling/v2beta1", "", "1.25", "autoscaling/v2"),
    ("autoscaling/v2beta2", "", "1.26", "autoscaling/v2"),
    ("batch/v1beta1", "", "1.25", "batch/v1"),
    ("batch/v2alpha1", "", "1.21", "batch/v1"),
    ("certificates.k8s.io/v1beta1", "CertificateSigningRequest", "1.22", "certificates.k8s.io/v1"),
    ("coordination.k8s.io/v1beta1", "Lease", "1.22", "coordination.k8s.io/v1"),
    ("discovery.k8s.io/v1beta1", "", "1.25", "discovery.k8s.io/v1"),
    ("extensions/v1beta1", "Ingress", "1.22", "networking.k8s.io/v1"),
    ("extensions/v1beta1", "NetworkPolicy", "1.16", "networking.k8s.io/v1"),
    ("extensions/v1beta1", "PodSecurityPolicy", "1.16", ""),
    ("flowcontrol.apiserver.k8s.io/v1beta1", "", "1.26", "flowcontrol.apiserver.k8s.io/v1"),
    ("flowcontrol.apiserver.k8s.io/v1beta2", "", "1.29", "flowcontrol.apiserver.k8s.io/v1"),
    ("flowcontrol.apiserver.k8s.io/v1beta3", "", "1.32", "flowcontrol.apiserver.k8s.io/v1"),
    ("networking.k8s.io/v1beta1", "Ingress", "1.22", "networking.k8s.io/v1"),
    ("networking.k8s.io/v1beta1", "IngressClass", "1.22", "networking.k8s.io/v1"),
    ("node.k8s.io/v1beta1", "", "1.25", "node.k8s.io/v1"),
    ("policy/v1beta1", "PodDisruptionBudget", "1.25", "policy/v1"),
    ("policy/v1beta1", "PodSecurityPolicy", "1.25", ""),
    ("rbac.authorization.k8s.io/v1alpha1", "", "1.22", "rbac.authorization.k8s.io/v1"),
    ("rbac.authorization.k8s.io/v1beta1", "", "1.22", "rbac.authorization.k8s.io/v1"),
    ("scheduling.k8s.io/v1alpha1", "PriorityClass", "1.22", "scheduling.k8s.io/v1"),
    ("scheduling.k8s.io/v1beta1", "PriorityClass", "1.22", "scheduling.k8s.io/v1"),
    ("storage.k8s.io/v1beta1", "CSIDriver", "1.22", "storage.k8s.io/v1"),
    ("storage.k8s.io/v1beta1", "CSINode", "1.22", "storage.k8s.io/v1"),
    ("storage.k8s.io/v1beta1", "CSIStorageCapacity", "1.27", "storage.k8s.io/v1"),
    ("storage.k8s.io/v1beta1", "StorageClass", "1.22", "storage.k8s.io/v1"),
    ("storage.k8s.io/v1beta1", "VolumeAttachment", "1.22", "storage.k8s.io/v1"),
];

/// What is said of an API version that only older clusters have; none where current ones have it.
pub(crate) fn removal(api_version: &str, kind: &str) -> Option<String> {
    let is_meant =
        |(version, of, ..): &&(&str, &str, &str, &str)| *version == api_version && (of.is_empty() || *of == kind);
    let (_, _, release, later) = REMOVED_LATER.iter().find(is_meant)?;
    let remedy =
        if later.is_empty() { "nothing took its place".to_owned() } else { format!("write `apiVersion: {later}`") };
    Some(format!("Kubernetes {release} removed `{api_version}`: only older clusters take it; {remedy}"))
}

/// The other kinds of groups that have no definitions, by the version in which they are written: a kind that stands nowhere here is misspelt.
const OWN_KINDS: &[(&str, &[&str])] = &[
    (
        "v1",
        &[
            "Binding",
            "Endpoints",
            "Event",
            "LimitRange",
            "Namespace",
            "Node",
            "PersistentVolume",
            "PersistentVolumeClaim",
            "PodTemplate",
            "ResourceQuota",
            "ServiceAccount",
        ],
    ),
    ("apps/v1", &["ControllerRevision"]),
    ("autoscaling/v2", &["HorizontalPodAutoscaler", "Scale"]),
    ("batch/v1", &["CronJob"]),
    ("policy/v1", &["Eviction", "PodDisruptionBudget", "PodSecurityPolicy"]),
    ("networking.k8s.io/v1", &["IPAddress", "Ingress", "IngressClass", "NetworkPolicy", "ServiceCIDR"]),
    ("rbac.authorization.k8s.io/v1", &["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]),
    ("extensions/v1beta1", &["Ingress", "NetworkPolicy", "PodSecurityPolicy"]),
];

/// The kinds of Kubernetes' own that belong to no namespace. Of other kinds a definition in the manifests or the cluster itself tells.
const WITHOUT_NAMESPACE: &[&str] = &[
    "APIService",
    "CSIDriver",
    "CSINode",
    "CertificateSigningRequest",
    "ClusterRole",
    "ClusterRoleBinding",
    "ClusterTrustBundle",
    "CustomResourceDefinition",
    "FlowSchema",
    "IngressClass",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PodSecurityPolicy",
    "PriorityClass",
    "PriorityLevelConfiguration",
    "RuntimeClass",
    "StorageClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
    "VolumeAttachment",
    "VolumeAttributesClass",
];

/// The group of an API version; empty for the core's.
#[must_use]
pub fn group(api_version: &str) -> &str {
    api_version.rsplit_once('/').map_or("", |(group, _)| group)
}

/// Whether a group is one of Kubernetes itself: those of definitions have a domain, and no other one than this.
#[must_use]
pub fn is_own_group(group: &str) -> bool {
    !group.contains('.') || group.ends_with(".k8s.io")
}

/// Whether a kind of Kubernetes' own belongs to no namespace.
pub(crate) fn is_cluster_scoped(api_version: &str, kind: &str) -> bool {
    is_own_group(group(api_version)) && WITHOUT_NAMESPACE.contains(&kind)
}

/// What is said of a kind from which a program makes the objects of a cluster, and the remedy; none of other kinds.
pub(crate) fn unrendered(api_version: &str, kind: &str) -> Option<(&'static str, &'static str)> {
    match (group(api_version), kind) {
        ("" | "template.openshift.io", "Template") => Some((
            "an OpenShift Template must be processed before it is a manifest",
            "process it: set `render = [\"oc\", \"process\", \"--local\", \"--filename\", \"FILE\"]` in .config/e2e.toml, with `\"--param\", \
             \"NAME=VALUE\"` for each parameter that needs a value",
        )),
        ("kustomize.config.k8s.io", "Kustomization" | "Component") => Some((
            "a kustomization is not a manifest, and is read only from a file named kustomization.yaml",
            "rename the file, and name its directory",
        )),
        _ => None,
    }
}

/// Why no cluster has a kind in an API version.
pub(crate) struct NoKind {
    /// The field at fault: `apiVersion` or `kind`.
    pub(crate) field: &'static str,
    pub(crate) message: String,
    pub(crate) remedy: String,
}

/// What a kind means to a plan.
///
/// # Errors
/// What is wrong with it where no cluster has this kind in this API version.
pub(crate) fn role(api_version: &str, kind: &str) -> Result<Role, NoKind> {
    let is_of_group = |version: &str| group(version) == group(api_version);
    if group(api_version).contains('.') && !OWN_KINDS.iter().any(|(version, _)| is_of_group(version)) {
        return Ok(Role::Carried);
    }
    match PLANNED.iter().find(|(known, ..)| *known == kind) {
        Some((_, version, role)) if *version == api_version => Ok(*role),
        Some((_, version, _)) => {
            let message = match REMOVED.contains(&api_version) {
                true => format!("Kubernetes 1.16 removed `{api_version}` of a {kind}"),
                false => format!("apiVersion `{api_version}` is not read for a {kind}"),
            };
            Err(NoKind { field: "apiVersion", message, remedy: format!("write `apiVersion: {version}`") })
        }
        None => {
            let versions = || OWN_KINDS.iter().filter(|(_, kinds)| kinds.contains(&kind)).map(|(version, _)| *version);
            if versions().any(is_of_group) {
                return Ok(Role::Carried);
            }
            let known =
                PLANNED.iter().map(|(kind, ..)| *kind).chain(OWN_KINDS.iter().flat_map(|(_, kinds)| *kinds).copied());
            let remedy = match (versions().next(), nearest(kind, known)) {
                (Some(version), _) => format!("write `apiVersion: {version}`"),
                (None, Some(near)) => format!("did you mean `{near}`?"),
                (None, None) => {
                    "if the file belongs to another program, move it out of the manifests; the apiVersion of a custom \
                                 resource has its group, such as `apiVersion: example.org/v1`"
                        .to_owned()
                }
            };
            let message = format!("apiVersion `{api_version}` has no kind `{kind}`");
            Err(NoKind { field: "kind", message, remedy })
        }
    }
}

/// The API version in which a kind is read, as an example for a document that has none.
pub(crate) fn version_of(kind: &str) -> &'static str {
    PLANNED.iter().find(|(known, ..)| *known == kind).map_or("v1", |(_, version, _)| version)
}
