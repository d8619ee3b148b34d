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
const READY_LIMIT: Duration = Duration::from_secs(60);

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
    /// What came of something that ends nothing.
    pub(super) fn of(result: Result<(), String>) -> Self {
        Self { ends: Vec::new(), failure: result.err() }
    }

    pub(super) fn failed(why: impl Into<String>) -> Self {
        Self::of(Err(why.into()))
    }

    /// What `e2e_report::fault::resolve` decides, or refuses, before anything runs.
    pub(super) fn unresolved() -> Self {
        Self::failed("this should have been decided or refused before the run")
    }
}

/// A container of a pod, or the pod itself.
type Whose = (String, Option<String>);

/// How often each had ended at a moment.
struct Ends(Vec<(Whose, usize)>);

impl Ends {
    fn of(snapshot: &Snapshot, all: Vec<Whose>) -> Self {
        Self(all.into_iter().map(|whose| (whose.clone(), count(snapshot, &whose))).collect())
    }

    /// Whether each has ended again.
    fn all_again(&self, snapshot: &Snapshot) -> bool {
        self.0.iter().all(|(whose, before)| count(snapshot, whose) > *before)
    }

    /// The first ends of each since then, `most` at most.
    fn since(&self, snapshot: &Snapshot, most: usize) -> Vec<ExplainedEnd> {
        let of = |(whose, before): &(Whose, usize)| {
            let (pod, container) = whose.clone();
            let indices = (*before..count(snapshot, whose)).take(most);
            indices.map(move |index| ExplainedEnd { pod: pod.clone(), container: container.clone(), index })
        };
        self.0.iter().flat_map(of).collect()
    }
}

/// How often a container has ended, or a pod was replaced.
fn count(snapshot: &Snapshot, (pod, container): &Whose) -> usize {
    let Some(pod) = snapshot.pods.get(pod) else { return 0 };
    match container {
        Some(container) => pod.container(container).map_or(0, |report| report.terminations.len()),
        None => pod.replacements(),
    }
}

impl Hand {
    /// The pods of a component, or the one of that name.
    pub(super) fn pods_of(&self, name: &str) -> Vec<String> {
        let is_meant = |pod: &&PodSpec| pod.component.name == name || pod.name == name;
        self.pods.iter().filter(is_meant).map(|pod| pod.name.clone()).collect()
    }

    /// The containers of pods that keep running, each with its pod; `sidecars` are among them where a fault ends these too.
    fn containers(&self, pods: &[String], sidecars: bool) -> Vec<Whose> {
        let specs = self.pods.iter().filter(|spec| pods.contains(&spec.name));
        let of = |spec: &PodSpec| {
            let own = &spec.component.pod;
            let sidecars = own.init_containers.iter().filter(|init| sidecars && init.is_sidecar);
            let containers = own.containers.iter().chain(sidecars);
            containers.map(|container| (spec.name.clone(), Some(container.name.clone()))).collect::<Vec<_>>()
        };
        specs.flat_map(of).collect()
    }

    /// How long the programs of pods may take to end.
    fn end_limit(&self, pods: &[String]) -> Duration {
        let specs = self.pods.iter().filter(|spec| pods.contains(&spec.name));
        specs.map(|spec| spec.component.pod.termination_grace).max().unwrap_or_default() + END_SLACK
    }

    /// Stops pods with their grace period and has others take their places.
    pub(super) async fn replace(&self, pods: &[String]) -> Done {
        let Some(restarter) = &self.restarter else { return Done::failed("nothing here starts pods") };
        let ask = async {
            pods.iter().for_each(|pod| restarter.replace(pod));
            Ok(())
        };
        self.ended_by(pods, true, ask).await
    }

    /// Waits until pods that were replaced are ready.
    pub(super) async fn ready_again(&self, pods: &[String], done: Done) -> Done {
        if done.failure.is_some() {
            return done;
        }
        let ready = |snapshot: &Snapshot| pods.iter().all(|pod| snapshot.pods.get(pod).is_some_and(|pod| pod.ready));
        let missing = format!("{} was not ready again", pods.join(", "));
        Done { failure: self.wait_for(&missing, READY_LIMIT, ready).await.err(), ..done }
    }

    /// Waits until the pods have reached a state.
    async fn wait_for(
        &self,
        missing: &str,
        limit: Duration,
        reached: impl FnMut(&Snapshot) -> bool,
    ) -> Result<(), String> {
        wait_for(self.snapshot.clone(), missing, limit, reached).await.map(drop).map_err(|error| error.to_string())
    }

    /// Does something that ends each container of pods, `sidecars` among them or not, and waits for these ends.
    pub(super) async fn ended_by(
        &self,
        pods: &[String],
        sidecars: bool,
        act: impl Future<Output = Result<(), String>>,
    ) -> Done {
        let missing = format!("not every container of {} has ended", pods.join(", "));
        self.all_ended_by(self.containers(pods, sidecars), 1, (&missing, self.end_limit(pods)), act).await
    }

    /// Does something that makes a cluster put others in the places of pods, and waits for these.
    pub(super) async fn replaced_by(&self, pods: &[String], act: impl Future<Output = Result<(), String>>) -> Done {
        let missing = format!("the cluster has not replaced {}", pods.join(", "));
        let limit = self.end_limit(pods) + READY_LIMIT * u32::try_from(pods.len()).unwrap_or(1);
        let pods = pods.iter().map(|pod| (pod.clone(), None)).collect();
        self.all_ended_by(pods, usize::MAX, (&missing, limit), act).await
    }

    async fn all_ended_by(
        &self,
        all: Vec<Whose>,
        most: usize,
        (missing, limit): (&str, Duration),
        act: impl Future<Output = Result<(), String>>,
    ) -> Done {
        let before = Ends::of(&self.snapshot.borrow(), all);
        let ended = match act.await {
            Ok(()) => self.wait_for(missing, limit, |snapshot| before.all_again(snapshot)).await,
            failed => failed,
        };
        Done { ends: before.since(&self.snapshot.borrow(), most), failure: ended.err() }
    }

    /// Does something that may end containers of pods.
    pub(super) async fn may_end(&self, pods: &[String], act: impl Future<Output = Result<(), String>>) -> Done {
        let before = Ends::of(&self.snapshot.borrow(), self.containers(pods, false));
        let failure = act.await.err();
        Done { ends: before.since(&self.snapshot.borrow(), usize::MAX), failure }
    }
}
