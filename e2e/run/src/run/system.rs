//! A running system: its provider, kubelet, samplers and control address. Main type: [`System`].

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use e2e::control::TOKEN;
use e2e_kubelet::snapshot::{PodSpec, Snapshot};
use e2e_load::clock::now_unix_ms;
use e2e_node::node::{Node, Options, ProbeLog};
use e2e_plan::{duration, words::counted};
use e2e_report::environment::{self, Environment, LoadFrom};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::{Error, both, caught, examine::Examinations, prepared::Prepared};
use crate::{
    control::{Answers, Server},
    faults::Faults,
    gather::{self, ResourceWatch},
    leftovers::discard,
    progress::Progress,
    provider::Provider,
    secrets::Secrets,
    trigger::Trigger,
};

/// A kubelet probes once per period, of at least one second: too slow for bring-up. These extra probes count only if they succeed, so
/// the verdicts remain a kubelet's.
const EAGER: Duration = Duration::from_millis(20);

pub(super) struct System {
    pub(super) provider: Arc<Provider>,
    /// The kubelet in a box; a cluster has its own.
    node: Option<Node>,
    /// The pods' state, as it changes.
    pub(super) snapshots: watch::Receiver<Snapshot>,
    pub(super) resources: ResourceWatch,
    pub(super) examinations: Examinations,
    pub(super) started: Instant,
    /// When the pods' times began to count.
    epoch_unix_ms: u64,
    control: Server,
    pub(super) faults: Arc<Faults>,
    pub(super) said: watch::Receiver<String>,
    stop: watch::Receiver<bool>,
    readiness: AbortOnDropHandle<()>,
    ahead: AbortOnDropHandle<()>,
}

impl System {
    /// Starts every pod, as concurrently as their references allow.
    pub(super) async fn start(
        provider: Provider,
        prepared: &Prepared,
        started: Instant,
        progress: &Progress,
    ) -> Result<Self, Error> {
        let provider = Arc::new(provider);
        let log = ProbeLog::default();
        let (node, snapshots, epoch_unix_ms) = keep(&provider, prepared, started, log.clone());
        let restarter = node.as_ref().map(Node::restarter);
        let (stop, stopped) = watch::channel(false);
        let (says, said) = watch::channel(String::new());
        let faults = Arc::new(Faults::new(
            Arc::clone(&provider),
            prepared.pods.clone(),
            &prepared.config.scenario,
            (snapshots.clone(), restarter.clone()),
        ));
        let control = Server::start(Answers {
            faults: Arc::clone(&faults),
            provider: Arc::clone(&provider),
            pods: prepared.pods.clone(),
            snapshot: snapshots.clone(),
            restarter,
            progress: says,
            agents: prepared.options.agents.unwrap_or(1),
            stop,
            token: prepared.secrets.get(TOKEN).cloned().expect("`prepare` makes it"),
            secrets: Secrets::new(prepared.secrets.values().cloned()),
            plan: prepared.plan.clone(),
            directory: prepared.directory.clone(),
            trigger: Trigger::new(&prepared.plan, prepared.target(), prepared.directory.id()),
            supply: prepared.supply.clone(),
        });
        let control = match control.await {
            Ok(control) => control,
            Err(error) => {
                let removed = ended_by(node, removal(&provider, prepared)).await;
                return Err(both(Error::Control(error), prepared.removed(Some(removed)), progress));
            }
        };
        Ok(Self {
            resources: gather::watch_resources(
                Arc::clone(&provider),
                prepared.config.saturation.clone(),
                prepared.pods.clone(),
                gather::Probing { log, snapshots: snapshots.clone() },
            ),
            examinations: Examinations::start(Arc::clone(&provider), prepared, snapshots.clone()),
            readiness: AbortOnDropHandle::new(tokio::spawn(follow_readiness(Arc::clone(&provider), snapshots.clone()))),
            ahead: AbortOnDropHandle::new(tokio::spawn({
                let provider = Arc::clone(&provider);
                async move { provider.prepare_ahead().await }
            })),
            provider,
            node,
            snapshots,
            started,
            epoch_unix_ms,
            control,
            faults,
            said,
            stop: stopped,
        })
    }

