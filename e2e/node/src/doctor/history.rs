//! A probe that fails only while its container starts: probing now cannot reproduce it, but the run has probed each instance since
//! its start. Main function: [`with_history`].

use std::time::Duration;

use e2e_kubelet::{
    diagnosis::{Axis, Cause, Diagnosis, Flip},
    snapshot::ContainerReport,
};

use super::{
    Case, Found, concluded,
    fix::{self, Change, USUAL_START},
    seconds, tried,
};

/// Adds the run's observations since the container's first start to the diagnosis `now`. A known cause stands.
#[must_use]
pub fn with_history(case: &Case, now: Diagnosis, seen: &ContainerReport) -> Diagnosis {
    let (None, Some(report)) = (now.cause, seen.probes.get(&case.which)) else { return now };
    // An instance that lived longer had answered before its kill, so the kill had another reason.
    let ended_before = |first: u64| {
        let lives = seen.terminations.iter().map(|end| end.at.saturating_sub(end.started));
        !seen.terminations.is_empty() && lives.into_iter().all(|life| life < Duration::from_millis(first))
    };
    let (explanation, flip, killer) = match (report.first_success_ms, seen.killed_before_it_listened()) {
        (Some(first), _) if now.success() && seen.was_killed_by(case.which) && ended_before(first) => {
            let (which, first) = (case.which, seconds(Duration::from_millis(first)));
            let flip = Flip::new(Axis::Time, seconds(Duration::ZERO), &first);
            let when = format!("the app first answers {first} after a start");
            (format!("{when}, and the {which} probe killed it earlier"), Some(flip), which)
        }
        (None, Some(killer)) if !now.success() => {
            (format!("the {killer} probe killed every instance before it listened"), None, killer)
        }
        _ => return now,
    };
    // No change has made it succeed, so this is not a proof.
    let changes = Vec::from_iter((killer == case.which).then_some(Change::Startup(USUAL_START)));
    let found = Found { cause: Cause::NotStarted, flip, confirmed: false, explanation, changes };
    let mut evidence = now.evidence;
    let change = "the last failed probe of the run";
    evidence.extend(report.last_failure.as_ref().map(|last| tried(change, last)));
    let fix = Some(fix::of(case, &found));
    concluded(case, now.observation, Some(found), fix, evidence)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use e2e_kubelet::{
        diagnosis::Confidence,
        observation::{Kind, Observation, Verdict},
        snapshot::ProbeReport,
        status::{ContainerStatus, Event, EventType, Termination},
    };
    use e2e_plan::{ProbeKind, Probes};
    use rstest::rstest;

    use super::*;
    use crate::doctor::tests::case;

    fn observed(verdict: Verdict, kind: Kind) -> Observation {
        Observation::new(verdict, kind, "")
    }

    /// A container whose liveness probe was refused twice, and first succeeded after so long, in ms; if it was killed, then after
    /// 11 s of an instance's life.
    fn seen(first_success_ms: Option<u64>, killed: bool) -> ContainerReport {
        let mut report = ContainerReport::declared("app", &Probes::default(), "");
        report.status = ContainerStatus::waiting("");
        let refused = observed(Verdict::Failure, Kind::Refused);
        let success = first_success_ms.map(|_| observed(Verdict::Success, Kind::Response));
        let probe = ProbeReport {
            sent: Some(3),
            failed: 2,
            first_success_ms,
            last_success: success,
            last_failure: Some(refused),
            ..ProbeReport::default()
        };
        report.probes = BTreeMap::from([(ProbeKind::Liveness, probe)]);
        let (first, last) = (Duration::ZERO, Duration::from_secs(10));
        let message = "Container app failed liveness probe, will be restarted".to_owned();
        let killing = Event { kind: EventType::Normal, reason: "Killing".to_owned(), message, count: 1, first, last };
        report.events = Vec::from_iter(killed.then_some(killing));
        let (started, at) = (Duration::ZERO, Duration::from_secs(11));
        let ended = Termination { exit_code: 0, signal: None, reason: "Completed".to_owned(), started, at };
        report.terminations = Vec::from_iter(killed.then_some(ended));
        report
    }

    #[rstest]
    #[case::late(true, seen(Some(20_000), true), Some("first answers 20.0 s after a start"))]
    #[case::never(false, seen(None, true), Some("killed every instance before it listened"))]
    #[case::killed_once_it_had_answered(true, seen(Some(1_000), true), None)]
    #[case::slow_and_spared(true, seen(Some(20_000), false), None)]
    #[case::something_else_since(false, seen(Some(20_000), true), None)]
    fn what_was_killed_in_its_start_has_not_started(
        #[case] succeeds: bool,
        #[case] seen: ContainerReport,
        #[case] explanation: Option<&str>,
    ) {
        let mut case = case(&[], Duration::from_secs(1));
        case.which = ProbeKind::Liveness;
        let now = match succeeds {
            true => observed(Verdict::Success, Kind::Response),
            false => observed(Verdict::Failure, Kind::Refused),
        };
        let found = with_history(&case, crate::doctor::of_observation(&case, now), &seen);
        assert_eq!((found.success(), found.cause), (succeeds, explanation.map(|_| Cause::NotStarted)), "{found:#?}");
        if let Some(explanation) = explanation {
            assert!(found.explanation.contains(explanation), "{}", found.explanation);
            assert_eq!(found.confidence, Confidence::Consistent);
            assert!(found.fix.and_then(|fix| fix.patch).is_some_and(|patch| patch.contains("startupProbe:")));
        }
    }
}
