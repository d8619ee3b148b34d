//! What starts before what: init containers, Jobs, sidecars and dependencies.

use std::{collections::VecDeque, sync::Arc};

use e2e_kubelet::snapshot::ContainerSpec;
use e2e_plan::{Hooks, Probes};
use tokio::time::sleep;

use super::{
    super::*,
    fake::{Fake, Script, hook, options, pod, probe, s},
};

#[tokio::test(start_paused = true)]
async fn init_containers_run_in_order_and_again_after_a_failure() {
    let fake = Fake::with(vec![
        (
            "one",
            Script { lives: VecDeque::from([Some((s(2), 1)), Some((s(2), 1)), Some((s(2), 0))]), ..Script::default() },
        ),
        ("two", Script { lives: VecDeque::from([Some((s(3), 0))]), ..Script::default() }),
    ]);
    let (options, epoch) = options();
    let init = |name: &str| ContainerSpec {
        name: name.to_owned(),
        probes: Probes::default(),
        hooks: Hooks::default(),
        is_sidecar: false,
    };
    let spec = PodSpec { init_containers: vec![init("one"), init("two")], ..pod("a", Probes::default()) };
    let node = Node::run(Arc::clone(&fake), vec![spec], options);
    assert_eq!(node.snapshot().pods["a"].status, "Init:0/2");
    let crash_loop = |snapshot: &Snapshot| snapshot.pods["a"].status == "Init:CrashLoopBackOff";
    node.wait_for("no crash loop", s(60), crash_loop).await.unwrap();
    node.wait_ready(s(60)).await.unwrap();
    let starts = [("start one", 0), ("start one", 2), ("start one", 14), ("start two", 16), ("start a-c", 19)];
    assert_eq!(fake.log(epoch), starts.map(|(text, at)| (text.to_owned(), at)));
    node.shutdown().await;
}

/// A pod that runs to completion, given up after so many failures.
fn job(name: &str, failures: u32) -> PodSpec {
    let restart = e2e_plan::Restart::OnFailure { failures_max: Some(failures) };
    PodSpec { restart, ..pod(name, Probes::default()) }
}

fn ends(lives: &[(u64, i32)]) -> Script {
    Script { lives: lives.iter().map(|(life, code)| Some((s(*life), *code))).collect(), ..Script::default() }
}

