//! Sends one probe like a kubelet: the connection goes to the pod's address as reachable from here, while the request names the
//! pod's own address. Main function: [`send`].

use std::{net::SocketAddr, time::Duration};

use e2e_kubelet::observation::{Kind, Observation, Verdict};
use e2e_plan::ProbeAction;

use crate::{
    grpc,
    http::{self, Route, Url},
    request::{HttpRequest, authority, escape_target},
};

pub use crate::target::Target;
pub use e2e_kubelet::profile::Profile;

/// A kubelet's attempts for a probe that errors (`maxProbeRetries` in `pkg/kubelet/prober/prober.go`).
const MAX_ATTEMPTS: u32 = 3;

/// Sends one probe. Never fails: the [`Observation`] contains errors.
///
/// `timeout` limits one exchange; a probe that [errored](Verdict::Errored) is repeated like a kubelet's. The container runtime runs
/// exec probes (see [`Observation::of_exec`]).
pub async fn send(action: &ProbeAction, target: &Target, timeout: Duration, profile: &Profile) -> Observation {
    let mut total_ms = 0.0;
    let mut attempts = 0;
    loop {
        let observation = send_once(action, target, timeout, profile).await;
        attempts += 1;
        total_ms += observation.total_ms;
        if observation.verdict != Verdict::Errored || attempts == MAX_ATTEMPTS {
            return Observation { attempts, total_ms, ..observation };
        }
    }
}

pub(super) async fn send_once(
    action: &ProbeAction,
    target: &Target,
    timeout: Duration,
    profile: &Profile,
) -> Observation {
    match action {
        ProbeAction::HttpGet { .. } => match Prepared::of_probe(action, target, timeout, profile).await {
            Ok(Prepared { url, request, route }) => http::get(url, request, route, target, timeout).await,
            Err(observation) => *observation,
        },
        ProbeAction::TcpSocket { host, port } => {
            let shown = authority(&host.clone().unwrap_or_else(|| target.pod_ip.to_string()), *port);
            match dial(host.as_deref(), *port, target, timeout).await {
                Ok(dial) => http::connect_only(dial, &shown, timeout).await,
                Err(observation) => *observation,
            }
        }
        ProbeAction::Exec { .. } => unsupported("exec probes are run in the container, not sent to it"),
        ProbeAction::Grpc { port, service } => {
            let shown = authority(&target.pod_ip.to_string(), *port);
            match dial(None, *port, target, timeout).await {
                Ok(address) => grpc::check(&Route::to(address), &shown, service, false, timeout, profile).await,
                Err(observation) => *observation,
            }
        }
    }
}

/// An httpGet probe, ready to be sent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Prepared {
    pub(super) url: Url,
    pub(super) request: HttpRequest,
    pub(super) route: Route,
}

impl Prepared {
    /// The request of an httpGet probe, or an observation of the error.
    pub(super) async fn of_probe(
        action: &ProbeAction,
        target: &Target,
        timeout: Duration,
        profile: &Profile,
    ) -> Result<Self, Box<Observation>> {
        let ProbeAction::HttpGet { https, host, port, path, headers } = action else {
            return Err(Box::new(unsupported("not an httpGet probe")));
        };
        let dial = dial(host.as_deref(), *port, target, timeout).await?;
        let host = host.clone().unwrap_or_else(|| target.pod_ip.to_string());
        let scheme = if *https { "https" } else { "http" };
        let url = Url { scheme: scheme.to_owned(), host, explicit_port: Some(*port), target: escape_target(path) };
        match HttpRequest::of_probe(&url.host, *port, path, headers, profile) {
            Ok(request) => {
                let route = Route { tolerance: profile.tolerance, ..Route::to(dial) };
                Ok(Self { url, request, route })
            }
            Err(text) => {
                let message = format!("Get {:?}: {text}", url.to_string());
                Err(Box::new(Observation::new(Verdict::Failure, Kind::InvalidRequest, message)))
            }
        }
    }
}

fn unsupported(text: &str) -> Observation {
    Observation::new(Verdict::NotMeasured, Kind::Unsupported, text)
}

/// The address to connect to. A declared `host` is dialled unchanged, because a kubelet dials it from the node, which is this
/// machine.
async fn dial(
    host: Option<&str>,
    port: u16,
    target: &Target,
    timeout: Duration,
) -> Result<SocketAddr, Box<Observation>> {
    let own = host.filter(|host| host.parse() != Ok(target.pod_ip));
    let Some(host) = own else {
        let unknown = || Box::new(unsupported(&format!("the pod has no known address for port {port}")));
        return target.address(port).ok_or_else(unknown);
    };
    if let Ok(address) = host.parse() {
        return Ok(SocketAddr::new(address, port));
    }
    let failed = |kind, text: &str| {
        let message = format!("dial tcp: lookup {host}: {text}");
        Box::new(Observation::new(Verdict::Failure, kind, message))
    };
    match tokio::time::timeout(timeout, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(mut addresses)) => addresses.next().ok_or_else(|| failed(Kind::Dns, "no such host")),
        Ok(Err(_)) => Err(failed(Kind::Dns, "no such host")),
        Err(_) => Err(failed(Kind::Timeout, "i/o timeout")),
    }
}

#[cfg(test)]
mod tests;
