//! The target k8s on a real cluster: what a run needs, what it finds there, and what ends it. Only the nextest profile `k8s`
//! runs these, where KUBECONFIG names a cluster.

mod cluster_ends;
mod kubectl;
mod relay;
mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use e2e_report::finding::Code;
use kubectl::{Guard, kubectl, service_account};
use rstest::rstest;
use support::{Bench, REFERENCE, SMALL, expect, said, unique, wait_until};

/// Longer than the cluster takes for anything that is waited for here.
const PROMPTLY: Duration = Duration::from_secs(60);

/// The namespaces of a run that nobody has begun to remove.
fn namespaces(id: &str) -> Vec<String> {
    let selector = format!("e2e.run={id}");
    let columns = "custom-columns=NAME:.metadata.name,GONE:.metadata.deletionTimestamp";
    let list = kubectl(&["get", "namespaces", "--selector", &selector, "--no-headers", "--output", columns]);
    list.lines().filter(|line| line.contains("<none>")).map(|line| line.trim().to_owned()).collect()
}

/// The version of the API in which the cluster has CronJobs.
fn cron_job_version() -> &'static str {
    let is_before_1_21 = kubectl(&["api-versions"]).lines().any(|version| version == "batch/v1beta1");
    if is_before_1_21 { "batch/v1beta1" } else { "batch/v1" }
}

#[test]
fn a_cron_job_runs_when_it_is_asked_for() {
    let text = fs::read_to_string("../fixtures/kinds/on-request/all.yaml").expect("a fixture");
    let manifests = tempfile::tempdir().expect("a directory");
    let of_version = text
        .replace("apiVersion: batch/v1\nkind: CronJob", &format!("apiVersion: {}\nkind: CronJob", cron_job_version()));
    fs::write(manifests.path().join("all.yaml"), of_version).expect("a file");
    support::lifecycle::trigger("k8s", manifests.path());
}

#[test]
fn a_component_that_is_deployed_anew_has_other_pods() {
    support::lifecycle::redeploy("k8s", |id| {
        let namespace = format!("e2e-{id}");
        kubectl(&["get", "pods", "--namespace", &namespace, "--output", "jsonpath={.items[*].metadata.uid}"])
    });
}

/// The Jobs of `fixtures/kinds` find in a cluster what they find on docker.
#[test]
fn services_and_kinds_are_those_of_docker() {
    Bench::of("../fixtures/kinds").succeed(&["e2e", "--target", "k8s", "--run-id", &unique("k-kinds")]);
}

#[test]
fn a_user_without_a_permission_is_told_which() {
    let (kubeconfig, _guard) = service_account("bare", None);
    let bench = Bench::of(SMALL);
    let output =
        bench.command(&["up", "--target", "k8s"]).env("KUBECONFIG", &kubeconfig).output().expect("the program runs");
    expect(&output, 3, &["may not create namespaces", "may not list pods", "manifests/rbac"]);
}

/// With exactly what `manifests/rbac` grants, a whole run passes.
#[test]
fn the_least_role_is_enough() {
    let rules = support::root().join("manifests/rbac");
    kubectl(&["apply", "--filename", &rules.to_string_lossy(), "--dry-run=client"]);
    let (kubeconfig, _guard) = service_account("least", Some(&rules));
    let bench = Bench::of(SMALL);
    let output =
        bench.command(&["e2e", "--target", "k8s"]).env("KUBECONFIG", &kubeconfig).output().expect("the program runs");
    expect(&output, 0, &[]);
    assert!(!said(&output).contains("forbidden"), "{}", said(&output));
}

