//! Something that is wrong, of what kind, and how bad. Main type: [`Finding`].

use std::fmt;

use e2e_kubelet::diagnosis::Cause;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that is wrong, with its proof and its remedy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// What kind: see [`Code`].
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// The component, when it is about one.
    pub component: Option<String>,
    /// One sentence with figures.
    pub claim: String,
    /// Files of the run directory that prove it, with a JSON pointer where it helps.
    pub evidence: Vec<String>,
    /// What to do.
    pub fix: String,
    /// Last lines of a log, or a patch, shown as they are.
    pub excerpt: Option<String>,
}

impl Finding {
    /// Whether it says why the run failed. A warning of the same kind is advice: whoever made the system may want it so.
    pub(crate) fn is_proven_cause(&self) -> bool {
        self.severity == Severity::Error && self.code.is_cause()
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The verdict is fail.
    Error,
    /// Something was not measured, so the verdict is incomplete at best.
    Gap,
    /// Worth knowing; the verdict does not depend on it.
    Warning,
}

/// What kind a finding is: a word in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// A key that a client was told is stored is not.
    AcknowledgedMissing,
    /// A key is stored more than once.
    StoredTwice,
    /// A component has no replicas, so nobody serves its name.
    NoReplicas,
    /// A probe cannot be carried out, or its answer breaks off, and a kubelet counts that for nothing.
    ProbeErrored,
    /// A container used more memory than its limit.
    OomKilled,
    /// A component in trouble had used up its memory limit, and was not killed for it.
    MemoryAtLimit,
    /// The kernel held a component back at its CPU limit.
    CpuThrottled,
    /// A container's program ended by itself.
    Crashed,
    /// The image of a container cannot be had.
    ImageUnavailable,
    /// A Secret or ConfigMap that a pod refers to is not there.
    ConfigMissing,
    /// A volume cannot be mounted.
    MountFailed,
    /// No node can take a pod.
    Unschedulable,
    /// A quota or a policy of the cluster refuses a pod.
    AdmissionRefused,
    /// A pod was deleted or evicted, and another one took its place.
    PodReplaced,
    /// A node does not take pods, or says that something is wrong.
    NodeTrouble,
    /// Everything that waits for a bounded resource waits because it is used up.
    PoolExhausted,
    /// A probe fails.
    ProbeFailing,
    /// A container is restarted again and again.
    RestartLoop,
    /// A container was restarted once.
    Restarted,
    /// A component was not ready at the end of the run.
    ComponentNotReady,
    /// Clients failed at a step that each takes once, or were not ready in time.
    ClientsFailed,
    /// Requests of a repeated step failed, or none of a scenario succeeded.
    RequestsFailed,
    /// A check failed.
    CheckFailed,
    /// A figure crossed its line.
    ThresholdCrossed,
    /// A connection through the cluster's network did not come about.
    NetworkCheckFailed,
    /// All replicas of a component run on one node, although there are others.
    ReplicasShareNode,
    /// The load generator was the bottleneck, so its figures say nothing about the system.
    GeneratorSaturated,
    /// Something that should have been measured was not.
    NotMeasured,
    /// A field of the manifests has no effect on this target.
    ManifestFieldIgnored,
    /// What the doctor proved of a probe.
    #[serde(untagged)]
    Probe(Cause),
}

impl Code {
    /// Its place in the report among findings of one severity: what was lost, then causes, then what they bring about.
    pub fn place(self) -> impl Ord {
        let group = match self {
            Self::AcknowledgedMissing | Self::StoredTwice | Self::NoReplicas => 0,
            // What a lack of memory or an end of the program brings about stands behind it.
            Self::Probe(Cause::NotStarted | Cause::DependencyDown) => 3,
            Self::Probe(_) => 1,
            cause if cause.is_cause() => 2,
            _ => 4,
        };
        (group, self)
    }

    /// Whether it says why something is wrong, and not only that it is.
    pub fn is_cause(self) -> bool {
        matches!(
            self,
            Self::Probe(_)
                | Self::ProbeErrored
                | Self::OomKilled
                | Self::MemoryAtLimit
                | Self::CpuThrottled
                | Self::Crashed
                | Self::ImageUnavailable
                | Self::ConfigMissing
                | Self::MountFailed
                | Self::Unschedulable
                | Self::AdmissionRefused
                | Self::PodReplaced
                | Self::PoolExhausted
                | Self::NoReplicas
        )
    }

    /// Whether a warning of this kind follows from the manifests and the target alone. Others depend on where the cluster puts pods, on
    /// its nodes, on what the machine tells or on the load, so that a healthy run may have them or not.
    pub(crate) fn follows_from_manifests(self) -> bool {
        self == Self::ManifestFieldIgnored
    }

    /// Whether it says that a pod cannot start without a change from outside.
    pub(crate) fn keeps_from_starting(self) -> bool {
        matches!(
            self,
            Self::ImageUnavailable
                | Self::ConfigMissing
                | Self::MountFailed
                | Self::Unschedulable
                | Self::AdmissionRefused
        )
    }

    /// Whether it can follow from another finding, so that it is looked into only when no cause explains it.
    pub fn is_effect(self) -> bool {
        matches!(
            self,
            Self::ProbeFailing
                | Self::RestartLoop
                | Self::Restarted
                | Self::ComponentNotReady
                | Self::ClientsFailed
                | Self::RequestsFailed
                | Self::CheckFailed
                | Self::ThresholdCrossed
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The same word as in JSON.
        let json = serde_json::to_value(self).map_err(|_| fmt::Error)?;
        f.pad(json.as_str().unwrap_or_default())
    }
}
