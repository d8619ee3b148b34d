//! Probes one by one, with their times, for what counts and means do not show. Main type: [`ProbeHistory`].

use e2e_plan::ProbeKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::observation::{Kind, Observation, Verdict};

/// One probe: when it was sent, how long it took and what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Exchange {
    /// When it was sent, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// How long it took, retries included. A probe that timed out took its whole budget.
    pub total_ms: f64,
    /// What a kubelet makes of it.
    pub verdict: Verdict,
    /// How it ended.
    pub kind: Kind,
}

impl Exchange {
    /// An observation, and when its probe was sent.
    #[must_use]
    pub fn new(at_unix_ms: u64, observation: &Observation) -> Self {
        let Observation { total_ms, verdict, kind, .. } = *observation;
        Self { at_unix_ms, total_ms, verdict, kind }
    }
}

/// The probes of one kind that one container got, in the order in which they ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeHistory {
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// Which probe.
    pub which: ProbeKind,
    /// Each of them.
    pub exchanges: Vec<Exchange>,
}
