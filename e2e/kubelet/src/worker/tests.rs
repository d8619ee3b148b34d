mod hooks;

use e2e_plan::{Probe, ProbeAction};
use rstest::rstest;

use super::*;
use crate::simulate::{self, Behaviour};

pub(crate) const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) const ALWAYS: Policy = Policy::new(Restart::Always, s(30));
pub(super) const CRASH: Exit = Exit { code: 1, oom_killed: false };
pub(super) const DONE: Exit = Exit { code: 0, oom_killed: false };

pub(crate) fn probe(initial_delay: u64, period: u64, success_threshold: u32, failure_threshold: u32) -> Probe {
    Probe {
        initial_delay: s(initial_delay),
        period: s(period),
        success_threshold,
        failure_threshold,
        ..Probe::new(ProbeAction::TcpSocket { host: None, port: 80 })
    }
}

/// A worker whose container is being started since 0.
fn running(probes: Probes, policy: Policy) -> Worker {
    let mut worker = Worker::new("web-0", "web", probes, policy);
    assert_eq!(worker.handle(s(0), Input::Tick), [Action::Start { run: 1 }]);
    worker
}

/// The same whose program runs.
fn started(probes: Probes, policy: Policy) -> Worker {
    let mut worker = running(probes, policy);
    worker.handle(s(0), Input::Started);
    worker
}

/// One step of a simulation, with the status after it.
pub(super) struct Moment {
    pub(super) at: Duration,
    pub(super) input: Input,
    pub(super) actions: Vec<Action>,
    pub(super) status: ContainerStatus,
}

pub(super) fn simulate(probes: Probes, behaviour: &mut impl Behaviour, until: Duration) -> (Vec<Moment>, Worker) {
    let mut moments = Vec::new();
    let worker = Worker::new("web-0", "web", probes, ALWAYS);
    let worker = simulate::simulate(worker, behaviour, until, |at, input, actions, worker| {
        let (input, actions) = (input.clone(), actions.to_vec());
        moments.push(Moment { at, input, actions, status: worker.status().clone() });
    });
    (moments, worker)
}

fn probed(which: ProbeKind, verdict: Verdict) -> Input {
    Input::Probed { which, run: 1, verdict, message: if verdict == Verdict::Success { "" } else { "no" }.to_owned() }
}

fn send(which: ProbeKind) -> Action {
    Action::SendProbe { which, run: 1, extra: false }
}

#[test]
fn without_probes_a_container_is_ready_once_it_runs() {
    let mut worker = running(Probes::default(), ALWAYS);
    assert_eq!(worker.status().state.to_string(), "ContainerCreating");
    assert!(!worker.status().ready);
    assert_eq!(worker.handle(s(1), Input::Started), []);
    assert!(worker.status().ready && worker.status().started);
    assert_eq!(worker.next_wake(), None);
}

#[test]
fn probes_wait_for_the_startup_probe_and_then_come_at_once() {
    let probes = Probes {
        startup: Some(probe(2, 5, 1, 3)),
        readiness: Some(probe(0, 10, 1, 3)),
        liveness: Some(probe(60, 10, 1, 3)),
    };
    let mut worker = running(probes, ALWAYS);
    assert_eq!(worker.handle(s(0), Input::Started), []);
    assert_eq!(worker.next_wake(), Some(s(2)));
    assert_eq!(worker.handle(s(2), Input::Tick), [send(ProbeKind::Startup)]);
    assert_eq!(worker.next_wake(), None, "nothing is sent while the startup probe is in flight");
    assert_eq!(worker.handle(s(3), probed(ProbeKind::Startup, Verdict::Failure)), []);
    assert_eq!(worker.next_wake(), Some(s(7)));
    assert_eq!(worker.handle(s(7), Input::Tick), [send(ProbeKind::Startup)]);
    let actions = worker.handle(s(8), probed(ProbeKind::Startup, Verdict::Success));
    assert_eq!(actions, [send(ProbeKind::Readiness)], "liveness has its own initial delay");
    assert!(worker.status().started && !worker.status().ready);
    worker.handle(s(9), probed(ProbeKind::Readiness, Verdict::Success));
    assert!(worker.status().ready);
    assert_eq!(worker.next_wake(), Some(s(10)), "readiness keeps to its grid, which began with the container");
}

#[test]
fn thresholds_count_results_in_a_row() {
    let mut worker = started(Probes { readiness: Some(probe(0, 1, 2, 3)), ..Probes::default() }, ALWAYS);
    let mut ready = Vec::new();
    let (yes, no) = (Verdict::Success, Verdict::Failure);
    for (second, verdict) in (1..).zip([yes, no, yes, yes, no, no, yes, no, no, Verdict::Errored, no]) {
        worker.handle(s(second), probed(ProbeKind::Readiness, verdict));
        ready.push(worker.status().ready);
    }
    let (t, f) = (true, false);
    assert_eq!(ready, [f, f, f, t, t, t, t, t, t, t, f]);
}

