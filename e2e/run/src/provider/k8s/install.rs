//! In which order a run gives its objects to the cluster: all at once, as `kubectl apply` does, but hooks as helm goes through them.
//! Main type: [`Installation`].

use std::time::Duration;

use e2e_kubelet::snapshot::{ContainerReport, PodReport, Snapshot};
use e2e_plan::{Component, Plan};
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::{agents::Starting, apply::apply, cluster::Cluster, error::Error, resolve::Resolved};
use crate::provider::pods::{self, PodSpec};

/// How long the pods that others wait for have a node's kubelet for themselves, if they do not start earlier.
const HEAD_START: Duration = Duration::from_secs(2);

/// What is still to be applied.
pub(super) struct Installation {
    cluster: Cluster,
    objects: Vec<Resolved>,
    components: Vec<Component>,
    specs: Vec<PodSpec>,
    snapshots: watch::Receiver<Snapshot>,
}

impl Installation {
    pub(super) fn new(
        cluster: &Cluster,
        objects: Vec<Resolved>,
        plan: &Plan,
        specs: &[PodSpec],
        snapshots: watch::Receiver<Snapshot>,
    ) -> Self {
        let objects = objects.into_iter().filter(|object| !object.is_wide).collect();
        let (cluster, components, specs) = (cluster.clone(), plan.components.clone(), specs.to_vec());
        Self { cluster, objects, components, specs, snapshots }
    }

    /// Applies what waits for no hook. The rest goes on by itself, until it is dropped.
    pub(super) async fn begin(mut self) -> Result<Starting<Result<(), Error>>, Error> {
        self.apply_free().await?;
        let rest = AbortOnDropHandle::new(tokio::spawn(self.go_on()));
        Ok(async { rest.await.unwrap_or_else(|error| Err(Error::of("apply", "the objects after hooks", error))) }
            .boxed()
            .shared())
    }

    /// Applies what waits for hooks, as they succeed. After one that never does, nothing is applied, as with helm.
    async fn go_on(mut self) -> Result<(), Error> {
        while !self.objects.is_empty() {
            let mut snapshots = self.snapshots.clone();
            let is_any_free =
                |snapshot: &Snapshot| self.objects.iter().any(|object| self.waits_for(object, snapshot).is_none());
            if snapshots.wait_for(is_any_free).await.is_err() {
                break;
            }
            self.apply_free().await?;
        }
        Ok(())
    }

    /// Applies the objects that wait for no hook any more: first what pods refer to, then the pods that others refer to.
    async fn apply_free(&mut self) -> Result<(), Error> {
        let snapshot = self.snapshots.borrow().clone();
        let objects = std::mem::take(&mut self.objects);
        let (free, waiting): (Vec<_>, Vec<_>) =
            objects.into_iter().partition(|object| self.waits_for(object, &snapshot).is_none());
        self.objects = waiting;
        let (workloads, others): (Vec<_>, Vec<_>) = free.iter().partition(|object| object.component.is_some());
        let (first, last): (Vec<_>, Vec<_>) = workloads.into_iter().partition(|object| self.is_waited_for(object));
        apply(&self.cluster, others).await?;
        apply(&self.cluster, first.iter().copied()).await?;
        self.head_start(&first).await;
        apply(&self.cluster, last).await
    }

    fn component(&self, object: &Resolved) -> Option<&Component> {
        self.components.iter().find(|component| object.component.as_ref() == Some(&component.name))
    }

    /// The hook that an object waits for.
    fn waits_for(&self, object: &Resolved, snapshot: &Snapshot) -> Option<&String> {
        let is_open = |hook: &&String| {
            let mut pods = pods::of_component(&self.specs, hook);
            !pods.all(|pod| snapshot.pod(&pod.name).is_some_and(PodReport::is_completed))
        };
        self.component(object)?.after.iter().find(is_open)
    }

    /// Whether others refer to an object that refers to no other itself.
    fn is_waited_for(&self, object: &Resolved) -> bool {
        let is_named = |name: &String| self.components.iter().any(|other| other.depends_on.contains(name));
        self.component(object).is_some_and(|one| one.depends_on.is_empty() && is_named(&one.name))
    }

    /// Until the pods of objects run. A kubelet starts all of its pods at the same time, and as slowly as the processors make it;
    /// what is on the way of all others comes first.
    async fn head_start(&self, objects: &[&Resolved]) {
        let components = objects.iter().filter_map(|object| object.component.as_deref());
        let names: Vec<&str> =
            components.flat_map(|name| pods::of_component(&self.specs, name)).map(|spec| spec.name.as_str()).collect();
        let is_running = |container: &ContainerReport| container.status.state.is_running();
        let run = |snapshot: &Snapshot| {
            names.iter().filter_map(|name| snapshot.pod(name)).all(|pod| pod.containers.iter().all(is_running))
        };
        // A pod that does not start is told by the wait for all of them.
        let _ = tokio::time::timeout(HEAD_START, self.snapshots.clone().wait_for(run)).await;
    }
}
