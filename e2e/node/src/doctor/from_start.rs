//! A probe that fails only while its container starts: restarts it and probes one instance from its start, without killing it for
//! its answers. Main function: [`with_start`]. Pure.

use std::time::Duration;

use e2e_kubelet::{
    diagnosis::{Axis, Cause, Diagnosis, Flip, Trial},
    observation::Observation,
};
use e2e_plan::ProbeKind;

use super::{
    Case, Found, concluded, count,
    fix::{self, Change, USUAL_START},
    seconds, tried,
};

/// The number of successes in a row for an instance to count as started.
const SUCCESSES: usize = 3;

/// One instance's answers, each with the time since its start, in order.
pub type Answers = Vec<(Duration, Observation)>;

/// How long they must last: an app may answer for a moment and crash.
const STEADY: Duration = Duration::from_secs(5);

/// Whether the last answers are enough successes, for long enough.
#[must_use]
pub fn has_started(answers: &[(Duration, Observation)]) -> bool {
    let first = answers.iter().rposition(|(_, answer)| !answer.success()).map_or(0, |failure| failure + 1);
    match &answers[first..] {
        successes @ [(begun, _), .., (last, _)] => successes.len() >= SUCCESSES && *last - *begun >= STEADY,
        _ => false,
    }
}

/// Facts beside the answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Start {
    /// The startup probe's first success, before which a kubelet sends no other probe; zero without a startup probe.
    pub startup: Duration,
    /// Whether the probe killed an instance during the run.
    pub has_killed: bool,
}

/// Adds the answers of a spared instance to the diagnosis `now`. A known cause stands.
#[must_use]
pub fn with_start(case: &Case, now: Diagnosis, answers: &[(Duration, Observation)], start: Start) -> Diagnosis {
    if now.cause.is_some() {
        return now;
    }
    // Later failures do not concern the start.
    let until_started = (SUCCESSES..=answers.len()).map(|end| &answers[..end]).find(|answers| has_started(answers));
    let Some(answers) = until_started else { return not_yet(case, now, answers) };
    // The time before the final successes.
    let Some(last) = answers.iter().rposition(|(_, answer)| !answer.success()) else {
        let explanation = "it succeeds from the container's start".to_owned();
        return Diagnosis { explanation, ..now };
    };
    let (last_failure, first) = (&answers[last].1, answers[last + 1].0);
    let evidence = turns(answers);
    let requests = count(answers.len());
    let probe = &case.probe;
    // The last probe before a kubelet gives up.
    let patience = start.startup.max(probe.initial_delay) + probe.period * probe.failure_threshold.saturating_sub(1);
    let fails = format!("it fails for the first {} after a start", seconds(first));
    if case.which == ProbeKind::Readiness || first <= patience {
        let explanation = match case.which {
            ProbeKind::Readiness => format!("{fails}, while no Service sends the pod traffic"),
            ProbeKind::Startup | ProbeKind::Liveness => {
                format!("{fails}, and a kubelet waits {}", seconds(patience))
            }
        };
        return Diagnosis { explanation, requests, evidence, ..now };
    }
    let explanation = format!(
        "the app first answers {} after a start, and the {} probe kills it after {}; an instance left alone kept \
         answering",
        seconds(first),
        case.which,
        seconds(patience)
    );
    let found = Found {
        cause: Cause::NotStarted,
        flip: Some(Flip::new(Axis::Time, seconds(patience), seconds(first))),
        // A killed instance never answered, a spared one did.
        confirmed: start.has_killed,
        explanation,
        changes: vec![Change::Startup(USUAL_START.max(first * 2))],
    };
    let fix = Some(fix::of(case, &found));
    Diagnosis { requests, ..concluded(case, last_failure.clone(), Some(found), fix, evidence) }
}

/// A start without an observed end supports no conclusion.
fn not_yet(case: &Case, now: Diagnosis, answers: &[(Duration, Observation)]) -> Diagnosis {
    let Some((asked_for, last)) = answers.last() else { return now };
    let explanation = format!(
        "it did not succeed for {} within {} of a new start; give --from-start a longer limit",
        seconds(STEADY),
        seconds(*asked_for)
    );
    let requests = count(answers.len());
    let observation = if last.success() { now.observation } else { last.clone() };
    Diagnosis { explanation, requests, ..concluded(case, observation, None, None, turns(answers)) }
}

