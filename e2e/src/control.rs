//! The run's address for its suites: what only the run can do, such as a probe inside a container. Main types: [`Control`] asks,
//! [`Server`] answers. The suites so need no provider, and the same question works on every target.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::Response,
    routing::{get, post},
};
use e2e_load::{
    agent::Order,
    load::{self, ClientReport, LoadResult},
};
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{
    environment::{self, Environment},
    kubelet::{
        Which,
        node::{Restart, Restarter, Snapshot, observe},
        observation::Observation,
    },
    plan::Probe,
    provider::{Provider, pods::PodSpec},
};

/// How long agents may take to start and to hand over what they measured.
const LOAD_SLACK: Duration = Duration::from_secs(120);

/// Key of the token in `secrets.json`.
pub(crate) const TOKEN: &str = "e2e/control-token";

/// What the server answers from.
pub(crate) struct Answers {
    pub(crate) provider: Arc<Provider>,
    pub(crate) pods: Vec<PodSpec>,
    pub(crate) snapshot: watch::Receiver<Snapshot>,
    /// Where this program looks after the pods.
    pub(crate) restarter: Option<Restarter>,
    /// What a suite says about how it goes.
    pub(crate) progress: watch::Sender<String>,
    /// How many agents make a load that comes from inside.
    pub(crate) agents: u32,
    /// Set to ask the run to end.
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) token: String,
}

/// Answers until it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    /// Where it listens, on the loopback address.
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(answers: Answers) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let answers = Arc::new(answers);
        let router = Router::new()
            .route("/status", get(status))
            .route("/probe/{pod}/{container}/{which}", post(probe))
            .route("/restart", post(restart))
            .route("/progress", post(progress))
            .route("/load/{name}", post(load))
            .route("/stop", post(stop))
            .layer(middleware::from_fn_with_state(Arc::clone(&answers), authorise))
            .with_state(answers);
        let task = tokio::spawn(async move {
            // Ends when the listener fails, which it does not while the process lives.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, task })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Every process of this machine can connect, so the token that only this user can read decides.
async fn authorise(State(answers): State<Arc<Answers>>, request: Request, next: Next) -> Result<Response, StatusCode> {
    let expected = format!("Bearer {}", answers.token);
    match request.headers().get(header::AUTHORIZATION) {
        Some(given) if given.as_bytes() == expected.as_bytes() => Ok(next.run(request).await),
        _ => Err(StatusCode::UNAUTHORIZED),
    }
}

async fn status(State(answers): State<Arc<Answers>>) -> Json<Snapshot> {
    let snapshot = answers.snapshot.borrow().clone();
    Json(snapshot)
}

async fn progress(State(answers): State<Arc<Answers>>, text: String) {
    answers.progress.send_replace(text);
}

async fn stop(State(answers): State<Arc<Answers>>) {
    answers.stop.send_replace(true);
}

async fn load(
    State(answers): State<Arc<Answers>>,
    Path(name): Path<String>,
    Json(order): Json<Order>,
) -> Result<Json<LoadResult<ClientReport>>, (StatusCode, String)> {
    let mut before = 0;
    let watch = |now: &load::Snapshot| {
        let text = format!("{name}: {} requests/s, {} errors", now.requests.saturating_sub(before), now.errors);
        before = now.requests;
        answers.progress.send_replace(text);
    };
    let result = answers.provider.load(answers.agents, &order, watch).await;
    result.map(Json).map_err(|error| (StatusCode::BAD_GATEWAY, error.to_string()))
}

async fn probe(
    State(answers): State<Arc<Answers>>,
    Path((pod, container, which)): Path<(String, String, Which)>,
) -> Result<Json<Observation>, (StatusCode, String)> {
    let probe = declared(&answers.pods, &pod, &container, which)
        .ok_or_else(|| (StatusCode::NOT_FOUND, format!("{pod}/{container} declares no {} probe", which.word())))?;
    Ok(Json(observe(&*answers.provider, &answers.provider.profile(), &pod, &container, probe).await))
}

async fn restart(
    State(answers): State<Arc<Answers>>,
    Json(RestartOrder { pod, container, spare_ms }): Json<RestartOrder>,
) -> Result<(), (StatusCode, String)> {
    let restarter = answers.restarter.as_ref().ok_or_else(|| {
        let text = "a cluster restarts its containers by itself; docker and local can be asked to";
        (StatusCode::NOT_IMPLEMENTED, text.to_owned())
    })?;
    // Init containers run once and are none of them.
    let is_there = answers.pods.iter().any(|spec| spec.name == pod && spec.container(&container).is_some());
    if !is_there {
        return Err((StatusCode::NOT_FOUND, format!("there is no container {pod}/{container}")));
    }
    restarter.restart(Restart { pod, container, spare: Duration::from_millis(spare_ms) });
    Ok(())
}

fn declared<'a>(pods: &'a [PodSpec], pod: &str, container: &str, which: Which) -> Option<&'a Probe> {
    which.of(&pods.iter().find(|candidate| candidate.name == pod)?.container(container)?.probes)
}