/// Runs a command for the cluster under the name that its tool would give to the context, with a program of the tool's name that notes how
/// it is called and then does as `script` says, if there is one. The nodes have the images already.
fn under_the_name_of(tool: &str, context: &str, script: Option<&str>, mut command: Command) -> (Output, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let kubeconfig = directory.path().join("kubeconfig");
    fs::write(&kubeconfig, kubectl(&["config", "view", "--raw", "--minify", "--flatten"])).expect("a file");
    let at = format!("--kubeconfig={}", kubeconfig.display());
    let before = kubectl(&[&at, "config", "current-context"]);
    kubectl(&[&at, "config", "rename-context", before.trim(), context]);

    let (program, calls) = (directory.path().join(tool), directory.path().join("calls"));
    if let Some(script) = script {
        fs::write(&program, format!("#!/bin/sh\necho \"$*\" >> '{}'\n{script}\n", calls.display())).expect("a file");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    let path = format!("{}:{}", directory.path().display(), std::env::var("PATH").unwrap_or_default());
    let output = command.env("KUBECONFIG", &kubeconfig).env("PATH", path).output().expect("the program runs");
    (output, fs::read_to_string(&calls).unwrap_or_default())
}

#[rstest]
#[case::kind("kind", "kind-dev", "load docker-image --name dev nginx:1.22 postgres:15 redis:7 e2e-agent:dev")]
#[case::k3d("k3d", "k3d-dev", "image import --cluster dev nginx:1.22 postgres:15 redis:7 e2e-agent:dev")]
#[case::minikube("minikube", "minikube", "image load nginx:1.22 postgres:15 redis:7 e2e-agent:dev")]
fn the_clusters_own_tool_brings_the_images(#[case] tool: &str, #[case] context: &str, #[case] call: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let extra = directory.path().join("nightly.yaml");
    // The cluster starts it by its schedule, here once a year.
    let cron_job = "kind: CronJob\nmetadata: {name: nightly}\nspec:\n  schedule: 0 0 1 1 *\n  jobTemplate:\n    spec:\n      template:\n        \
        spec:\n          restartPolicy: Never\n          containers: [{name: app, image: postgres:15}]\n";
    fs::write(&extra, format!("apiVersion: {}\n{cron_job}", cron_job_version())).expect("a file");
    let bench = Bench::of(SMALL);
    let command = with_manifests(&bench, &["e2e", "--target", "k8s", "--run-id", &unique("k-tool")], &extra);
    let (output, calls) = under_the_name_of(tool, context, Some(""), command);
    expect(&output, 0, &[&format!("bringing images into the cluster: {tool} {call}")]);
    // One call for those of the system, for which this project has no recipe, and the load's.
    assert_eq!(calls, format!("{call}\n"));
}

#[rstest]
#[case::says_why(Some("echo 'ERROR: no nodes found for cluster \"dev\"' >&2; exit 1"), "no nodes found for cluster")]
#[case::says_nothing(Some("exit 1"), "no output")]
#[case::is_not_there(None, "kind is not installed here")]
fn a_tool_that_fails_ends_the_run(#[case] script: Option<&str>, #[case] reason: &str) {
    let id = unique("k-tool");
    let bench = Bench::of(SMALL);
    let command = bench.command(&["e2e", "--target", "k8s", "--run-id", &id]);
    let (output, _) = under_the_name_of("kind", "kind-dev", script, command);
    expect(&output, 3, &["`kind load docker-image --name dev", reason, "run it by hand"]);
    assert_eq!(namespaces(&id), Vec::<String>::new());
}

/// A run that has just ended holds its room until its pods are gone: the next one waits for that.
#[test]
fn pods_that_are_leaving_are_waited_for() {
    // With its images there, the run that counts looks at the cluster at once.
    Bench::of(SMALL).succeed(&["e2e", "--target", "k8s", "--wait"]);
    let namespace = unique("k-leaving");
    let _guard = Guard::deleting(&["namespace", &namespace]);
    kubectl(&["create", "namespace", &namespace]);
    // More than the node can take of pods that are slow to end.
    let filler = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: filler}\nspec:\n  replicas: 40\n  \
        selector: {matchLabels: {app: filler}}\n  template:\n    metadata: {labels: {app: filler}}\n    spec:\n      \
        terminationGracePeriodSeconds: 10\n      containers:\n        - name: app\n          image: nginx:1.22\n          \
        command: [sh, -c, \"trap '' TERM; while :; do sleep 1; done\"]\n          resources: {requests: {cpu: 100m}}\n";
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("filler.yaml");
    fs::write(&file, filler).expect("a file");
    kubectl(&["apply", "--namespace", &namespace, "--filename", &file.to_string_lossy()]);
    let pods = |phase: &str| {
        let selector = format!("status.phase={phase}");
        kubectl(&["get", "pods", "--namespace", &namespace, "--field-selector", &selector, "--output", "name"])
    };
    let is_full = || {
        let messages = "jsonpath={.items[*].status.conditions[*].message}";
        kubectl(&["get", "pods", "--namespace", &namespace, "--output", messages]).contains("Insufficient cpu")
            && !pods("Running").is_empty()
    };
    assert!(wait_until(PROMPTLY, is_full), "the node is full");
    kubectl(&["delete", "namespace", &namespace, "--wait=false"]);

    let output = Bench::of(SMALL).output(&["e2e", "--target", "k8s"]);
    expect(&output, 0, &["waiting for room: terminating pods hold"]);
}

/// A node without a machine: the cluster knows it, and nothing can be placed there.
fn node(name: &str, ready: bool) -> Guard {
    let manifest = serde_json::json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } },
    });
    let status = serde_json::json!({
        "allocatable": { "cpu": "0", "memory": "0", "pods": "0" }, "capacity": { "cpu": "1", "memory": "1Gi", "pods": "0" },
        "conditions": [{
            "type": "Ready", "status": if ready { "True" } else { "False" }, "reason": "Test", "message": "as the test says",
            "lastHeartbeatTime": null, "lastTransitionTime": null,
        }],
    });
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("node.json");
    let guard = Guard::deleting(&["node", name]);
    fs::write(&file, manifest.to_string()).expect("a file");
    kubectl(&["create", "--filename", &file.to_string_lossy()]);
    let mut whole: serde_json::Value =
        serde_json::from_str(&kubectl(&["get", "node", name, "--output", "json"])).expect("a node");
    whole["status"] = status;
    // Without a version to compare it is no conflict that the cluster changes a new node too.
    whole["metadata"].as_object_mut().expect("metadata").remove("resourceVersion");
    fs::write(&file, whole.to_string()).expect("a file");
    let path = format!("/api/v1/nodes/{name}/status");
    kubectl(&["replace", "--raw", &path, "--filename", &file.to_string_lossy()]);
    guard
}

