//! What became of planned faults: `evidence/faults.json`. Main type: [`ScenarioFaults`].

use serde::{Deserialize, Serialize};

use crate::fault::PlannedFault;

/// The planned faults of one scenario, and what the pods did meanwhile.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ScenarioFaults {
    /// The scenario.
    pub scenario: String,
    /// Each fault, in the order of the declaration.
    pub faults: Vec<CarriedOut>,
    /// What happened to pods from the start of the load until all was ready again.
    pub events: Vec<PodEvent>,
}

/// A fault that was to be carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CarriedOut {
    /// What was planned.
    pub fault: PlannedFault,
    /// When it began and when it was over, in milliseconds since 1970; nothing when it never began. A pause is over when the processes go
    /// on, a rollout when all pods are ready.
    pub unix_ms: Option<(u64, u64)>,
    /// Why it was not carried out, or not wholly.
    pub failure: Option<String>,
    /// The ends of containers that it brought about.
    pub ends: Vec<ExplainedEnd>,
}

/// An end of a container that a fault brought about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedEnd {
    /// The pod.
    pub pod: String,
    /// The container; nothing where a cluster replaced the whole pod.
    pub container: Option<String>,
    /// Which of its ends, from 0; of a pod that was replaced, which of those before it.
    pub index: usize,
}

/// Something that happened to a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodEvent {
    /// Milliseconds since 1970.
    pub unix_ms: u64,
    /// The pod.
    pub pod: String,
    /// What happened.
    pub what: PodChange,
}

/// What can happen to a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PodChange {
    /// A container was asked to stop: SIGTERM, or its preStop hook.
    Stopping,
    /// It left its Services.
    NotReady,
    /// A container ended, with this exit code.
    Ended(i32),
    /// A container was started.
    Started,
    /// Another pod took its place.
    Replaced,
    /// It is in its Services again.
    Ready,
}

impl std::fmt::Display for PodChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stopping => f.write_str("asked to stop"),
            Self::NotReady => f.write_str("out of its Services"),
            Self::Ended(code) => write!(f, "ended ({code})"),
            Self::Started => f.write_str("started"),
            Self::Replaced => f.write_str("replaced"),
            Self::Ready => f.write_str("ready"),
        }
    }
}
