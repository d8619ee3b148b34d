//! postStart and preStop hooks.

use e2e_plan::{Hook, Hooks, ProbeAction, Probes};
use tokio::time::sleep;

use super::{
    super::*,
    fake::{Fake, Script, container, hook, pod, reached, ready, s},
};

fn with_hooks(name: &str, post_start: Option<Hook>, pre_stop: Option<Hook>) -> PodSpec {
    let mut pod = pod(name, Probes::default());
    pod.containers[0].hooks = Hooks { post_start, pre_stop };
    pod
}

#[tokio::test(start_paused = true)]
async fn hooks_run_after_the_start_and_before_the_end() {
    let fake = Fake::with(vec![("a-c", Script { hooks: (s(4), 0), ..Script::default() })]);
    let mut spec = with_hooks("a", hook("post-hook"), hook("pre-hook"));
    spec.containers.push(container("next", Probes::default()));
    let node = fake.run(vec![spec]);
    ready(&node).await;
    sleep(s(2)).await;
    node.restarter().restart("a", "a-c", s(0));
    sleep(s(60)).await;
    assert_eq!(
        fake.log(),
        [
            "0 start a-c",
            "0 post-hook a-c",
            "4 start next",
            "6 pre-hook a-c",
            "10 kill a-c 26",
            "11 start a-c",
            "11 post-hook a-c",
        ]
    );
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_pre_stop_hook_may_take_the_grace_period_and_no_more() {
    let fake = Fake::with(vec![("a-c", Script { hooks: (s(1000), 0), ..Script::default() })]);
    let node = fake.run(vec![with_hooks("a", None, hook("pre-hook"))]);
    ready(&node).await;
    let snapshot = node.terminate().await;
    assert_eq!(fake.log(), ["0 start a-c", "0 pre-hook a-c", "30 kill a-c 2"]);
    let events: Vec<_> = snapshot.pods["a"].containers[0].events.iter().map(|event| event.reason.as_str()).collect();
    assert_eq!(events, ["Started", "Killing"], "a kubelet does not call it a failure");
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_fails_is_said() {
    let fake = Fake::with(vec![("a-c", Script { hooks: (s(1), 3), ..Script::default() })]);
    let refused = ProbeAction::HttpGet { https: false, host: None, port: 1, path: "/".to_owned(), headers: vec![] };
    let specs =
        vec![with_hooks("a", hook("post-hook"), hook("pre-hook")), with_hooks("b", None, Some(Hook::Run(refused)))];
    let node = fake.run(specs);
    let crash_loop = |snapshot: &Snapshot| snapshot.pods["a"].status == "CrashLoopBackOff";
    reached(&node, crash_loop).await;
    let snapshot = node.terminate().await;
    let events =
        |pod: &str| -> Vec<_> { snapshot.pods[pod].all_events().into_iter().map(ToString::to_string).collect() };
    for text in [
        "Warning FailedPostStartHook: PostStartHook failed: command [\"post-hook\"] exited with 3: said so (x2)",
        "Warning FailedPreStopHook: PreStopHook failed: command [\"pre-hook\"] exited with 3: said so (x2)",
        "Normal Killing: FailedPostStartHook (x2)",
    ] {
        assert!(events("a").contains(&text.to_owned()), "{:?}", events("a"));
    }
    assert!(
        matches!(&events("b")[..], [_, _, failed] if failed.starts_with("Warning FailedPreStopHook: ")),
        "{:?}",
        events("b")
    );
}
