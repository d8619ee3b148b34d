//! Follows the pods and events of the run's namespace as the cluster tells them. Main type: [`Watch`].

use std::{
    collections::BTreeMap,
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

use e2e_kubelet::snapshot::Snapshot;
use e2e_plan::duration;
use e2e_report::evidence::cluster::BringUp;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event as ClusterEvent, Pod};
use kube::{
    Resource,
    runtime::{
        WatchStreamExt,
        reflector::{self, Store, reflector},
        watcher,
    },
};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::{
    cluster::Cluster,
    slots::{Slots, Stage, stage},
};
use crate::provider::pods::PodSpec;

/// Follows until it is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    state: Arc<Mutex<State>>,
    snapshots: watch::Receiver<Snapshot>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct State {
    slots: Slots,
    /// When each slot first reached each stage, since the first object was applied.
    reached: BTreeMap<String, BTreeMap<Stage, Duration>>,
    started: Instant,
    /// Of either stream.
    lost: [Lost; 2],
}

/// Since when a stream tells nothing, and its last words.
type Lost = Option<(Instant, String)>;

impl Watch {
    /// Begins to follow. `started` is when the first object was applied, `epoch` the same by the cluster's clock.
    pub(super) fn start(cluster: &Cluster, specs: &[PodSpec], started: Instant, epoch: Timestamp) -> Self {
        let mut slots = Slots::new(specs, epoch);
        let (sender, snapshots) = watch::channel(slots.snapshot());
        let state = Arc::new(Mutex::new(State { slots, reached: BTreeMap::new(), started, lost: [None, None] }));
        let task = tokio::spawn(follow(cluster.clone(), Arc::clone(&state), sender));
        Self { state, snapshots, _task: AbortOnDropHandle::new(task) }
    }

    pub(super) fn snapshots(&self) -> watch::Receiver<Snapshot> {
        self.snapshots.clone()
    }

    /// The pod that stands in a slot now.
    pub(super) fn pod(&self, slot: &str) -> Option<Arc<Pod>> {
        self.state.lock().slots.pod(slot).cloned()
    }

    /// For how long the cluster has not answered, and what was heard last.
    pub(super) fn lost(&self) -> Option<(Duration, String)> {
        longest(&self.state.lock().lost).map(|(since, reason)| (since.elapsed(), reason.clone()))
    }

    /// Where the time of the bring-up went; nothing before all pods were ready.
    pub(super) fn bring_up(&self) -> Option<BringUp> {
        let state = self.state.lock();
        let ready = |slot: &String| Some((*state.reached.get(slot)?.get(&Stage::Ready)?, slot.clone()));
        let names = self.snapshots.borrow().pods.keys().cloned().collect::<Vec<_>>();
        let (_, slowest) = names.iter().map(ready).collect::<Option<Vec<_>>>()?.into_iter().max()?;
        let reached = state.reached.get(&slowest)?;
        // A stage that was passed between two looks took no time of its own.
        let at = |stage| reached.range(stage..).next().map_or(Duration::ZERO, |(_, at)| *at);
        let ms = |from: Duration, to: Duration| duration::millis(to.saturating_sub(from));
        let (created, scheduled, running) = (at(Stage::Created), at(Stage::Scheduled), at(Stage::Running));
        Some(BringUp {
            api_ms: ms(Duration::ZERO, created),
            schedule_ms: ms(created, scheduled),
            start_ms: ms(scheduled, running),
            probe_ms: ms(running, at(Stage::Ready)),
            slowest,
        })
    }
}

async fn follow(cluster: Cluster, state: Arc<Mutex<State>>, sender: watch::Sender<Snapshot>) {
    let (pods, mut pod_stream) = stream::<Pod>(&cluster);
    let (events, mut event_stream) = stream::<ClusterEvent>(&cluster);
    loop {
        let (stream, told) = tokio::select! {
            Some(told) = pod_stream.next() => (0, told),
            Some(told) = event_stream.next() => (1, told),
            else => return,
        };
        let mut state = state.lock();
        note(&mut state.lost[stream], told.as_ref().err().map(|error| super::error::reason(error)));
        if !told.unwrap_or(false) {
            continue;
        }
        state.slots.set_pods(pods.state());
        state.slots.set_events(events.state());
        let snapshot = state.slots.snapshot();
        state.note_stages(&snapshot);
        sender.send_if_modified(|known| {
            let changed = *known != snapshot;
            *known = snapshot;
            changed
        });
    }
}

/// Notes what a stream told: an error, or something.
fn note(lost: &mut Lost, error: Option<String>) {
    *lost = error.map(|reason| (lost.take().map_or_else(Instant::now, |(since, _)| since), reason));
}

/// The loss that lasts longest.
fn longest(lost: &[Lost; 2]) -> Option<&(Instant, String)> {
    lost.iter().flatten().min_by_key(|(since, _)| *since)
}

impl State {
    fn note_stages(&mut self, snapshot: &Snapshot) {
        let now = self.started.elapsed();
        for (name, report) in &snapshot.pods {
            if let Some(stage) = stage(self.slots.pod(name).map(Arc::as_ref), report) {
                self.reached.entry(name.clone()).or_default().entry(stage).or_insert(now);
            }
        }
    }
}

/// All objects of a kind, and a stream that tells of each change of them, once it is a part of them, whether they are complete.
fn stream<K>(cluster: &Cluster) -> (Store<K>, BoxStream<'static, watcher::Result<bool>>)
where
    K: Resource<Scope = kube::core::NamespaceResourceScope>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug
        + Send
        + Sync
        + 'static,
    K::DynamicType: Clone + Default + Eq + Hash + Send + Sync,
{
    let (all, writer) = reflector::store();
    let changes = reflector(writer, watcher(cluster.own::<K>(), watcher::Config::default()).default_backoff());
    // A list that is told anew replaces the old one at its end.
    let is_complete = |event| !matches!(event, watcher::Event::Init | watcher::Event::InitApply(_));
    (all, changes.map_ok(is_complete).boxed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_of_events_are_no_news_of_pods() {
        let mut lost = [None, None];
        note(&mut lost[1], Some("reset".to_owned()));
        note(&mut lost[0], Some("refused".to_owned()));
        let since = lost[0].as_ref().map(|(since, _)| *since);
        note(&mut lost[1], None);
        note(&mut lost[0], Some("refused again".to_owned()));
        let known = longest(&lost).map(|(since, reason)| (Some(*since), reason.as_str()));
        assert_eq!(known, Some((since, "refused again")));
        note(&mut lost[0], None);
        assert_eq!(longest(&lost), None);
    }
}
