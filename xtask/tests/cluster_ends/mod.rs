//! Whatever ends a run in a cluster, nothing of it stays, and nothing of somebody else's goes.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use e2e_report::{report::Verdict, run_dir::SECRETS};
use rstest::rstest;
use rustix::process::Signal;

use super::{
    PROMPTLY, copy,
    kubectl::{Guard, kubectl, service_account},
    namespaces,
    relay::Relay,
    support::{self, Bench, REFERENCE, Running, SMALL, expect, said, unique, wait_until},
};

/// Which nodes take no pods.
const UNSCHEDULABLE: &str = "jsonpath={.items[*].spec.unschedulable}";
/// How long what a killed run leaves may stay.
const REAPED: Duration = Duration::from_secs(10);

#[rstest]
#[case::while_it_comes_up("k-up", "ContainerCreating", Signal::TERM)]
#[case::under_load("k-load", "requests/s", Signal::INT)]
fn a_signal_leaves_nothing(#[case] id: &str, #[case] moment: &str, #[case] signal: Signal) {
    let id = unique(id);
    let bench = Bench::of(REFERENCE);
    let mut run = bench.start("k8s", &id, &["--duration", "60s"]);
    run.wait_for(moment);
    assert!(!namespaces(&id).is_empty(), "there is something to remove, and the test would see it");
    run.signal(signal);
    let (status, took) = run.wait(PROMPTLY);
    assert_eq!(status.code(), Some(4), "after {took:?}:\n{}", run.said());
    assert_eq!(namespaces(&id), Vec::<String>::new());
}

/// Moments of a run, from the first request to the last, at which it is killed.
#[test]
fn twenty_kills_leave_nothing() {
    let bench = Bench::of(SMALL);
    for round in 0..20 {
        let id = unique(&format!("k-kill-{round}"));
        let mut run = bench.start("k8s", &id, &[]);
        run.wait_for("target k8s");
        // Spread over the bring-up and the suites of the small system.
        std::thread::sleep(Duration::from_millis(400 * round));
        run.signal(Signal::KILL);
        run.wait(PROMPTLY);
        // Nobody removes it by a command.
        let is_over = || namespaces(&id).is_empty() && !bench.run_directory(&id).join(SECRETS).exists();
        assert!(wait_until(REAPED, is_over), "after a kill in round {round}: {:?}", namespaces(&id));
    }
}

/// A run that is killed while it drains a node: the node takes pods again.
#[test]
fn a_kill_ends_a_drain() {
    let id = unique("k-drain");
    let bench = Bench::of(REFERENCE);
    let drain = ["--scenario", "throughput", "--duration", "60s", "--during", "drain backend-0 for 50s at 2s"];
    let mut run = bench.start("k8s", &id, &drain);
    let drained = || {
        let nodes = kubectl(&["get", "nodes", "--selector", &format!("e2e.run={id}"), "--output", UNSCHEDULABLE]);
        nodes.trim() == "true"
    };
    assert!(wait_until(2 * PROMPTLY, drained), "{}", run.said());
    run.signal(Signal::KILL);
    run.wait(PROMPTLY);
    assert!(wait_until(REAPED, || !drained() && namespaces(&id).is_empty()), "{:?}", namespaces(&id));
    let all = kubectl(&["get", "nodes", "--output", UNSCHEDULABLE]);
    assert!(!all.contains("true"), "a node is still drained: {all}");
}

/// A namespace of somebody's, with something in it.
fn somebodys_namespace(name: &str) -> Guard {
    let guard = Guard::deleting(&["namespace", name]);
    kubectl(&["create", "namespace", name]);
    kubectl(&["create", "configmap", "precious", "--namespace", name, "--from-literal=key=value"]);
    guard
}

fn is_untouched(name: &str) -> bool {
    let phase = kubectl(&["get", "namespace", name, "--output", "jsonpath={.status.phase}"]);
    let value = kubectl(&["get", "configmap", "precious", "--namespace", name, "--output", "jsonpath={.data.key}"]);
    (phase.as_str(), value.as_str()) == ("Active", "value")
}

#[test]
fn a_namespace_that_is_not_ours_is_left_alone() {
    let namespace = unique("k-somebodys");
    let _guard = somebodys_namespace(&namespace);
    let bench = Bench::of(SMALL);
    let output = bench.output(&["up", "--target", "k8s", "--namespace", &namespace]);
    expect(&output, 2, &[&format!("the namespace {namespace} already exists and does not belong to a run")]);
    assert!(is_untouched(&namespace), "{}", said(&output));
}

/// What fails before a namespace would be made removes none either, and what carries one label of ours is not ours yet.
#[test]
fn a_failed_preparation_and_gc_remove_nothing_of_somebody() {
    let namespace = unique("k-somebodys");
    let _guard = somebodys_namespace(&namespace);
    kubectl(&["label", "namespace", &namespace, "e2e.run=theirs"]);
    let (kubeconfig, _account) = service_account("bare", None);
    let bench = Bench::of(SMALL);
    let mut refused = bench.command(&["up", "--target", "k8s", "--namespace", &namespace]);
    let output = refused.env("KUBECONFIG", &kubeconfig).output().expect("the program runs");
    expect(&output, 3, &[]);
    let gc = bench.succeed(&["gc"]);
    assert!(is_untouched(&namespace), "{gc}");
}

