//! The doctor's result for a probe, as plain data. Main type: [`Diagnosis`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::cause::{Axis, Cause};
use crate::observation::{Observation, Verdict};

/// The confidence in a cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// One change turned failure into success, and its reverse turned success into failure, often enough to exclude chance.
    Proven,
    /// Every request had the same outcome, consistent with one explanation. No change could make it succeed.
    Consistent,
    /// No cause is known.
    #[default]
    None,
}

/// A single change that turns failure into success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Flip {
    /// What was changed.
    pub axis: Axis,
    /// The value with which the probe fails.
    pub from: String,
    /// The value with which it succeeds.
    pub to: String,
}

impl Flip {
    /// A change of one value.
    #[must_use]
    pub fn new(axis: Axis, from: impl Into<String>, to: impl Into<String>) -> Self {
        Self { axis, from: from.into(), to: to.into() }
    }
}

/// One request of the search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trial {
    /// Its difference from the probe, or from a plain request.
    pub change: String,
    /// Whether it is a plain request, like curl's.
    #[serde(default)]
    pub plain: bool,
    /// A kubelet's verdict on the answer.
    pub verdict: Verdict,
    /// The first outcome and its duration.
    pub summary: String,
    /// The number of times it was sent.
    #[serde(default)]
    pub sent: u32,
    /// The number of good answers.
    #[serde(default)]
    pub succeeded: u32,
}

/// The doctor's result.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnosis {
    /// Whether the probe succeeds now: every verdict but a success is told as a failure.
    pub verdict: Verdict,
    /// The probe itself, as the kubelet sends it.
    pub observation: Observation,
    /// The cause, if experiments name one.
    pub cause: Option<Cause>,
    /// The change that makes the difference.
    pub flip: Option<Flip>,
    /// Whether the change and its reverse were repeated often enough to exclude chance.
    pub confirmed: bool,
    /// The explanation, as a clause that can follow `because`; may be empty for a success.
    pub explanation: String,
    /// The number of different requests, including the check of the fix; `evidence` counts the repeats of each.
    pub requests: u32,
    /// The confidence in the cause.
    pub confidence: Confidence,
    /// What to do.
    pub fix: Option<Fix>,
    /// Every request, in order.
    pub evidence: Vec<Trial>,
    /// Up to which load the probe kept its timeout, where that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_margin: Option<RateMargin>,
}

/// Between which rates of requests beside it a probe no longer keeps its timeout: one of at least two probes failed there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RateMargin {
    /// The highest rate beside which it was still answered in time; absent when the lowest was too much.
    pub holds_per_second: Option<f64>,
    /// The lowest rate beside which it was not; absent when no rate was found.
    pub fails_per_second: Option<f64>,
    /// The most requests that were answered well in any step.
    pub most_served_per_second: f64,
    /// How many rates were tried.
    pub steps: u32,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fix {
    /// One or two sentences.
    pub summary: String,
    /// A strategic-merge patch for the workload, if a change of the manifest helps.
    pub patch: Option<String>,
    /// Whether the patched probe succeeded; absent if it was not tried.
    pub verified: Option<bool>,
}

impl Fix {
    /// Words alone, without a patch.
    #[must_use]
    pub fn advice(summary: &str) -> Self {
        Self { summary: summary.to_owned(), patch: None, verified: None }
    }
}

impl Diagnosis {
    /// A kubelet's verdict on a probe.
    #[must_use]
    pub fn success(&self) -> bool {
        self.verdict == Verdict::Success
    }

    /// How many requests were sent, repeats included.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.evidence.iter().map(|trial| u64::from(trial.sent)).sum()
    }
}

/// Lines of a [`Fix::patch`] up to the container's name.
pub const PATCH_HEADER_LINES: usize = 9;

/// Two patches of the same container as one; `None` when they are for different containers.
#[must_use]
pub fn joined(first: &str, second: &str) -> Option<String> {
    let probe = second.match_indices('\n').nth(PATCH_HEADER_LINES - 1).map(|(end, _)| end + 1)?;
    first.starts_with(&second[..probe]).then(|| format!("{first}{}", &second[probe..]))
}
