//! Finds the smallest change to a failing probe's request that turns failure into success, proves it both ways, and names
//! the cause. Main function: [`diagnose`]. What no experiment shows gets no name.

mod fix;
mod lab;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Which,
    observation::{Kind, Observation, Verdict},
    probe::{Profile, Target},
};
use crate::plan::Probe;

pub use fix::Fix;
pub(crate) use fix::joined;
pub(crate) use lab::PLAIN;
use lab::{Lab, Patient};

/// The probe in question and where it is declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// `Deployment` or `StatefulSet`.
    pub kind: String,
    /// The workload's name.
    pub component: String,
    /// The container's name.
    pub container: String,
    /// Which of its probes.
    pub which: Which,
    /// The declaration.
    pub probe: Probe,
    /// Names of Services in front of the pod, under which others call it.
    pub services: Vec<String>,
}

/// Why a probe fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The app refuses the pod's address as `Host`.
    HostAllowList,
    /// The answer is right and comes after the timeout.
    TooSlow,
    /// The path does not serve GET.
    MethodOrPath,
    /// Nobody listens on the port, and another declared port answers.
    WrongPort,
    /// The app answers everyone that something behind it is away.
    DependencyDown,
}

/// What was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Axis {
    /// The `Host` header.
    Host,
    /// The `User-Agent` header.
    UserAgent,
    /// The `Connection` header.
    Connection,
    /// The `Accept` header.
    Accept,
    /// The other headers that the probe declares.
    Headers,
    /// The timeout.
    Timeout,
    /// The port.
    Port,
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "Host",
            Self::UserAgent => "User-Agent",
            Self::Connection => "Connection",
            Self::Accept => "Accept",
            Self::Headers => "the headers",
            Self::Timeout => "the timeout",
            Self::Port => "the port",
        })
    }
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
    /// What a kubelet would make of the answer.
    pub verdict: Verdict,
    /// What came back and after how long.
    pub summary: String,
}

/// What the doctor found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnosis {
    /// Whether the probe succeeds now.
    pub success: bool,
    /// The probe itself, as the kubelet sends it.
    pub observation: Observation,
    /// The proven cause.
    pub cause: Option<Cause>,
    /// The change that makes the difference. It can be known where no cause has a name.
    pub flip: Option<Flip>,
    /// Whether the change was made back and forth with the same result.
    pub confirmed: bool,
    /// What was found, as a clause that can follow `because`.
    pub explanation: String,
    /// How many requests were sent.
    pub requests: u32,
    /// Each of them.
    pub tried: Vec<Trial>,
    /// What to do.
    pub fix: Option<Fix>,
}

/// Sends the probe and, when it fails, searches for the reason: at most 14 requests within three times the probe's timeout.
pub async fn diagnose(case: &Case, target: &Target, profile: &Profile) -> Diagnosis {
    let mut lab = match Lab::new(case, target, profile).await {
        Ok(lab) => lab,
        Err(observation) => return Diagnosis::without_cause(*observation, Vec::new()),
    };
    let (observation, slow) = match lab.probe_patiently().await {
        Patient::InTime(observation) => (observation, None),
        Patient::Late { in_time, late } => (in_time, Some(late)),
    };
    let found = match (&slow, observation.kind) {
        _ if observation.success() => None,
        (Some(late), _) => too_slow(&lab, &observation, late),
        (None, Kind::Refused) => lab.wrong_port().await,
        (None, _) => lab.compare(&observation).await,
    };
    let base = Diagnosis::without_cause(observation, lab.into_trials());
    match found {
        Some(found) => found.into_diagnosis(case, base),
        None => base,
    }
}

/// A result of the search.
#[derive(Debug)]
struct Found {
    cause: Option<Cause>,
    flip: Option<Flip>,
    explanation: String,
}

impl Found {
    fn into_diagnosis(self, case: &Case, base: Diagnosis) -> Diagnosis {
        let fix = self.cause.map(|cause| Fix::of(case, cause, self.flip.as_ref()));
        // A flip is returned only after it was made back.
        Diagnosis {
            confirmed: self.flip.is_some(),
            cause: self.cause,
            flip: self.flip,
            explanation: self.explanation,
            fix,
            ..base
        }
    }
}

impl Diagnosis {
    fn without_cause(observation: Observation, tried: Vec<Trial>) -> Self {
        let success = observation.success();
        let explanation = match observation.verdict {
            Verdict::Success => "the probe succeeds".to_owned(),
            Verdict::NotMeasured => format!("the probe was not measured: {}", observation.message),
            Verdict::Failure | Verdict::Errored => {
                "of something that no single change of the request explains".to_owned()
            }
        };
        let requests = u32::try_from(tried.len()).unwrap_or(u32::MAX);
        Self {
            success,
            observation,
            cause: None,
            flip: None,
            confirmed: false,
            explanation,
            requests,
            tried,
            fix: None,
        }
    }
}

/// The answer came, and it was right, but the timeout had gone by; and a second try within the timeout failed again.
fn too_slow(lab: &Lab<'_>, in_time: &Observation, late: &Observation) -> Option<Found> {
    if in_time.success() || !late.success() {
        return None;
    }
    let seconds = |time: f64| format!("{time:.1} s");
    let timeout = lab.timeout().as_secs_f64();
    let took = late.total_ms / 1000.0;
    let explanation = format!("the right answer takes {}, and the probe waits for {}", seconds(took), seconds(timeout));
    // Half as long again leaves room for a busier moment; Kubernetes takes whole seconds.
    let enough = (took * 1.5).ceil().max(timeout.floor() + 1.0);
    let flip = Flip { axis: Axis::Timeout, from: format!("{timeout}s"), to: format!("{enough}s") };
    Some(Found { cause: Some(Cause::TooSlow), flip: Some(flip), explanation })
}

#[cfg(test)]
mod tests;
