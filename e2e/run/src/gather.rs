//! Gathers evidence into `evidence/` before teardown. Main functions: [`watch_resources`], [`gather`].

mod cluster_probes;
mod locks;
mod meter;
mod processes;
mod redis;
mod servers;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use e2e_kubelet::snapshot::Snapshot;
use e2e_load::clock::now_unix_ms;
use e2e_node::{doctor::PoolUse, node::ProbeLog, poll::every};
use e2e_report::{
    evidence::{
        CLUSTER, IMAGES, LOCKS, PODS, PROBES, PROCESSES, REDIS, RESOURCES, Resources, SATURATION, Sample, Saturation,
        THROTTLING, log_file,
    },
    run_dir::{self, EVIDENCE, RunDir},
};
use parking_lot::Mutex;
use tokio::{sync::watch, task::JoinSet};

use crate::{
    provider::{Provider, pods::PodSpec},
    secrets::Secrets,
};

use self::redis::RedisServers;

pub(crate) use self::meter::Meter;

/// Once a second: sixty points per minute of load, at a cost of about 2 ms per container and reading on a container engine.
const PERIOD: Duration = Duration::from_secs(1);

async fn sample_of(provider: &Provider) -> Sample {
    let (pods, machines) = provider.usage().await;
    Sample { at_unix_ms: now_unix_ms(), pods, machines }
}

/// Samples until it is dropped.
#[derive(Debug)]
pub(crate) struct ResourceWatch {
    samples: Arc<Mutex<Vec<Sample>>>,
    saturation: Arc<Mutex<BTreeMap<(String, String), Saturation>>>,
    redis: RedisServers,
    locks: locks::Found,
    probes: ProbeLog,
    pods: Vec<PodSpec>,
    _tasks: JoinSet<()>,
}

/// Where each probe is kept, and what decides whether one is sent.
pub(crate) struct Probing {
    /// The kubelet in a box writes into it; in a cluster, [`cluster_probes`] does.
    pub(crate) log: ProbeLog,
    /// The pods.
    pub(crate) snapshots: watch::Receiver<Snapshot>,
}

/// Starts sampling the usage of every pod and of bounded resources.
pub(crate) fn watch_resources(
    provider: Arc<Provider>,
    meters: Vec<Meter>,
    pods: Vec<PodSpec>,
    probing: Probing,
) -> ResourceWatch {
    let probes = probing.log.clone();
    let (samples, saturation) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(BTreeMap::new())));
    let (redis, locks) = (RedisServers::of(&pods), locks::Found::default());
    let mut tasks = JoinSet::new();
    tasks.spawn(locks::watch(Arc::clone(&provider), pods.clone(), probing.snapshots.clone(), Arc::clone(&locks)));
    tasks.spawn(cluster_probes::probe(Arc::clone(&provider), pods.clone(), probing));
    let (used, sink) = (Arc::clone(&provider), Arc::clone(&samples));
    tasks.spawn(every(PERIOD, async move || {
        let sample = sample_of(&used).await;
        sink.lock().push(sample);
    }));
    let (used, servers) = (Arc::clone(&provider), redis.clone());
    tasks.spawn(every(PERIOD, async move || servers.look(&used).await));
    let (sink, metered) = (Arc::clone(&saturation), pods.clone());
    tasks.spawn(every(PERIOD, async move || {
        // A pod may get its address only when it starts.
        let addresses = meters.iter().flat_map(|meter| addresses(&provider, meter, &metered)).collect::<Vec<_>>();
        let readings = addresses.iter().map(|(meter, pod, address)| meter::read(meter, pod, *address));
        for reading in futures_util::future::join_all(readings).await.into_iter().flatten() {
            reading.add_to(&mut sink.lock());
        }
    }));
    ResourceWatch { samples, saturation, redis, locks, probes, pods, _tasks: tasks }
}

/// The addresses of the replicas of a meter's component.
fn addresses(provider: &Provider, meter: &Meter, pods: &[PodSpec]) -> Vec<(Meter, String, SocketAddr)> {
    let replicas = provider.replicas(&meter.component, pods).into_iter();
    replicas.filter_map(|replica| Some((meter.clone(), replica.name, replica.ports.first()?.address))).collect()
}

/// How one replica uses a resource now; `None` when it does not tell.
pub(crate) async fn look(provider: &Provider, meter: &Meter, pod: &PodSpec) -> Option<PoolUse> {
    let (meter, name, address) = addresses(provider, meter, std::slice::from_ref(pod)).into_iter().next()?;
    meter::read(&meter, &name, address).await.map(|reading| reading.pool_use())
}

/// Writes statuses, resources and logs, and replaces secrets in all of it, because a component may print them.
pub(crate) async fn gather(
    provider: &Provider,
    snapshot: &Snapshot,
    resources: &ResourceWatch,
    secrets: &Secrets,
    directory: &RunDir,
) -> Result<(), run_dir::Error> {
    directory.write_json(PODS, snapshot)?;
    // A run may be over before the first period is.
    let last = sample_of(provider).await;
    let samples = resources.samples.lock().iter().cloned().chain([last]).collect();
    directory.write_json(RESOURCES, &Resources { samples })?;
    let saturation: Vec<Saturation> = resources.saturation.lock().values().cloned().collect();
    directory.write_json(SATURATION, &saturation)?;
    let locks = resources.locks.lock().clone();
    directory.write_json(LOCKS, &locks)?;
    resources.redis.look(provider).await;
    directory.write_json(REDIS, &resources.redis.told())?;
    directory.write_json(PROBES, &resources.probes.histories())?;
    let throttling = provider.throttling().await;
    directory.write_json(THROTTLING, &throttling)?;
    directory.write_json(PROCESSES, &processes::of_throttled(provider, &resources.pods, &throttling).await)?;
    let mut images = provider.images().await;
    if let Some(evidence) = provider.cluster().await {
        images.extend(evidence.images);
        directory.write_json(CLUSTER, &evidence.cluster)?;
        for (kind, objects) in evidence.objects {
            directory.write_json(format!("{EVIDENCE}/objects/{kind}.json"), &objects)?;
        }
    }
    directory.write_json(IMAGES, &images)?;
    for ((pod, container), text) in provider.logs().await {
        directory.write(log_file(&pod, &container), &secrets.redact(&text))?;
    }
    secrets.scrub(directory)
}
