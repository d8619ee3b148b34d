//! Whether this machine reaches pods by their own addresses, proved by what a pod answers. Main function: [`find`].

use std::{net::SocketAddr, time::Duration};

use e2e_kubelet::{
    observation::{Kind, Observation},
    snapshot::Snapshot,
};
use e2e_node::probe::{self, Profile, Target};
use e2e_plan::ProbeAction;
use tokio::{net::TcpStream, sync::watch, time::timeout};

use super::{forward::Forward, network::knocks};
use crate::provider::pods::PodSpec;

/// How long a connection may take: one that has a way comes about in a tenth of that.
const CONNECT_LIMIT: Duration = Duration::from_millis(500);
/// How long an answer may take; a pod that is ready needs a hundredth of it.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// How this machine reaches pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) is_direct: bool,
    /// What was seen that says so.
    pub(super) why: String,
}

impl Route {
    fn forwarded(why: String) -> Self {
        Self { is_direct: false, why }
    }
}

/// Asks the first pod that is ready and answers HTTP, both ways: a cluster's network leads to all of its pods or to none.
pub(super) async fn find(
    specs: Vec<PodSpec>,
    mut snapshots: watch::Receiver<Snapshot>,
    forward: impl AsRef<Forward>,
    profile: Profile,
    found: watch::Sender<Option<Route>>,
) {
    let is_http = |(_, action): &(u16, ProbeAction)| matches!(action, ProbeAction::HttpGet { .. });
    let asked = specs.iter().filter_map(|spec| knocks(spec).find(is_http).map(|(port, action)| (spec, port, action)));
    let asked: Vec<(&PodSpec, u16, ProbeAction)> = asked.collect();
    if asked.is_empty() {
        found.send_replace(Some(Route::forwarded(
            "no pod answers HTTP probes, which would prove a direct route".to_owned(),
        )));
        return;
    }
    loop {
        let snapshot = snapshots.borrow_and_update().clone();
        let ready = asked.iter().find_map(|(spec, port, action)| {
            let pod = snapshot.pod(&spec.name).filter(|pod| pod.ready)?;
            Some((spec, pod.ip?, *port, action))
        });
        if let Some((spec, ip, port, action)) = ready
            && let Some(forwarded) = forward.as_ref().address(&spec.name, port)
        {
            let target = |dial| Target::new(ip, port, dial);
            let ways = [target(SocketAddr::new(ip, port)), target(forwarded)];
            found.send_replace(Some(prove(&spec.name, ways, port, action, &profile).await));
            return;
        }
        if snapshots.changed().await.is_err() {
            return;
        }
    }
}

/// Compares what a pod answers at its own address with what it answers through the API server. That somebody takes a connection proves
/// nothing: a gateway or a transparent proxy takes each.
async fn prove(
    pod: &str,
    [direct, forwarded]: [Target; 2],
    port: u16,
    action: &ProbeAction,
    profile: &Profile,
) -> Route {
    let Some(address) = direct.address(port) else { return Route::forwarded(format!("{pod} has no address")) };
    match timeout(CONNECT_LIMIT, TcpStream::connect(address)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Route::forwarded(format!("{address} cannot be reached from here: {error}")),
        Err(_) => return Route::forwarded(format!("{address} cannot be reached from here")),
    }
    let send = |target| async move { probe::send(action, &target, ANSWER_LIMIT, profile).await };
    let (here, there) = tokio::join!(send(direct), send(forwarded));
    match is_same(&here, &there) {
        true => Route {
            is_direct: true,
            why: format!("{pod} gives the same answer at {address} as through the API server"),
        },
        false => Route::forwarded(format!(
            "{address} is not {pod}: it gave {}, and the pod gives {} through the API server",
            shown(&here),
            shown(&there)
        )),
    }
}

/// What was answered, with the beginning of its body: two answers may have one status.
fn shown(answer: &Observation) -> String {
    let line = answer.body.lines().next().unwrap_or_default();
    let begin: String = line.chars().take(BODY_SHOWN).collect();
    if begin.is_empty() { answer.outcome() } else { format!("{} `{begin}`", answer.outcome()) }
}

/// Enough to tell a page of a gateway's from a pod's word.
const BODY_SHOWN: usize = 40;

/// Whether two answers are one program's. What it says may change from one to the next, and its way of saying it does not.
fn is_same(one: &Observation, other: &Observation) -> bool {
    let names = |of: &Observation| of.headers.iter().map(|header| header.name.clone()).collect::<Vec<_>>();
    let server = |of: &Observation| {
        of.headers.iter().find(|header| header.name.eq_ignore_ascii_case("server")).map(|header| header.value.clone())
    };
    let is_answer = |of: &Observation| of.kind == Kind::Response;
    is_answer(one)
        && is_answer(other)
        && one.status == other.status
        && names(one) == names(other)
        && server(one) == server(other)
        && (one.body == other.body || one.body.len().abs_diff(other.body.len()) < one.body.len().max(8) / 4)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use probed::{Reply, Server, closed_port};

    use super::*;

    const POD: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 244, 0, 9));

    fn get() -> ProbeAction {
        ProbeAction::HttpGet { https: false, host: None, port: 80, path: "/health".into(), headers: Vec::new() }
    }

    async fn route(direct: SocketAddr, forwarded: SocketAddr) -> Route {
        let ways = [direct, forwarded].map(|dial| Target::new(POD, 80, dial));
        prove("app-0", ways, 80, &get(), &Profile::default()).await
    }

    #[tokio::test]
    async fn the_same_answer_proves_a_way() {
        let pod = Server::start(|_| Reply::status(200, "fine")).await;
        let route = route(pod.address, pod.address).await;
        assert!(route.is_direct && route.why.starts_with("app-0 gives the same answer at 127.0.0.1:"), "{route:?}");
    }

    /// As in offices where a gateway takes every connection.
    #[tokio::test]
    async fn a_proxy_that_takes_every_connection_is_no_way() {
        let pod = Server::start(|_| Reply::status(200, "fine")).await;
        let page = "<html>This page is blocked, ask whoever looks after this network</html>";
        for (reply, seen) in [
            (
                Reply::status(503, "no such host"),
                "it gave status 503 `no such host`, and the pod gives status 200 `fine`",
            ),
            (Reply::status(200, page), "it gave status 200 `<html>This page is blocked, ask whoever `, and"),
            (Reply::Bytes(Vec::new()), "and the pod gives status 200"),
        ] {
            let gateway = Server::start(move |_| reply.clone()).await;
            let route = route(gateway.address, pod.address).await;
            assert!(!route.is_direct && route.why.contains(seen), "{route:?}");
        }
    }

    #[tokio::test]
    async fn an_address_that_nobody_answers_is_no_way() {
        let pod = Server::start(|_| Reply::status(200, "fine")).await;
        let route = route(closed_port(), pod.address).await;
        assert!(!route.is_direct && route.why.contains("cannot be reached from here"), "{route:?}");
    }
}