#[rstest]
#[case::of_the_pod(None, s(30))]
#[case::of_the_probe(Some(s(5)), s(5))]
#[case::at_least_two_seconds(Some(s(0)), s(2))]
fn a_failed_liveness_probe_kills_with_the_grace(#[case] own: Option<Duration>, #[case] grace: Duration) {
    let liveness = Probe { termination_grace: own, ..probe(0, 1, 1, 1) };
    let mut worker = started(Probes { liveness: Some(liveness), ..Probes::default() }, ALWAYS);
    let reason = "Container web failed liveness probe, will be restarted".to_owned();
    let actions = worker.handle(s(1), probed(ProbeKind::Liveness, Verdict::Failure));
    assert_eq!(actions, [Action::Kill { grace, reason }]);
    assert_eq!(worker.next_wake(), None, "liveness is not asked again while the container is being killed");
    assert!(matches!(worker.status().state, ContainerState::Running { .. }));
    assert_eq!(worker.handle(s(2), Input::Exited(DONE)), [Action::Start { run: 2 }]);
    assert_eq!(worker.status().last_termination.as_ref().unwrap().reason, "Completed");
}

#[test]
fn a_failed_startup_probe_kills_and_says_so() {
    let mut worker = started(Probes { startup: Some(probe(0, 1, 1, 1)), ..Probes::default() }, ALWAYS);
    let actions = worker.handle(s(1), probed(ProbeKind::Startup, Verdict::Failure));
    assert!(matches!(&actions[..], [Action::Kill { reason, .. }] if reason.contains("failed startup probe")));
}

#[test]
fn a_container_that_is_being_killed_is_still_asked_whether_it_is_ready() {
    let probes = Probes { readiness: Some(probe(0, 1, 1, 1)), liveness: Some(probe(0, 1, 1, 1)), ..Probes::default() };
    let mut worker = started(probes, ALWAYS);
    worker.handle(s(0), probed(ProbeKind::Readiness, Verdict::Success));
    worker.handle(s(1), probed(ProbeKind::Liveness, Verdict::Failure));
    assert!(worker.status().ready);
    worker.handle(s(1), probed(ProbeKind::Readiness, Verdict::Failure));
    assert!(!worker.status().ready);
}

#[test]
fn results_of_an_earlier_instance_are_dropped() {
    let mut worker = started(Probes { liveness: Some(probe(0, 1, 1, 2)), ..Probes::default() }, ALWAYS);
    worker.handle(s(0), probed(ProbeKind::Liveness, Verdict::Failure));
    worker.handle(s(1), Input::Exited(CRASH));
    assert_eq!(
        worker.handle(s(1), Input::Started),
        [Action::SendProbe { which: ProbeKind::Liveness, run: 2, extra: false }]
    );
    assert!(worker.handle(s(2), probed(ProbeKind::Liveness, Verdict::Failure)).is_empty(), "a result of the first");
    let actions = worker.handle(s(2), failed_liveness(2));
    assert_eq!(actions, [Action::SendProbe { which: ProbeKind::Liveness, run: 2, extra: false }], "one failure of two");
}

#[test]
fn a_probe_that_cannot_be_sent_is_left_out_and_said() {
    let probes = Probes { startup: Some(probe(0, 1, 1, 1)), readiness: Some(probe(0, 1, 1, 1)), ..Probes::default() };
    let mut worker = started(probes, ALWAYS);
    worker.handle(s(0), probed(ProbeKind::Startup, Verdict::NotMeasured));
    assert!(worker.status().started);
    worker.handle(s(0), probed(ProbeKind::Readiness, Verdict::NotMeasured));
    assert!(worker.status().ready);
    assert_eq!(worker.next_wake(), None);
    assert_eq!(worker.events()[1].to_string(), "Warning ProbeNotMeasured: Startup probe left out: no");
}

#[test]
fn exits_wait_longer_and_longer() {
    let mut worker = running(Probes::default(), ALWAYS);
    let mut now = s(0);
    let mut waits = Vec::new();
    for _ in 0..7 {
        worker.handle(now, Input::Started);
        now += s(1);
        let exited = now;
        if worker.handle(now, Input::Exited(CRASH)).is_empty() {
            let delay = duration::as_go(worker.next_wake().unwrap() - now);
            let message = format!("back-off {delay} restarting failed container=web pod=web-0");
            let reason = "CrashLoopBackOff".to_owned();
            assert_eq!(worker.status().state, ContainerState::Waiting { reason, message });
            now = worker.next_wake().unwrap();
            assert_eq!(worker.handle(now, Input::Tick).len(), 1);
        }
        waits.push((now - exited).as_secs());
    }
    assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300]);
    worker.handle(now, Input::Started);
    assert_eq!(worker.status().restart_count, 7);
    assert_eq!(worker.handle(now + s(601), Input::Exited(CRASH)).len(), 1, "ten quiet minutes are forgiven");
}

