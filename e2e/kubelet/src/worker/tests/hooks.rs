//! What postStart and preStop hooks do to a container's life.

use super::*;

fn hook_ended(which: HookKind, failure: Option<&str>) -> Input {
    Input::HookEnded { which, failure: failure.map(str::to_owned) }
}

fn events(worker: &Worker) -> Vec<String> {
    worker.events().iter().map(ToString::to_string).collect()
}

#[test]
fn a_container_runs_once_its_post_start_hook_has_ended() {
    let probes =
        Probes { readiness: Some(probe(3, 10, 1, 3)), liveness: Some(probe(9, 10, 1, 3)), ..Probes::default() };
    let mut worker = running(probes, Policy { post_start: true, ..ALWAYS });
    let hook = Action::RunHook { which: HookKind::PostStart, limit: None };
    assert_eq!(worker.handle(s(0), Input::Started), [hook]);
    assert_eq!((worker.next_wake(), worker.status().started), (None, false), "nothing is asked before it has ended");
    assert_eq!(worker.status().state.to_string(), "ContainerCreating");
    let actions = worker.handle(s(5), hook_ended(HookKind::PostStart, None));
    assert_eq!(actions, [send(ProbeKind::Readiness)], "the initial delay counts from the start");
    assert_eq!(worker.next_wake(), Some(s(9)));
    assert!(matches!(worker.status().state, ContainerState::Running { since } if since == s(0)));
    assert!(worker.status().started && !worker.status().ready);
}

#[test]
fn a_post_start_hook_that_fails_kills_and_then_the_back_off_holds() {
    let probes = Probes { readiness: Some(probe(0, 1, 1, 1)), ..Probes::default() };
    let mut worker = running(probes, Policy { post_start: true, ..ALWAYS });
    for (at, next) in [(s(0), Some(s(2))), (s(2), Some(s(14)))] {
        worker.handle(at, Input::Started);
        let actions = worker.handle(at + s(1), hook_ended(HookKind::PostStart, Some("exit status 1")));
        assert_eq!(actions, [Action::Kill { grace: s(30), reason: "FailedPostStartHook".to_owned() }]);
        assert!(!worker.status().ready && !worker.status().started);
        assert_eq!(worker.next_wake(), None, "a probe of an earlier instance is not due");
        let actions = worker.handle(at + s(2), Input::Exited(DONE));
        assert_eq!(actions.is_empty(), next != Some(at + s(2)), "the first restart comes at once");
    }
    assert_eq!(worker.status().state.to_string(), "CrashLoopBackOff");
    assert_eq!(
        events(&worker),
        [
            "Normal Started: Started container web (x2)",
            "Warning FailedPostStartHook: PostStartHook failed: exit status 1 (x2)",
            "Normal Killing: FailedPostStartHook (x2)",
            "Warning BackOff: Back-off restarting failed container web in pod web-0",
        ]
    );
}

#[test]
fn a_container_that_ends_in_its_post_start_hook_is_restarted() {
    let mut worker = running(Probes::default(), Policy { post_start: true, ..ALWAYS });
    worker.handle(s(0), Input::Started);
    assert_eq!(worker.handle(s(1), Input::Exited(CRASH)), [Action::Start { run: 2 }]);
    assert_eq!(worker.handle(s(1), hook_ended(HookKind::PostStart, Some("gone"))), [], "a hook of the first");
}

#[rstest]
#[case::takes_its_share(s(4), None, s(26))]
#[case::whole_seconds_count(Duration::from_millis(3900), None, s(27))]
#[case::all_of_it(s(30), None, s(2))]
#[case::fails(s(1), Some("exit status 7"), s(29))]
fn a_pre_stop_hook_comes_before_sigterm(
    #[case] takes: Duration,
    #[case] failure: Option<&str>,
    #[case] left: Duration,
    #[values(Input::Stop, Input::Restart { spare: Duration::ZERO })] end: Input,
) {
    let mut worker = running(Probes::default(), Policy { pre_stop: true, ..ALWAYS });
    worker.handle(s(0), Input::Started);
    let hook = Action::RunHook { which: HookKind::PreStop, limit: Some(s(30)) };
    assert_eq!(worker.handle(s(1), end), [hook]);
    assert!(!worker.status().ready, "Services drop it before the hook runs");
    let actions = worker.handle(s(1) + takes, hook_ended(HookKind::PreStop, failure));
    assert!(matches!(&actions[..], [Action::Kill { grace, .. }] if *grace == left), "{actions:?}");
    let failed = failure.map(|failure| format!("Warning FailedPreStopHook: PreStopHook failed: {failure}"));
    assert_eq!(events(&worker).get(2).cloned(), failed);
}

#[test]
fn a_failed_liveness_probe_runs_the_pre_stop_hook_within_its_own_grace() {
    let liveness = Probe { termination_grace: Some(s(5)), ..probe(0, 1, 1, 1) };
    let probes = Probes { liveness: Some(liveness), ..Probes::default() };
    let mut worker = running(probes, Policy { pre_stop: true, ..ALWAYS });
    worker.handle(s(0), Input::Started);
    let actions = worker.handle(s(1), probed(ProbeKind::Liveness, Verdict::Failure));
    assert_eq!(actions, [Action::RunHook { which: HookKind::PreStop, limit: Some(s(5)) }]);
    // It ends by itself meanwhile.
    assert_eq!(worker.handle(s(2), Input::Exited(DONE)), [Action::Start { run: 2 }]);
    worker.handle(s(2), Input::Started);
    assert_eq!(worker.handle(s(3), hook_ended(HookKind::PreStop, None)), [], "the next instance is not killed for it");
}