/// A namespace of the run's name that somebody makes while the run is up is not the run's.
#[test]
fn a_namespace_that_somebody_made_anew_is_left_alone() {
    let (id, namespace) = (unique("k-anew"), unique("k-somebodys"));
    let bench = Bench::of(SMALL);
    let up = bench.output(&["up", "--target", "k8s", "--run-id", &id, "--namespace", &namespace]);
    // Whether its pods can start is no matter here.
    assert!(said(&up).contains("the system stays up"), "{}", said(&up));
    kubectl(&["delete", "namespace", &namespace]);
    let _guard = somebodys_namespace(&namespace);
    let down = bench.succeed(&["down", &id]);
    assert!(is_untouched(&namespace), "{down}");
}

/// A relay to the cluster, and a kubeconfig in `directory` that takes it.
fn relay(directory: &Path) -> (Relay, PathBuf) {
    let relay =
        Relay::to(&kubectl(&["config", "view", "--minify", "--output", "jsonpath={.clusters[0].cluster.server}"]));
    let kubeconfig = directory.join("kubeconfig");
    fs::write(&kubeconfig, kubectl(&["config", "view", "--raw", "--minify", "--flatten"])).expect("a file");
    let at = format!("--kubeconfig={}", kubeconfig.display());
    let cluster = kubectl(&[&at, "config", "view", "--output", "jsonpath={.clusters[0].name}"]);
    let server = format!("--server=https://{}", relay.address);
    // A name that every API server's certificate has.
    kubectl(&[&at, "config", "set-cluster", &cluster, &server, "--tls-server-name=kubernetes"]);
    (relay, kubeconfig)
}

/// What a run had to leave behind is there, and `gc` removes it.
fn assert_found_by_gc(bench: &Bench, id: &str) {
    assert_eq!(namespaces(id).len(), 1, "nobody could remove it");
    bench.succeed(&["gc"]);
    assert_eq!(namespaces(id), Vec::<String>::new());
}

/// A cluster that takes connections and says nothing does not hold a run that is to end, and what it left is found later.
#[rstest]
#[case::by_itself("k-mute", 1, "did not answer within 30.0 s", Duration::from_secs(45))]
#[case::at_the_second_signal("k-insist", 2, "a second signal ended the wait", Duration::from_secs(10))]
fn an_api_server_that_says_nothing_holds_no_run(
    #[case] id: &str,
    #[case] signals: u32,
    #[case] reason: &str,
    #[case] limit: Duration,
) {
    let directory = tempfile::tempdir().expect("a directory");
    let (relay, kubeconfig) = relay(directory.path());
    let project = directory.path().join("project");
    copy(&support::root().join("e2e/run/examples/nginx_redis"), &project);
    // Nothing has to be built: what is tested comes before suites and load.
    let config = project.join(".config/e2e.toml");
    let text = fs::read_to_string(&config).expect("a file");
    let others: Vec<&str> = text.lines().filter(|line| !line.starts_with("suites")).collect();
    fs::write(&config, format!("suites = ['true']\n{}\n", others.join("\n"))).expect("a file");
    let id = unique(id);
    let bench = Bench::of(SMALL);
    let arguments = ["e2e", "--target", "k8s", "--run-id", &id, "--load-from", "host"];
    let mut command = bench.command_on(&project.to_string_lossy(), &arguments);
    let mut run = Running::of(command.env("KUBECONFIG", &kubeconfig), None);
    // A quick pod is not seen to be created.
    run.wait_for(" Pending");
    relay.block();
    for _ in 0..signals {
        run.signal(Signal::INT);
        run.wait_for("removing the namespace");
    }
    let (status, took) = run.wait(limit);
    assert_eq!(status.code(), Some(3), "after {took:?}:\n{}", run.said());
    let last = run.said().lines().last().unwrap_or_default().to_owned();
    for phrase in ["not everything could be removed", reason, "`cargo xtask gc`"] {
        assert!(last.contains(phrase), "`{phrase}` is not in {last}");
    }
    assert_found_by_gc(&bench, &id);
}

/// A run that cannot reach its cluster any more ends by itself, says so and what to do, and what it left is found later.
#[test]
fn a_lost_api_server_ends_the_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let (relay, kubeconfig) = relay(directory.path());
    let id = unique("k-lost");
    let bench = Bench::of(REFERENCE);
    let mut run = bench.start_in(&kubeconfig, &id, &["--duration", "60s"]);
    run.wait_for("requests/s");
    relay.cut();
    let (status, took) = run.wait(PROMPTLY);
    assert_eq!(status.code(), Some(3), "after {took:?}:\n{}", run.said());
    let last = run.said().lines().last().unwrap_or_default().to_owned();
    assert!(last.contains("not everything could be removed") && last.contains("`cargo xtask gc`"), "{}", run.said());
    // What was measured is not lost.
    let report = bench.report(&id);
    assert_ne!(report.verdict, Verdict::Pass, "{:#?}", report.findings);

    assert_found_by_gc(&bench, &id);
}
