//! Finds a single change to a failing probe's request that turns failure into success, proves it both ways, and names the cause.
//! Main function: [`diagnose`]. Only experiments name a cause. Texts of responses are compared with each other, but not interpreted, except
//! for the word `certificate` in a 400 of a server that has asked for one.

/// Returns the first result of these experiments from the calling function. Those whose condition does not hold are not made, nor any
/// after one with a result.
macro_rules! return_first {
    ($experiment:expr) => {
        return_first!(true => $experiment)
    };
    ($($condition:expr => $experiment:expr),+ $(,)?) => {
        $(if $condition && let Some(found) = $experiment.await {
            return Some(found);
        })+
    };
}

mod ask;
mod combined;
mod command;
mod differences;
mod fix;
mod from_start;
mod headers;
mod health;
mod history;
mod lab;
mod late;
mod pace;
mod path;
mod place;
mod pool;
mod proof;
mod protocol;
mod queue;
mod quota;
mod rate;
mod redirects;
mod rounds;
mod script;
mod search;
mod secrets;
mod stranger;
mod time;
mod under_load;
mod unserved;
mod words;

use std::{net::SocketAddr, time::Duration};

use e2e_kubelet::{
    diagnosis::{Axis, Cause, Confidence, Diagnosis, Fix, Flip, Trial},
    observation::{Kind, Observation, Verdict},
};
use e2e_plan::{Probe, ProbeKind};
use lab::Lab;
use secrets::Values;

use crate::probe::{Profile, Target};

pub use ask::{AskError, Asked, EXAMPLE_POD_IP};
pub use command::diagnose_command;
pub use from_start::{Answers, Start, has_started, with_start};
pub use history::with_history;
pub use pool::{PoolUse, waits_for_pool};
pub use rate::margin_by_rate;
pub use under_load::diagnose_under_load;

/// The failing probe and its declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// `Deployment` or `StatefulSet`.
    pub kind: String,
    /// The workload's name.
    pub component: String,
    /// The container's name.
    pub container: String,
    /// The kind of the probe.
    pub which: ProbeKind,
    /// The declaration.
    pub probe: Probe,
    /// Other facts.
    pub known: Known,
}

/// Facts about a container. All may be empty; each gives the search more to try.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Names of the Services that select the pod.
    pub services: Vec<String>,
    /// A working request.
    pub works: Option<WorkingRequest>,
    /// Paths of the container's other probes.
    pub paths: Vec<String>,
    /// Ports that only other containers of the pod declare: what answers there is not this container's app.
    pub ports_of_others: Vec<u16>,
    /// Whether the container may have just started, so that waiting makes sense.
    pub may_be_starting: bool,
    /// Components that the container's configuration names and that have no ready replica.
    pub away: Vec<String>,
    /// Whether the names of workload and container are examples, which a patch marks.
    pub unnamed: bool,
}

/// A request that works, by the user's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkingRequest {
    /// Its address.
    pub address: SocketAddr,
    /// Whether it uses TLS.
    pub https: bool,
    /// Its `Host`.
    pub host: String,
    /// Its path and query.
    pub target: String,
    /// Its other headers.
    pub headers: Vec<(String, String)>,
}

/// Sends the probe and, if it fails, searches for the cause: at most 15 different requests within four times the probe's timeout.
pub async fn diagnose(case: &Case, target: &Target, profile: &Profile) -> Diagnosis {
    match Lab::new(case, target, profile).await {
        Ok(lab) => examine(lab).await,
        Err(observation) => concluded(case, *observation, None, None, Vec::new()),
    }
}

async fn examine(mut lab: Lab<'_>) -> Diagnosis {
    let case = lab.case;
    let (observation, mut found) = search::search(&mut lab).await;
    let mut fix = found.as_ref().map(|found| fix::of(case, found));
    if let (Some(found), Some(fix)) = (&found, &mut fix)
        && let Some(patch) = fix::applied(case, found)
    {
        fix.verified = lab.check(&patch).await;
    }
    let helped = found.as_ref().is_some_and(|found| found.confirmed && found.cause.is_helped());
    if !observation.success() && helped && fix.as_ref().is_some_and(|fix| fix.verified == Some(false)) {
        // The change no longer helps, so it is not the cause.
        (found, fix) = (None, None);
    }
    let (port, remark) = (lab.port(), lab.remark.take());
    let diagnosis = concluded(case, observation, found, fix, lab.into_trials());
    if let (Some((explanation, summary)), None) = (remark, diagnosis.cause) {
        let fix = Some(Fix::advice(summary));
        let explanation = Values::of(case).hidden(&explanation);
        return Diagnosis { explanation, fix, ..diagnosis };
    }
    let nobody = diagnosis.cause.is_none() && diagnosis.observation.kind == Kind::Refused;
    match nobody && diagnosis.observation.followed.is_empty() {
        true => Diagnosis { explanation: format!("nothing listens on port {port}"), ..diagnosis },
        false => diagnosis,
    }
}

