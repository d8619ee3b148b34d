//! Pods in a Kubernetes cluster: the cluster's own controllers and kubelets look after them, and this follows what they say.
//! Main type: [`K8sPods`].

mod agents;
mod apply;
mod change;
pub(crate) mod cluster;
mod cluster_scoped;
mod cordon;
pub(crate) mod drain;
pub(crate) mod error;
mod evidence;
mod forward;
mod hosts;
pub(crate) mod images;
mod install;
mod labels;
pub(crate) mod leftovers;
mod limit;
mod logs;
mod network;
mod nodes;
mod pod;
pub(crate) mod preflight;
mod rehome;
mod resolve;
pub(crate) mod room;
mod route;
mod security;
mod slots;
mod status;
#[cfg(test)]
mod testing;
mod trigger;
mod usage;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use e2e_kubelet::snapshot::Snapshot;
use e2e_load::{
    agent::Order,
    load::{self, ClientReport, LoadResult},
};
use e2e_node::{
    node::ExecResult,
    probe::{Profile, Target},
};
use e2e_plan::{Plan, Warning};
use e2e_report::evidence::{Machine, Throttling, Usage};
use k8s_openapi::{
    api::core::v1::{Node, Pod},
    apimachinery::pkg::apis::meta::v1::Status,
};
use kube::{
    Api,
    api::{AttachParams, ListParams},
};
use tokio::sync::watch as channel;
use tokio_util::task::AbortOnDropHandle;

use self::{
    agents::{Agents, Starting},
    forward::Forward,
    hosts::FullNames,
    images::Delivery,
    install::Installation,
    limit::ANSWER_LIMIT,
    route::Route,
    watch::Watch,
};
use super::{docker::engine::Engine, exec_output::both_outputs, owner::RUN, pods::PodSpec};

pub use self::cluster::Options;
pub(crate) use self::{cluster::Cluster, error::Error, evidence::Evidence};

/// How long after its pods a Service serves: kube-proxy writes its rules at most once a second (`--iptables-min-sync-period`), and hears
/// of the pods through a controller. Until then the Service's address refuses connections, measured for 50 ms to 1.2 s. Nothing tells this
/// machine when it is over: a Service's address leads nowhere from outside most clusters.
pub(crate) const SERVICES_FOLLOW: Duration = Duration::from_secs(2);

/// Brings an image of this machine's engine to the nodes of a cluster, as a run does, for who makes pods without a run. Returns what pods
/// there call it.
///
/// # Errors
///
/// The cluster or the engine does not answer, or the image cannot be brought.
pub async fn bring_image(image: &str) -> Result<String, super::Error> {
    let cluster = Cluster::connect(&Options::default(), "").await?;
    let pushed = bring(&cluster, &Engine::connect("").await?, &[image.to_owned()]).await?;
    Ok(pushed.get(image).map_or(image, String::as_str).to_owned())
}

/// Brings images of an engine to the nodes of a cluster. Returns what they are to pull instead of each, where they get them from a registry.
async fn bring(cluster: &Cluster, engine: &Engine, images: &[String]) -> Result<BTreeMap<String, String>, Error> {
    let nodes = cluster.all::<Node>();
    let nodes = nodes.list(&ListParams::default()).await.map_err(|error| Error::failed("list", "nodes", &error))?;
    let delivery =
        Delivery::of(&cluster.context, &nodes.items, Some(&engine.version), cluster.options.registry.as_deref());
    images::bring(&delivery, &engine.client, images).await
}

/// How long the end of a bring-up waits until it is known how pods are reached, which takes a request.
const ROUTE_LIMIT: Duration = Duration::from_secs(2);

/// The pods of one run in a cluster.
#[derive(Debug)]
pub(crate) struct K8sPods {
    cluster: Cluster,
    left_out: Vec<Warning>,
    specs: Vec<PodSpec>,
    /// Every Service's ports, as `name:port`.
    services: Vec<String>,
    /// Applies what waits for hooks of helm.
    rest: Starting<Result<(), Error>>,
    watch: Arc<Watch>,
    forward: Arc<Forward>,
    /// How this machine reaches pods, once one was asked.
    route: channel::Receiver<Option<Route>>,
    finding_route: AbortOnDropHandle<()>,
    /// Started for the first load, or why they could not be.
    agents: OnceLock<Starting<Result<Agents, Error>>>,
}