#[test]
fn nodes_of_mixed_readiness_are_reported() {
    let (full, broken) = (unique("k-full"), unique("k-broken"));
    let _guards = (node(&full, true), node(&broken, false));
    let bench = Bench::of(SMALL);
    let id = unique("k-nodes");
    bench.succeed(&["e2e", "--target", "k8s", "--run-id", &id, "--replicas", "nginx=2"]);
    let report = bench.report(&id);
    let claim = |code: Code| {
        let finding = report.findings.iter().find(|finding| finding.code == code);
        finding.map(|finding| finding.claim.clone()).unwrap_or_default()
    };
    assert!(
        claim(Code::NodeTrouble).starts_with(&format!("the node {broken} accepts no pods")),
        "{:#?}",
        report.findings
    );
    let shared = claim(Code::ReplicasShareNode);
    assert!(
        shared.contains("all 2 replicas of nginx") && shared.contains("2 nodes accept them"),
        "{:#?}",
        report.findings
    );
    let page = fs::read_to_string(bench.run_directory(&id).join("report.md")).expect("a report");
    for name in [full, broken] {
        assert!(page.contains(&name), "{page}");
    }
}

/// What was acknowledged is lost with the pod's volume: the report says so, and why.
#[test]
fn a_database_that_is_deleted_under_load_is_named() {
    let id = unique("k-gone");
    let bench = Bench::of(REFERENCE);
    let mut run = bench.start("k8s", &id, &["--duration", "10s"]);
    run.wait_for("requests/s");
    kubectl(&[
        "delete",
        "pod",
        "--namespace",
        &format!("e2e-{id}"),
        "--selector",
        "app.kubernetes.io/name=postgres",
        "--wait=false",
    ]);
    let (status, took) = run.wait(2 * PROMPTLY);
    assert_eq!(status.code(), Some(1), "after {took:?}:\n{}", run.said());
    let report = bench.report(&id);
    let found = |code: Code, component: Option<&str>| {
        report.findings.iter().any(|finding| finding.code == code && finding.component.as_deref() == component)
    };
    assert!(found(Code::PodReplaced, Some("postgres")), "{:#?}", report.findings);
    let causes = report.findings.iter().filter(|finding| finding.code.is_cause());
    let others: Vec<_> = causes.filter(|finding| finding.code != Code::PodReplaced).collect();
    assert!(others.is_empty(), "nothing else was wrong: {others:#?}");
}

