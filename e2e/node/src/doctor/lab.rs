//! The experiments: requests that differ from the probe in one thing, limited in number and time, and repeated as often as a claim
//! needs. Main type: [`Lab`].

use std::{fmt, net::SocketAddr, time::Duration};

use e2e_figures::Random;
use e2e_kubelet::{
    diagnosis::{Axis, Trial},
    observation::{Kind, Observation, Verdict},
    protocol::Protocol,
};
use e2e_plan::ProbeAction;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::{Case, count, fix, rounds::coin, stranger, tried};
use crate::{
    greeting::{self, STAGGER},
    grpc,
    http::{self, Route},
    probe::{self, Prepared, Profile, Target},
    request::{HttpRequest, authority},
};

/// The maximum number of different requests for one probe; repeats do not count.
const MAX_REQUESTS: usize = 15;
/// The additional budget for `--works`.
const MAX_OF_WORKS: usize = 14;
/// The name of the unchanged probe.
pub(super) const PROBE: &str = "the probe";
/// The User-Agent of a plain request; the version is irrelevant.
const CURL: &str = "curl/8.5.0";
/// The request.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Sends {
    /// An HTTP request.
    Http(Box<Prepared>),
    /// An HTTP request as another client sends it, another each time; see [`stranger`].
    Stranger(Axis, Box<Prepared>),
    /// Another request, with all remaining time.
    Patiently(Box<Sends>),
    /// Another action, for example on another port.
    Action(ProbeAction),
    /// A question to gRPC's health service; the authority is the pod's address unless given.
    Health { route: Route, secured: bool, authority: Option<String> },
    /// A connection.
    Connection(Route),
    /// The greetings of protocols other than HTTP, each in a separate connection.
    Greetings { route: Route, of: Vec<Protocol> },
}

impl Sends {
    /// A question to gRPC's health service at an address.
    pub(super) fn health(address: SocketAddr, secured: bool, authority: Option<String>) -> Self {
        Self::Health { route: Route::to(address), secured, authority }
    }
}

impl From<Prepared> for Sends {
    fn from(prepared: Prepared) -> Self {
        Self::Http(Box::new(prepared))
    }
}

/// A request, and its difference from the probe or from a plain request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Experiment {
    pub(super) change: String,
    /// Whether it is a plain request.
    pub(super) plain: bool,
    pub(super) sends: Sends,
}

impl Experiment {
    pub(super) fn new(change: impl Into<String>, sends: impl Into<Sends>) -> Self {
        Self { change: change.into(), plain: false, sends: sends.into() }
    }

    /// The HTTP request, if it is one that stays the same.
    pub(super) fn http(&self) -> Option<&Prepared> {
        if let Sends::Http(prepared) = &self.sends { Some(prepared) } else { None }
    }

    /// A request as many clients send it, each with another value of what `axis` is about.
    pub(super) fn of_strangers(axis: Axis, change: &str, prepared: &Prepared) -> Self {
        Self::new(change, Sends::Stranger(axis, Box::new(prepared.clone())))
    }

    /// A plain request, and its difference from others.
    pub(super) fn plain(how: impl fmt::Display, prepared: Prepared) -> Self {
        Self { plain: true, ..Self::new(format!("a plain request {how}"), prepared) }
    }
}

/// A server as a function, for tests of the search.
pub(super) type Simulated<'a> = dyn Fn(&Sends) -> Observation + Sync + 'a;

/// A request with all its answers.
#[derive(Debug)]
pub(super) struct Tried {
    pub(super) experiment: Experiment,
    pub(super) first: Observation,
    /// Whether the app answered successfully, each time.
    pub(super) series: Vec<bool>,
    /// The first failure.
    pub(super) failure: Option<Observation>,
    /// Whether the app has failed with another status or answer than the first time, or with none in time.
    pub(super) varies: bool,
    /// The time of the quickest: the first may meet a cold app.
    pub(super) quickest: Duration,
}