impl K8sPods {
    /// Makes the namespace and applies everything. Where that fails, [`leftovers::remove`] removes what was made.
    pub(crate) async fn prepare(mut cluster: Cluster, specs: Vec<PodSpec>, plan: &Plan) -> Result<Self, Error> {
        cluster.hosts = FullNames::of(&plan.objects);
        let resolved = resolve::resolve(&cluster, &plan.objects).await?;
        let started = Instant::now();
        let epoch = apply::create_namespace(&cluster, security::level(&plan.objects), &resolved.0).await?;
        let (objects, left_out) = cluster_scoped::apply(&cluster, &plan.objects, resolved).await?;
        let watch = Arc::new(Watch::start(&cluster, &specs, started, epoch));
        let forward = Arc::new(Forward::start(&cluster, &specs, &watch).await?);
        let rest = Installation::new(&cluster, objects, plan, &specs, watch.snapshots()).begin().await?;
        let (found, route) = channel::channel(None);
        let profile = Profile::of_version(&cluster.version);
        let finding_route = AbortOnDropHandle::new(tokio::spawn(route::find(
            specs.clone(),
            watch.snapshots(),
            Arc::clone(&forward),
            profile,
            found,
        )));
        let services = plan.services.iter().flat_map(|service| {
            service
                .ports
                .iter()
                .filter(|port| port.protocol == "TCP")
                .map(|port| format!("{}:{}", service.name, port.port))
        });
        let services = services.collect();
        let agents = OnceLock::new();
        Ok(Self { cluster, left_out, specs, services, rest, watch, forward, route, finding_route, agents })
    }

    /// What runs it, with its version, and how it is reached.
    pub(crate) fn description(&self) -> String {
        let why = self.route.borrow().as_ref().map_or(String::new(), |route| format!(" ({})", route.why));
        format!("{}, reached by {}{why}", self.cluster.description(), self.path())
    }

    /// The objects of the manifests that are not applied, since the cluster has no place for them in the run's namespace.
    pub(crate) fn left_out(&self) -> &[Warning] {
        &self.left_out
    }

    /// Waits until the cluster refuses an object that waited for a hook of helm, which it may never do.
    pub(crate) async fn refusal(&self) -> Error {
        match self.rest.clone().await {
            Ok(()) => std::future::pending().await,
            Err(error) => error,
        }
    }

    /// Waits until it is known how pods are reached; without a pod that is ready it cannot be.
    pub(crate) async fn settle_route(&self) {
        if self.snapshots().borrow().ready_pods().next().is_some() {
            let _ = tokio::time::timeout(ROUTE_LIMIT, self.route.clone().wait_for(Option::is_some)).await;
        }
    }

    /// A kubelet of the cluster's version.
    pub(crate) fn profile(&self) -> Profile {
        Profile::of_version(&self.cluster.version)
    }

    /// What the cluster says of every pod, as it changes.
    pub(crate) fn snapshots(&self) -> channel::Receiver<Snapshot> {
        self.watch.snapshots()
    }

    /// What the cluster says of itself and of the run, and its objects as they are, by kind.
    pub(crate) async fn evidence(&self) -> Evidence {
        evidence::gather(self).await
    }

    fn ip(&self, slot: &str) -> Option<IpAddr> {
        self.watch.pod(slot)?.status.as_ref()?.pod_ip.as_ref()?.parse().ok()
    }

    /// The agents that make the load, once there are some.
    fn agents(&self) -> Option<&Agents> {
        self.agents.get()?.peek()?.as_ref().ok()
    }