#[tokio::test(start_paused = true)]
async fn a_job_runs_until_it_succeeds_and_what_needs_it_waits() {
    let fake = Fake::with(vec![("job-c", ends(&[(2, 1), (3, 0)]))]);
    let app = PodSpec { depends_on: vec!["job".to_owned()], ..pod("app", Probes::default()) };
    let (options, epoch) = options();
    let node = Node::run(Arc::clone(&fake), vec![job("job", 6), app], options);
    let snapshot = node.wait_ready(s(60)).await.unwrap();
    let expected = [("start job-c", 0), ("start job-c", 2), ("start app-c", 5)];
    assert_eq!(fake.log(epoch), expected.map(|(text, at)| (text.to_owned(), at)));
    assert_eq!(snapshot.pods["job"].status, "Completed");
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_is_given_up_after_its_failures() {
    let fake = Fake::with(vec![("job-c", ends(&[(1, 3)]))]);
    let (options, epoch) = options();
    let node = Node::run(Arc::clone(&fake), vec![job("job", 1)], options);
    sleep(s(600)).await;
    let report = node.snapshot().pods["job"].clone();
    assert_eq!((report.status.as_str(), report.ready, report.restarts), ("Error", false, 1));
    assert_eq!(fake.log(epoch).len(), 2);
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn sidecars_start_before_what_comes_after_them_and_go_on() {
    let side = Script { healthy_after: s(4), ..Script::default() };
    let fake = Fake::with(vec![("side", side), ("init", ends(&[(3, 0)]))]);
    let startup = Probes { startup: Some(probe(2, 1000)), readiness: Some(probe(2, 3)), ..Probes::default() };
    let side = ContainerSpec { name: "side".to_owned(), probes: startup, hooks: Hooks::default(), is_sidecar: true };
    let init = ContainerSpec {
        name: "init".to_owned(),
        probes: Probes::default(),
        hooks: Hooks::default(),
        is_sidecar: false,
    };
    let spec = PodSpec { init_containers: vec![side, init], ..pod("a", Probes::default()) };
    let (options, epoch) = options();
    let node = Node::run(Arc::clone(&fake), vec![spec], options);
    assert_eq!(node.snapshot().pods["a"].status, "Init:0/2");
    let snapshot = node.wait_ready(s(60)).await.unwrap();
    let expected = [("start side", 0), ("start init", 4), ("start a-c", 7)];
    assert_eq!(fake.log(epoch), expected.map(|(text, at)| (text.to_owned(), at)));
    assert_eq!(snapshot.pods["a"].status, "Running");
    node.terminate().await;
    assert!(fake.log(epoch).iter().any(|(text, _)| text == "kill side 30"));
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_ends_with_the_job_that_it_serves() {
    let fake = Fake::with(vec![("job-c", ends(&[(5, 0)]))]);
    let side = ContainerSpec {
        name: "side".to_owned(),
        probes: Probes::default(),
        hooks: Hooks { post_start: None, pre_stop: hook("pre-hook") },
        is_sidecar: true,
    };
    let spec = PodSpec { init_containers: vec![side], ..job("job", 6) };
    let (options, epoch) = options();
    let node = Node::run(Arc::clone(&fake), vec![spec], options);
    sleep(s(60)).await;
    let expected = [("start side", 0), ("start job-c", 0), ("pre-hook side", 5), ("kill side 30", 5)];
    assert_eq!(fake.log(epoch), expected.map(|(text, at)| (text.to_owned(), at)));
    assert_eq!(node.snapshot().pods["job"].status, "Completed");
    assert!(node.snapshot().all_ready());
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_a_hook_of_helm_waits_however_long_it_takes() {
    let fake =
        Fake::with(vec![("hook-c", ends(&[(90, 0)])), ("db-c", Script { healthy_after: s(6), ..Script::default() })]);
    let app =
        PodSpec { after: vec!["hook".to_owned()], depends_on: vec!["db".to_owned()], ..pod("app", Probes::default()) };
    let startup = Probes { startup: Some(probe(2, 1000)), ..Probes::default() };
    let db = PodSpec { after: vec!["hook".to_owned()], ..pod("db", startup) };
    let (options, epoch) = options();
    let node = Node::run(Arc::clone(&fake), vec![job("hook", 6), db, app], options);
    node.wait_ready(s(120)).await.unwrap();
    let expected = [("start hook-c", 0), ("start db-c", 90), ("start app-c", 96)];
    assert_eq!(fake.log(epoch), expected.map(|(text, at)| (text.to_owned(), at)));
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_waits_for_its_dependencies_within_a_bound() {
    let never = Script { sick_after: Some(s(0)), ..Script::default() };
    let late = Script { healthy_after: s(6), ..Script::default() };
    let fake = Fake::with(vec![("never-c", never), ("late-c", late)]);
    let startup = Probes { startup: Some(probe(2, 1000)), ..Probes::default() };
    let after = |name: &str, on: &str| PodSpec { depends_on: vec![on.to_owned()], ..pod(name, Probes::default()) };
    let pods = vec![pod("never", startup.clone()), pod("late", startup), after("x", "late"), after("y", "never")];
    let (options, epoch) = options();
    let node = Node::run(Arc::clone(&fake), pods, options);
    let both = |snapshot: &Snapshot| snapshot.pods["x"].ready && snapshot.pods["y"].ready;
    let snapshot = node.wait_for("x and y are not ready", s(60), both).await.unwrap();
    assert_eq!(fake.log(epoch)[2..], [("start x-c".to_owned(), 6), ("start y-c".to_owned(), 20)]);
    let event = snapshot.pods["y"].events[0].to_string();
    assert_eq!(event, "Warning DependencyNotStarted: started without never, which had not started after 20 s");
    let error = node.wait_ready(s(5)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "not all pods are ready after 5.0 s: never is Running with 0 restarts, Unhealthy: Startup probe failed: said so"
    );
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn another_pod_begins_with_its_init_containers() {
    let fake = Fake::with(vec![("init", ends(&[(2, 0)]))]);
    fake.replace_errors.lock().unwrap().push_back("it is busy".to_owned());
    let container = |name: &str, is_sidecar| ContainerSpec {
        name: name.to_owned(),
        probes: Probes::default(),
        hooks: Hooks::default(),
        is_sidecar,
    };
    let init_containers = vec![container("init", false), container("side", true)];
    let spec = PodSpec { init_containers, ..pod("a", Probes::default()) };
    let (options, epoch) = options();
    let node = Node::run(Arc::clone(&fake), vec![spec, pod("b", Probes::default())], options);
    node.wait_ready(s(60)).await.unwrap();
    node.restarter().replace("a");
    let unready = node.wait_for("it stays", s(60), |snapshot| !snapshot.pods["a"].ready).await.unwrap();
    assert_eq!(epoch.elapsed(), s(2), "Services drop it when it is asked to stop");
    assert!(unready.pods["b"].ready);
    let snapshot = node.wait_ready(s(60)).await.unwrap();
    let expected = [
        ("start init", 0),
        ("start side", 2),
        ("start a-c", 2),
        ("kill a-c 30", 2),
        ("kill side 30", 3),
        ("replace a", 4),
        ("replace a", 14),
        ("start init", 14),
        ("start side", 16),
        ("start a-c", 16),
    ];
    let of_a: Vec<_> = fake.log(epoch).into_iter().filter(|(text, _)| text != "start b-c").collect();
    assert_eq!(of_a, expected.map(|(text, at)| (text.to_owned(), at)));
    let a = &snapshot.pods["a"];
    let restarts = |name: &str| {
        let container = a.container(name).unwrap();
        (container.status.restart_count, container.terminations.len())
    };
    assert_eq!([restarts("init"), restarts("side"), restarts("a-c")], [(0, 2), (1, 1), (1, 1)]);
    assert_eq!(a.events[0].to_string(), "Warning FailedKillPod: error killing pod: it is busy");
    node.shutdown().await;
}
