//! What is tried of the cluster's network, each a real connection. Main function: [`checks`].

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use e2e_kubelet::observation::Observation;
use e2e_load::agent::UNKNOWN_NAME;
use e2e_node::{
    node::ExecResult,
    poll::{Look, until},
    probe::{self, Target},
};
use e2e_plan::{ProbeAction, ProbeKind};
use e2e_report::evidence::cluster::{NetworkCheck, ServiceEndpoints};
use k8s_openapi::{
    api::core::v1::{Node, Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::{
    Api,
    api::{DeleteParams, ListParams, PostParams},
};

use super::{K8sPods, error, slots::COMPONENT};
use crate::provider::pods::PodSpec;

/// How long one connection may take; one that works takes a hundredth of it.
const LIMIT: Duration = Duration::from_secs(5);
/// How long kube-proxy may take to hear of a new Service: on a machine that is still busy from a load it has taken six seconds.
const PROXY_LIMIT: Duration = Duration::from_secs(30);
/// Name of the Service that is made for the check of NodePorts, and removed after it.
const NODE_PORT: &str = "e2e-node-port";

/// Tries what leads from this machine to the outermost component, a forward through the API server and a NodePort, and what leads
/// from a pod to each Service. Services without ready pods are skipped: their pods explain more than the network.
pub(super) async fn checks(pods: &K8sPods, endpoints: &[ServiceEndpoints]) -> Vec<NetworkCheck> {
    let ready = pods.snapshots().borrow().clone();
    let is_ready = |spec: &&PodSpec| ready.pod(&spec.name).is_some_and(|pod| pod.ready);
    // Plans are in start order, so no other component waits for the last one.
    let outermost = pods.specs.iter().rev().filter(is_ready).find_map(|spec| Some((spec, knocks(spec).next()?)));
    let outside = async {
        let (spec, (port, action)) = outermost?;
        let forwarded = port_forward(pods, spec, port, &action).await;
        // Who does not answer there will not answer elsewhere, however long one waits.
        let limit = if forwarded.passed { PROXY_LIMIT } else { Duration::from_secs(1) };
        let node_port = node_port(pods, spec, port, &action, limit).await;
        Some([forwarded, node_port])
    };
    let (names, outside) = tokio::join!(services_from_inside(pods, endpoints), outside);
    names.into_iter().chain(outside.into_iter().flatten()).collect()
}

/// Each Service, from inside a pod: the load's agent looks, where there is one.
async fn services_from_inside(pods: &K8sPods, endpoints: &[ServiceEndpoints]) -> Vec<NetworkCheck> {
    let Some(agent) = pods.agents().and_then(|agents| agents.pods.first()) else { return Vec::new() };
    let look = |target: String| async move {
        let started = Instant::now();
        let command = ["/e2e-agent".to_owned(), "look".to_owned(), target.clone()];
        let looked = tokio::time::timeout(LIMIT, pods.run_in(agent, "agent", &command)).await;
        let took_ms = e2e_node::round_ms(started.elapsed());
        let name = target.split_once(':').map_or(target.as_str(), |(name, _)| name);
        let is_served = endpoints.iter().any(|of| of.service == name && !of.ready.is_empty());
        let seen = match looked {
            Err(_) => Seen { what: SERVICE, passed: false, detail: "no answer in time".to_owned() },
            Ok(Err(error)) => Seen { what: SERVICE, passed: false, detail: error.to_string() },
            Ok(Ok(result)) => Seen::of_look(&target, &result, is_served),
        };
        let path = format!("pod {agent} -> {target}");
        NetworkCheck { what: seen.what.to_owned(), path, passed: seen.passed, detail: seen.detail, took_ms }
    };
    futures_util::future::join_all(pods.services.iter().cloned().map(look)).await
}

/// A check of a Service's name, and one of the way to its pods.
const DNS: &str = "Service DNS";
const SERVICE: &str = "Service";

/// What came of a look from inside.
#[derive(Debug, PartialEq)]
struct Seen {
    what: &'static str,
    passed: bool,
    detail: String,
}

impl Seen {
    /// What an agent's `look` says: a name that is not known is a matter of DNS, a connection that does not come about is one of the
    /// network only where a pod is ready to take it.
    fn of_look(target: &str, result: &ExecResult, is_served: bool) -> Self {
        let said = String::from_utf8_lossy(&result.output);
        let said = said.trim().strip_prefix(&format!("{target} ")).unwrap_or(said.trim());
        let detail = match said {
            "" => format!("the check ended with exit code {} without output", result.exit_code),
            said => said.to_owned(),
        };
        match result.exit_code {
            0 => Self { what: DNS, passed: true, detail },
            code if code == i32::from(UNKNOWN_NAME) => Self { what: DNS, passed: false, detail },
            _ if is_served => Self { what: SERVICE, passed: false, detail },
            _ => Self { what: DNS, passed: true, detail: "the name is known; no pod behind it is ready".to_owned() },
        }
    }
}

/// The probes of the pod that can be sent from outside, each with its port.
pub(super) fn knocks(spec: &PodSpec) -> impl Iterator<Item = (u16, ProbeAction)> {
    spec.component.pod.containers.iter().flat_map(|container| {
        ProbeKind::ALL.into_iter().rev().filter_map(|which| match &which.of(&container.probes)?.action {
            action @ (ProbeAction::HttpGet { port, host: None, .. } | ProbeAction::TcpSocket { port, host: None }) => {
                Some((*port, action.clone()))
            }
            _ => None,
        })
    })
}

async fn port_forward(pods: &K8sPods, spec: &PodSpec, port: u16, action: &ProbeAction) -> NetworkCheck {
    let path = format!("this machine -> API server -> {}:{port}", spec.name);
    let check =
        |passed, detail, took_ms| NetworkCheck { what: "port-forward".to_owned(), path, passed, detail, took_ms };
    let Some((address, pod_ip)) = pods.forward.address(&spec.name, port).zip(pods.ip(&spec.name)) else {
        return check(false, format!("{} has no address", spec.name), 0.0);
    };
    let seen = send(pods, action, pod_ip, port, address).await;
    check(seen.success(), seen.summary(), seen.total_ms)
}

async fn send(pods: &K8sPods, action: &ProbeAction, pod_ip: IpAddr, port: u16, address: SocketAddr) -> Observation {
    probe::send(action, &Target::new(pod_ip, port, address), LIMIT, &pods.profile()).await
}

async fn node_port(pods: &K8sPods, spec: &PodSpec, port: u16, action: &ProbeAction, limit: Duration) -> NetworkCheck {
    let started = Instant::now();
    let tried = try_node_port(pods, spec, port, action, limit).await;
    // Its namespace is deleted soon; until then it must not block anything.
    let services = services(pods);
    let _ = services.delete(NODE_PORT, &DeleteParams::default()).await;
    let (path, passed, detail) = match tried {
        Ok((path, seen)) => (path, seen.success(), seen.summary()),
        Err(reason) => (format!("this machine -> NodePort -> {}:{port}", spec.name), false, reason),
    };
    let took_ms = e2e_node::round_ms(started.elapsed());
    NetworkCheck { what: "NodePort".to_owned(), path, passed, detail, took_ms }
}

fn services(pods: &K8sPods) -> Api<Service> {
    pods.cluster.own()
}

async fn try_node_port(
    pods: &K8sPods,
    spec: &PodSpec,
    port: u16,
    action: &ProbeAction,
    limit: Duration,
) -> Result<(String, Observation), String> {
    let said = |error: kube::Error| error::reason(&error);
    let nodes = pods.cluster.all::<Node>();
    let nodes = nodes.list(&ListParams::default()).await.map_err(said)?;
    let addresses =
        nodes.items.iter().flat_map(|node| node.status.iter().flat_map(|status| status.addresses.iter().flatten()));
    let node_ip: IpAddr = addresses
        .filter(|address| address.type_ == "InternalIP")
        .find_map(|address| address.address.parse().ok())
        .ok_or("no node has an address")?;

    let mut service = Service::default();
    service.metadata.name = Some(NODE_PORT.to_owned());
    service.spec = Some(ServiceSpec {
        type_: Some("NodePort".to_owned()),
        selector: Some(BTreeMap::from([(COMPONENT.to_owned(), spec.component.name.clone())])),
        ports: Some(vec![ServicePort {
            port: port.into(),
            target_port: Some(IntOrString::Int(port.into())),
            ..ServicePort::default()
        }]),
        ..ServiceSpec::default()
    });
    let made = services(pods).create(&PostParams::default(), &service).await.map_err(said)?;
    let given = made.spec.and_then(|spec| spec.ports?.first()?.node_port).and_then(|port| u16::try_from(port).ok());
    let address = SocketAddr::new(node_ip, given.ok_or("the cluster gave it no port")?);
    let pod_ip = pods.ip(&spec.name).ok_or_else(|| format!("{} has no address", spec.name))?;
    let seen = until("an answer", limit, Duration::from_millis(100), || async {
        let seen = send(pods, action, pod_ip, port, address).await;
        if seen.success() { Look::Done(seen) } else { Look::NotYet(seen.summary()) }
    });
    let path = format!("this machine -> node {address} -> {}", spec.component.name);
    Ok((path, seen.await.map_err(|timed_out| timed_out.last)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case::connected(0, "db:5432 ok 10.0.0.7:5432 in 0.4 ms", true, (DNS, true, "ok 10.0.0.7:5432 in 0.4 ms"))]
    #[case::no_name(3, "db:5432 unknown no such host", true, (DNS, false, "unknown no such host"))]
    #[case::refused(1, "db:5432 failed refused", true, (SERVICE, false, "failed refused"))]
    #[case::nobody_ready(1, "db:5432 failed refused", false, (DNS, true, "the name is known; no pod behind it is ready"))]
    #[case::mute(137, "", true, (SERVICE, false, "the check ended with exit code 137 without output"))]
    fn a_service_without_ready_pods_is_no_fault_of_the_network(
        #[case] exit_code: i32,
        #[case] output: &str,
        #[case] is_served: bool,
        #[case] (what, passed, detail): (&'static str, bool, &str),
    ) {
        let result = ExecResult { exit_code, output: output.into() };
        let seen = Seen::of_look("db:5432", &result, is_served);
        assert_eq!(seen, Seen { what, passed, detail: detail.to_owned() });
    }
}
