//! The experiments: requests that differ from the probe in one thing, within bounds of number and time. Main type: [`Lab`].

use std::time::Duration;

use e2e_kubelet::{
    diagnosis::{Fix, Trial},
    observation::Observation,
};
use e2e_plan::ProbeAction;
use futures_util::future::join_all;
use tokio::time::Instant;

use super::Case;
use crate::{
    grpc,
    http::{self, Way},
    probe::{self, Prepared, Profile, Target},
    request::{HttpRequest, authority},
};

/// More requests than this are not sent for one probe.
const MAX_REQUESTS: usize = 14;
/// What a person's request says of itself; the version is of no matter.
const CURL: &str = "curl/8.5.0";

/// A probe under examination.
pub(super) struct Lab<'a> {
    pub(super) case: &'a Case,
    pub(super) target: &'a Target,
    profile: &'a Profile,
    /// What is sent, where that is a request of HTTP.
    pub(super) prepared: Option<Prepared>,
    deadline: Instant,
    tried: Vec<Trial>,
    /// What the variants met that were tried while the probe met silence.
    pub(super) silence: Vec<Observation>,
}

impl<'a> Lab<'a> {
    /// Prepares the probe; an observation in place of it says why nothing can be sent.
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
        // Three timeouts in all, with a tenth kept for everything but waiting.
        let deadline = Instant::now() + timeout * 29 / 10;
        Ok(Self { case, target, profile, prepared, deadline, tried: Vec::new(), silence: Vec::new() })
    }

    pub(super) fn timeout(&self) -> Duration {
        self.case.probe.timeout
    }

    /// The time that is left for the search.
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The requests that are left, with one kept to check the fix.
    pub(super) fn requests_left(&self) -> usize {
        (MAX_REQUESTS - 1).saturating_sub(self.tried.len())
    }

    pub(super) fn into_trials(self) -> Vec<Trial> {
        self.tried
    }

    /// The port that the probe asks.
    pub(super) fn port(&self) -> u16 {
        match &self.case.probe.action {
            ProbeAction::HttpGet { port, .. }
            | ProbeAction::TcpSocket { port, .. }
            | ProbeAction::Grpc { port, .. } => *port,
            ProbeAction::Exec { .. } => 0,
        }
    }

    /// Every port that is known.
    fn ports(&self) -> Vec<u16> {
        let works = self.case.known.works.as_ref().map(|works| works.address.port());
        let ports: std::collections::BTreeSet<u16> =
            self.target.ports.keys().copied().chain([self.port()]).chain(works).collect();
        ports.into_iter().collect()
    }

    /// Sends a request; `None` when the bounds leave no room for one more. A request never gets less than the probe's
    /// timeout, because a failure for lack of time would prove nothing.
    pub(super) async fn send(&mut self, change: &str, prepared: Prepared) -> Option<Observation> {
        if self.requests_left() == 0 || self.left() < self.timeout() {
            return None;
        }
        let observation = exchange(self.target, prepared, self.timeout()).await;
        self.note(change, &observation);
        Some(observation)
    }

    /// Sends requests side by side; fewer answers than requests when the bounds leave no room for all.
    pub(super) async fn send_all(&mut self, requests: Vec<(String, Prepared)>) -> Vec<Observation> {
        if self.left() < self.timeout() {
            return Vec::new();
        }
        let (changes, prepared): (Vec<_>, Vec<_>) = requests.into_iter().take(self.requests_left()).unzip();
        let observations =
            join_all(prepared.into_iter().map(|prepared| exchange(self.target, prepared, self.timeout()))).await;
        for (change, observation) in changes.iter().zip(&observations) {
            self.note(change, observation);
        }
        observations
    }

    /// Sends another action in the probe's place, such as the same one to another port.
    pub(super) async fn send_action(&mut self, change: &str, action: &ProbeAction) -> Option<Observation> {
        if self.requests_left() == 0 || self.left() < self.timeout() {
            return None;
        }
        let observation = probe::send_once(action, self.target, self.timeout(), self.profile).await;
        self.note(change, &observation);
        Some(observation)
    }

    /// Asks gRPC's health service on the probe's port.
    pub(super) async fn send_grpc(&mut self, way: &Way) -> Option<Observation> {
        if self.requests_left() == 0 || self.left() < self.timeout() {
            return None;
        }
        let shown = authority(&self.target.pod_ip.to_string(), self.port());
        let observation = grpc::check(way, &shown, "", self.timeout(), self.profile).await;
        self.note("a grpc probe of the same port", &observation);
        Some(observation)
    }

    /// Sends the probe again as it is.
    pub(super) async fn again(&mut self) -> Option<Observation> {
        match self.prepared.clone() {
            Some(prepared) => self.send("the probe", prepared).await,
            None => self.send_action("the probe", &self.case.probe.action).await,
        }
    }

    /// Whether a change makes the probe succeed, taking it back makes it fail twice, and making it again makes it succeed
    /// again, where there is room for that: two in a row tell a change from an app that fails every other time.
    pub(super) async fn flips(&mut self, change: &str, changed: &Prepared) -> bool {
        match self.send(change, changed.clone()).await {
            Some(observation) if observation.success() => self.holds(change, changed).await,
            _ => false,
        }
    }

    /// The second half of [`Lab::flips`], for a change that has made the probe succeed.
    pub(super) async fn holds(&mut self, change: &str, changed: &Prepared) -> bool {
        for _ in 0..2 {
            match self.again().await {
                Some(back) if !back.success() => {}
                _ => return false,
            }
        }
        self.send(change, changed.clone()).await.is_none_or(|again| again.success())
    }

    /// Sends the probe as the fix's patch makes it, and notes in the fix whether it succeeds.
    pub(super) async fn check(&mut self, fix: &mut Fix) {
        let Ok(probe) = super::fix::patched(fix, self.case, &self.ports()) else {
            return;
        };
        if probe.action == self.case.probe.action && probe.timeout > self.timeout() {
            // What was waited for is this very probe, and it succeeded.
            fix.verified = Some(true);
            return;
        }
        if self.tried.len() >= MAX_REQUESTS {
            return;
        }
        let timeout = self.timeout().min(self.left().max(Duration::from_millis(100)));
        let is_whole = timeout >= self.timeout();
        let observation = probe::send_once(&probe.action, self.target, timeout, self.profile).await;
        self.note("the probe as patched", &observation);
        fix.verified = match observation.success() {
            true => Some(true),
            // Lack of time proves nothing.
            false => is_whole.then_some(false),
        };
    }

    pub(super) fn note(&mut self, change: &str, observation: &Observation) {
        let (change, summary) = (change.to_owned(), observation.summary());
        self.tried.push(Trial { change, verdict: observation.verdict, summary });
    }

    /// A request as a person sends it, with another Host.
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

    /// The names under which people and other services call the app, without the one that the probe uses.
    pub(super) fn hosts(&self, prepared: &Prepared) -> Vec<String> {
        let port = self.port();
        let default_port = if prepared.url.scheme == "https" { 443 } else { 80 };
        // A client leaves the default port out.
        let host = |name: &str| if port == default_port { name.to_owned() } else { authority(name, port) };
        let names = ["localhost"].into_iter().chain(self.case.known.services.iter().map(String::as_str));
        let mut hosts: Vec<String> = self.case.known.works.iter().map(|works| works.host.clone()).collect();
        hosts.extend(names.chain(["127.0.0.1"]).map(host));
        let mut seen = std::collections::BTreeSet::from([prepared.request.host.clone()]);
        hosts.retain(|host| seen.insert(host.clone()));
        hosts.truncate(4);
        hosts
    }
}

/// Sends a request, without a note of it.
pub(super) async fn exchange(target: &Target, prepared: Prepared, timeout: Duration) -> Observation {
    let Prepared { url, request, way } = prepared;
    http::get(url, request, way, target, timeout).await
}