/// The answers that differ from the previous one: a start of a minute gives hundreds of equal refusals.
fn turns(answers: &[(Duration, Observation)]) -> Vec<Trial> {
    let mut turns: Vec<Trial> = Vec::new();
    let mut before = None;
    for (at, answer) in answers {
        let kind = (answer.verdict, answer.kind, answer.status);
        if before != Some(kind) {
            let change = format!("the probe, {} after the start", seconds(*at));
            turns.push(tried(change, answer));
        }
        before = Some(kind);
    }
    turns
}

#[cfg(test)]
mod tests {
    use e2e_kubelet::{
        diagnosis::Confidence,
        observation::{Kind, Verdict},
    };
    use rstest::rstest;

    use super::*;
    use crate::doctor::tests::case;

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
        ProbeKind::Liveness,
        0,
        21,
        0,
        Some(Cause::NotStarted),
        "first answers 21.0 s after a start, and the liveness probe kills it after 20.0 s"
    )]
    #[case::spared(
        ProbeKind::Liveness,
        0,
        19,
        0,
        None,
        "for the first 19.0 s after a start, and a kubelet waits 20.0 s"
    )]
    #[case::behind_a_startup_probe(ProbeKind::Liveness, 0, 21, 15, None, "a kubelet waits 35.0 s")]
    // The delay counts from the start too.
    #[case::delay_within_the_startup(ProbeKind::Liveness, 10, 36, 15, Some(Cause::NotStarted), "kills it after 35.0 s")]
    #[case::longer_delay(ProbeKind::Liveness, 30, 36, 15, None, "a kubelet waits 50.0 s")]
    #[case::readiness(ProbeKind::Readiness, 0, 50, 0, None, "no Service sends the pod traffic")]
    #[case::at_once(ProbeKind::Liveness, 0, 0, 0, None, "from the container's start")]
    #[case::never(ProbeKind::Liveness, 0, 60, 0, None, "did not succeed for 5.0 s within 59.8 s of a new start")]
    fn a_slow_start_is_held_against_what_a_kubelet_waits(
        #[case] which: ProbeKind,
        #[case] delay: u64,
        #[case] first: u64,
        #[case] startup: u64,
        #[case] cause: Option<Cause>,
        #[case] explanation: &str,
    ) {
        let mut case = case(&[], Duration::from_secs(1));
        (case.which, case.probe.initial_delay) = (which, Duration::from_secs(delay));
        let start = Start { startup: Duration::from_secs(startup), has_killed: true };
        let found = with_start(&case, succeeds(), &answers(first, 60), start);
        assert_eq!((found.cause, found.success()), (cause, cause.is_none() && first < 60), "{found:#?}");
        assert!(found.explanation.contains(explanation), "{}", found.explanation);
        if cause.is_some() {
            assert_eq!((found.confidence, found.evidence.len()), (Confidence::Proven, 2));
            let fix = found.fix.unwrap();
            assert!(
                fix.patch
                    .is_some_and(|patch| patch.contains("startupProbe:") && patch.contains("failureThreshold: 90"))
            );
        }
    }

    #[test]
    fn what_answers_for_a_moment_has_not_started() {
        let mut answers = answers(21, 40);
        answers[100].1 = Observation::new(Verdict::Failure, Kind::Refused, "");
        assert!(!has_started(&answers[..100]) && !has_started(&answers[..120]) && has_started(&answers));
    }

    #[test]
    fn what_fails_once_it_has_started_is_no_slow_start() {
        let mut answers = answers(0, 60);
        answers[200].1 = Observation::new(Verdict::Failure, Kind::Refused, "");
        let found = with_start(&case(&[], Duration::from_secs(1)), succeeds(), &answers, Start::default());
        assert_eq!(found.explanation, "it succeeds from the container's start");
    }

    #[test]
    fn without_a_kill_there_is_one_half_of_a_proof() {
        let found = with_start(&case(&[], Duration::from_secs(1)), succeeds(), &answers(21, 60), Start::default());
        assert_eq!((found.cause, found.confidence), (Some(Cause::NotStarted), Confidence::Consistent));
    }

    #[test]
    fn a_start_of_minutes_gets_a_patch_that_waits_twice_as_long() {
        let mut case = case(&[], Duration::from_secs(1));
        case.which = ProbeKind::Startup;
        let found = with_start(&case, succeeds(), &answers(100, 110), Start::default());
        // Periods of ten seconds.
        assert!(found.fix.unwrap().patch.unwrap().ends_with("failureThreshold: 20\n"));
    }

    fn succeeds() -> Diagnosis {
        crate::doctor::of_observation(
            &case(&[], Duration::from_secs(1)),
            Observation::new(Verdict::Success, Kind::Response, ""),
        )
    }
}
