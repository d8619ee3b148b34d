//! What the doctor found out about a probe, as plain data. Main type: [`Diagnosis`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::cause::{Axis, Cause};
use crate::observation::{Observation, Verdict};

/// Whether a kubelet would count the probe as a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It would.
    Success,
    /// It would not.
    Failure,
}

/// How sure a cause is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// One change turned failure into success and taking it back turned success into failure, so often that chance is out of the
    /// question.
    Proven,
    /// Every request came to the same end, and there is one explanation for it. Nothing could be changed to see it succeed.
    Consistent,
    /// There is no cause to be sure of.
    None,
}

/// The smallest change that turns failure into success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Flip {
    /// What was changed.
    pub axis: Axis,
    /// The value with which the probe fails.
    pub from: String,
    /// The value with which it succeeds.
    pub to: String,
}

/// One request of the search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trial {
    /// How it differs from the probe, or from a plain request.
    pub change: String,
    /// Whether it is a plain request, as curl sends it.
    #[serde(default)]
    pub plain: bool,
    /// What a kubelet would make of the answer.
    pub verdict: Verdict,
    /// What came back first and after how long.
    pub summary: String,
    /// How often it was sent.
    #[serde(default)]
    pub sent: u32,
    /// How often the app answered it well.
    #[serde(default)]
    pub succeeded: u32,
}

/// What the doctor found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnosis {
    /// Whether the probe succeeds now.
    pub verdict: Outcome,
    /// The probe itself, as the kubelet sends it.
    pub observation: Observation,
    /// The cause, where experiments name one.
    pub cause: Option<Cause>,
    /// The change that makes the difference.
    pub flip: Option<Flip>,
    /// Whether the change was made back and forth with the same result, so often that chance is out of the question.
    pub confirmed: bool,
    /// What was found, as a clause that can follow `because`; empty where there is nothing to say of a success.
    pub explanation: String,
    /// How many different requests were sent, the check of the fix included; `evidence` has how often each was.
    pub requests: u32,
    /// How sure the cause is.
    pub confidence: Confidence,
    /// What to do.
    pub fix: Option<Fix>,
    /// Each request in order.
    pub evidence: Vec<Trial>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fix {
    /// In a sentence or two.
    pub summary: String,
    /// A strategic-merge patch for the workload, where a change of the manifest helps.
    pub patch: Option<String>,
    /// Whether the probe succeeded as the patch makes it; absent when it was not tried.
    pub verified: Option<bool>,
}

impl Diagnosis {
    /// Whether a kubelet would count the probe as a success.
    #[must_use]
    pub fn success(&self) -> bool {
        self.verdict == Outcome::Success
    }
}

/// Two patches of the same container as one; `None` when they are for different containers.
#[must_use]
pub fn joined(first: &str, second: &str) -> Option<String> {
    // Lines of a patch up to the container's name.
    const HEADER_LINES: usize = 9;
    let probe = second.match_indices('\n').nth(HEADER_LINES - 1).map(|(end, _)| end + 1)?;
    first.starts_with(&second[..probe]).then(|| format!("{first}{}", &second[probe..]))
}