#[test]
fn a_version_that_the_cluster_does_not_serve_ends_the_run_first() {
    let project = tempfile::tempdir().expect("a directory");
    copy(&support::root().join("e2e/run/examples/nginx_redis"), project.path());
    let manifest = "apiVersion: policy/v9\nkind: PodDisruptionBudget\nmetadata: {name: p}\nspec: {minAvailable: 1}\n";
    fs::write(project.path().join("manifests/extra.yaml"), manifest).expect("a file");
    let id = unique("k-kind");
    let bench = Bench::of(SMALL);
    let mut command = bench.command_on(&project.path().to_string_lossy(), &["e2e", "--target", "k8s", "--run-id", &id]);
    let output = command.output().expect("the program runs");
    let unknown = "no matches for kind \"PodDisruptionBudget\" in version \"policy/v9\"";
    expect(&output, 2, &[unknown, "the cluster serves it as policy/v1"]);
    assert_eq!(namespaces(&id), Vec::<String>::new());
}

#[test]
fn what_no_namespace_can_hold_is_left_out_with_a_warning() {
    let directory = tempfile::tempdir().expect("a directory");
    let extra = directory.path().join("extra.yaml");
    let of_no_definition = "apiVersion: example.org/v1\nkind: Gadget\nmetadata: {name: g}\n";
    let of_the_cluster =
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: c}\nrules: []\n";
    fs::write(&extra, format!("{of_no_definition}---\n{of_the_cluster}")).expect("a file");
    let id = unique("k-kind");
    let bench = Bench::of(SMALL);
    let mut command = with_manifests(&bench, &["e2e", "--target", "k8s", "--run-id", &id], &extra);
    expect(&command.output().expect("the program runs"), 0, &[]);
    let page = fs::read_to_string(bench.run_directory(&id).join("report.md")).expect("a report");
    for phrase in ["no matches for kind \"Gadget\" in version \"example.org/v1\"", "ClusterRole"] {
        assert!(page.contains(phrase), "`{phrase}` is not in {page}");
    }
}

#[test]
fn what_no_namespace_can_hold_is_applied_on_request_and_removed() {
    let directory = tempfile::tempdir().expect("a directory");
    let id = unique("k-wide");
    let (group, extra) = (format!("{id}.example.org"), directory.path().join("extra.yaml"));
    let (definition, role) = (format!("gadgets.{group}"), format!("reader-{id}"));
    let text = format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: {definition}}}\n\
         spec:\n  group: {group}\n  scope: Namespaced\n  names: {{kind: Gadget, plural: gadgets, singular: gadget, listKind: GadgetList}}\n  \
         versions: [{{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object}}}}}}]\n---\n\
         apiVersion: {group}/v1\nkind: Gadget\nmetadata: {{name: g}}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: {role}}}\nrules: []\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{name: {role}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {role}}}\n\
         subjects: [{{kind: ServiceAccount, name: default, namespace: default}}]\n"
    );
    fs::write(&extra, text).expect("a file");
    let _guard = Guard::deleting(&["clusterrole,clusterrolebinding", &role]).and(&["crd", &definition]);
    let bench = Bench::of(SMALL);
    let up = |id: &str| {
        let arguments = ["up", "--target", "k8s", "--cluster-scoped", "--run-id", id];
        with_manifests(&bench, &arguments, &extra).output().expect("the program runs")
    };
    expect(&up(&id), 0, &[]);
    let namespace = format!("e2e-{id}");
    kubectl(&["get", "--namespace", &namespace, &definition, "g"]);
    let subject = ["get", "clusterrolebinding", &role, "--output", "jsonpath={.subjects[0].namespace}"];
    assert_eq!(kubectl(&subject), namespace);

    // What another run made is not touched.
    let output = up(&format!("{id}-b"));
    assert!(said(&output).contains("it already exists and is not this run's"), "{}", said(&output));
    assert_eq!(kubectl(&subject), namespace);

    bench.succeed(&["down", &id]);
    let names = |kinds: &str| kubectl(&["get", kinds, "--output", "name"]);
    let is_left = || names("clusterroles,clusterrolebindings,crds").contains(&id);
    assert!(wait_until(PROMPTLY, || !is_left()), "{}", names("clusterroles,clusterrolebindings,crds"));
}

