//! A system that runs: its provider, the kubelet that keeps it, the samplers and the control address. Main type: [`System`].

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinHandle};

use super::{
    Error,
    examine::Examinations,
    keeper::Keeper,
    prepare::{self, Prepared},
};
use crate::{
    control::{Answers, Server, TOKEN},
    diagnose::counted,
    environment::{self, Environment, LoadFrom},
    evidence::{self, ResourceWatch},
    kubelet::node::{Node, Options, PodSpec, Snapshot},
    plan::Plan,
    provider::Provider,
};

/// A kubelet looks again after a period, of one second at least; nobody who waits for a system to come up wants to wait for
/// that. These further looks count only when they succeed, so the verdicts stay a kubelet's.
const EAGER: Duration = Duration::from_millis(20);

pub(super) struct System {
    pub(super) provider: Arc<Provider>,
    pub(super) keeper: Keeper,
    pub(super) resources: ResourceWatch,
    pub(super) examinations: Examinations,
    pub(super) started: Instant,
    control: Server,
    /// What the suites say about how they go.
    pub(super) said: watch::Receiver<String>,
    stop: watch::Receiver<bool>,
    readiness: JoinHandle<()>,
    ahead: JoinHandle<()>,
}

impl System {
    /// Starts every pod, as parallel as what they refer to allows.
    pub(super) async fn start(provider: Provider, prepared: &Prepared, started: Instant) -> Result<Self, Error> {
        let provider = Arc::new(provider);
        let keeper = match &*provider {
            Provider::K8s(pods) => Keeper::Cluster(pods.snapshots()),
            Provider::Docker(_) | Provider::Local(_) => {
                let options = Options { eager: Some(EAGER), ..Options::default() };
                Keeper::Node(Node::run(Arc::clone(&provider), node_pods(prepared), options))
            }
        };
        let (stop, stopped) = watch::channel(false);
        let (progress, said) = watch::channel(String::new());
        let control = Server::start(Answers {
            provider: Arc::clone(&provider),
            pods: prepared.pods.clone(),
            snapshot: keeper.watch(),
            restarter: keeper.restarter(),
            progress,
            agents: prepared.agents,
            stop,
            token: prepared.secrets.get(TOKEN).cloned().unwrap_or_default(),
        });
        let control = match control.await {
            Ok(control) => control,
            Err(error) => {
                keeper.shutdown().await;
                let _ = provider.teardown().await;
                prepare::discard(prepared.directory.path());
                return Err(Error::Control(error));
            }
        };
        Ok(Self {
            resources: evidence::watch_resources(
                Arc::clone(&provider),
                prepared.config.saturation.clone(),
                prepared.pods.clone(),
            ),
            examinations: Examinations::start(Arc::clone(&provider), prepared, keeper.watch()),
            readiness: tokio::spawn(follow_readiness(Arc::clone(&provider), keeper.watch())),
            ahead: tokio::spawn({
                let provider = Arc::clone(&provider);
                async move { provider.prepare_ahead().await }
            }),
            provider,
            keeper,
            started,
            control,
            said,
            stop: stopped,
        })
    }

    /// What the suites are told.
    pub(super) fn environment(&self, prepared: &Prepared, ready: bool) -> Environment {
        let Prepared { plan, pods, config, directory, warnings, .. } = prepared;
        let mut components = environment::components(plan);
        for component in &mut components {
            component.replicas = self.provider.replicas(&component.name, pods);
        }
        Environment {
            run_id: directory.id(),
            target: prepared.target(),
            run_dir: directory.path().to_owned(),
            provider: match prepared.load_from {
                LoadFrom::Host => self.provider.description(),
                LoadFrom::Inside { agents } => {
                    format!("{}, load from {} inside", self.provider.description(), counted(agents.into(), "agent"))
                }
            },
            entrance: config.entrance.clone(),
            services: self.provider.endpoints(plan, pods),
            components,
            scenario: config.scenario.clone(),
            load_from: prepared.load_from,
            control: self.control.address,
            up_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            ready,
            warnings: warnings.clone(),
        }
    }

    /// Ready once somebody asked for the end.
    pub(super) async fn stopped(&self) {
        let mut stop = self.stop.clone();
        // An error means that nobody can ask any more.
        let _ = stop.wait_for(|stop| *stop).await;
    }

    /// Stops everything and removes it.
    pub(super) async fn remove(self, prepared: &Prepared) -> Result<(), Error> {
        let Self { provider, keeper, resources, examinations, control, readiness, ahead, .. } = self;
        readiness.abort();
        ahead.abort();
        drop((resources, examinations, control));
        keeper.shutdown().await;
        let removed = provider.teardown().await;
        prepare::discard(prepared.directory.path());
        Ok(removed?)
    }
}

fn node_pods(prepared: &Prepared) -> Vec<PodSpec> {
    prepared
        .pods
        .iter()
        .map(|pod| PodSpec::of_plan(&pod.name, &pod.component.pod, dependencies(&prepared.plan, prepared, pod)))
        .collect()
}

/// Names of the pods of the components that a pod's component refers to, where those do not come after it.
fn dependencies(plan: &Plan, prepared: &Prepared, pod: &crate::provider::pods::PodSpec) -> Vec<String> {
    let before: BTreeSet<&str> = plan
        .components
        .iter()
        .take_while(|component| component.name != pod.component.name)
        .map(|component| component.name.as_str())
        .collect();
    let wanted = |name: &str| pod.component.depends_on.iter().any(|wanted| wanted == name) && before.contains(name);
    prepared.pods.iter().filter(|other| wanted(&other.component.name)).map(|other| other.name.clone()).collect()
}

/// Services follow the readiness of pods, where the target allows.
async fn follow_readiness(provider: Arc<Provider>, mut snapshots: watch::Receiver<Snapshot>) {
    let mut known = BTreeSet::new();
    loop {
        let ready: BTreeSet<String> = {
            let snapshot = snapshots.borrow_and_update();
            snapshot.pods.iter().filter(|(_, pod)| pod.ready).map(|(name, _)| name.clone()).collect()
        };
        ready.difference(&known).for_each(|pod| provider.set_ready(pod, true));
        known.difference(&ready).for_each(|pod| provider.set_ready(pod, false));
        known = ready;
        if snapshots.changed().await.is_err() {
            return;
        }
    }
}