/// A probe under examination.
pub(super) struct Lab<'a> {
    pub(super) case: &'a Case,
    pub(super) target: Target,
    profile: &'a Profile,
    /// The HTTP request, if it is one.
    pub(super) prepared: Option<Prepared>,
    /// A substitute for the network.
    pub(super) simulated: Option<&'a Simulated<'a>>,
    pub(super) begun: Instant,
    pub(super) deadline: Instant,
    pub(super) allowance: usize,
    /// The probe comes first.
    pub(super) tried: Vec<Tried>,
    /// The one with different outcomes; it ends the search.
    pub(super) wavering: Option<usize>,
    pub(super) coin: Random,
    /// The results of the variants tried during the probe's timeout.
    pub(super) silence: Vec<Observation>,
    /// What a probe without a cause does not show by itself, and the remedy.
    pub(super) remark: Option<(String, &'static str)>,
}

impl<'a> Lab<'a> {
    /// Prepares the probe; returns an observation instead if nothing can be sent.
    pub(super) async fn new(
        case: &'a Case,
        target: &'a Target,
        profile: &'a Profile,
    ) -> Result<Self, Box<Observation>> {
        let timeout = case.probe.timeout;
        let prepared = match &case.probe.action {
            ProbeAction::HttpGet { .. } => {
                Some(Prepared::of_probe(&case.probe.action, target, timeout, profile).await?)
            }
            ProbeAction::TcpSocket { .. } | ProbeAction::Grpc { .. } => None,
            ProbeAction::Exec { .. } => {
                return Err(Box::new(probe::send(&case.probe.action, target, timeout, profile).await));
            }
        };
        let mut target = target.clone();
        if let Some(works) = &case.known.works {
            target.ports.entry(works.address.port()).or_insert(works.address);
        }
        // Four timeouts in total; a tenth is reserved for other work.
        let begun = Instant::now();
        Ok(Self {
            case,
            target,
            profile,
            prepared,
            simulated: None,
            begun,
            deadline: begun + timeout * 39 / 10,
            // One is reserved for the check of the fix.
            allowance: MAX_REQUESTS - 1,
            tried: Vec::new(),
            wavering: None,
            coin: coin(),
            silence: Vec::new(),
            remark: None,
        })
    }

    pub(super) fn timeout(&self) -> Duration {
        self.case.probe.timeout
    }

    /// The wait for a late answer; a round of proof must follow.
    pub(super) fn patience(&self) -> Duration {
        self.timeout() * 28 / 10
    }

    /// The remaining time.
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The remaining number of different requests.
    fn requests_left(&self) -> usize {
        self.allowance.saturating_sub(self.tried.len())
    }

    /// A request always gets at least the probe's timeout, because a failure for lack of time proves nothing. Once a request had
    /// different outcomes, single requests prove nothing.
    pub(super) fn is_over(&self) -> bool {
        self.wavering.is_some() || self.left() < self.timeout()
    }

    /// Opens the additional budget for `--works`.
    pub(super) fn begin_with_works(&mut self) -> usize {
        self.allowance = self.tried.len() + MAX_OF_WORKS;
        self.tried.len()
    }

    /// Closes the additional budget for `--works`.
    pub(super) fn end_with_works(&mut self, before: usize) {
        self.allowance = MAX_REQUESTS - 1 + self.tried.len() - before;
    }

    /// The requests with their results.
    pub(super) fn into_trials(self) -> Vec<Trial> {
        self.tried.into_iter().map(Tried::into_trial).collect()
    }

    /// The probe's port.
    pub(super) fn port(&self) -> u16 {
        self.case.probe.action.port().unwrap_or_default()
    }

    /// All known ports.
    fn ports(&self) -> Vec<u16> {
        let ports: std::collections::BTreeSet<u16> = self.target.ports.keys().copied().chain([self.port()]).collect();
        ports.into_iter().collect()
    }

    /// Whether the probe is plain and was redirected to TLS.
    pub(super) fn leads_to_tls(&self) -> bool {
        let is_plain = self.prepared.as_ref().is_some_and(|prepared| !prepared.url.is_tls());
        is_plain && self.tried[0].first.followed.iter().any(|url| url.starts_with("https://"))
    }