/// A result of the search.
#[derive(Debug)]
struct Found {
    cause: Cause,
    flip: Option<Flip>,
    /// Set only by [`Lab::prove`] and by experiments that wait for the app to change.
    confirmed: bool,
    explanation: String,
    /// Changes that together make the probe succeed.
    changes: Vec<fix::Change>,
}

impl Found {
    /// A result common to every request, without a change.
    fn of_everyone(cause: Cause, explanation: impl Into<String>) -> Self {
        Self { cause, flip: None, confirmed: false, explanation: explanation.into(), changes: Vec::new() }
    }

    /// The result of one proven change.
    fn of_flip(cause: Cause, flip: Flip, explanation: impl Into<String>, changes: Vec<fix::Change>) -> Self {
        Self { cause, flip: Some(flip), confirmed: false, explanation: explanation.into(), changes }
    }

    /// The right answer took so long, longer than the timeout.
    fn too_slow(took: Duration, timeout: Duration, explanation: String) -> Self {
        let enough = enough(took, timeout);
        let flip = Flip::new(Axis::Timeout, format!("{}s", timeout.as_secs_f64()), format!("{enough}s"));
        let changes = vec![fix::Change::Timeout(Duration::from_secs_f64(enough))];
        Self::of_flip(Cause::TooSlow, flip, explanation, changes)
    }
}

/// An unproven result.
struct Claim {
    found: Found,
    /// Requests that fail, in addition to the probe.
    fails: Vec<lab::Experiment>,
    /// Requests that succeed.
    succeeds: Vec<lab::Experiment>,
}

impl Claim {
    /// The claim for one change.
    fn of(found: Found, succeeds: lab::Experiment) -> Self {
        Self { found, fails: Vec::new(), succeeds: vec![succeeds] }
    }
}

/// What one observation says by itself.
#[cfg(test)]
fn of_observation(case: &Case, observation: Observation) -> Diagnosis {
    let trial = tried(lab::PROBE, &observation);
    concluded(case, observation, None, None, vec![trial])
}

/// A request that was sent once.
fn tried(change: impl Into<String>, observation: &Observation) -> Trial {
    let (change, summary) = (change.into(), observation.summary());
    Trial {
        change,
        plain: false,
        verdict: observation.verdict,
        summary,
        sent: 1,
        succeeded: observation.answered().into(),
    }
}

/// The result of a search, without secrets.
fn concluded(
    case: &Case,
    observation: Observation,
    found: Option<Found>,
    fix: Option<Fix>,
    mut evidence: Vec<Trial>,
) -> Diagnosis {
    // An app may repeat what it was sent.
    let values = Values::of(case);
    let requests = count(evidence.len());
    let verdict = if observation.success() { Verdict::Success } else { Verdict::Failure };
    let fix = fix.or_else(|| found.is_none().then(|| fix::of_nothing(&observation, &evidence)).flatten());
    let (cause, flip, confirmed, explanation) = match found {
        Some(found) => (Some(found.cause), found.flip, found.confirmed, found.explanation),
        None => (None, None, false, words::of_nothing(&observation, &evidence)),
    };
    for trial in &mut evidence {
        trial.change = values.hidden(&trial.change);
        trial.summary = values.hidden(&trial.summary);
    }
    let flip = flip.map(|Flip { axis, from, to }| Flip { axis, from: values.hidden(&from), to: values.hidden(&to) });
    let explanation = values.hidden(&explanation);
    let observation = values.hidden_in(observation);
    let confidence = match (cause, confirmed) {
        (None, _) => Confidence::None,
        (Some(_), true) => Confidence::Proven,
        (Some(_), false) => Confidence::Consistent,
    };
    Diagnosis {
        verdict,
        observation,
        cause,
        flip,
        confirmed,
        explanation,
        requests,
        confidence,
        fix,
        evidence,
        rate_margin: None,
    }
}

/// A timeout in seconds for an answer that takes so long: half as long again leaves room for a busier moment, and Kubernetes takes whole
/// seconds.
fn enough(took: Duration, timeout: Duration) -> f64 {
    (took.as_secs_f64() * 1.5).ceil().max(timeout.as_secs_f64().floor() + 1.0)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A time in seconds for people: `0.7 s`.
fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests;
