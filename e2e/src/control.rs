//! The run's control address for its suites, for actions that only the run can perform, for example a probe inside a container.
//! Main type: [`Control`]. Suites need no provider, and requests are the same on every target.

use std::{collections::BTreeMap, time::Duration};

use e2e_kubelet::{diagnosis::Diagnosis, observation::Observation, snapshot::Snapshot};
use e2e_load::{
    agent::Order,
    load::{ClientReport, LoadResult, Settings},
};
use e2e_plan::{ProbeKind, duration};
use e2e_report::environment::{self, Environment};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The time for agents to start and to return their results.
const LOAD_SLACK: Duration = Duration::from_secs(120);

/// How long a Job that was asked for may take.
pub const TRIGGER_LIMIT: Duration = Duration::from_secs(3600);
/// How long a build of images may take.
const BUILD_LIMIT: Duration = Duration::from_secs(3600);
/// The time for planned faults to end after the load: two grace periods of Kubernetes's default, and a start.
pub const FAULTS_LIMIT: Duration = Duration::from_secs(90);

/// Key of the token in `secrets.json`.
pub const TOKEN: &str = "e2e/control-token";

/// A restart request.
#[derive(Debug, Serialize, Deserialize)]
pub struct RestartOrder {
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// How long failures of its startup and liveness probes count for nothing, in milliseconds.
    pub spare_ms: u64,
}

/// How a Job that was asked for ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Triggered {
    /// The Job's name.
    pub job: String,
    /// Whether it succeeded.
    pub succeeded: bool,
    /// Its pods, each with its state: `Completed` or `Error` on docker and local, the phase in a cluster.
    pub states: BTreeMap<String, String>,
    /// What its containers have said, by `pod/container`, without secrets.
    pub logs: BTreeMap<String, String>,
}

/// What a container has said from some place of its log on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPart {
    /// The place, in bytes.
    pub from: usize,
    /// The log from there on.
    pub text: String,
}

impl LogPart {
    /// What follows the first `seen` bytes. All of a log that is shorter: its container was started anew.
    #[must_use]
    pub fn after(seen: usize, log: &str) -> Self {
        let (from, text) = log.get(seen..).map_or((0, log), |text| (seen, text));
        Self { from, text: text.to_owned() }
    }
}

/// A client of an environment's run.
///
/// ```no_run
/// # async fn of(environment: e2e::environment::Environment) -> Result<(), Box<dyn std::error::Error>> {
/// use e2e::{ProbeKind, control::Control};
/// use std::time::Duration;
///
/// let control = Control::of(&environment)?;
/// let ready = control.status().await?.ready_pods().count();
/// control.progress(&format!("{ready} pods are ready")).await?;
///
/// // A declared probe, sent like a kubelet's.
/// let observation = control.probe("backend-0", "backend", ProbeKind::Readiness).await?;
/// println!("{:?}: {}", observation.verdict, observation.message);
///
/// // No probe may kill the restarted container for 30 s.
/// control.restart("backend-0", "backend", Duration::from_secs(30)).await?;
/// let logs = control.logs("backend").await?;
/// println!("{}", logs["backend-0/backend"]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Control {
    client: reqwest::Client,
    base: String,
    token: String,
}

/// A failed request to the run.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum Error {
    #[error(transparent)]
    Environment(#[from] environment::Error),
    #[error("the run does not answer at {url}: {source}; is it still up?")]
    NoAnswer { url: String, source: reqwest::Error },
    #[error("{} ({url} answered {status})", if body.is_empty() { "the run refused this" } else { body })]
    Refused { url: String, status: u16, body: String },
}

impl Control {
    /// The control address of an environment.
    pub fn of(environment: &Environment) -> Result<Self, Error> {
        let client = reqwest::Client::builder()
            .no_proxy()
            // Longer than probe timeouts in practice.
            .timeout(Duration::from_secs(60))
            .build()
            .map_err(|source| Error::NoAnswer { url: environment.control.to_string(), source })?;
        let token = environment.secret(TOKEN)?;
        Ok(Self { client, base: format!("http://{}", environment.control), token })
    }

    /// The current state of every pod.
    pub async fn status(&self) -> Result<Snapshot, Error> {
        self.told(self.client.get(format!("{}/status", self.base))).await
    }

    /// The logs of a component's containers so far, by `pod/container`, without secrets.
    ///
    /// # Errors
    ///
    /// When the component is unknown, or the run does not answer.
    pub async fn logs(&self, component: &str) -> Result<BTreeMap<String, String>, Error> {
        let parts = self.logs_after(component, &BTreeMap::new()).await?;
        Ok(parts.into_iter().map(|(container, part)| (container, part.text)).collect())
    }

