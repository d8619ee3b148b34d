//! What the kinds of workloads have in common: a template of pods, how many of them, and what becomes of those that end.
//! Main type: [`Workload`].

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
        batch::v1::{CronJob, Job},
        core::v1::{Pod, PodTemplateSpec, ReplicationController},
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};

use super::pod::Restart;

/// Kubernetes's default for a Job's `backoffLimit`.
const DEFAULT_BACKOFF_LIMIT: i32 = 6;

/// The kinds that say with a selector which pods are their own.
pub(crate) const NEED_SELECTOR: &[&str] = &["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"];

pub(crate) struct Workload {
    pub(crate) template: PodTemplateSpec,
    /// How many pods, where the object says it.
    pub(crate) replicas: Option<i32>,
    pub(crate) selector: Selector,
    pub(crate) restarts: Restarts,
    /// A StatefulSet's `serviceName`.
    pub(crate) governed_by: Option<String>,
}

/// How a workload says which pods are its own.
pub(crate) enum Selector {
    /// It must, and its pods must have these labels.
    Needed(LabelSelector),
    /// It may, by labels alone; its pods' labels count where it does not.
    Labels(BTreeMap<String, String>),
    /// The cluster chooses one.
    Made,
}

/// What may become of pods that end.
pub(crate) enum Restarts {
    /// They are always started again.
    Always,
    /// As the pod says.
    AsThePodSays,
    /// They run to completion, started again after this many failures at most.
    Until { failures: i32 },
}

impl Restarts {
    /// What a pod's `restartPolicy` means here; none for one that is not allowed.
    pub(crate) fn of(&self, policy: Option<&str>) -> Option<Restart> {
        let failures = |limit: i32| Some(u32::try_from(limit).unwrap_or_default());
        match (self, policy) {
            (Self::Always | Self::AsThePodSays, None | Some("Always" | "")) => Some(Restart::Always),
            (Self::AsThePodSays, Some("OnFailure")) => Some(Restart::OnFailure { failures_max: None }),
            (Self::AsThePodSays, Some("Never")) => Some(Restart::Never),
            (Self::Until { failures: limit }, Some("OnFailure" | "Never")) => {
                Some(Restart::OnFailure { failures_max: failures(*limit) })
            }
            _ => None,
        }
    }

    pub(crate) fn allowed(&self) -> &'static str {
        match self {
            Self::Always => "write Always, or remove the field",
            Self::AsThePodSays => "write Always, OnFailure or Never",
            Self::Until { .. } => "write OnFailure or Never",
        }
    }
}

/// The keys from an object of a kind that has pods to their spec.
pub fn pod_keys(kind: &str) -> &'static [&'static str] {
    match kind {
        "Pod" => &["spec"],
        "PodTemplate" => &["template", "spec"],
        "CronJob" => &["spec", "jobTemplate", "spec", "template", "spec"],
        _ => &["spec", "template", "spec"],
    }
}

impl Workload {
    /// Pods that are always started again.
    fn kept(template: PodTemplateSpec, replicas: Option<i32>, selector: Selector) -> Self {
        Self { template, replicas, selector, restarts: Restarts::Always, governed_by: None }
    }
}

impl From<Deployment> for Workload {
    fn from(Deployment { spec, .. }: Deployment) -> Self {
        Self::kept(spec.template, spec.replicas, Selector::Needed(spec.selector))
    }
}

impl From<StatefulSet> for Workload {
    fn from(StatefulSet { spec, .. }: StatefulSet) -> Self {
        let governed_by = spec.service_name.filter(|name| !name.is_empty());
        Self { governed_by, ..Self::kept(spec.template, spec.replicas, Selector::Needed(spec.selector)) }
    }
}

impl From<ReplicaSet> for Workload {
    fn from(ReplicaSet { spec, .. }: ReplicaSet) -> Self {
        Self::kept(spec.template.unwrap_or_default(), spec.replicas, Selector::Needed(spec.selector))
    }
}

impl From<DaemonSet> for Workload {
    fn from(DaemonSet { spec, .. }: DaemonSet) -> Self {
        Self::kept(spec.template, None, Selector::Needed(spec.selector))
    }
}

impl From<ReplicationController> for Workload {
    fn from(ReplicationController { spec, .. }: ReplicationController) -> Self {
        let spec = spec.unwrap_or_default();
        let selector = Selector::Labels(spec.selector.unwrap_or_default());
        Self::kept(spec.template.unwrap_or_default(), spec.replicas, selector)
    }
}

impl From<Job> for Workload {
    fn from(workload: Job) -> Self {
        let spec = workload.spec.unwrap_or_default();
        // Without a number of completions one success is enough, however many pods try for it.
        let replicas = match spec.suspend {
            Some(true) => 0,
            _ => spec.completions.or(spec.parallelism).unwrap_or(1),
        };
        let failures = spec.backoff_limit.unwrap_or(DEFAULT_BACKOFF_LIMIT);
        let restarts = Restarts::Until { failures };
        Self {
            template: spec.template,
            replicas: Some(replicas),
            selector: Selector::Made,
            restarts,
            governed_by: None,
        }
    }
}

impl From<CronJob> for Workload {
    /// One Job of it.
    fn from(workload: CronJob) -> Self {
        let template = workload.spec.job_template;
        Job { metadata: template.metadata.unwrap_or_default(), spec: template.spec, status: None }.into()
    }
}

impl From<Pod> for Workload {
    fn from(workload: Pod) -> Self {
        let template = PodTemplateSpec { metadata: Some(workload.metadata), spec: workload.spec };
        Self { template, replicas: None, selector: Selector::Made, restarts: Restarts::AsThePodSays, governed_by: None }
    }
}
