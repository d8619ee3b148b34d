//! Serves the suites' requests to the run, such as a probe inside a container. Main type: [`Server`].

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::Response,
    routing::{get, post},
};
use e2e::control::{LogPart, RestartOrder, Triggered};
use e2e_kubelet::{diagnosis::Diagnosis, observation::Observation, snapshot::Snapshot};
use e2e_load::{
    agent::Order,
    load::{self, ClientReport, LoadResult},
};
use e2e_node::{
    doctor::{self, Case, Known},
    node::{Restarter, observe},
};
use e2e_plan::{Plan, Probe, ProbeKind, no_component};
use e2e_report::{
    environment::Environment,
    run_dir::{self, RunDir},
};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    faults::Faults,
    provider::{
        Provider,
        pods::{self, PodSpec},
    },
    secrets::Secrets,
    supply::Supply,
    trigger::{Refusal, Trigger},
};

/// The state behind the answers.
pub(crate) struct Answers {
    pub(crate) provider: Arc<Provider>,
    pub(crate) pods: Vec<PodSpec>,
    pub(crate) snapshot: watch::Receiver<Snapshot>,
    /// If this program manages the pods.
    pub(crate) restarter: Option<Restarter>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) progress: watch::Sender<String>,
    /// Number of agents for a load from inside.
    pub(crate) agents: u32,
    /// Set to end the run.
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) token: String,
    /// What pods are made from.
    pub(crate) supply: Supply,
    /// What runs on request.
    pub(crate) trigger: Trigger,
    /// What logs must not show.
    pub(crate) secrets: Secrets,
    pub(crate) plan: Plan,
    pub(crate) directory: RunDir,
}

impl Answers {
    /// Writes down where everything is now: a cluster gives a pod in another one's place another address.
    fn write_addresses(&self) -> Result<(), run_dir::Error> {
        let mut environment: Environment = self.directory.read_json(run_dir::ENVIRONMENT)?;
        for component in &mut environment.components {
            component.replicas = self.provider.replicas(&component.name, &self.pods);
        }
        environment.services = self.provider.endpoints(&self.plan, &self.pods);
        self.directory.write_json(run_dir::ENVIRONMENT, &environment).map(drop)
    }
}

/// Answers until it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

impl Server {
    pub(crate) async fn start(answers: Answers) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let answers = Arc::new(answers);
        let router = Router::new()
            .route("/status", get(status))
            .route("/probe/{pod}/{container}/{which}", post(probe))
            .route("/examine/{pod}/{container}/{which}", post(examine))
            .route("/restart", post(restart))
            .route("/redeploy/{component}", post(redeploy))
            .route("/trigger/{cron_job}", post(trigger))
            .route("/logs/{component}", post(logs))
            .route("/progress", post(progress))
            .route("/load/{name}", post(load))
            .route("/faults/{scenario}/begin", post(begin_faults))
            .route("/faults/{scenario}/end", post(end_faults))
            .route("/stop", post(stop))
            .layer(middleware::from_fn_with_state(Arc::clone(&answers), authorise))
            .with_state(answers);
        let task = tokio::spawn(async move {
            // Runs as long as the process: the listener does not fail.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, _task: AbortOnDropHandle::new(task) })
    }
}

type Shared = State<Arc<Answers>>;
/// An answer, or the status of a refusal with its reason.
type Answer<T> = Result<T, (StatusCode, String)>;

/// Every local process can connect, so access requires the token, which only this user can read.
async fn authorise(State(answers): Shared, request: Request, next: Next) -> Result<Response, StatusCode> {
    let expected = format!("Bearer {}", answers.token);
    match request.headers().get(header::AUTHORIZATION) {
        Some(given) if given.as_bytes() == expected.as_bytes() => Ok(next.run(request).await),
        _ => Err(StatusCode::UNAUTHORIZED),
    }
}

async fn status(State(answers): Shared) -> Json<Snapshot> {
    let snapshot = answers.snapshot.borrow().clone();
    Json(snapshot)
}

/// What the containers of a component's pods have said beyond what the asker has seen, by `pod/container`.
async fn logs(
    State(answers): Shared,
    Path(component): Path<String>,
    Json(seen): Json<BTreeMap<String, usize>>,
) -> Answer<Json<BTreeMap<String, LogPart>>> {
    let pods: Vec<&str> = pods_of(&answers, &component)?.into_iter().map(|pod| pod.name.as_str()).collect();
    let logs = answers.provider.logs_of(&|pod| pods.contains(&pod)).await.into_iter();
    Ok(Json(
        logs.map(|((pod, container), text)| {
            let name = format!("{pod}/{container}");
            let seen = seen.get(&name).copied().unwrap_or_default();
            (name, LogPart::after(seen, &answers.secrets.redact(&text)))
        })
        .collect(),
    ))
}

fn pods_of<'a>(answers: &'a Answers, component: &str) -> Answer<Vec<&'a PodSpec>> {
    let pods: Vec<&PodSpec> = pods::of_component(&answers.pods, component).collect();
    if pods.is_empty() {
        let known: BTreeSet<&str> = answers.pods.iter().map(|pod| pod.component.name.as_str()).collect();
        let (message, remedy) = no_component(component, known);
        return Err((StatusCode::NOT_FOUND, format!("{message}; {remedy}")));
    }
    Ok(pods)
}

