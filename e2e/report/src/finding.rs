//! A problem, its kind and its severity. Main type: [`Finding`].

use std::fmt;

use e2e_kubelet::diagnosis::Cause;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A problem, with its evidence and its fix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Its kind.
    pub code: Code,
    /// Its severity.
    pub severity: Severity,
    /// The affected component, if it is a single one.
    pub component: Option<String>,
    /// One sentence with figures.
    pub claim: String,
    /// Files of the run directory as evidence, with an optional JSON pointer.
    pub evidence: Vec<String>,
    /// The fix.
    pub fix: String,
    /// The last lines of a log, or a patch, verbatim.
    pub excerpt: Option<String>,
}

impl Finding {
    /// A finding about no single component, with its texts to be filled in.
    pub(crate) fn new(code: Code, severity: Severity) -> Self {
        let (claim, evidence, fix) = Default::default();
        Self { code, severity, component: None, claim, evidence, fix, excerpt: None }
    }

    /// A finding about a component, with its texts to be filled in.
    pub(crate) fn of(component: &str, code: Code, severity: Severity) -> Self {
        Self { component: Some(component.to_owned()), ..Self::new(code, severity) }
    }

    /// Its short name: `oom-killed (backend)`.
    pub fn named(&self) -> String {
        match &self.component {
            Some(component) => format!("{} ({component})", self.code),
            None => self.code.to_string(),
        }
    }

    /// Whether it is a cause of the run's failure. A warning of the same kind is advice: the state may be intended.
    pub(crate) fn is_proven_cause(&self) -> bool {
        self.severity == Severity::Error && self.code.is_cause()
    }
}

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The verdict is fail.
    Error,
    /// A measurement is missing: the verdict is at best incomplete.
    Gap,
    /// Worth knowing; does not affect the verdict.
    Warning,
}

/// The kind of a finding: a word in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// An acknowledged key is not stored.
    AcknowledgedMissing,
    /// A key is stored more than once.
    StoredTwice,
    /// Acknowledged keys did not survive a planned fault.
    LostOnKill,
    /// A component has no replicas, so its Service has no endpoint.
    NoReplicas,
    /// A probe cannot run, or its answer is truncated; a kubelet ignores the result.
    ProbeErrored,
    /// A container used more memory than its limit.
    OomKilled,
    /// A failing component used up its memory limit without being killed for it.
    MemoryAtLimit,
    /// A Redis server refused commands because its memory was used up.
    WritesRefused,
    /// A Redis server evicted keys to stay within its memory.
    KeysEvicted,
    /// The kernel throttled a component at its CPU limit.
    CpuThrottled,
    /// A container's program ended by itself.
    Crashed,
    /// A container's image is unavailable.
    ImageUnavailable,
    /// A Secret or ConfigMap of a pod does not exist.
    ConfigMissing,
    /// A volume cannot be mounted.
    MountFailed,
    /// No node can run a pod.
    Unschedulable,
    /// A quota or a policy of the cluster refuses a pod.
    AdmissionRefused,
    /// A pod was deleted or evicted, and replaced.
    PodReplaced,
    /// A node accepts no pods, or reports trouble.
    NodeTrouble,
    /// A replica answers nothing while it holds locks that others wait for.
    Hangs,
    /// A bounded resource is used up, and callers wait for it.
    PoolExhausted,
    /// A probe fails only while its application works, because it waits for what the work uses up.
    ProbeStarved,
    /// A load of the run used up half of what a probe's budget leaves at rest, or more.
    ProbeMargin,
    /// Requests failed in a planned rollout that a drain would have kept.
    DrainMissing,
    /// Clients noticed a planned fault for too long.
    SlowRecovery,
    /// A probe fails.
    ProbeFailing,
    /// A container restarts repeatedly.
    RestartLoop,
    /// A container was restarted once.
    Restarted,
    /// A component was not ready at the end of the run.
    ComponentNotReady,
    /// Clients failed at a `once` step, or were not ready in time.
    ClientsFailed,
    /// Requests of a repeated step failed, or no request of a scenario succeeded.
    RequestsFailed,
    /// A check failed.
    CheckFailed,
    /// A figure crossed its threshold.
    ThresholdCrossed,
    /// A connection through the cluster's network failed.
    NetworkCheckFailed,
    /// All replicas of a component run on one node although there are others.
    ReplicasShareNode,
    /// The load generator was the bottleneck, so its figures do not describe the system.
    GeneratorSaturated,
    /// A measurement is missing.
    NotMeasured,
    /// A field of the manifests has no effect on this target.
    ManifestFieldIgnored,
    /// The doctor's cause of a failing probe.
    #[serde(untagged)]
    Probe(Cause),
}

impl Code {
    /// Its place in the report among findings of one severity: losses, then causes, then effects.
    pub fn place(self) -> impl Ord {
        let group = match self {
            Self::AcknowledgedMissing | Self::StoredTwice | Self::LostOnKill | Self::NoReplicas => 0,
            // A lack of memory and a crash come before their effects.
            Self::Probe(Cause::NotStarted | Cause::DependencyDown) => 3,
            Self::Probe(_) => 1,
            cause if cause.is_cause() => 2,
            _ => 4,
        };
        (group, self)
    }

    /// Whether it is a cause instead of an effect.
    pub fn is_cause(self) -> bool {
        matches!(
            self,
            Self::Probe(_)
                | Self::ProbeErrored
                | Self::OomKilled
                | Self::MemoryAtLimit
                | Self::WritesRefused
                | Self::KeysEvicted
                | Self::CpuThrottled
                | Self::Crashed
                | Self::PodReplaced
                | Self::Hangs
                | Self::PoolExhausted
                | Self::ProbeStarved
                | Self::ProbeMargin
                | Self::DrainMissing
                | Self::NoReplicas
        ) || self.keeps_from_starting()
    }

    /// Whether a warning of this kind depends only on the manifests and the target. Others depend on the placement of pods, the
    /// nodes, the machine or the load, so healthy runs may differ.
    pub(crate) fn follows_from_manifests(self) -> bool {
        self == Self::ManifestFieldIgnored
    }

    /// Whether a pod cannot start without an outside change.
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

    /// Whether it can be the effect of another finding, so that it matters only without a cause.
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
        // The word in JSON.
        let json = serde_json::to_value(self).map_err(|_| fmt::Error)?;
        f.pad(json.as_str().unwrap_or_default())
    }
}
