use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use e2e_kubelet::{snapshot::ContainerSpec, status::ContainerState};
use e2e_plan::{Hook, Hooks, Probe, ProbeAction, ProbeKind, Probes};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use super::*;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A runtime in virtual time: containers are entries in a table, probes are exec probes that a script answers.
#[derive(Default)]
struct Fake {
    containers: Mutex<BTreeMap<String, Script>>,
    changed: Notify,
    log: Mutex<Vec<(String, Instant)>>,
}

#[derive(Default)]
struct Script {
    start_errors: VecDeque<String>,
    kill_errors: VecDeque<String>,
    /// How long each instance lives, and its exit status; the last entry is for all further ones. `None` lives on.
    lives: VecDeque<Option<(Duration, i32)>>,
    /// From when on an instance answers its probes with 0.
    healthy_after: Duration,
    /// From when on it answers with 1 again.
    sick_after: Option<Duration>,
    exec_takes: Duration,
    /// The image has no such command.
    lacks_command: bool,
    /// How long its hooks take, and their exit status.
    hooks: (Duration, i32),
    started: Option<Instant>,
    exited: Option<i32>,
    instance: u64,
}

impl Fake {
    fn with(scripts: Vec<(&str, Script)>) -> Arc<Self> {
        let containers = scripts.into_iter().map(|(name, script)| (name.to_owned(), script)).collect();
        Arc::new(Self { containers: Mutex::new(containers), ..Self::default() })
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<String, Script>> {
        self.containers.lock().unwrap()
    }

    fn note(&self, text: String) {
        self.log.lock().unwrap().push((text, Instant::now()));
    }

    /// What happened, with the seconds since `epoch`.
    fn log(&self, epoch: Instant) -> Vec<(String, u64)> {
        self.log.lock().unwrap().iter().map(|(text, at)| (text.clone(), (*at - epoch).as_secs())).collect()
    }
}

impl Runtime for Fake {
    async fn start(&self, _pod: &str, container: &str) -> Result<(), StartError> {
        let mut table = self.table();
        let script = table.entry(container.to_owned()).or_default();
        if let Some(error) = script.start_errors.pop_front() {
            return Err(StartError::run(error));
        }
        assert!(script.started.is_none() || script.exited.is_some(), "{container} is started twice");
        script.started = Some(Instant::now());
        script.exited = None;
        script.instance += 1;
        drop(table);
        self.note(format!("start {container}"));
        Ok(())
    }

    async fn wait_exit(&self, _pod: &str, container: &str) -> Exit {
        let end = {
            let mut table = self.table();
            let script = table.get_mut(container).unwrap();
            let life = if script.lives.len() > 1 { script.lives.pop_front() } else { script.lives.front().copied() };
            life.flatten().map(|(life, code)| (script.started.unwrap() + life, code))
        };
        loop {
            let changed = self.changed.notified();
            if let Some(code) = self.table()[container].exited {
                return Exit { code, oom_killed: false };
            }
            match end {
                Some((at, code)) => tokio::select! {
                    () = tokio::time::sleep_until(at) => {
                        self.table().get_mut(container).unwrap().exited.get_or_insert(code);
                    }
                    () = changed => {}
                },
                None => changed.await,
            }
        }
    }

    async fn kill(&self, _pod: &str, container: &str, grace: Duration) -> Result<(), KillError> {
        self.note(format!("kill {container} {}", grace.as_secs()));
        sleep(s(1)).await;
        if let Some(error) = self.table().get_mut(container).unwrap().kill_errors.pop_front() {
            return Err(KillError(error));
        }
        self.table().get_mut(container).unwrap().exited = Some(143);
        self.changed.notify_waiters();
        Ok(())
    }