    /// How this machine reaches pods.
    pub(crate) fn path(&self) -> &'static str {
        if self.is_routed() { "pod address" } else { "port-forward" }
    }

    /// Whether this machine reaches pods at their own address.
    pub(crate) fn is_routed(&self) -> bool {
        self.route.borrow().as_ref().is_some_and(|route| route.is_direct)
    }

    /// How a pod is reached from here.
    pub(crate) fn target(&self, slot: &str) -> Option<Target> {
        let spec = self.specs.iter().find(|spec| spec.name == slot)?;
        let pod_ip = self.ip(slot)?;
        let dial = |port: u16| match self.is_routed() {
            true => Some(SocketAddr::new(pod_ip, port)),
            false => self.forward.address(slot, port),
        };
        let ports = spec.ports().filter_map(|port| Some((port, dial(port)?)));
        Some(Target { pod_ip, ports: ports.collect(), host: None })
    }

    /// The pod's name in the cluster, and its node.
    pub(crate) fn object(&self, slot: &str) -> Option<(String, Option<String>)> {
        let pod = self.watch.pod(slot)?;
        Some((pod.metadata.name.clone()?, pod.spec.as_ref().and_then(|spec| spec.node_name.clone())))
    }

    fn pods(&self) -> Api<Pod> {
        self.cluster.own()
    }

    pub(crate) async fn exec(&self, slot: &str, container: &str, command: &[String]) -> Result<ExecResult, Error> {
        let absent = || Error::of("run a command in", &format!("{slot}/{container}"), "there is no such pod");
        let (name, _) = self.object(slot).ok_or_else(absent)?;
        self.run_in(&name, container, command).await
    }

    /// Runs a command in a container of a pod, by the cluster's name of it.
    async fn run_in(&self, pod: &str, container: &str, command: &[String]) -> Result<ExecResult, Error> {
        let parameters = AttachParams::default().container(container).stdout(true).stderr(true);
        let failed = |error: kube::Error| Error::failed("run a command in", &format!("{pod}/{container}"), &error);
        let mut process = self.pods().exec(pod, command, &parameters).await.map_err(failed)?;
        let status = process.take_status();
        let output = both_outputs(process.stdout(), process.stderr()).await;
        let status = match status {
            Some(status) => status.await,
            None => None,
        };
        match exit_code(status) {
            Ok(exit_code) => Ok(ExecResult { exit_code, output }),
            Err(reason) => Err(Error::Exec { reason }),
        }
    }

    /// What each pod uses now, by its slot, and how busy the nodes are, by their names.
    pub(crate) async fn usage(&self) -> (BTreeMap<String, Usage>, BTreeMap<String, Machine>) {
        let mut machines = BTreeMap::new();
        let pods = self.asked_of_nodes(async |nodes| {
            let asked = usage::of_nodes(&self.cluster, &nodes);
            let (pods, nodes) = tokio::time::timeout(ANSWER_LIMIT, asked).await.unwrap_or_default();
            machines = nodes;
            pods
        });
        let pods = pods.await;
        (pods, machines)
    }

    /// How often each pod was held back at its CPU limit, by its slot.
    pub(crate) async fn throttling(&self) -> BTreeMap<String, Throttling> {
        self.asked_of_nodes(async |nodes| usage::throttling_of_nodes(&self.cluster, &nodes).await).await
    }

    /// What the run's nodes tell of pods by the cluster's names of them, by the slots of the pods.
    async fn asked_of_nodes<T: Copy>(
        &self,
        ask: impl AsyncFnOnce(BTreeSet<String>) -> BTreeMap<String, T>,
    ) -> BTreeMap<String, T> {
        let objects: Vec<(String, String, Option<String>)> = self
            .specs
            .iter()
            .filter_map(|spec| self.object(&spec.name).map(|(name, node)| (spec.name.clone(), name, node)))
            .collect();
        let nodes: BTreeSet<String> = objects.iter().filter_map(|(.., node)| node.clone()).collect();
        let by_name = ask(nodes).await;
        objects.into_iter().filter_map(|(slot, name, _)| Some((slot, *by_name.get(&name)?))).collect()
    }

    /// Lets agents inside the cluster make a load; `watch` sees how it goes.
    pub(crate) async fn load(
        &self,
        agents: u32,
        order: &Order,
        watch: impl FnMut(&load::Snapshot),
    ) -> Result<LoadResult<ClientReport>, Error> {
        let cluster = self.cluster.clone();
        let start = async move { agents::start(&cluster, agents).await };
        let agents = agents::once(&self.agents, start).await?;
        agents::conduct(&self.cluster, &agents, order, watch).await
    }

    /// Removes the namespace, in the background unless the run is to wait for it.
    pub(crate) async fn teardown(&self) -> Result<(), Error> {
        self.finding_route.abort();
        let of_run = format!("{RUN}={}", self.cluster.run_id);
        let (removed, released) =
            tokio::join!(leftovers::remove(&self.cluster), cordon::release(&self.cluster, &of_run, |_| true));
        removed.and(released)
    }
}

/// The exit status that the API server reports of a command (`Status.details.causes` with the reason `ExitCode`).
///
/// # Errors
///
/// The runtime's words, when the command could not be started.
fn exit_code(status: Option<Status>) -> Result<i32, String> {
    let status = status.ok_or("the connection ended before the command did")?;
    if status.status.as_deref() == Some("Success") {
        return Ok(0);
    }
    let causes = status.details.as_ref().and_then(|details| details.causes.as_ref());
    let code = causes.into_iter().flatten().find(|cause| cause.reason.as_deref() == Some("ExitCode"));
    let code = code.and_then(|code| code.message.as_deref()?.parse().ok());
    code.ok_or_else(|| status.message.unwrap_or_else(|| "the cluster does not say how the command ended".to_owned()))
}
