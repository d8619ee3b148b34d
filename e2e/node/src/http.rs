//! One HTTP GET on its own connection, with a kubelet's handling of redirects. Main function: [`get`].

mod exchange;
mod http2;
mod tls;
mod url;
mod wire;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use e2e_kubelet::{
    observation::{Kind, Observation, Verdict},
    profile::Tolerance,
};
use exchange::Exchange;
use tokio::time::{Instant, timeout_at};
use url::Joined;

use crate::{request::HttpRequest, target::Target};

pub(super) use http2::begin;
pub(super) use tls::{NOT_TLS, Secured, handshake};
pub(super) use url::{Url, host_of};
pub(super) use wire::{Failure, Heard, connect};

/// The maximum number of requests in a chain of redirects (`RedirectChecker` in `pkg/probe/http/http.go`).
const MAX_REQUESTS: u32 = 10;

/// The way to the server. A kubelet has an address and its version's tolerance; the rest serves the doctor's experiments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) address: SocketAddr,
    /// What the client accepts; by default what a current kubelet does.
    pub(super) tolerance: Tolerance,
    /// The source address; by default the system's choice.
    pub(super) source: Option<IpAddr>,
    /// Bytes before the request, for example a PROXY header.
    pub(super) preamble: Vec<u8>,
    /// The server name of the TLS handshake, if it is not the URL's.
    pub(super) server_name: Option<String>,
    /// Whether to speak HTTP/2 with prior knowledge, without TLS.
    pub(super) http2: bool,
    /// Whether to present a self-signed certificate to a server that asks for one.
    pub(super) certificate: bool,
}

impl Route {
    /// A kubelet's way.
    pub(super) fn to(address: SocketAddr) -> Self {
        Self {
            address,
            tolerance: Tolerance::CURRENT,
            source: None,
            preamble: Vec::new(),
            server_name: None,
            http2: false,
            certificate: false,
        }
    }
}

/// The start and the deadline of an exchange.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pub(super) start: Instant,
    pub(super) deadline: Instant,
}

impl Clock {
    pub(super) fn start(timeout: Duration) -> Self {
        let start = Instant::now();
        Self { start, deadline: start + timeout }
    }
}

/// Sends `request` to `url`, follows redirects to the same host name, and judges the result like a kubelet. `route` applies to the
/// first request; `target` maps the ports of later ones. `timeout` covers everything.
pub(super) async fn get(
    url: Url,
    mut request: HttpRequest,
    route: Route,
    target: &Target,
    timeout: Duration,
) -> Observation {
    let clock = Clock::start(timeout);
    let first_host = url.host.clone();
    let (mut url, mut route, mut sent) = (url, route, 0);
    let mut followed = Vec::new();
    loop {
        let exchange = Exchange::run(&route, &url, &request, clock).await;
        sent += 1;
        let mut observation = exchange.observation(&request, &url, clock.start);
        (observation.redirects, observation.followed) = (sent - 1, followed.clone());
        let Some(location) = exchange.location() else {
            return observation;
        };
        let hop = match Hop::to(&location, &url, &first_host, sent, target) {
            Ok(hop) => hop,
            // An unfollowed redirect is a success with a warning, which the observation has.
            Err(NoHop::AnotherHost) => return observation,
            Err(NoHop::Failed(message)) => {
                let (verdict, kind) = (Verdict::Failure, Kind::Redirects);
                return Observation { verdict, kind, message, warning: None, ..observation };
            }
            Err(NoHop::NotMeasured(message, to)) => {
                followed.push(to.to_string());
                let (verdict, kind) = (Verdict::NotMeasured, Kind::Unsupported);
                return Observation { verdict, kind, message, followed, warning: None, ..observation };
            }
        };
        // A declared Host survives only relative redirects (`Client.do` in net/http/client.go).
        if hop.absolute || request.host == url.authority() {
            request.host = hop.url.authority();
        }
        // An https URL is never the Referer of an http request (`refererForURL`).
        if !url.is_tls() || hop.url.is_tls() {
            request.set("Referer", url.to_string());
        }
        request.target.clone_from(&hop.url.target);
        followed.push(hop.url.to_string());
        url = hop.url;
        route.address = hop.dial;
    }
}

/// The target of a followed redirect.
struct Hop {
    url: Url,
    absolute: bool,
    dial: SocketAddr,
}

/// The reason not to follow a redirect.
enum NoHop {
    AnotherHost,
    Failed(String),
    NotMeasured(String, Url),
}

impl Hop {
    fn to(location: &str, from: &Url, first_host: &str, sent: u32, target: &Target) -> Result<Self, NoHop> {
        let Joined { url, absolute } = from.join(location).map_err(|error| {
            NoHop::Failed(format!(
                "Get {:?}: failed to parse Location header {location:?}: parse {location:?}: {error}",
                from.to_string()
            ))
        })?;
        if url.host != first_host {
            return Err(NoHop::AnotherHost);
        }
        if sent >= MAX_REQUESTS {
            return Err(NoHop::Failed(format!("Get {location:?}: stopped after 10 redirects")));
        }
        if !matches!(url.scheme.as_str(), "http" | "https") {
            let message = format!("Get {location:?}: unsupported protocol scheme {:?}", url.scheme);
            return Err(NoHop::Failed(message));
        }
        let unknown = || {
            let text = format!("redirected to {url}: the pod has no known address for port {}", url.port());
            NoHop::NotMeasured(text, url.clone())
        };
        let dial = target.address(url.port()).ok_or_else(unknown)?;
        Ok(Self { url, absolute, dial })
    }
}

/// Connects and closes: a tcpSocket probe (`pkg/probe/tcp/tcp.go`).
pub(super) async fn connect_only(dial: SocketAddr, shown: &str, timeout: Duration) -> Observation {
    let clock = Clock::start(timeout);
    let result = timeout_at(clock.deadline, connect(&Route::to(dial), shown)).await;
    let total_ms = round_ms(clock.start.elapsed());
    let observation = match result {
        Ok(Ok(_wire)) => {
            Observation { connect_ms: Some(total_ms), ..Observation::new(Verdict::Success, Kind::Connected, "") }
        }
        Ok(Err(failure)) => Observation::new(Verdict::Failure, failure.kind, failure.text),
        Err(_) => Observation::new(Verdict::Failure, Kind::Timeout, format!("dial tcp {shown}: i/o timeout")),
    };
    Observation { total_ms, ..observation }
}

/// Milliseconds with three decimals, which survive JSON unchanged.
pub fn round_ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
