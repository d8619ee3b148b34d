//! The experiments: requests that differ from the probe in one thing, within bounds of number and time.

use std::time::Duration;

use tokio::time::Instant;

use super::{Axis, Case, Cause, Flip, Found, Trial};
use crate::{
    kubelet::{
        http,
        observation::{Kind, Observation},
        probe::{Prepared, Profile, Target},
        request::{HttpRequest, authority},
    },
    plan::ProbeAction,
};

/// More requests than this are not sent for one probe.
const MAX_REQUESTS: usize = 14;
/// How trials of a plain request begin.
pub(crate) const PLAIN: &str = "a plain request";
/// What a person's request says of itself; the version is of no matter.
const CURL: &str = "curl/8.5.0";

/// A probe under examination.
pub(super) struct Lab<'a> {
    case: &'a Case,
    target: &'a Target,
    profile: &'a Profile,
    prepared: Prepared,
    port: u16,
    deadline: Instant,
    tried: Vec<Trial>,
}

/// A probe for which the answer was waited longer than the kubelet does.
pub(super) enum Patient {
    /// It ended within the timeout.
    InTime(Observation),
    /// It did not; `in_time` is a second try within the timeout, `late` what the first came to.
    Late { in_time: Observation, late: Observation },
}

impl<'a> Lab<'a> {
    /// Prepares the probe; an observation in place of it says why nothing can be sent.
    pub(super) async fn new(
        case: &'a Case,
        target: &'a Target,
        profile: &'a Profile,
    ) -> Result<Self, Box<Observation>> {
        let timeout = case.probe.timeout;
        let prepared = Prepared::of_probe(&case.probe.action, target, timeout, profile).await?;
        let port = prepared.url.port();
        // Three timeouts in all, with a tenth kept for everything but waiting.
        let deadline = Instant::now() + timeout * 29 / 10;
        Ok(Self { case, target, profile, prepared, port, deadline, tried: Vec::new() })
    }

    pub(super) fn timeout(&self) -> Duration {
        self.case.probe.timeout
    }

    pub(super) fn into_trials(self) -> Vec<Trial> {
        self.tried
    }

    /// Sends the probe, and where it does not end in time, waits on for its answer while it tries a second time.
    pub(super) async fn probe_patiently(&mut self) -> Patient {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let Prepared { url, request, dial } = self.prepared.clone();
        let mut first = std::pin::pin!(http::get(url, request, dial, self.target, left));
        if let Ok(observation) = tokio::time::timeout(self.timeout(), first.as_mut()).await {
            self.note("the probe", &observation);
            return Patient::InTime(observation);
        }
        let Prepared { url, request, dial } = self.prepared.clone();
        let second = http::get(url, request, dial, self.target, self.timeout());
        let (late, in_time) = tokio::join!(first, second);
        self.note("the probe, waiting on for the answer", &late);
        self.note("the probe", &in_time);
        Patient::Late { in_time, late }
    }

    /// Nobody listens: another declared port may give the answer.
    pub(super) async fn wrong_port(&mut self) -> Option<Found> {
        let ProbeAction::HttpGet { host, path, headers, .. } = &self.case.probe.action else {
            return None;
        };
        let host = host.clone().unwrap_or_else(|| self.target.pod_ip.to_string());
        let declared = self.port;
        for (&port, &dial) in self.target.ports.iter().filter(|(port, _)| **port != declared) {
            let request = HttpRequest::of_probe(&host, port, path, headers, self.profile).ok()?;
            let mut prepared = Prepared { request, dial, ..self.prepared.clone() };
            prepared.url.explicit_port = Some(port);
            if !self.send(&format!("port {port}"), prepared).await?.success() {
                continue;
            }
            let again = self.send("the probe", self.prepared.clone()).await?;
            if again.kind != Kind::Refused {
                return None;
            }
            let explanation = format!("nobody listens on port {declared}, and port {port} gives the right answer");
            let flip = Flip { axis: Axis::Port, from: declared.to_string(), to: port.to_string() };
            return Some(Found { cause: Some(Cause::WrongPort), flip: Some(flip), explanation });
        }
        None
    }

    /// Compares the probe with what a person would send.
    pub(super) async fn compare(&mut self, observation: &Observation) -> Option<Found> {
        let mut statuses = vec![observation.status];
        for host in self.plain_hosts() {
            let plain = self.plain(&host);
            let seen = self.send_request(&format!("{PLAIN} as curl sends it, with Host {host}"), &plain).await?;
            if seen.success() {
                return self.narrow(&plain).await;
            }
            statuses.push(seen.status);
        }
        // An app that wants a header of the probe's refuses plain requests; the probe's own with another Host it may take.
        for host in self.plain_hosts() {
            let request = HttpRequest { host, ..self.prepared.request.clone() };
            let seen = self.send_request(&format!("the probe with Host {}", request.host), &request).await?;
            if seen.success() {
                return self.flipped_back(request.host).await;
            }
            statuses.push(seen.status);
        }
        let all = |wanted: &[u16]| statuses.iter().all(|status| status.is_some_and(|status| wanted.contains(&status)));
        let path = self.prepared.url.target.clone();
        let status = observation.status.unwrap_or_default();
        let (cause, explanation) = if all(&[404, 405]) {
            (Cause::MethodOrPath, format!("GET {path} gets {status} whoever asks"))
        } else if all(&[503]) {
            (Cause::DependencyDown, format!("GET {path} gets 503 whoever asks: something behind the app is away"))
        } else {
            return None;
        };
        Some(Found { cause: Some(cause), flip: None, explanation })
    }