/// A container that is to be started again.
#[derive(Debug, Serialize, Deserialize)]
struct RestartOrder {
    pod: String,
    container: String,
    spare_ms: u64,
}

/// Asks the run that an environment belongs to.
#[derive(Debug, Clone)]
pub struct Control {
    client: reqwest::Client,
    base: String,
    token: String,
}

/// Why the run did not answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The environment does not say how to ask.
    #[error(transparent)]
    Environment(#[from] environment::Error),
    /// There was no answer.
    #[error("the run does not answer at {url}: {source}; is it still up?")]
    NoAnswer {
        /// What was asked.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The answer is a refusal.
    #[error("the run refused {url}: {status} {body}")]
    Refused {
        /// What was asked.
        url: String,
        /// The status.
        status: u16,
        /// The reason.
        body: String,
    },
}

impl Control {
    /// The control address of an environment.
    pub fn of(environment: &Environment) -> Result<Self, Error> {
        let client = reqwest::Client::builder()
            .no_proxy()
            // Longer than the longest probe timeout that manifests use in practice.
            .timeout(std::time::Duration::from_secs(60))
            .build()
            .map_err(|source| Error::NoAnswer { url: environment.control.to_string(), source })?;
        let token = environment.secret(TOKEN)?;
        Ok(Self { client, base: format!("http://{}", environment.control), token })
    }

    /// What is known of every pod now.
    pub async fn status(&self) -> Result<Snapshot, Error> {
        self.ask(reqwest::Method::GET, "/status")
            .await?
            .json()
            .await
            .map_err(|source| self.no_answer("/status", source))
    }

    /// Sends a declared probe once, as a kubelet sends it, and returns what came of it.
    pub async fn probe(&self, pod: &str, container: &str, which: Which) -> Result<Observation, Error> {
        let path = format!("/probe/{pod}/{container}/{}", which.word().to_lowercase());
        self.ask(reqwest::Method::POST, &path).await?.json().await.map_err(|source| self.no_answer(&path, source))
    }

    /// Has a container started again, at once. Failures of its startup and liveness probes count for nothing in its
    /// first `spare`.
    ///
    /// # Errors
    ///
    /// When there is no such container, or a cluster looks after it.
    pub async fn restart(&self, pod: &str, container: &str, spare: Duration) -> Result<(), Error> {
        let spare_ms = u64::try_from(spare.as_millis()).unwrap_or(u64::MAX);
        let order = RestartOrder { pod: pod.to_owned(), container: container.to_owned(), spare_ms };
        let request = self.client.post(format!("{}/restart", self.base)).bearer_auth(&self.token).json(&order);
        self.answer("/restart", request).await.map(drop)
    }

    /// Asks the run to end and remove everything.
    pub async fn stop(&self) -> Result<(), Error> {
        self.ask(reqwest::Method::POST, "/stop").await.map(drop)
    }

    /// Has the agents of [`LoadFrom::Inside`](crate::environment::LoadFrom::Inside) make a load, and returns what they
    /// measured. `name` stands before the figures that people see while it goes on.
    pub async fn load(&self, name: &str, order: &Order) -> Result<LoadResult<ClientReport>, Error> {
        let path = format!("/load/{name}");
        // Setting up, all requests in flight at the end, and the agents' own start come on top.
        let limit = order.set_up_limit + order.warm_up + order.duration + order.request_timeout + LOAD_SLACK;
        let url = format!("{}{path}", self.base);
        let request = self.client.post(&url).bearer_auth(&self.token).timeout(limit).json(order);
        self.answer(&path, request).await?.json().await.map_err(|source| self.no_answer(&path, source))
    }

    /// Tells the run how a suite goes, for people who wait.
    pub async fn progress(&self, text: &str) -> Result<(), Error> {
        self.send(reqwest::Method::POST, "/progress", text.to_owned()).await.map(drop)
    }

    async fn ask(&self, method: reqwest::Method, path: &str) -> Result<reqwest::Response, Error> {
        self.send(method, path, String::new()).await
    }

    async fn send(&self, method: reqwest::Method, path: &str, body: String) -> Result<reqwest::Response, Error> {
        let url = format!("{}{path}", self.base);
        self.answer(path, self.client.request(method, &url).bearer_auth(&self.token).body(body)).await
    }

    async fn answer(&self, path: &str, request: reqwest::RequestBuilder) -> Result<reqwest::Response, Error> {
        let url = format!("{}{path}", self.base);
        let response = request.send().await.map_err(|source| self.no_answer(path, source))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        Err(Error::Refused { url, status, body: response.text().await.unwrap_or_default() })
    }

    fn no_answer(&self, path: &str, source: reqwest::Error) -> Error {
        Error::NoAnswer { url: format!("{}{path}", self.base), source: source.without_url() }
    }
}
