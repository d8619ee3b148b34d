use e2e_kubelet::{
    snapshot::{ClusterPod, ContainerReport},
    status::Termination,
};
use e2e_plan::Probes;

use rstest::rstest;

use super::*;
use crate::{
    evidence::faults::{ExplainedEnd, PodEvent},
    testing::{declare, measured, quiet, run},
};

const START: u64 = 1_000_000;

/// Ten seconds with 20 requests in each tenth, changed in some of them and perhaps in some after the window, and one fault.
pub(crate) fn data(
    fault: &str,
    (begun, over): (u64, u64),
    changed: &[(std::ops::Range<usize>, (u64, u64))],
) -> RunData {
    let mut data = quiet();
    declare(&mut data, "load", e2e_figures::scenario::Thresholds::default());
    data.request.scenarios.get_mut("load").unwrap().timeout = Duration::from_secs(1);
    let mut tenths = vec![(20, 0); 100];
    tenths.resize(changed.iter().map(|(range, _)| range.end).fold(100, usize::max), (0, 0));
    changed.iter().for_each(|(range, tenth)| tenths[range.clone()].fill(*tenth));
    let figures =
        ScenarioResult { window_start_unix_ms: START, duration_ms: 10_000, tenths, ..ScenarioResult::default() };
    data.records.push(measured("load", figures));
    data.faults = vec![ScenarioFaults {
        scenario: "load".to_owned(),
        faults: vec![CarriedOut {
            fault: fault.parse().unwrap(),
            unix_ms: Some((START + begun, START + over)),
            failure: None,
            ends: Vec::new(),
        }],
        events: Vec::new(),
    }];
    data
}

fn impact_of(data: &RunData) -> Impact {
    let (figures, _) = data.scenario("load").unwrap();
    impacts(data, figures).remove(0)
}

/// Failed requests, the outage and the recovery, for the tenths of a second that differ.
#[rstest]
// Nothing for 0.5 s, then failures beside successes for 0.3 s; 3 s later, longer than the timeout, something else fails.
#[case::failures_and_silence_after_it(
    "kill app-0 at 3s", (3_000, 3_010), &[(30..35, (0, 0)), (35..38, (10, 4)), (70..71, (19, 1))], (12, Some(500), Some(800))
)]
#[case::nobody_noticed_it("kill app-0 at 3s", (3_000, 3_010), &[(40..41, (12, 0))], (0, Some(0), Some(0)))]
#[case::still_failing_at_the_end("pause app-0 for 2s at 3s", (3_000, 5_000), &[(30..100, (0, 2))], (140, Some(7_000), None))]
#[case::under_way_when_the_window_ended(
    "kill app-0 at 9s", (9_000, 9_010), &[(90..100, (0, 0)), (105..106, (0, 3))], (3, Some(1_000), None)
)]
// Nobody asks for anything any more, and nothing is missing then.
#[case::silence_after_the_window("kill app-0 at 9s", (9_000, 9_010), &[(90..95, (0, 0)), (100..106, (0, 0))], (0, Some(500), Some(500)))]
fn what_clients_notice_of_a_fault(
    #[case] fault: &str,
    #[case] when: (u64, u64),
    #[case] changed: &[(Range<usize>, (u64, u64))],
    #[case] expected: (u64, Option<u64>, Option<u64>),
) {
    let impact = impact_of(&data(fault, when, changed));
    assert_eq!((impact.failed, impact.outage_ms, impact.recovery_ms), expected);
}

#[test]
fn failures_are_told_by_the_second() {
    let impact = impact_of(&data("kill app-0 at 3s", (3_000, 3_010), &[(35..38, (10, 4)), (70..71, (19, 1))]));
    assert_eq!(impact.failed_by_second, [FailedSecond { second: 3, failed: 12 }]);
}

#[test]
fn a_system_that_answers_in_batches_is_silent_in_between() {
    let batches: Vec<_> = (0..50).map(|batch| (2 * batch..2 * batch + 1, (0, 0))).collect();
    let impact = |silence: Range<usize>| {
        let changed: Vec<_> = batches.iter().cloned().chain([(silence, (0, 0))]).collect();
        impact_of(&data("kill app-0 at 3s", (3_000, 3_010), &changed))
    };
    assert_eq!(impact(30..31).recovery_ms, Some(0));
    // With the pauses on both sides.
    assert_eq!(impact(31..32).outage_ms, Some(300));
}

#[test]
fn chance_alone_leaves_the_tenths_of_a_slow_load_empty() {
    // One request in every other tenth: twenty of them make ten requests, so that shorter stretches say nothing.
    let slow: Vec<_> = (0..100).map(|tenth| (tenth..tenth + 1, ((tenth % 2) as u64, 0))).collect();
    let impact = |silence: std::ops::Range<usize>| {
        let changed: Vec<_> = slow.iter().cloned().chain([(silence, (0, 0))]).collect();
        impact_of(&data("kill app-0 at 3s", (3_000, 3_010), &changed))
    };
    assert_eq!(impact(30..45).outage_ms, Some(0));
    assert!(impact(30..70).outage_ms.unwrap() >= 4_000);
}