    /// Another Host made the probe succeed: with its own it must fail again.
    async fn flipped_back(&mut self, to: String) -> Option<Found> {
        if self.send("the probe", self.prepared.clone()).await?.success() {
            return None;
        }
        let from = self.prepared.request.host.clone();
        let explanation = refused_host(&from, &to);
        let flip = Flip { axis: Axis::Host, from, to };
        Some(Found { cause: Some(Cause::HostAllowList), flip: Some(flip), explanation })
    }

    /// The plain request succeeds: which one of its differences does it?
    async fn narrow(&mut self, plain: &HttpRequest) -> Option<Found> {
        if self.send("the probe", self.prepared.clone()).await?.success() {
            // It fails now and then; nothing can be told from single requests.
            return None;
        }
        for axis in [Axis::Host, Axis::UserAgent, Axis::Connection, Axis::Accept, Axis::Headers] {
            let (mut there, mut back) = (self.prepared.request.clone(), plain.clone());
            let Some((from, to)) = swap(axis, &mut there, &mut back) else {
                continue;
            };
            if !self.send_request(&format!("the probe with {}", named(axis, &to)), &there).await?.success() {
                continue;
            }
            let changed = format!("{PLAIN} with {}", named(axis, &from));
            if self.send_request(&changed, &back).await?.success() {
                continue;
            }
            let (cause, explanation) = match axis {
                Axis::Host => (Some(Cause::HostAllowList), refused_host(&from, &to)),
                _ => (None, format!("it fails with {} and succeeds with {}", named(axis, &from), named(axis, &to))),
            };
            return Some(Found { cause, flip: Some(Flip { axis, from, to }), explanation });
        }
        None
    }

    /// The names under which people and other services call the app.
    fn plain_hosts(&self) -> Vec<String> {
        let named = ["localhost", "127.0.0.1"].into_iter().chain(self.case.services.iter().map(String::as_str));
        // A client leaves the default port out.
        let host = |name: &str| if self.port == 80 { name.to_owned() } else { authority(name, self.port) };
        named.map(host).take(4).collect()
    }

    fn plain(&self, host: &str) -> HttpRequest {
        HttpRequest {
            target: self.prepared.request.target.clone(),
            host: host.to_owned(),
            user_agent: Some(CURL.to_owned()),
            accept: Some("*/*".to_owned()),
            headers: Vec::new(),
            trailing: Vec::new(),
        }
    }

    async fn send_request(&mut self, change: &str, request: &HttpRequest) -> Option<Observation> {
        let prepared = Prepared { request: request.clone(), ..self.prepared.clone() };
        self.send(change, prepared).await
    }

    /// Sends a request; `None` when the bounds leave no room for one more. A request never gets less than the probe's
    /// timeout, because a failure for lack of time would prove nothing.
    async fn send(&mut self, change: &str, prepared: Prepared) -> Option<Observation> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if self.tried.len() >= MAX_REQUESTS || left < self.timeout() {
            return None;
        }
        let Prepared { url, request, dial } = prepared;
        let observation = http::get(url, request, dial, self.target, self.timeout()).await;
        self.note(change, &observation);
        Some(observation)
    }

    fn note(&mut self, change: &str, observation: &Observation) {
        let (change, summary) = (change.to_owned(), observation.summary());
        self.tried.push(Trial { change, verdict: observation.verdict, summary });
    }
}

fn refused_host(refused: &str, accepted: &str) -> String {
    format!("the app refuses Host {refused} and accepts {accepted}")
}

/// Exchanges what two requests say on one axis, and returns what the first said and what the second said. `None` when they
/// say the same.
fn swap(axis: Axis, probe: &mut HttpRequest, plain: &mut HttpRequest) -> Option<(String, String)> {
    let optional = |value: &Option<String>| value.clone().unwrap_or_default();
    let listed = |headers: &[(String, String)]| {
        let lines: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        lines.join(", ")
    };
    let said = |request: &HttpRequest| match axis {
        Axis::Host => request.host.clone(),
        Axis::UserAgent => optional(&request.user_agent),
        Axis::Accept => optional(&request.accept),
        Axis::Connection => listed(&request.trailing),
        Axis::Headers => listed(&request.headers),
        Axis::Timeout | Axis::Port => String::new(),
    };
    let (from, to) = (said(probe), said(plain));
    match axis {
        Axis::Host => std::mem::swap(&mut probe.host, &mut plain.host),
        Axis::UserAgent => std::mem::swap(&mut probe.user_agent, &mut plain.user_agent),
        Axis::Accept => std::mem::swap(&mut probe.accept, &mut plain.accept),
        Axis::Connection => std::mem::swap(&mut probe.trailing, &mut plain.trailing),
        Axis::Headers => std::mem::swap(&mut probe.headers, &mut plain.headers),
        Axis::Timeout | Axis::Port => {}
    }
    (from != to).then_some((from, to))
}

/// A value of an axis for a sentence.
fn named(axis: Axis, value: &str) -> String {
    match (axis, value) {
        (Axis::UserAgent, "") => "no User-Agent".to_owned(),
        (Axis::UserAgent, _) => format!("User-Agent {value}"),
        (Axis::Accept, "") => "no Accept".to_owned(),
        (Axis::Accept, _) => format!("Accept {value}"),
        (_, "") => "none of these headers".to_owned(),
        (_, _) => format!("`{value}`"),
    }
}