    async fn exec(&self, _: &str, container: &str, run: &[String], _: Duration) -> Result<ExecResult, ExecError> {
        if let [hook] = run
            && hook.ends_with("hook")
        {
            self.note(format!("{hook} {container}"));
            let (takes, exit_code) = self.table()[container].hooks;
            sleep(takes).await;
            return Ok(ExecResult { exit_code, output: b"said so".to_vec() });
        }
        let (code, takes) = {
            let table = self.table();
            let script = &table[container];
            if script.lacks_command {
                return Err(ExecError::Failed("no such file or directory".to_owned()));
            }
            let age = script.started.unwrap().elapsed();
            let sick = age < script.healthy_after || script.sick_after.is_some_and(|after| age >= after);
            (i32::from(sick), script.exec_takes)
        };
        sleep(takes).await;
        Ok(ExecResult { exit_code: code, output: b"said so".to_vec() })
    }

    fn target(&self, _pod: &str) -> Option<Target> {
        Some(Target { pod_ip: IpAddr::from([127, 0, 0, 1]), ports: BTreeMap::new(), host: None })
    }
}

fn probe(period: u64, failure_threshold: u32) -> Probe {
    let action = ProbeAction::Exec { command: vec!["check".into()] };
    Probe { period: s(period), failure_threshold, ..Probe::new(action) }
}

fn pod(name: &str, probes: Probes) -> PodSpec {
    PodSpec {
        name: name.to_owned(),
        init_containers: Vec::new(),
        containers: vec![ContainerSpec {
            name: format!("{name}-c"),
            probes,
            hooks: Hooks::default(),
            is_sidecar: false,
        }],
        restart: e2e_plan::Restart::Always,
        grace: s(30),
        depends_on: Vec::new(),
    }
}

fn options() -> (Options, Instant) {
    let options = Options::default();
    let epoch = options.epoch;
    (options, epoch)
}

#[tokio::test(start_paused = true)]
async fn a_pod_becomes_ready_through_its_probes() {
    let fake = Fake::with(vec![("a-c", Script { healthy_after: s(4), ..Script::default() })]);
    let probes = Probes { startup: Some(probe(2, 30)), readiness: Some(probe(5, 3)), liveness: Some(probe(5, 3)) };
    let (options, epoch) = options();
    let node = Node::run(Arc::clone(&fake), vec![pod("a", probes)], options);
    let snapshot = node.wait_ready(s(60)).await.unwrap();
    assert_eq!(epoch.elapsed().as_secs(), 4);
    let startup = &snapshot.pod("a").unwrap().container("a-c").unwrap().probes[&ProbeKind::Startup];
    assert_eq!((startup.sent, startup.failed), (Some(3), 2));
    assert_eq!(snapshot.pods["a"].status, "Running");
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_liveness_probe_kills_and_crash_loops() {
    let fake = Fake::with(vec![("a-c", Script { sick_after: Some(s(0)), ..Script::default() })]);
    let probes = Probes { liveness: Some(probe(1, 3)), ..Probes::default() };
    let (options, epoch) = options();
    let node = Node::run(Arc::clone(&fake), vec![pod("a", probes)], options);
    let crash_loop = |snapshot: &Snapshot| snapshot.pods["a"].status == "CrashLoopBackOff";
    let snapshot = node.wait_for("no crash loop", s(60), crash_loop).await.unwrap();
    // Killed after probes at 0, 1 and 2 s; gone at 3 s; twice restarted at once, then the wait of 10 s stands.
    assert_eq!(epoch.elapsed().as_secs(), 9);
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
    let (options, epoch) = options();
    let options = Options { profile: Profile::of_version(version), ..options };
    let node = Node::run(Arc::clone(&fake), vec![pod("a", probes)], options);
    sleep(Duration::from_millis(2500)).await;
    let killed = fake.log(epoch).iter().filter(|(text, _)| text.starts_with("kill")).count();
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
    let (options, epoch) = options();
    let node = Node::run(Arc::clone(&fake), vec![pod("a", probes)], options);
    node.wait_ready(s(60)).await.unwrap();
    fake.table().get_mut("a-c").unwrap().exec_takes = s(25);
    sleep(s(5)).await;
    let before = Instant::now();
    let snapshot = node.terminate().await;
    assert_eq!(before.elapsed(), s(1), "only the container's own second");
    assert_eq!(fake.log(epoch), [("start a-c".to_owned(), 0), ("kill a-c 30".to_owned(), 6)]);
    assert!(matches!(snapshot.pods["a"].containers[0].status.state, ContainerState::Terminated(_)));
}

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
async fn a_start_that_fails_is_tried_again_and_said() {
    let script =
        Script { start_errors: VecDeque::from(["no such file".to_owned(), "again".to_owned()]), ..Script::default() };
    let fake = Fake::with(vec![("a-c", script)]);
    let (options, epoch) = options();
    let node = Node::run(Arc::clone(&fake), vec![pod("a", Probes::default())], options);
    let failed = |snapshot: &Snapshot| snapshot.pods["a"].status == "RunContainerError";
    node.wait_for("no error", s(60), failed).await.unwrap();
    let snapshot = node.wait_ready(s(60)).await.unwrap();
    assert_eq!(fake.log(epoch), [("start a-c".to_owned(), 10)]);
    assert_eq!(snapshot.pods["a"].containers[0].events[0].to_string(), "Warning Failed: Error: no such file");
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn shutdown_leaves_the_containers_and_waits_for_nothing() {
    let fake = Fake::with(vec![("a-c", Script { exec_takes: s(100), ..Script::default() })]);
    let probes = Probes { liveness: Some(Probe { timeout: s(200), ..probe(1, 3) }), ..Probes::default() };
    let (options, epoch) = options();
    let node = Node::run(Arc::clone(&fake), vec![pod("a", probes)], options);
    node.wait_ready(s(60)).await.unwrap();
    let before = Instant::now();
    node.shutdown().await;
    assert_eq!(before.elapsed(), s(0));
    assert_eq!(fake.log(epoch), [("start a-c".to_owned(), 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_restart_is_of_the_container_that_was_asked_for() {
    // It needs half a minute, for which its liveness probe has no patience.
    let script = || Script { healthy_after: s(30), ..Script::default() };
    let fake = Fake::with(vec![("a-c", script()), ("b-c", Script::default())]);
    let probes = Probes { liveness: Some(probe(5, 3)), ..Probes::default() };
    let (options, epoch) = options();
    let node = Node::run(Arc::clone(&fake), vec![pod("a", probes), pod("b", Probes::default())], options);
    sleep(s(3)).await;
    node.restarter().restart(Restart { pod: "a".to_owned(), container: "a-c".to_owned(), spare: s(60) });
    sleep(s(90)).await;
    let of_a: Vec<_> = fake.log(epoch).into_iter().filter(|(text, _)| !text.contains("b-c")).collect();
    let expected = [("start a-c", 0), ("kill a-c 30", 3), ("start a-c", 4)];
    assert_eq!(of_a, expected.map(|(text, at)| (text.to_owned(), at)), "spared until it answers");
    assert_eq!(node.snapshot().pods["b"].restarts, 0);
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_kill_that_fails_is_said_and_repeated() {
    let kill_errors = VecDeque::from(["it does not answer".to_owned(), "it does not answer".to_owned()]);
    let script = Script { kill_errors, sick_after: Some(s(0)), ..Script::default() };
    let fake = Fake::with(vec![("a-c", script)]);
    let probes = Probes { liveness: Some(probe(1, 3)), ..Probes::default() };
    let (options, epoch) = options();
    let node = Node::run(Arc::clone(&fake), vec![pod("a", probes)], options);
    let restarted = |snapshot: &Snapshot| snapshot.pods["a"].restarts == 1;
    let snapshot = node.wait_for("no restart", s(60), restarted).await.unwrap();
    // Each try takes a second, and ten pass between two of them.
    let expected = [("start a-c", 0), ("kill a-c 30", 2), ("kill a-c 30", 13), ("kill a-c 30", 24), ("start a-c", 25)];
    assert_eq!(fake.log(epoch), expected.map(|(text, at)| (text.to_owned(), at)));
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
    let (options, epoch) = options();
    let node = Node::run(Arc::clone(&fake), vec![pod("a", Probes::default())], options);
    sleep(s(3)).await;
    node.restarter().restart(Restart { pod: "a".to_owned(), container: "a-c".to_owned(), spare: s(0) });
    sleep(s(60)).await;
    let expected = [("start a-c", 0), ("kill a-c 30", 3), ("start a-c", 6)];
    assert_eq!(fake.log(epoch), expected.map(|(text, at)| (text.to_owned(), at)));
    node.shutdown().await;
}

fn hook(name: &str) -> Option<Hook> {
    Some(Hook::Run(ProbeAction::Exec { command: vec![name.to_owned()] }))
}

fn with_hooks(name: &str, post_start: Option<Hook>, pre_stop: Option<Hook>) -> PodSpec {
    let mut pod = pod(name, Probes::default());
    pod.containers[0].hooks = Hooks { post_start, pre_stop };
    pod
}

#[tokio::test(start_paused = true)]
async fn hooks_run_after_the_start_and_before_the_end() {
    let fake = Fake::with(vec![("a-c", Script { hooks: (s(4), 0), ..Script::default() })]);
    let mut spec = with_hooks("a", hook("post-hook"), hook("pre-hook"));
    spec.containers
        .push(ContainerSpec { name: "next".to_owned(), ..pod("b", Probes::default()).containers[0].clone() });
    let (options, epoch) = options();
    let node = Node::run(Arc::clone(&fake), vec![spec], options);
    node.wait_ready(s(60)).await.unwrap();
    sleep(s(2)).await;
    node.restarter().restart(Restart { pod: "a".to_owned(), container: "a-c".to_owned(), spare: s(0) });
    sleep(s(60)).await;
    let expected = [
        ("start a-c", 0),
        ("post-hook a-c", 0),
        ("start next", 4),
        ("pre-hook a-c", 6),
        ("kill a-c 26", 10),
        ("start a-c", 11),
        ("post-hook a-c", 11),
    ];
    assert_eq!(fake.log(epoch), expected.map(|(text, at)| (text.to_owned(), at)));
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_pre_stop_hook_may_take_the_grace_period_and_no_more() {
    let fake = Fake::with(vec![("a-c", Script { hooks: (s(1000), 0), ..Script::default() })]);
    let (options, epoch) = options();
    let node = Node::run(Arc::clone(&fake), vec![with_hooks("a", None, hook("pre-hook"))], options);
    node.wait_ready(s(60)).await.unwrap();
    let snapshot = node.terminate().await;
    let expected = [("start a-c", 0), ("pre-hook a-c", 0), ("kill a-c 2", 30)];
    assert_eq!(fake.log(epoch), expected.map(|(text, at)| (text.to_owned(), at)));
    let events: Vec<_> = snapshot.pods["a"].containers[0].events.iter().map(|event| event.reason.as_str()).collect();
    assert_eq!(events, ["Started", "Killing"], "a kubelet does not call it a failure");
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_fails_is_said() {
    let fake = Fake::with(vec![("a-c", Script { hooks: (s(1), 3), ..Script::default() })]);
    let (options, _) = options();
    let refused = ProbeAction::HttpGet { https: false, host: None, port: 1, path: "/".to_owned(), headers: vec![] };
    let specs =
        vec![with_hooks("a", hook("post-hook"), hook("pre-hook")), with_hooks("b", None, Some(Hook::Run(refused)))];
    let node = Node::run(Arc::clone(&fake), specs, options);
    let crash_loop = |snapshot: &Snapshot| snapshot.pods["a"].status == "CrashLoopBackOff";
    node.wait_for("no crash loop", s(60), crash_loop).await.unwrap();
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
