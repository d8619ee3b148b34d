//! The load engine: clients with one keep-alive HTTP/1.1 connection each, on a thread of their own, in a closed loop or by a schedule.
//! [`run`] takes [`Settings`] and a [`Scenario`] and returns a [`LoadResult`].
//!
//! The loop is small because the generator shares the machine with the system that it measures: requests are prebuilt bytes,
//! one response is read in place, and in the steady state a request allocates nothing and sets no timer. Everything that is
//! not a success is counted by kind; a server that fails slows its clients down instead of making them spin.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};

mod client;
mod connection;
mod figures;
mod gate;
mod generator;
mod ledger;
mod progress;
pub(crate) mod recorder;
mod report;
mod request;
mod response;
mod result;
mod scenario;
pub mod scenarios;
mod schedule;
mod timer;
mod tls;
mod workload;

pub use e2e_figures::{Failure, Generator, Outcome, Random, Second};
pub use figures::StepLabel;
pub use ledger::{ClientLedger, Fate, Keys, StoredKeys};
pub use progress::Snapshot;
pub use report::{ClientOutcome, ClientReport, ServerTime};
pub use request::{InvalidRequest, RequestHead};
pub use response::{Decoder, Limits, Progress, Rejected, Response};
pub use result::{AgentCoverage, Connections, FirstError, LoadResult, OpenResult, StepResult, Totals};
pub use scenario::{Client, Identity, Moment, Next, Phase, Scenario, Step};
pub use schedule::{Arrivals, Model, Spacing, Turn};
pub use tls::{Tls, TlsError, Trust};
pub use workload::{Registry, Workload, WorkloadError};

use generator::{ResultOf, Signals};
use progress::Counters;
use schedule::Schedule;

/// Where, how many and how long. Start from [`Settings::new`] and change what differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The server. Clients connect to it by address; the Host header is the scenario's.
    pub address: SocketAddr,
    /// How many clients there are, each with one connection.
    pub clients: u32,
    /// What decides when they send.
    pub model: Model,
    /// For HTTPS.
    pub tls: Option<Tls>,
    /// The measured window.
    pub duration: Duration,
    /// The time between the common start and the window, not part of its figures.
    pub warm_up: Duration,
    /// How long clients that are ready wait for the others.
    pub set_up_limit: Duration,
    /// How long one request may take, connecting included.
    pub request_timeout: Duration,
    /// How large a response may be.
    pub limits: Limits,
    /// Where all of the clients' data comes from.
    pub seed: u64,
    /// The part of a larger run that this one is; nothing when it is a whole run.
    pub part: Option<Part>,
}

/// A part of a run that several generators share: the clients `first` to `first + clients - 1` of `of`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    /// The index of the part's first client.
    pub first: u32,
    /// How many clients the whole run has.
    pub of: u32,
    /// The part's share of an open model's schedule.
    pub turn: Turn,
}

impl Settings {
    /// The usual settings: 40 clients for 10 s, no warm-up.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            clients: 40,
            model: Model::Closed,
            tls: None,
            duration: Duration::from_secs(10),
            warm_up: Duration::ZERO,
            // Longer than a client's attempts at registering take together.
            set_up_limit: Duration::from_secs(60),
            request_timeout: Duration::from_secs(5),
            limits: Limits::default(),
            seed: 0,
            part: None,
        }
    }

    /// The identity of the client at a position of this generator's own.
    fn identity(&self, position: u32) -> Identity {
        let Part { first, of, .. } = self.part();
        Identity { index: first + position, clients: of, seed: self.seed }
    }

    fn part(&self) -> Part {
        self.part.unwrap_or(Part { first: 0, of: self.clients, turn: Turn { number: 0, count: 1 } })
    }

    /// The times of this generator's requests, in the open model.
    fn schedule(&self) -> Option<Schedule> {
        match self.model {
            Model::Closed => None,
            Model::Open(arrivals) => {
                Some(Schedule::new(arrivals, self.warm_up, self.duration, self.seed, self.part().turn))
            }
        }
    }

    /// Refuses settings that no run can have, before anything is started.
    ///
    /// # Errors
    ///
    /// Those of [`start`] but for its thread's.
    pub fn check(&self) -> Result<(), Error> {
        self.checked().map(drop)
    }

    /// What connections are encrypted with, once the settings are found to be possible.
    fn checked(&self) -> Result<Option<tls::Connector>, Error> {
        if self.clients == 0 {
            return Err(Error::NothingToDo("clients"));
        }
        if self.duration.is_zero() {
            return Err(Error::NothingToDo("duration"));
        }
        if self.request_timeout.is_zero() {
            return Err(Error::NothingToDo("request_timeout"));
        }
        for (name, time) in [
            ("duration", self.duration),
            ("warm_up", self.warm_up),
            ("set_up_limit", self.set_up_limit),
            ("request_timeout", self.request_timeout),
        ] {
            if time > schedule::LONGEST {
                return Err(Error::TooLong(name));
            }
        }
        if matches!(self.model, Model::Open(arrivals) if !arrivals.is_valid()) {
            return Err(Error::Rate);
        }
        allow_connections(self.clients)?;
        Ok(self.tls.as_ref().map(Tls::connector).transpose()?)
    }
}