    /// What the same logs hold beyond the given numbers of bytes, by `pod/container`.
    ///
    /// # Errors
    ///
    /// As [`logs`](Self::logs).
    pub async fn logs_after(
        &self,
        component: &str,
        seen: &BTreeMap<String, usize>,
    ) -> Result<BTreeMap<String, LogPart>, Error> {
        self.told(self.post(&format!("/logs/{component}")).json(seen)).await
    }

    /// Sends a declared probe once like a kubelet, and returns the result.
    pub async fn probe(&self, pod: &str, container: &str, which: ProbeKind) -> Result<Observation, Error> {
        self.told(self.post(&format!("/probe/{pod}/{container}/{which}"))).await
    }

    /// Has the doctor examine a declared exec probe, which only the run can send.
    pub async fn examine(&self, pod: &str, container: &str, which: ProbeKind) -> Result<Diagnosis, Error> {
        self.told(self.post(&format!("/examine/{pod}/{container}/{which}"))).await
    }

    /// Restarts a container at once. Failures of its startup and liveness probes are ignored for its first
    /// `spare`.
    ///
    /// # Errors
    ///
    /// When the container is unknown, or a cluster manages it.
    pub async fn restart(&self, pod: &str, container: &str, spare: Duration) -> Result<(), Error> {
        let spare_ms = duration::millis(spare);
        let order = RestartOrder { pod: pod.to_owned(), container: container.to_owned(), spare_ms };
        self.answer(self.post("/restart").json(&order)).await.map(drop)
    }

    /// Rebuilds a component's images and replaces its containers. Returns once the replacement has begun.
    ///
    /// # Errors
    ///
    /// When there is no such component, or an image cannot be built.
    pub async fn redeploy(&self, component: &str) -> Result<(), Error> {
        self.answer(self.post(&format!("/redeploy/{component}")).timeout(BUILD_LIMIT)).await.map(drop)
    }

    /// Runs the Job of a CronJob once, and returns how it ended.
    ///
    /// # Errors
    ///
    /// When there is no such CronJob, its images or its Secrets are missing, or the run does not answer.
    pub async fn trigger(&self, cron_job: &str) -> Result<Triggered, Error> {
        self.told(self.post(&format!("/trigger/{cron_job}")).timeout(BUILD_LIMIT + TRIGGER_LIMIT)).await
    }

    /// Asks the run to end and remove everything.
    pub async fn stop(&self) -> Result<(), Error> {
        self.answer(self.post("/stop")).await.map(drop)
    }

    /// Runs a load on the agents of [`LoadFrom::Inside`](e2e_report::environment::LoadFrom::Inside), and returns their results.
    /// `name` prefixes the progress.
    pub async fn load(&self, name: &str, order: &Order) -> Result<LoadResult<ClientReport>, Error> {
        // Plus the set-up, requests in flight at the end, and the agents' start.
        let Settings { set_up_limit, warm_up, duration, request_timeout, .. } = &order.settings;
        let limit = *set_up_limit + *warm_up + *duration + *request_timeout + LOAD_SLACK;
        self.told(self.post(&format!("/load/{name}")).timeout(limit).json(order)).await
    }

    /// Starts the planned faults of a scenario whose measured window begins in `window_in`. For a load of its agents the run does so
    /// itself.
    ///
    /// # Errors
    ///
    /// The run does not answer.
    pub async fn begin_faults(&self, scenario: &str, window_in: Duration) -> Result<(), Error> {
        let request = self.post(&format!("/faults/{scenario}/begin")).json(&duration::millis(window_in));
        self.answer(request).await.map(drop)
    }

    /// Waits until the planned faults of a scenario are over and all pods are ready again, for at most [`FAULTS_LIMIT`].
    ///
    /// # Errors
    ///
    /// The run does not answer.
    pub async fn end_faults(&self, scenario: &str) -> Result<(), Error> {
        let request = self.post(&format!("/faults/{scenario}/end")).timeout(FAULTS_LIMIT + LOAD_SLACK);
        self.answer(request).await.map(drop)
    }

    /// Reports a suite's progress to the run.
    pub async fn progress(&self, text: &str) -> Result<(), Error> {
        self.answer(self.post("/progress").body(text.to_owned())).await.map(drop)
    }

    fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.post(format!("{}{path}", self.base))
    }

    /// What the run answers, as JSON.
    async fn told<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, Error> {
        let response = self.answer(request).await?;
        let url = response.url().clone();
        response.json().await.map_err(|source| self.no_answer(source.with_url(url)))
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, Error> {
        let response = request.bearer_auth(&self.token).send().await.map_err(|source| self.no_answer(source))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (url, status) = (response.url().to_string(), response.status().as_u16());
        Err(Error::Refused { url, status, body: response.text().await.unwrap_or_default() })
    }

    fn no_answer(&self, source: reqwest::Error) -> Error {
        let url = source.url().map_or_else(|| self.base.clone(), ToString::to_string);
        Error::NoAnswer { url, source: source.without_url() }
    }
}
