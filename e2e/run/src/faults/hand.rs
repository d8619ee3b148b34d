//! What carries planned faults out, whatever runs the pods. Main type: [`Hand`].

use std::{future::Future, sync::Arc, time::Duration};

use e2e_kubelet::snapshot::Snapshot;
use e2e_node::node::{Restarter, wait_for};
use e2e_report::evidence::faults::ExplainedEnd;
use tokio::sync::watch;

use crate::provider::{Provider, pods::PodSpec};

/// How much longer than its grace period a program may take to end.
const END_SLACK: Duration = Duration::from_secs(10);
/// How long a pod of a rollout may take until it is ready, as long as a Deployment's `progressDeadlineSeconds` by a tenth.
pub(super) const READY_LIMIT: Duration = Duration::from_secs(60);

pub(super) struct Hand {
    pub(super) provider: Arc<Provider>,
    pub(super) pods: Vec<PodSpec>,
    pub(super) snapshot: watch::Receiver<Snapshot>,
    /// Where this program looks after the pods.
    pub(super) restarter: Option<Restarter>,
}

/// The ends that a fault has brought about so far, and why it went no further.
pub(super) struct Done {
    pub(super) ends: Vec<ExplainedEnd>,
    pub(super) failure: Option<String>,
}

impl Done {
    pub(super) fn failed(why: impl Into<String>) -> Self {
        Self { ends: Vec::new(), failure: Some(why.into()) }
    }

    /// What a seed decides is decided before anything runs.
    pub(super) fn undecided() -> Self {
        Self::failed("no seed has decided what happens")
    }
}

/// How often each container of some pods had ended at a moment.
struct Ends(Vec<((String, String), usize)>);

impl Ends {
    fn of(snapshot: &Snapshot, containers: Vec<(String, String)>) -> Self {
        Self(containers.into_iter().map(|container| (container.clone(), count(snapshot, &container))).collect())
    }

    /// Whether each has ended again.
    fn all_again(&self, snapshot: &Snapshot) -> bool {
        self.0.iter().all(|(container, before)| count(snapshot, container) > *before)
    }

    /// The first end of each since then.
    fn first_since(&self, snapshot: &Snapshot) -> Vec<ExplainedEnd> {
        self.since(snapshot, |before, now| before..now.min(before + 1))
    }

    /// Every end since then.
    fn all_since(&self, snapshot: &Snapshot) -> Vec<ExplainedEnd> {
        self.since(snapshot, |before, now| before..now)
    }

    fn since(&self, snapshot: &Snapshot, which: fn(usize, usize) -> std::ops::Range<usize>) -> Vec<ExplainedEnd> {
        let of = |(container, before): &((String, String), usize)| {
            let (pod, name) = container.clone();
            which(*before, count(snapshot, container)).map(move |index| ExplainedEnd {
                pod: pod.clone(),
                container: Some(name.clone()),
                index,
            })
        };
        self.0.iter().flat_map(of).collect()
    }
}

/// How often a container has ended.
fn count(snapshot: &Snapshot, (pod, container): &(String, String)) -> usize {
    let report = snapshot.pods.get(pod).and_then(|pod| pod.container(container));
    report.map_or(0, |report| report.terminations.len())
}

impl Hand {
    /// The pods of a component, or the one of that name.
    pub(super) fn pods_of(&self, name: &str) -> Vec<String> {
        let is_meant = |pod: &&PodSpec| pod.component.name == name || pod.name == name;
        self.pods.iter().filter(is_meant).map(|pod| pod.name.clone()).collect()
    }

    /// The containers of pods that keep running, each with its pod; `sidecars` are among them where a fault ends these too.
    fn containers(&self, pods: &[String], sidecars: bool) -> Vec<(String, String)> {
        let specs = self.pods.iter().filter(|spec| pods.contains(&spec.name));
        let of = |spec: &PodSpec| {
            let own = &spec.component.pod;
            let sidecars = own.init_containers.iter().filter(|init| sidecars && init.is_sidecar);
            let containers = own.containers.iter().chain(sidecars);
            containers.map(|container| (spec.name.clone(), container.name.clone())).collect::<Vec<_>>()
        };
        specs.flat_map(of).collect()
    }

    /// How long the programs of pods may take to end.
    pub(super) fn end_limit(&self, pods: &[String]) -> Duration {
        let specs = self.pods.iter().filter(|spec| pods.contains(&spec.name));
        specs.map(|spec| spec.component.pod.termination_grace).max().unwrap_or_default() + END_SLACK
    }

    /// Stops pods with their grace period and has others take their places.
    pub(super) async fn replace(&self, pods: &[String]) -> Done {
        let Some(restarter) = &self.restarter else { return Done::failed("nothing here starts pods") };
        let ask = async {
            pods.iter().for_each(|pod| restarter.replace(pod));
            Ok::<_, std::convert::Infallible>(())
        };
        self.all_ended_by(pods, self.containers(pods, true), ask).await
    }

    pub(super) async fn are_ready(&self, pods: &[String]) -> Result<(), String> {
        let ready = |snapshot: &Snapshot| pods.iter().all(|pod| snapshot.pods.get(pod).is_some_and(|pod| pod.ready));
        self.wait_for(&format!("{} was not ready again", pods.join(", ")), READY_LIMIT, ready).await
    }

    /// Waits until the pods have reached a state.
    pub(super) async fn wait_for(
        &self,
        missing: &str,
        limit: Duration,
        reached: impl FnMut(&Snapshot) -> bool,
    ) -> Result<(), String> {
        wait_for(self.snapshot.clone(), missing, limit, reached).await.map(drop).map_err(|error| error.to_string())
    }

    /// Does something that ends each container of pods but sidecars, and waits for these ends.
    pub(super) async fn ended_by<E: std::fmt::Display>(
        &self,
        pods: &[String],
        act: impl Future<Output = Result<(), E>>,
    ) -> Done {
        self.all_ended_by(pods, self.containers(pods, false), act).await
    }

    async fn all_ended_by<E: std::fmt::Display>(
        &self,
        pods: &[String],
        containers: Vec<(String, String)>,
        act: impl Future<Output = Result<(), E>>,
    ) -> Done {
        let before = Ends::of(&self.snapshot.borrow(), containers);
        let ended = match act.await {
            Ok(()) => {
                let missing = format!("not every container of {} has ended", pods.join(", "));
                self.wait_for(&missing, self.end_limit(pods), |snapshot| before.all_again(snapshot)).await
            }
            Err(error) => Err(error.to_string()),
        };
        Done { ends: before.first_since(&self.snapshot.borrow()), failure: ended.err() }
    }

    /// Does something that may end containers of pods.
    pub(super) async fn may_end(&self, pods: &[String], act: impl Future<Output = Result<(), String>>) -> Done {
        let before = Ends::of(&self.snapshot.borrow(), self.containers(pods, false));
        let failure = act.await.err();
        Done { ends: before.all_since(&self.snapshot.borrow()), failure }
    }
}
