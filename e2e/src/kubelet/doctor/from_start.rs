//! A probe that fails only while its container starts, by starting it again: one instance is asked from its start on, and nobody kills it
//! for what it answers. Main function: [`with_start`]. Pure.

use std::time::Duration;

use super::{
    Axis, Case, Cause, Diagnosis, Fix, Flip, Found, Trial,
    fix::{Change, USUAL_START},
    seconds,
};
use crate::{kubelet::Which, kubelet::observation::Observation};

/// Successes in a row with which an instance counts as started.
pub const SUCCESSES: usize = 3;

/// What one instance answered, each with the time since its start, in order.
pub type Answers = Vec<(Duration, Observation)>;

/// Whether the last answers are successes, and enough of them.
#[must_use]
pub fn has_started(answers: &[(Duration, Observation)]) -> bool {
    answers.len() >= SUCCESSES && answers[answers.len() - SUCCESSES..].iter().all(|(_, answer)| answer.success())
}

/// Adds to what was found `now` what an instance answered that was spared. `startup` is when its startup probe succeeded first, before
/// which a kubelet does not send the others; zero without one. A cause that was found stands.
#[must_use]
pub fn with_start(case: &Case, now: Diagnosis, answers: &Answers, startup: Duration) -> Diagnosis {
    if now.cause.is_some() || !has_started(answers) {
        return now;
    }
    let is_failure = |(_, answer): &&(Duration, Observation)| !answer.success();
    let Some((_, last_failure)) = answers.iter().rev().find(is_failure) else {
        let explanation = "it succeeds from the container's start on".to_owned();
        return Diagnosis { explanation, ..now };
    };
    // After the last failure there are successes, or it would not have started.
    let last = answers.iter().rposition(|(_, answer)| !answer.success()).unwrap_or(0);
    let first = answers[last + 1].0;
    let evidence = turns(answers);
    let requests = u32::try_from(answers.len()).unwrap_or(u32::MAX);
    let probe = &case.probe;
    // The last of the probes that a kubelet sends before it gives up.
    let patience = startup + probe.initial_delay + probe.period * probe.failure_threshold.saturating_sub(1);
    let fails = format!("it fails in the first {} after a start", seconds(first));
    if case.which == Which::Readiness || first <= patience {
        let explanation = match case.which {
            Which::Readiness => format!("{fails}, in which no Service sends the pod anything"),
            Which::Startup | Which::Liveness => format!("{fails}, and a kubelet waits for {}", seconds(patience)),
        };
        return Diagnosis { explanation, requests, evidence, ..now };
    }
    let explanation = format!(
        "the app answers from {} after a start on, and the {} probe has it killed after {}; an instance that was spared went on answering",
        seconds(first),
        case.which,
        seconds(patience)
    );
    let found = Found {
        cause: Cause::NotStarted,
        flip: Some(Flip { axis: Axis::Time, from: seconds(patience), to: seconds(first) }),
        confirmed: true,
        explanation,
        change: Some(Change::Startup(USUAL_START.max(first * 2))),
    };
    // With the patch a kubelet waits as that instance was waited for.
    let fix = Fix::of(case, &found).map(|fix| Fix { verified: Some(true), ..fix });
    Diagnosis { requests, ..Diagnosis::of(last_failure.clone(), Some(found), fix, evidence) }
}

/// The answers at which something changed: a start of a minute is hundreds of equal refusals.
fn turns(answers: &Answers) -> Vec<Trial> {
    let mut turns: Vec<Trial> = Vec::new();
    let mut before = None;
    for (at, answer) in answers {
        let kind = (answer.verdict, answer.kind, answer.status);
        if before != Some(kind) {
            let change = format!("the probe, {} after the start", seconds(*at));
            turns.push(Trial { change, verdict: answer.verdict, summary: answer.summary() });
        }
        before = Some(kind);
    }
    turns
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::kubelet::{
        doctor::{Confidence, tests::case},
        observation::{Kind, Verdict},
    };

    /// An instance that is asked every quarter of a second for `limit` seconds, and answers from `first` on.
    fn answers(first: u64, limit: u64) -> Answers {
        let refused = Observation::new(Verdict::Failure, Kind::Refused, "");
        let success = Observation::new(Verdict::Success, Kind::Response, "");
        let at = (0..limit * 4).map(|quarter| Duration::from_millis(quarter * 250));
        at.map(|at| (at, if at < Duration::from_secs(first) { refused.clone() } else { success.clone() })).collect()
    }

    #[rstest]
    // Three failures, 10 s apart: the last one after 20 s.
    #[case::killed(
        Which::Liveness,
        21,
        0,
        Some(Cause::NotStarted),
        "answers from 21.0 s after a start on, and the liveness probe has it killed after 20.0 s"
    )]
    #[case::spared(Which::Liveness, 19, 0, None, "in the first 19.0 s after a start, and a kubelet waits for 20.0 s")]
    #[case::behind_a_startup_probe(Which::Liveness, 21, 15, None, "a kubelet waits for 35.0 s")]
    #[case::readiness(Which::Readiness, 50, 0, None, "no Service sends the pod anything")]
    #[case::at_once(Which::Liveness, 0, 0, None, "from the container's start on")]
    #[case::never(Which::Liveness, 60, 0, None, "")]
    fn a_slow_start_is_held_against_what_a_kubelet_waits(
        #[case] which: Which,
        #[case] first: u64,
        #[case] startup: u64,
        #[case] cause: Option<Cause>,
        #[case] explanation: &str,
    ) {
        let mut case = case(&[], Duration::from_secs(1));
        case.which = which;
        let now = Diagnosis::of_observation(Observation::new(Verdict::Success, Kind::Response, ""));
        let found = with_start(&case, now, &answers(first, 60), Duration::from_secs(startup));
        assert_eq!((found.cause, found.success()), (cause, cause.is_none()), "{found:#?}");
        assert!(found.explanation.contains(explanation), "{}", found.explanation);
        if cause.is_some() {
            assert_eq!((found.confidence, found.requests, found.evidence.len()), (Confidence::Proven, 240, 2));
            let fix = found.fix.unwrap();
            assert_eq!(fix.verified, Some(true));
            assert!(
                fix.patch
                    .is_some_and(|patch| patch.contains("startupProbe:") && patch.contains("failureThreshold: 90"))
            );
        }
    }

    #[test]
    fn a_start_of_minutes_gets_a_patch_that_waits_twice_as_long() {
        let mut case = case(&[], Duration::from_secs(1));
        case.which = Which::Startup;
        let now = Diagnosis::of_observation(Observation::new(Verdict::Success, Kind::Response, ""));
        let found = with_start(&case, now, &answers(100, 110), Duration::ZERO);
        // Periods of ten seconds.
        assert!(found.fix.unwrap().patch.unwrap().ends_with("failureThreshold: 20\n"));
    }
}