#[test]
fn a_drain_is_short_by_what_lies_between_its_end_and_the_last_failure() {
    let event = |at, what| PodEvent { unix_ms: START + at, pod: "app-0".to_owned(), what };
    let drain = |ended: u64| {
        let mut data = data("rollout app at 3s", (3_000, 6_000), &[(35..42, (10, 1))]);
        data.faults[0].events = vec![
            event(3_010, PodChange::Stopping),
            event(3_020, PodChange::NotReady),
            event(ended, PodChange::Ended(0)),
            event(ended + 100, PodChange::Started),
        ];
        impact_of(&data).drain.unwrap()
    };
    let ended_too_early = drain(3_500);
    assert_eq!((ended_too_early.ended_ms, ended_too_early.short_by_ms), (Some(3_500), 700));
    assert_eq!((ended_too_early.asked_ms, ended_too_early.out_of_services_ms), (3_010, Some(3_020)));
    assert_eq!(drain(5_000).short_by_ms, 1_200, "it refused while it ran, from SIGTERM on");
}

#[test]
fn a_drain_is_asked_of_pods_for_which_others_stand_in() {
    let asked_of = |kind: &str, desired| {
        let mut data = data("delete app-0 at 3s", (3_000, 6_000), &[(35..42, (10, 1))]);
        data.faults[0].events =
            vec![PodEvent { unix_ms: START + 3_010, pod: "app-0".to_owned(), what: PodChange::Stopping }];
        let component = data.environment.components.iter_mut().find(|it| it.name == "app").unwrap();
        (component.kind, component.desired) = (kind.to_owned(), desired);
        impact_of(&data).drain.is_some()
    };
    assert!(asked_of("Deployment", 2));
    assert!(!asked_of("Deployment", 1) && !asked_of("StatefulSet", 2));
}

/// What failed may be the other fault's doing, such as a proxy's that was restarted.
#[test]
fn no_drain_is_blamed_while_another_fault_is_on() {
    let with_another = |(begun, over): (u64, u64)| {
        let mut data = data("rollout app at 3s", (3_000, 6_000), &[(35..42, (10, 1))]);
        data.faults[0].events =
            vec![PodEvent { unix_ms: START + 3_010, pod: "app-0".to_owned(), what: PodChange::Stopping }];
        let unix_ms = Some((START + begun, START + over));
        let another = CarriedOut { unix_ms, ..data.faults[0].faults[0].clone() };
        data.faults[0].faults.push(another);
        impact_of(&data).drain.is_some()
    };
    assert!(!with_another((1_000, 4_000)) && !with_another((2_000, 2_500)));
    assert!(with_another((1_000, 1_500)) && with_another((8_000, 9_000)));
    // What failed before it began is not its own.
    assert!(with_another((4_000, 4_010)));
}

/// A database that an earlier fault deleted may still be away when its requests fail.
#[rstest]
#[case::away(4_000, "db-0", false)]
#[case::back_just_before(2_500, "db-0", false)]
#[case::back_long_before(1_500, "db-0", true)]
#[case::never_back(u64::MAX - START, "db-0", false)]
#[case::a_replica_of_the_same_component(4_000, "app-1", true)]
fn no_drain_is_blamed_while_another_component_is_away(#[case] back: u64, #[case] pod: &str, #[case] blamed: bool) {
    let mut data = data("rollout app at 3s", (3_000, 6_000), &[(35..42, (10, 1))]);
    data.environment.components.iter_mut().find(|it| it.name == "app").unwrap().desired = 2;
    let event = |at, pod: &str, what| PodEvent { unix_ms: START + at, pod: pod.to_owned(), what };
    data.faults[0].events = vec![
        event(1_000, pod, PodChange::NotReady),
        event(3_010, "app-0", PodChange::Stopping),
        event(back, pod, PodChange::Ready),
    ];
    data.faults[0].events.sort_by_key(|event| event.unix_ms);
    assert_eq!(impact_of(&data).drain.is_some(), blamed);
}

#[test]
fn only_the_ends_that_faults_brought_about_are_forgiven() {
    let end = |exit_code, at| Termination {
        exit_code,
        signal: None,
        reason: "Error".to_owned(),
        started: Duration::ZERO,
        at: Duration::from_secs(at),
    };
    let mut container = ContainerReport::declared("app", &Probes::default(), "ContainerCreating");
    container.terminations = vec![end(1, 1), end(137, 2)];
    container.status.restart_count = 2;
    container.status.last_termination = Some(end(137, 2));
    let mut data = run(container);
    let pod = data.snapshot.pods.get_mut("app-0").unwrap();
    pod.object = Some(ClusterPod { replaced: vec!["a".to_owned(), "b".to_owned()], ..ClusterPod::default() });
    let explained = |container: Option<&str>, index| ExplainedEnd {
        pod: "app-0".to_owned(),
        container: container.map(str::to_owned),
        index,
    };
    let carried_out = CarriedOut {
        fault: "kill app-0 at 1s".parse().unwrap(),
        unix_ms: Some((0, 0)),
        failure: None,
        ends: vec![explained(Some("app"), 1), explained(None, 0)],
    };
    // A second fault at the same time saw the same ends.
    let faults = [ScenarioFaults { faults: vec![carried_out.clone(), carried_out], ..ScenarioFaults::default() }];
    forgive(&mut data.snapshot, &faults);
    let pod = &data.snapshot.pods["app-0"];
    assert_eq!((pod.restarts, pod.containers[0].status.restart_count), (1, 1));
    assert_eq!(pod.containers[0].terminations, [end(1, 1)]);
    assert_eq!(pod.containers[0].status.last_termination, Some(end(1, 1)));
    assert_eq!(pod.object.as_ref().unwrap().replaced, ["b"]);
}
