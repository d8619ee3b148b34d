//! Pods in virtual time: probes, restarts, kills, and the end.

mod fake;
mod hooks;
mod order;

use std::{collections::VecDeque, sync::Arc};

use e2e_kubelet::status::ContainerState;
use e2e_plan::{Probe, ProbeKind, Probes};
use tokio::time::{Instant, sleep};

use self::fake::{Fake, Script, pod, probe, reached, ready, s};
use super::*;

#[tokio::test(start_paused = true)]
async fn a_pod_becomes_ready_through_its_probes() {
    let fake = Fake::with(vec![("a-c", Script { healthy_after: s(4), ..Script::default() })]);
    let probes = Probes { startup: Some(probe(2, 30)), readiness: Some(probe(5, 3)), liveness: Some(probe(5, 3)) };
    let node = fake.run(vec![pod("a", probes)]);
    let snapshot = ready(&node).await;
    assert_eq!(fake.epoch.elapsed().as_secs(), 4);
    let startup = &snapshot.pod("a").unwrap().container("a-c").unwrap().probes[&ProbeKind::Startup];
    assert_eq!((startup.sent, startup.failed), (Some(3), 2));
    assert_eq!(snapshot.pods["a"].status, "Running");
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_liveness_probe_kills_and_crash_loops() {
    let fake = Fake::with(vec![("a-c", Script { sick_after: Some(s(0)), ..Script::default() })]);
    let probes = Probes { liveness: Some(probe(1, 3)), ..Probes::default() };
    let node = fake.run(vec![pod("a", probes)]);
    let crash_loop = |snapshot: &Snapshot| snapshot.pods["a"].status == "CrashLoopBackOff";
    let snapshot = reached(&node, crash_loop).await;
    // Killed after probes at 0, 1 and 2 s; gone at 3 s; twice restarted at once, then the wait of 10 s stands.
    assert_eq!(fake.epoch.elapsed().as_secs(), 9);
    let container = &snapshot.pods["a"].containers[0];
    assert_eq!(container.status.restart_count, 2);
    let events: Vec<_> = container.events.iter().map(ToString::to_string).collect();
    assert_eq!(
        events,
        [
            "Normal Started: Started container a-c (x3)",
            "Warning Unhealthy: Liveness probe failed: said so (x9)",
            "Normal Killing: Container a-c failed liveness probe, will be restarted (x3)",
            "Warning BackOff: Back-off restarting failed container a-c in pod a",
        ]
    );
    node.shutdown().await;
}

/// Where Docker ran the containers, the engine gave a missing command an exit status; every other runtime gives an error.
#[rstest::rstest]
#[case::current(
    "1.36",
    0,
    "Warning Unhealthy: Liveness probe errored and resulted in unknown state: no such file or directory (x3)"
)]
#[case::before_1_33("1.32", 0, "Warning Unhealthy: Liveness probe errored: no such file or directory (x3)")]
#[case::of_docker("1.20", 1, "Warning Unhealthy: Liveness probe failed: no such file or directory (x3)")]
#[tokio::test(start_paused = true)]
async fn a_liveness_command_that_is_missing_kills_by_version(
    #[case] version: &str,
    #[case] kills: usize,
    #[case] event: &str,
) {
    let fake = Fake::with(vec![("a-c", Script { lacks_command: true, ..Script::default() })]);
    let probes = Probes { liveness: Some(probe(1, 3)), ..Probes::default() };
    let options = Options { profile: Profile::of_version(version), ..Options::default() };
    let node = Node::run(Arc::clone(&fake), vec![pod("a", probes)], options);
    sleep(Duration::from_millis(2500)).await;
    let killed = fake.log().iter().filter(|text| text.contains(" kill ")).count();
    assert_eq!(killed, kills);
    let snapshot = node.shutdown().await;
    let container = &snapshot.pods["a"].containers[0];
    let events: Vec<_> = container.events.iter().map(ToString::to_string).collect();
    assert!(events.contains(&event.to_owned()), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_probe_in_flight_does_not_delay_a_kill() {
    let script = Script { exec_takes: s(1), ..Script::default() };
    let fake = Fake::with(vec![("a-c", script)]);
    let probes = Probes { readiness: Some(Probe { timeout: s(30), ..probe(1, 3) }), ..Probes::default() };
    let node = fake.run(vec![pod("a", probes)]);
    ready(&node).await;
    fake.table().get_mut("a-c").unwrap().exec_takes = s(25);
    sleep(s(5)).await;
    let before = Instant::now();
    let snapshot = node.terminate().await;
    assert_eq!(before.elapsed(), s(1), "only the container's own second");
    assert_eq!(fake.log(), ["0 start a-c", "6 kill a-c 30"]);
    assert!(matches!(snapshot.pods["a"].containers[0].status.state, ContainerState::Terminated(_)));
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_is_tried_again_and_said() {
    let script =
        Script { start_errors: VecDeque::from(["no such file".to_owned(), "again".to_owned()]), ..Script::default() };
    let fake = Fake::with(vec![("a-c", script)]);
    let node = fake.run(vec![pod("a", Probes::default())]);
    let failed = |snapshot: &Snapshot| snapshot.pods["a"].status == "RunContainerError";
    reached(&node, failed).await;
    let snapshot = ready(&node).await;
    assert_eq!(fake.log(), ["10 start a-c"]);
    assert_eq!(snapshot.pods["a"].containers[0].events[0].to_string(), "Warning Failed: Error: no such file");
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn shutdown_leaves_the_containers_and_waits_for_nothing() {
    let fake = Fake::with(vec![("a-c", Script { exec_takes: s(100), ..Script::default() })]);
    let probes = Probes { liveness: Some(Probe { timeout: s(200), ..probe(1, 3) }), ..Probes::default() };
    let node = fake.run(vec![pod("a", probes)]);
    ready(&node).await;
    let before = Instant::now();
    node.shutdown().await;
    assert_eq!(before.elapsed(), s(0));
    assert_eq!(fake.log(), ["0 start a-c"]);
}

#[tokio::test(start_paused = true)]
async fn a_restart_is_of_the_container_that_was_asked_for() {
    // It needs half a minute, for which its liveness probe has no patience.
    let script = || Script { healthy_after: s(30), ..Script::default() };
    let fake = Fake::with(vec![("a-c", script()), ("b-c", Script::default())]);
    let probes = Probes { liveness: Some(probe(5, 3)), ..Probes::default() };
    let node = fake.run(vec![pod("a", probes), pod("b", Probes::default())]);
    sleep(s(3)).await;
    node.restarter().restart("a", "a-c", s(60));
    sleep(s(90)).await;
    let of_a: Vec<_> = fake.log().into_iter().filter(|text| !text.contains("b-c")).collect();
    assert_eq!(of_a, ["0 start a-c", "3 kill a-c 30", "4 start a-c"], "spared until it answers");
    assert_eq!(node.snapshot().pods["b"].restarts, 0);
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_kill_that_fails_is_said_and_repeated() {
    let kill_errors = VecDeque::from(["it does not answer".to_owned(), "it does not answer".to_owned()]);
    let script = Script { kill_errors, sick_after: Some(s(0)), ..Script::default() };
    let fake = Fake::with(vec![("a-c", script)]);
    let probes = Probes { liveness: Some(probe(1, 3)), ..Probes::default() };
    let node = fake.run(vec![pod("a", probes)]);
    let restarted = |snapshot: &Snapshot| snapshot.pods["a"].restarts == 1;
    let snapshot = reached(&node, restarted).await;
    // Each try takes a second, and ten pass between two of them.
    assert_eq!(fake.log(), ["0 start a-c", "2 kill a-c 30", "13 kill a-c 30", "24 kill a-c 30", "25 start a-c"]);
    assert_eq!(
        snapshot.pods["a"].events[0].to_string(),
        "Warning FailedSync: Error syncing pod, skipping: failed to \"KillContainer\" for \"a-c\" with KillContainerError: \"it does \
         not answer\" (x2)"
    );
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_kill_that_failed_does_not_meet_the_next_instance() {
    // It ends by itself before the next try.
    let lives = VecDeque::from([Some((s(6), 1)), None]);
    let script = Script { kill_errors: VecDeque::from(["no".to_owned()]), lives, ..Script::default() };
    let fake = Fake::with(vec![("a-c", script)]);
    let node = fake.run(vec![pod("a", Probes::default())]);
    sleep(s(3)).await;
    node.restarter().restart("a", "a-c", s(0));
    sleep(s(60)).await;
    assert_eq!(fake.log(), ["0 start a-c", "3 kill a-c 30", "6 start a-c"]);
    node.shutdown().await;
}