/// A kill and the restart after it look at the end of the instance before, so the waits show late. The times are those of
/// a cluster: a period of 5 s and three failures gave three restarts within 75 s.
#[test]
fn a_failing_liveness_probe_is_restarted_three_times_before_the_crash_loop() {
    let probes = Probes { liveness: Some(probe(5, 5, 1, 3)), ..Probes::default() };
    let (moments, worker) = simulate(probes, &mut Sick, s(200));
    let is_start = |action: &Action| matches!(action, Action::Start { .. });
    let starts = moments.iter().filter(|moment| moment.actions.iter().any(is_start));
    assert_eq!(starts.map(|moment| moment.at.as_secs()).collect::<Vec<_>>(), [0, 16, 32, 48, 84, 140]);
    let first_loop = moments.iter().find(|moment| moment.status.state.to_string() == "CrashLoopBackOff");
    assert_eq!(first_loop.map(|moment| moment.at), Some(s(64)));
    assert!(worker.events().iter().any(|event| event.reason == "BackOff"));
}

/// Never healthy, and stops within a second of a SIGTERM.
struct Sick;

impl Behaviour for Sick {
    fn start(&mut self, _now: Duration) -> Duration {
        s(0)
    }
    fn exit(&mut self, _since: Duration) -> Option<(Duration, Exit)> {
        None
    }
    fn probe(&mut self, _now: Duration, _since: Duration, _which: ProbeKind) -> (Duration, Verdict, String) {
        (s(0), Verdict::Failure, "no".to_owned())
    }
    fn kill(&mut self, _grace: Duration) -> (Duration, Exit) {
        (s(1), DONE)
    }
}

#[test]
fn eager_probes_shorten_the_wait_and_their_failures_count_for_nothing() {
    let eager = Duration::from_millis(100);
    let probes = Probes { startup: Some(probe(0, 10, 1, 2)), liveness: Some(probe(0, 10, 1, 3)), ..Probes::default() };
    let mut worker = running(probes, Policy { eager: Some(eager), ..ALWAYS });
    assert_eq!(worker.handle(s(0), Input::Started), [send(ProbeKind::Startup)]);
    let mut now = s(0);
    for _ in 0..50 {
        assert_eq!(worker.handle(now, probed(ProbeKind::Startup, Verdict::Failure)), []);
        now += eager;
        assert_eq!(worker.next_wake(), Some(now));
        assert_eq!(
            worker.handle(now, Input::Tick),
            [Action::SendProbe { which: ProbeKind::Startup, run: 1, extra: true }]
        );
    }
    assert_eq!(worker.handle(now, probed(ProbeKind::Startup, Verdict::Success)), [send(ProbeKind::Liveness)]);
    assert!(worker.status().ready);
    let unhealthy = worker.events().iter().filter(|event| event.reason == "Unhealthy").map(|event| event.count);
    assert_eq!(unhealthy.sum::<u32>(), 1, "the one that a kubelet sends as well");
    worker.handle(now, probed(ProbeKind::Liveness, Verdict::Failure));
    assert_eq!(worker.next_wake(), Some(s(10)), "liveness is never asked more often");
}

#[test]
fn eager_probes_leave_a_container_twice_the_time_that_they_take() {
    let probes = Probes { startup: Some(probe(0, 10, 1, 2)), ..Probes::default() };
    let mut worker = started(probes, Policy { eager: Some(Duration::from_millis(100)), ..ALWAYS });
    worker.handle(s(1), probed(ProbeKind::Startup, Verdict::Failure));
    assert_eq!(worker.next_wake(), Some(s(3)), "it took one second");
}

#[test]
fn an_init_container_that_succeeds_is_done() {
    let mut worker =
        started(Probes::default(), Policy { restart: Restart::OnFailure { failures_max: None }, ..ALWAYS });
    assert_eq!(worker.handle(s(1), Input::Exited(CRASH)).len(), 1);
    worker.handle(s(1), Input::Started);
    assert!(worker.handle(s(2), Input::Exited(DONE)).is_empty() && worker.is_done());
    assert_eq!(worker.status().state.to_string(), "Completed");
}