async fn progress(State(answers): Shared, text: String) {
    answers.progress.send_replace(text);
}

async fn stop(State(answers): Shared) {
    answers.stop.send_replace(true);
}

async fn load(
    State(answers): Shared,
    Path(name): Path<String>,
    Json(order): Json<Order>,
) -> Answer<Json<LoadResult<ClientReport>>> {
    let mut before = 0;
    let watch = |now: &load::Snapshot| {
        let text = format!("{name}: {} requests/s, {} errors", now.requests.saturating_sub(before), now.errors);
        before = now.requests;
        if now.started {
            answers.faults.begin(&name, order.settings.warm_up);
        }
        answers.progress.send_replace(text);
    };
    let result = answers.provider.load(answers.agents, &order, watch).await;
    result.map(Json).map_err(|error| (StatusCode::BAD_GATEWAY, error.to_string()))
}

async fn begin_faults(State(answers): Shared, Path(scenario): Path<String>, Json(window_in_ms): Json<u64>) {
    answers.faults.begin(&scenario, Duration::from_millis(window_in_ms));
}

async fn end_faults(State(answers): Shared, Path(scenario): Path<String>) -> Answer<()> {
    answers.faults.end(&scenario).await;
    answers.write_addresses().map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

async fn probe(
    State(answers): Shared,
    Path((pod, container, which)): Path<(String, String, ProbeKind)>,
) -> Answer<Json<Observation>> {
    let (_, probe) = declared(&answers, &pod, &container, which)?;
    Ok(Json(observe(&*answers.provider, &answers.provider.profile(), &pod, &container, probe).await))
}

/// What the doctor finds of an exec probe.
async fn examine(
    State(answers): Shared,
    Path((pod, container, which)): Path<(String, String, ProbeKind)>,
) -> Answer<Json<Diagnosis>> {
    let (spec, probe) = declared(&answers, &pod, &container, which)?;
    let (kind, component) = (spec.component.kind.clone(), spec.component.name.clone());
    let case = Case { kind, component, container, which, probe: probe.clone(), known: Known::default() };
    Ok(Json(doctor::diagnose_command(&case, &*answers.provider, &answers.provider.profile(), &pod).await))
}

async fn redeploy(State(answers): Shared, Path(component): Path<String>) -> Answer<()> {
    let pods = pods_of(&answers, &component)?;
    let redeployed = answers.supply.redeploy(&answers.provider, answers.restarter.as_ref(), &pods).await;
    redeployed.map_err(|error| (StatusCode::BAD_GATEWAY, error.to_string()))
}

async fn trigger(State(answers): Shared, Path(cron_job): Path<String>) -> Answer<Json<Triggered>> {
    let run = answers.trigger.run(&cron_job, &answers.provider, &answers.supply, &answers.secrets);
    run.await.map(Json).map_err(|refusal| {
        let status = match &refusal {
            Refusal::Unknown { .. } => StatusCode::NOT_FOUND,
            Refusal::Missing(_) | Refusal::Failed(_) => StatusCode::BAD_GATEWAY,
        };
        (status, refusal.to_string())
    })
}

async fn restart(
    State(answers): Shared,
    Json(RestartOrder { pod, container, spare_ms }): Json<RestartOrder>,
) -> Answer<()> {
    let restarter = answers.restarter.as_ref().ok_or_else(|| {
        let text = "only docker and local restart containers on request; a cluster decides itself, as after \
                    `kubectl rollout restart`";
        (StatusCode::NOT_IMPLEMENTED, text.to_owned())
    })?;
    // Init containers run once and do not count.
    let is_there = answers.pods.iter().any(|spec| spec.name == pod && spec.container(&container).is_ok());
    if !is_there {
        return Err((StatusCode::NOT_FOUND, format!("no such container: {pod}/{container}")));
    }
    restarter.restart(&pod, &container, Duration::from_millis(spare_ms));
    Ok(())
}

/// A pod and the declaration of one of its probes.
fn declared<'a>(
    answers: &'a Answers,
    pod: &str,
    container: &str,
    which: ProbeKind,
) -> Answer<(&'a PodSpec, &'a Probe)> {
    let spec = answers.pods.iter().find(|spec| spec.name == pod);
    let declared = spec.and_then(|spec| Some((spec, which.of(&spec.container(container).ok()?.probes)?)));
    declared.ok_or_else(|| (StatusCode::NOT_FOUND, format!("{pod}/{container} declares no {} probe", which.word())))
}
