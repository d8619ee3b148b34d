//! What starts before what: init containers, Jobs, sidecars and dependencies.

use e2e_kubelet::snapshot::ContainerSpec;
use e2e_plan::{Hooks, Probes};
use tokio::time::sleep;

use super::{
    super::*,
    fake::{Fake, Script, container, hook, pod, probe, reached, ready, s},
};

#[tokio::test(start_paused = true)]
async fn init_containers_run_in_order_and_again_after_a_failure() {
    let fake = Fake::with(vec![("one", ends(&[(2, 1), (2, 1), (2, 0)])), ("two", ends(&[(3, 0)]))]);
    let init_containers = ["one", "two"].map(|name| container(name, Probes::default())).into();
    let spec = PodSpec { init_containers, ..pod("a", Probes::default()) };
    let node = fake.run(vec![spec]);
    assert_eq!(node.snapshot().pods["a"].status, "Init:0/2");
    let crash_loop = |snapshot: &Snapshot| snapshot.pods["a"].status == "Init:CrashLoopBackOff";
    reached(&node, crash_loop).await;
    ready(&node).await;
    assert_eq!(fake.log(), ["0 start one", "2 start one", "14 start one", "16 start two", "19 start a-c"]);
    node.shutdown().await;
}

/// A pod that runs to completion, started again after so many failures at most.
fn job(name: &str, failures: u32) -> PodSpec {
    let restart = e2e_plan::Restart::OnFailure { failures_max: Some(failures) };
    PodSpec { restart, ..pod(name, Probes::default()) }
}

fn sidecar(probes: Probes) -> ContainerSpec {
    ContainerSpec { is_sidecar: true, ..container("side", probes) }
}

fn ends(lives: &[(u64, i32)]) -> Script {
    Script { lives: lives.iter().map(|(life, code)| Some((s(*life), *code))).collect(), ..Script::default() }
}

#[tokio::test(start_paused = true)]
async fn a_job_runs_until_it_succeeds_and_what_needs_it_waits() {
    let fake = Fake::with(vec![("job-c", ends(&[(2, 1), (3, 0)]))]);
    let app = PodSpec { depends_on: vec!["job".to_owned()], ..pod("app", Probes::default()) };
    let node = fake.run(vec![job("job", 6), app]);
    let snapshot = ready(&node).await;
    assert_eq!(fake.log(), ["0 start job-c", "2 start job-c", "5 start app-c"]);
    assert_eq!(snapshot.pods["job"].status, "Completed");
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_is_given_up_after_its_failures() {
    let fake = Fake::with(vec![("job-c", ends(&[(1, 3)]))]);
    let node = fake.run(vec![job("job", 1)]);
    sleep(s(600)).await;
    let report = node.snapshot().pods["job"].clone();
    assert_eq!((report.status.as_str(), report.ready, report.restarts), ("Error", false, 1));
    assert_eq!(fake.log().len(), 2);
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn sidecars_start_before_what_comes_after_them_and_go_on() {
    let side = Script { healthy_after: s(4), ..Script::default() };
    let fake = Fake::with(vec![("side", side), ("init", ends(&[(3, 0)]))]);
    let startup = Probes { startup: Some(probe(2, 1000)), readiness: Some(probe(2, 3)), ..Probes::default() };
    let init_containers = vec![sidecar(startup), container("init", Probes::default())];
    let spec = PodSpec { init_containers, ..pod("a", Probes::default()) };
    let node = fake.run(vec![spec]);
    assert_eq!(node.snapshot().pods["a"].status, "Init:0/2");
    let snapshot = ready(&node).await;
    assert_eq!(fake.log(), ["0 start side", "4 start init", "7 start a-c"]);
    assert_eq!(snapshot.pods["a"].status, "Running");
    node.terminate().await;
    assert!(fake.log().iter().any(|text| text.ends_with(" kill side 30")));
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_ends_with_the_job_that_it_serves() {
    let fake = Fake::with(vec![("job-c", ends(&[(5, 0)]))]);
    let hooks = Hooks { post_start: None, pre_stop: hook("pre-hook") };
    let side = ContainerSpec { hooks, ..sidecar(Probes::default()) };
    let spec = PodSpec { init_containers: vec![side], ..job("job", 6) };
    let node = fake.run(vec![spec]);
    sleep(s(60)).await;
    assert_eq!(fake.log(), ["0 start side", "0 start job-c", "5 pre-hook side", "5 kill side 30"]);
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
    let node = fake.run(vec![job("hook", 6), db, app]);
    wait_for(node.watch(), "not ready", s(120), Snapshot::all_ready).await.unwrap();
    assert_eq!(fake.log(), ["0 start hook-c", "90 start db-c", "96 start app-c"]);
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
    let node = fake.run(pods);
    let both = |snapshot: &Snapshot| snapshot.pods["x"].ready && snapshot.pods["y"].ready;
    let snapshot = reached(&node, both).await;
    assert_eq!(fake.log()[2..], ["6 start x-c", "20 start y-c"]);
    let event = snapshot.pods["y"].events[0].to_string();
    assert_eq!(event, "Warning DependencyNotStarted: started without never, which had not started after 20 s");
    let error = wait_for(node.watch(), "not all pods are ready", s(5), Snapshot::all_ready).await.unwrap_err();
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
    let init_containers = vec![container("init", Probes::default()), sidecar(Probes::default())];
    let spec = PodSpec { init_containers, ..pod("a", Probes::default()) };
    let node = fake.run(vec![spec, pod("b", Probes::default())]);
    ready(&node).await;
    node.restarter().replace("a");
    let unready = reached(&node, |snapshot| !snapshot.pods["a"].ready).await;
    assert_eq!(fake.epoch.elapsed(), s(2), "Services drop it when it is asked to stop");
    assert!(unready.pods["b"].ready);
    let snapshot = ready(&node).await;
    let expected = [
        "0 start init",
        "2 start side",
        "2 start a-c",
        "2 kill a-c 30",
        "3 kill side 30",
        "4 replace a",
        "14 replace a",
        "14 start init",
        "16 start side",
        "16 start a-c",
    ];
    let of_a: Vec<_> = fake.log().into_iter().filter(|text| !text.ends_with("start b-c")).collect();
    assert_eq!(of_a, expected);
    let a = &snapshot.pods["a"];
    let restarts = |name: &str| {
        let container = a.container(name).unwrap();
        (container.status.restart_count, container.terminations.len())
    };
    assert_eq!([restarts("init"), restarts("side"), restarts("a-c")], [(0, 2), (1, 1), (1, 1)]);
    assert_eq!(a.events[0].to_string(), "Warning FailedKillPod: error killing pod: it is busy");
    node.shutdown().await;
}