#[test]
fn a_pod_that_is_deleted_starts_nothing_any_more() {
    let mut worker = running(Probes::default(), ALWAYS);
    assert!(worker.handle(s(0), Input::Stop).is_empty(), "its start is under way");
    let reason = "Stopping container web".to_owned();
    assert_eq!(worker.handle(s(1), Input::Started), [Action::Kill { grace: s(30), reason }]);
    assert!(worker.handle(s(2), Input::Exited(CRASH)).is_empty() && worker.is_done());
    let mut waiting = Worker::new("web-0", "web", Probes::default(), ALWAYS);
    assert!(waiting.handle(s(0), Input::Stop).is_empty() && waiting.is_done());
}

#[test]
fn an_oom_kill_has_its_word() {
    let mut worker = started(Probes::default(), ALWAYS);
    worker.handle(s(1), Input::Exited(Exit { code: 137, oom_killed: true }));
    let end = worker.status().last_termination.clone().unwrap();
    assert_eq!((end.reason.as_str(), end.exit_code, end.signal), ("OOMKilled", 137, Some(9)));
}

/// A container whose liveness probe may fail once every 10 s, running since 0, and asked for a new instance at 5.
fn asked_again() -> Worker {
    let probes = Probes { liveness: Some(probe(0, 10, 1, 1)), ..Probes::default() };
    let mut worker = started(probes, ALWAYS);
    assert!(worker.status().ready);
    let actions = worker.handle(s(5), Input::Restart { spare: s(60) });
    assert!(matches!(actions[..], [Action::Kill { .. }]), "{actions:?}");
    assert!(!worker.status().ready, "it leaves its Services while it drains");
    assert_eq!(worker.handle(s(6), Input::Exited(DONE)), [Action::Start { run: 2 }], "without a back-off");
    worker.handle(s(6), Input::Started);
    assert!(worker.status().ready);
    worker
}

fn failed_liveness(run: u32) -> Input {
    Input::Probed { which: ProbeKind::Liveness, run, verdict: Verdict::Failure, message: "no".to_owned() }
}

#[test]
fn an_instance_that_somebody_asked_for_is_spared_for_a_while() {
    let mut worker = asked_again();
    assert_eq!(worker.status().restart_count, 1);
    let kills = |actions: Vec<Action>| actions.iter().any(|action| matches!(action, Action::Kill { .. }));
    assert!(!kills(worker.handle(s(65), failed_liveness(2))));
    assert!(kills(worker.handle(s(66), failed_liveness(2))), "60 s after its start it is one like any other");
}

#[test]
fn the_instance_after_a_spared_one_is_not_spared() {
    let mut worker = asked_again();
    worker.handle(s(20), Input::Exited(CRASH));
    worker.handle(s(20), Input::Started);
    worker.handle(s(21), Input::Exited(CRASH));
    assert_eq!(worker.status().state.to_string(), "CrashLoopBackOff");
    // Whoever asks does not wait for the back-off.
    assert_eq!(worker.handle(s(22), Input::Restart { spare: Duration::ZERO }), [Action::Start { run: 4 }]);
    worker.handle(s(22), Input::Started);
    let actions = worker.handle(s(23), failed_liveness(4));
    assert!(actions.iter().any(|action| matches!(action, Action::Kill { .. })), "{actions:?}");
}

/// Recorded from a kubelet of 1.20; see `e2e/run/tests/differential`.
#[test]
fn an_old_kubelet_acts_on_startup_probes_with_the_next_sync() {
    let old = Policy { acts_at_once: false, ..ALWAYS };
    let probes = || Probes { startup: Some(probe(0, 1, 1, 1)), ..Probes::default() };
    let mut worker = started(probes(), old);
    assert_eq!(worker.handle(s(1), probed(ProbeKind::Startup, Verdict::Failure)), []);
    assert_eq!(worker.next_wake(), Some(s(60)), "nothing is sent any more");
    let actions = worker.handle(s(60), Input::Tick);
    assert!(matches!(&actions[..], [Action::Kill { reason, .. }] if reason.contains("failed startup probe")));

    let mut worker = started(probes(), old);
    worker.handle(s(1), probed(ProbeKind::Startup, Verdict::Success));
    assert!(worker.status().started && !worker.status().ready);
    assert_eq!(worker.handle(s(60), Input::Tick), []);
    assert!(worker.status().ready);
}

#[test]
fn an_old_kubelet_sends_readiness_probes_with_a_tick() {
    let first = |acts_at_once| {
        let probes = Probes { readiness: Some(probe(0, 10, 1, 1)), ..Probes::default() };
        let mut worker = running(probes, Policy { acts_at_once, ..ALWAYS });
        match worker.handle(s(0), Input::Started).is_empty() {
            true => worker.next_wake(),
            false => Some(s(0)),
        }
    };
    assert_eq!((first(true), first(false)), (Some(s(0)), Some(s(5))));
}