    /// Whether a request for the same path of the same port succeeded that is not the probe. A query more makes it no other path.
    pub(super) fn another_client_succeeded(&self) -> bool {
        let Some(probe) = &self.prepared else { return false };
        let asks_the_same = |sent: &Prepared| {
            let rest = sent.request.target.strip_prefix(&probe.request.target);
            let asks_it = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('?'));
            asks_it && sent.route.address == probe.route.address
        };
        let mut others = self.tried[1..].iter().filter(|tried| tried.series.contains(&true));
        others.any(|tried| tried.experiment.http().is_some_and(asks_the_same))
    }

    /// The Hosts for which the path was requested, as the end of a sentence; another Host may have the path.
    pub(super) fn under_these_hosts(&self, prepared: &Prepared) -> String {
        let mut hosts = vec![prepared.request.host.as_str()];
        for sent in self.tried.iter().filter_map(|tried| tried.experiment.http()) {
            if sent.request.target == prepared.request.target && !hosts.contains(&sent.request.host.as_str()) {
                hosts.push(&sent.request.host);
            }
        }
        format!(", under Host {}", hosts.join(", "))
    }

    /// The probe as an experiment.
    fn probe(&self) -> Experiment {
        match self.prepared.clone() {
            Some(prepared) => Experiment::new(PROBE, prepared),
            None => Experiment::new(PROBE, Sends::Action(self.case.probe.action.clone())),
        }
    }

    /// Sends the probe for the first time.
    pub(super) async fn first(&mut self) -> Observation {
        let probe = self.probe();
        let observation = self.exchange(&probe.sends, self.timeout()).await;
        self.note(probe, observation.clone());
        observation
    }

    /// Sends a request, or returns its earlier result; `None` if the limits are reached.
    pub(super) async fn ask(&mut self, experiment: Experiment) -> Option<Observation> {
        if let Some(index) = self.index_of(&experiment.sends) {
            return self.wavering.is_none().then(|| self.tried[index].first.clone());
        }
        if self.is_over() || self.requests_left() == 0 {
            return None;
        }
        let observation = self.exchange(&experiment.sends, self.timeout()).await;
        self.note(experiment, observation.clone());
        Some(observation)
    }

    /// Sends requests side by side, each a little after the last; fewer answers than requests if the limits are reached.
    pub(super) async fn ask_all(&mut self, experiments: Vec<Experiment>) -> Vec<Observation> {
        if self.is_over() {
            return Vec::new();
        }
        let within = self.timeout();
        let experiments: Vec<Experiment> = experiments.into_iter().take(self.requests_left()).collect();
        let lab = &*self;
        let answers = join_all(experiments.iter().zip(0..).map(|(one, place)| async move {
            sleep(STAGGER * place).await;
            lab.exchange(&one.sends, within).await
        }))
        .await;
        for (experiment, answer) in experiments.into_iter().zip(&answers) {
            self.note(experiment, answer.clone());
        }
        answers
    }

    /// Sends the unchanged probe again; `None` if the limits are reached.
    pub(super) async fn again(&mut self) -> Option<Observation> {
        if self.left() < self.timeout() {
            return None;
        }
        Some(self.repeat(0).await)
    }

    /// Sends the patched probe and returns whether it succeeds; `None` if it could not be tried.
    pub(super) async fn check(&mut self, patch: &str) -> Option<bool> {
        let probe = fix::patched(patch, self.case, &self.ports()).ok()?;
        if probe.action == self.case.probe.action && probe.timeout > self.timeout() {
            // The late answer belongs to this probe, and is a success.
            return Some(true);
        }
        let prepared = Prepared::of_probe(&probe.action, &self.target, self.timeout(), self.profile).await;
        let sends = match (prepared, probe.action) {
            (Ok(prepared), _) => prepared.into(),
            (Err(_), action) => Sends::Action(action),
        };
        if let Some(index) = self.index_of(&sends) {
            return self.tried[index].series.last().copied();
        }
        let timeout = self.timeout().min(self.left().max(Duration::from_millis(100)));
        let observation = self.exchange(&sends, timeout).await;
        let change = "the probe as patched".to_owned();
        self.note(Experiment::new(change, sends), observation.clone());
        match observation.verdict {
            _ if observation.answered() => Some(true),
            Verdict::NotMeasured => None,
            // A lack of time proves nothing.
            _ => (timeout >= self.timeout()).then_some(false),
        }
    }

    /// Sends a request without recording it.
    pub(super) async fn exchange(&self, sends: &Sends, within: Duration) -> Observation {
        if let Some(simulated) = self.simulated {
            return simulated(sends);
        }
        match sends {
            Sends::Http(prepared) => exchange(&self.target, (**prepared).clone(), within).await,
            Sends::Stranger(axis, prepared) => {
                exchange(&self.target, stranger::of(*axis, prepared, self.port()), within).await
            }
            Sends::Patiently(sends) => Box::pin(self.exchange(sends, self.patience())).await,
            Sends::Action(action) => probe::send_once(action, &self.target, within, self.profile).await,
            Sends::Health { route, secured, authority: given } => {
                let own = || authority(&self.target.pod_ip.to_string(), self.port());
                let shown = given.clone().unwrap_or_else(own);
                let service = match &self.case.probe.action {
                    ProbeAction::Grpc { service, .. } => service.as_str(),
                    _ => "",
                };
                grpc::check(route, &shown, service, *secured, within, self.profile).await
            }
            Sends::Connection(route) => http::connect_only(route.address, &route.address.to_string(), within).await,
            Sends::Greetings { route, of } => greeting::greet(route, of, within).await,
        }
    }

    /// Records a new request.
    pub(super) fn note(&mut self, experiment: Experiment, observation: Observation) {
        if let Some(index) = self.index_of(&experiment.sends) {
            return self.note_again(index, &observation);
        }
        let answered = observation.answered();
        let failure = (!answered).then(|| observation.clone());
        let quickest = observation.took();
        let series = vec![answered];
        self.tried.push(Tried { experiment, first: observation, series, failure, varies: false, quickest });
    }

    pub(super) fn note_again(&mut self, index: usize, observation: &Observation) {
        let tried = &mut self.tried[index];
        let answered = observation.answered();
        // Of a stranger each request is another one.
        if answered != tried.first.answered() && !matches!(tried.experiment.sends, Sends::Stranger(..)) {
            self.wavering = self.wavering.or(Some(index));
        }
        let said = |answer: &Observation| (answer.status, answer.grpc.clone());
        let counts = matches!(observation.kind, Kind::Response | Kind::Health | Kind::Timeout);
        tried.varies |= counts && !answered && said(observation) != said(&tried.first);
        tried.series.push(answered);
        tried.quickest = tried.quickest.min(observation.took());
        if !answered && tried.failure.is_none() {
            tried.failure = Some(observation.clone());
        }
    }

    /// A plain request with another Host.
    pub(super) fn plain(&self, prepared: &Prepared, host: &str) -> Prepared {
        let request = HttpRequest {
            target: prepared.request.target.clone(),
            host: host.to_owned(),
            user_agent: Some(CURL.to_owned()),
            accept: Some("*/*".to_owned()),
            headers: Vec::new(),
            trailing: Vec::new(),
            without_host: false,
        };
        Prepared { request, ..prepared.clone() }
    }
}

impl Tried {
    /// How often the app answered successfully.
    pub(super) fn succeeded(&self) -> usize {
        self.series.iter().filter(|success| **success).count()
    }

    fn into_trial(self) -> Trial {
        Trial {
            sent: count(self.series.len()),
            succeeded: count(self.succeeded()),
            plain: self.experiment.plain,
            ..tried(self.experiment.change, &self.first)
        }
    }
}

/// Sends a request without recording it.
pub(super) async fn exchange(target: &Target, prepared: Prepared, timeout: Duration) -> Observation {
    let Prepared { url, request, route } = prepared;
    http::get(url, request, route, target, timeout).await
}