/// Why there is no result. A server that fails is not among these: that is a result.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum Error {
    #[error("load setting `{0}` is 0; set a larger value")]
    NothingToDo(&'static str),
    #[error("load setting `{0}` is more than a year; set a smaller value")]
    TooLong(&'static str),
    #[error("load setting `rate` must be finite and at least one request in a year")]
    Rate,
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(
        "{clients} clients need {needed} file descriptors, the hard limit is {limit}: raise it (`ulimit -Hn`) or use fewer clients"
    )]
    TooManyClients { clients: u32, needed: u64, limit: u64 },
    #[error("cannot raise the limit of file descriptors to {needed}")]
    RaiseLimit { needed: u64, source: rustix::io::Errno },
    #[error("cannot start the load generator's thread")]
    Thread(#[source] std::io::Error),
    #[error("cannot start the load generator's runtime")]
    Runtime(#[source] std::io::Error),
    #[error("cannot use a timer for the schedule of requests")]
    Timer(#[source] std::io::Error),
    #[error("the scenario panicked: {0}")]
    Panicked(String),
}

impl Error {
    fn from_panic(error: tokio::task::JoinError) -> Self {
        match error.try_into_panic() {
            Ok(panic) => Error::Panicked(panic_text(&*panic)),
            Err(error) => Error::Panicked(error.to_string()),
        }
    }
}

/// Runs a scenario and returns its result. For a thread that may block, there is [`Run::wait`].
///
/// # Errors
///
/// When the run could not be made; what the server does is in the result.
pub async fn run<S: Scenario>(settings: Settings, scenario: S) -> Result<ResultOf<S>, Error> {
    start(settings, scenario)?.result().await
}

/// Starts a scenario on a thread of its own, so that its progress can be shown. Needs no runtime.
///
/// # Errors
///
/// When a setting cannot be, or the system refuses connections or the thread.
pub fn start<S: Scenario>(settings: Settings, scenario: S) -> Result<Run<ResultOf<S>>, Error> {
    let run = start_held(settings, scenario)?;
    run.release();
    Ok(run)
}

/// The same, but clients that are ready wait for [`Run::release`]: that is how several generators start together.
///
/// # Errors
///
/// As [`start`].
pub fn start_held<S: Scenario>(settings: Settings, scenario: S) -> Result<Run<ResultOf<S>>, Error> {
    let connector = settings.checked()?;
    let counters = Arc::new(Counters::new(settings.clients));
    let (orders, received) = watch::channel(Orders::default());
    let (ready, told) = watch::channel(false);
    let (sender, done) = oneshot::channel();
    let counted = counters.clone();
    let thread = std::thread::Builder::new()
        .name("load".to_owned())
        .spawn(move || {
            let signals = Signals { orders: received, ready };
            let run = generator::run(&settings, &scenario, connector, counted, signals);
            let result = generator::runtime().and_then(|runtime| runtime.block_on(run));
            // The receiver is gone if the result is no longer needed.
            let _ = sender.send(result);
        })
        .map_err(Error::Thread)?;
    Ok(Run { counters, orders, ready: told, done, thread })
}

/// A run under way. Dropping it stops the run.
#[derive(Debug)]
pub struct Run<R> {
    counters: Arc<Counters>,
    orders: watch::Sender<Orders>,
    /// Changes when the clients are ready, and is closed when the last of them has ended.
    ready: watch::Receiver<bool>,
    done: oneshot::Receiver<Result<R, Error>>,
    thread: JoinHandle<()>,
}

/// What happens once in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Milestone {
    /// The clients are ready, or the set-up's limit has passed.
    Ready,
    /// Every client has ended, after the window: [`Run::result`] waits no longer than summing up takes.
    Over,
}

/// What the generator's thread is told while it runs.
#[derive(Debug, Clone, Copy, Default)]
struct Orders {
    released: bool,
    stopped: bool,
}

impl<R> Run<R> {
    /// What has happened so far. It costs the generator nothing.
    pub fn snapshot(&self) -> Snapshot {
        self.counters.snapshot()
    }

    /// Lets clients that are ready start.
    pub fn release(&self) {
        self.orders.send_modify(|orders| orders.released = true);
    }

    /// Ends the window now. Requests in flight are waited for, as at the ordinary end.
    pub fn stop(&self) {
        self.orders.send_modify(|orders| orders.stopped = true);
    }

    /// Waits for the next milestone of the run. Nothing is lost when the future is dropped.
    pub async fn milestone(&mut self) -> Milestone {
        match self.ready.changed().await {
            Ok(()) => Milestone::Ready,
            Err(_) => Milestone::Over,
        }
    }

    /// Waits for the result.
    ///
    /// # Errors
    ///
    /// When the scenario panicked or the runtime could not be made.
    pub async fn result(self) -> Result<R, Error> {
        let received = self.done.await;
        received.unwrap_or_else(|_| Err(join(self.thread)))
    }

    /// Waits for the result and blocks the thread, which must not be a runtime's.
    ///
    /// # Errors
    ///
    /// As [`Run::result`].
    pub fn wait(self) -> Result<R, Error> {
        let received = self.done.blocking_recv();
        received.unwrap_or_else(|_| Err(join(self.thread)))
    }
}

/// Why a thread ended without a result.
fn join(thread: JoinHandle<()>) -> Error {
    let panic = thread.join().err().map(|panic| panic_text(&*panic));
    Error::Panicked(panic.unwrap_or_else(|| "no result".to_owned()))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// Besides the connections a process needs descriptors for its runtime, its logs and its tests' own sockets.
const OTHER_DESCRIPTORS: u64 = 128;

/// Raises the soft limit of file descriptors if that is needed and allowed.
fn allow_connections(clients: u32) -> Result<(), Error> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let needed = u64::from(clients) + OTHER_DESCRIPTORS;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if let Some(maximum) = limit.maximum
        && maximum < needed
    {
        return Err(Error::TooManyClients { clients, needed, limit: maximum });
    }
    let raised = Rlimit { current: Some(needed), maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).map_err(|source| Error::RaiseLimit { needed, source })
}
