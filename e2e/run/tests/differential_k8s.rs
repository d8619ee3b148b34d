//! A real kubelet on the same cases, and this project's kubelet beside it. Without a kubeconfig it says so and does nothing.

#[path = "differential/cases.rs"]
mod cases;
#[path = "differential/ours.rs"]
mod ours;
#[path = "differential/verdict.rs"]
mod verdict;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

use cases::{CASES, Case};
use e2e_node::{
    poll::{self, Look},
    probe::Profile,
};
use e2e_report::run_dir::random_hex;
use e2e_run::{
    image::{Recipe, Recipes, ensure},
    k8s,
};
use futures_util::future::join_all;
use k8s_openapi::api::core::v1::{ContainerStatus, Event, Namespace, Node, Pod};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, LogParams, PostParams},
};
use serde_json::json;
use verdict::{RECORD, Verdict, Verdicts, WINDOW, disagreements, event, faulty, request};

const IMAGE: &str = "e2e-probed:dev";
/// A kubelet of a small machine keeps to its periods with so many pods that fail, and not with all of them.
const BATCH: usize = 17;
/// Pods of one node start one after the other, and this is how long the last may take.
const START: Duration = Duration::from_secs(150);

#[tokio::test(flavor = "multi_thread")]
async fn our_kubelet_agrees_with_a_real_one() {
    let Some(client) = client().await else { return };
    let image = image().await;
    let profile = profile(&client).await;
    let version = profile.version.clone();
    let namespace = format!("e2e-differential-{}", &random_hex()[..8]);
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let object = json!({ "metadata": { "name": namespace, "labels": { "e2e.run": namespace } } });
    let object = serde_json::from_value(object).expect("a namespace");
    namespaces.create(&PostParams::default(), &object).await.expect("a new namespace");
    // What was made is removed whatever comes of the rest.
    let hears_at_once = profile.acts_at_once;
    let ours = tokio::spawn(async move { ours::verdicts(&profile).await });
    let (kubelet, ours) = tokio::join!(tokio::spawn(observe(client, namespace.clone(), image)), ours);
    let removed = namespaces.delete(&namespace, &DeleteParams::default()).await;
    let (kubelet, mut ours) = (kubelet.expect("the cluster answers"), ours.expect("this kubelet's verdicts"));
    removed.expect("the namespace is removed");
    if !hears_at_once {
        leave_to_chance(&kubelet, &mut ours);
    }
    let faults = disagreements(&kubelet, &ours);
    let count = CASES.len();
    println!("{} of {count} cases agree with this kubelet of {version}", count - faulty(&faults));
    if std::env::var(RECORD).is_ok_and(|value| value == "1") {
        let file = format!("tests/differential/recorded/{version}.json");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = serde_json::to_string_pretty(&kubelet).expect("plain data") + "\n";
        std::fs::write(&path, text).expect("the record can be written");
        println!("wrote {}", path.display());
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Compares neither restarts nor readiness where a startup probe decides them and a kubelet hears of it at the pod's next sync (before
/// 1.21): a pod that is slow to start is synced once more when its container runs, and the probe may have failed often enough by then.
fn leave_to_chance(kubelet: &Verdicts, ours: &mut Verdicts) {
    for case in CASES.iter().filter(|case| case.probes.contains("startupProbe")) {
        if let (Some(kubelet), Some(ours)) = (kubelet.get(case.name), ours.get_mut(case.name)) {
            println!("{}: restarts ({} of the kubelet) and readiness are not compared", case.name, kubelet.restarts);
            (ours.restarts, ours.ready) = (kubelet.restarts, kubelet.ready);
        }
    }
}

/// The cluster that the kubeconfig names, if there is one.
async fn client() -> Option<Client> {
    let client = match Client::try_default().await {
        Ok(client) => client,
        Err(error) => {
            eprintln!("SKIPPED: no kubelet was asked, because there is no kubeconfig: {error}");
            return None;
        }
    };
    match client.apiserver_version().await {
        Ok(version) => {
            println!("Kubernetes {}.{}", version.major, version.minor);
            Some(client)
        }
        Err(error) => {
            eprintln!("SKIPPED: no kubelet was asked, because the cluster does not answer: {error}");
            None
        }
    }
}

/// The kubelet to be: that of the cluster's first node.
async fn profile(client: &Client) -> Profile {
    let nodes: Api<Node> = Api::all(client.clone());
    let nodes = nodes.list(&ListParams::default()).await.expect("the nodes");
    let kubelet = |node: &Node| Some(node.status.as_ref()?.node_info.as_ref()?.kubelet_version.clone());
    Profile::of_version(&nodes.items.iter().find_map(kubelet).expect("a node that tells its version"))
}

/// The image of the servers, brought to the nodes as a run would.
async fn image() -> String {
    let recipes = Recipes(BTreeMap::from([(IMAGE.to_owned(), Recipe::Cargo { package: "probed".to_owned() })]));
    let docker = bollard::Docker::connect_with_defaults().expect("a Docker engine, for the image");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    ensure(&docker, &[IMAGE.to_owned()], &recipes, &root, &|_| {}).await.expect("the image of the servers");
    k8s::bring_image(IMAGE).await.expect("the nodes can have it")
}

async fn observe(client: Client, namespace: String, image: String) -> Verdicts {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let (mut ended, mut requests) = (BTreeMap::new(), BTreeMap::new());
    for batch in CASES.chunks(BATCH) {
        let made = join_all(batch.iter().map(|case| {
            let pod = serde_json::from_value(manifest(case, &image)).expect("a pod");
            let pods = pods.clone();
            async move { pods.create(&PostParams::default(), &pod).await }
        }));
        for made in made.await {
            made.expect("the pod is accepted");
        }
        ended.extend(judge(&pods, batch).await);
        // Out of the next batch's way; their events stay.
        for case in batch {
            requests.insert(case.name, first_request(&pods, case.name).await);
            let now = DeleteParams::default().grace_period(0);
            pods.delete(case.name, &now).await.expect("the pod can be removed");
        }
    }
    let events: Api<Event> = Api::namespaced(client, &namespace);
    let events = events.list(&ListParams::default()).await.expect("the events").items;
    let mut verdicts = Verdicts::new();
    for case in CASES {
        let pod = &ended[case.name];
        let of_case = events.iter().filter(|event| event.involved_object.name.as_deref() == Some(case.name));
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        verdicts.insert(
            case.name.to_owned(),
            Verdict {
                ready: pod.ready,
                restarts: pod.restarts,
                events: of_case.filter_map(|e| event(&text(&e.reason), &text(&e.message))).collect(),
                request: requests[case.name].as_ref().map(|text| request(text, &pod.ip)),
            },
        );
    }
    verdicts
}

fn manifest(case: &Case, image: &str) -> serde_json::Value {
    let probes: serde_json::Value =
        serde_saphyr::from_str(&format!("{{{}}}", case.probes)).expect("the probes are YAML");
    let arguments: Vec<&str> = ["serve"].into_iter().chain(case.serves.split(' ')).collect();
    let mut container = json!({
        "name": "case",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": arguments,
        "env": [{ "name": "POD_IP", "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } } }],
        "ports": [{ "containerPort": 8000, "name": "web" }, { "containerPort": 8001 }, { "containerPort": 8443 }],
    });
    for (field, probe) in probes.as_object().expect("fields") {
        container[field] = probe.clone();
    }
    json!({
        "metadata": { "name": case.name },
        "spec": { "containers": [container], "automountServiceAccountToken": false, "enableServiceLinks": false },
    })
}

/// A pod at the end of its window.
struct Ended {
    ready: bool,
    restarts: u32,
    ip: String,
}

/// Looks every half second until each pod's window is over, and keeps what it was then.
async fn judge(pods: &Api<Pod>, batch: &[Case]) -> BTreeMap<String, Ended> {
    let judged = Mutex::new(Judged::default());
    let look = || async {
        let listed = pods.list(&ListParams::default()).await.expect("the pods").items;
        let mut judged = judged.lock().expect("no panic holds it");
        listed.into_iter().for_each(|pod| judged.take_in(pod));
        match judged.ended.len() {
            all if all == batch.len() => Look::Done(std::mem::take(&mut judged.ended)),
            some => Look::NotYet(format!("{some} of {} pods were judged", batch.len())),
        }
    };
    let half_a_second = Duration::from_millis(500);
    poll::until("the verdicts", START + WINDOW, half_a_second, look).await.expect("pods that start")
}

/// When each pod was seen to run first, and what it was at the end of its window.
#[derive(Default)]
struct Judged {
    begun: BTreeMap<String, Instant>,
    ended: BTreeMap<String, Ended>,
}

impl Judged {
    fn take_in(&mut self, pod: Pod) {
        let name = pod.metadata.name.unwrap_or_default();
        let status = pod.status.unwrap_or_default();
        let Some(container) = status.container_statuses.iter().flatten().next().filter(|c| has_started(c)) else {
            return;
        };
        let begun = *self.begun.entry(name.clone()).or_insert_with(Instant::now);
        if begun.elapsed() >= WINDOW {
            let restarts = u32::try_from(container.restart_count).unwrap_or(0);
            let ip = status.pod_ip.clone().unwrap_or_default();
            self.ended.entry(name).or_insert(Ended { ready: container.ready, restarts, ip });
        }
    }
}

fn has_started(container: &ContainerStatus) -> bool {
    let state = container.state.clone().unwrap_or_default();
    container.restart_count > 0 || state.running.is_some() || state.terminated.is_some()
}

/// The first line `request PORT "..."` of the log.
async fn first_request(pods: &Api<Pod>, name: &str) -> Option<String> {
    let mut found = None;
    for previous in [false, true] {
        let parameters = LogParams { previous, ..LogParams::default() };
        let log = pods.logs(name, &parameters).await.unwrap_or_default();
        let line = log.lines().find_map(|line| line.strip_prefix("request ")?.split_once(' '));
        let text = line.and_then(|(_, text)| serde_json::from_str::<String>(text).ok());
        found = found.or(text);
    }
    found
}