/// A Job that helm creates before everything else, of an image that the nodes have.
fn pre_install_hook(script: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: migrate, annotations: {{helm.sh/hook: pre-install}}}}\n\
         spec:\n  backoffLimit: 0\n  template:\n    spec:\n      restartPolicy: Never\n      containers: \
         [{{name: app, image: 'nginx:1.22', command: [sh, -c, '{script}']}}]\n"
    )
}

/// What `e2e` or `up` says of the small system with a hook before it, and the run.
fn behind_a_hook(bench: &Bench, verb: &str, hook: &str) -> (Output, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let extra = directory.path().join("hook.yaml");
    fs::write(&extra, hook).expect("a file");
    let id = unique("k-hook");
    let arguments = [verb, "--target", "k8s", "--run-id", &id, "--bring-up", "60s"];
    let output = with_manifests(bench, &arguments, &extra).output().expect("the program runs");
    (output, id)
}

#[test]
fn workloads_are_created_once_the_hook_before_them_has_succeeded() {
    let bench = Bench::of(SMALL);
    let (output, id) = behind_a_hook(&bench, "up", &pre_install_hook("sleep 3"));
    expect(&output, 0, &[]);
    let namespace = format!("e2e-{id}");
    let told = |arguments: &[&str]| kubectl(&[&["get", "--namespace", &namespace], arguments].concat());
    let ended = told(&["job", "migrate", "--output", "jsonpath={.status.completionTime}"]);
    let created = "jsonpath={.items[*].metadata.creationTimestamp}";
    let created = told(&["deployments,statefulsets", "--output", created]);
    bench.succeed(&["down", &id]);
    assert!(!created.is_empty() && created.split_whitespace().all(|at| at >= ended.as_str()), "{created} {ended}");
}

#[test]
fn nothing_is_created_after_a_hook_that_fails() {
    let bench = Bench::of(SMALL);
    let (output, id) = behind_a_hook(&bench, "e2e", &pre_install_hook("exit 3"));
    expect(&output, 1, &["will not become ready", "migrate"]);
    let report = bench.report(&id);
    let is_failed_hook = |claim: &str| claim.starts_with("Job migrate did not run to completion");
    assert!(report.findings.iter().any(|finding| is_failed_hook(&finding.claim)), "{:#?}", report.findings);
}

#[test]
fn what_the_cluster_refuses_after_a_hook_ends_the_run() {
    let quota =
        "---\napiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q}\nspec: {hard: {count/deployments.apps: '0'}}\n";
    let bench = Bench::of(SMALL);
    let (output, id) = behind_a_hook(&bench, "up", &(pre_install_hook("sleep 3") + quota));
    expect(&output, 3, &["the cluster could not apply Deployment/", "exceeded quota"]);
    assert_eq!(namespaces(&id), Vec::<String>::new());
}

/// A verb on the small system with a file of manifests more.
fn with_manifests(bench: &Bench, arguments: &[&str], extra: &Path) -> Command {
    let own = support::root().join("e2e/run/examples/nginx_redis/manifests");
    let mut command = bench.command(arguments);
    command.arg("--manifests").arg(own).arg("--manifests").arg(extra);
    command
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory").flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).expect("a file");
        }
    }
}