    /// The description passed to the suites.
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
                    format!("{}, load from {} inside", self.provider.description(), counted(agents, "agent"))
                }
            },
            kubelet: self.provider.profile().version,
            entrance: config.entrance.clone(),
            services: self.provider.endpoints(plan, pods),
            routes: environment::routes(plan),
            components,
            scenarios: config.scenario.clone(),
            some_scenarios: !prepared.options.scenarios.is_empty(),
            load_from: prepared.load_from,
            control: self.control.address,
            started_unix_ms: Some(self.epoch_unix_ms),
            up_ms: duration::millis(self.started.elapsed()),
            ready,
            warnings: warnings.iter().chain(self.provider.left_out()).cloned().collect(),
        }
    }

    pub(super) async fn stopped(&self) {
        let mut stop = self.stop.clone();
        // An error means that no request can come any more.
        let _ = stop.wait_for(|stop| *stop).await;
    }

    /// Stops everything and removes it.
    pub(super) async fn remove(self, prepared: &Prepared) -> Result<(), Error> {
        let Self { provider, node, resources, examinations, control, readiness, ahead, .. } = self;
        drop((resources, examinations, control, readiness, ahead));
        ended_by(node, removal(&provider, prepared)).await
    }
}

/// Removes everything that was started, including the run's private data.
async fn removal(provider: &Provider, prepared: &Prepared) -> Result<(), Error> {
    let removed = provider.teardown().await;
    discard(prepared.directory.path());
    Ok(removed?)
}

/// Removes everything once pods are no longer managed. A panic of a pod's task resumes afterwards, when nothing of the run is left.
async fn ended_by<T>(node: Option<Node>, removal: impl Future<Output = T>) -> T {
    let kept = match node {
        Some(node) => caught(node.shutdown()).await.map(drop),
        None => Ok(()),
    };
    let removed = removal.await;
    if let Err(panic) = kept {
        std::panic::resume_unwind(panic);
    }
    removed
}

/// What looks after the pods unless a cluster does, their state, and when their times began to count.
fn keep(
    provider: &Arc<Provider>,
    prepared: &Prepared,
    started: Instant,
    log: ProbeLog,
) -> (Option<Node>, watch::Receiver<Snapshot>, u64) {
    let now = now_unix_ms();
    match &**provider {
        Provider::K8s(pods) => {
            let since = duration::millis(started.elapsed());
            (None, pods.snapshots(), now - since)
        }
        Provider::Docker(_) | Provider::Local(_) => {
            let options = Options { eager: Some(EAGER), log, ..Options::default() };
            let node = Node::run(Arc::clone(provider), node_pods(prepared), options);
            let snapshots = node.watch();
            (Some(node), snapshots, now)
        }
    }
}

fn node_pods(prepared: &Prepared) -> Vec<PodSpec> {
    let of_component = |names: &[String]| {
        let pods = prepared.pods.iter().filter(|pod| names.contains(&pod.component.name));
        pods.map(|pod| pod.name.clone()).collect()
    };
    let node_pod = |pod: &crate::provider::pods::PodSpec| PodSpec {
        depends_on: of_component(&pod.component.depends_on),
        after: of_component(&pod.component.after),
        ..PodSpec::of_plan(&pod.name, &pod.component.pod)
    };
    prepared.pods.iter().map(node_pod).collect()
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::provider::testing::{Containers, plan_of_pod};

    #[tokio::test]
    async fn a_panic_in_a_pods_task_leaves_nothing() {
        let plan = plan_of_pod("{ containers: [{ name: a, image: x }] }");
        let pod = PodSpec::of_plan("a-0", &plan.components[0].pod);
        let buggy = Containers { start: || panic!("a bug of the runtime's"), ..Containers::living(Duration::MAX) };
        let node = Node::run(Arc::new(buggy), vec![pod], Options::default());
        // What is known of the pod ends with its task.
        while node.watch().has_changed().is_ok() {
            tokio::task::yield_now().await;
        }
        let is_removed = AtomicBool::new(false);
        let ended = ended_by(Some(node), async { is_removed.store(true, Ordering::Relaxed) });
        let panic = caught(ended).await.expect_err("the bug is not hidden");
        assert_eq!(panic.downcast_ref(), Some(&"a bug of the runtime's"));
        assert!(is_removed.load(Ordering::Relaxed));
    }
}
