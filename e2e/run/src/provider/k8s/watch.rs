//! Follows the pods and events of the run's namespace as the cluster tells them. Main type: [`Watch`].

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use e2e_kubelet::snapshot::Snapshot;
use e2e_report::evidence::cluster::BringUp;
use futures_util::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event as ClusterEvent, Pod};
use kube::{
    Api, Resource,
    runtime::{WatchStreamExt, watcher},
};
use tokio::{sync::watch, task::JoinHandle};

use super::{
    cluster::Cluster,
    places::{Places, Stage, stage},
};
use crate::provider::pods::PodSpec;

/// Follows until it is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    state: Arc<Mutex<State>>,
    snapshots: watch::Receiver<Snapshot>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    places: Places,
    /// When each place first reached each stage, since the first object was applied.
    reached: BTreeMap<String, BTreeMap<Stage, Duration>>,
    started: Instant,
    /// Since when the cluster does not answer, and its last words.
    lost: Option<(Instant, String)>,
}

impl Watch {
    /// Begins to follow. `started` is when the first object was applied, `epoch` the same by the cluster's clock.
    pub(super) fn start(cluster: &Cluster, specs: &[PodSpec], started: Instant, epoch: Timestamp) -> Self {
        let mut places = Places::new(specs, epoch);
        let (sender, snapshots) = watch::channel(places.snapshot());
        let state = Arc::new(Mutex::new(State { places, reached: BTreeMap::new(), started, lost: None }));
        let task = tokio::spawn(follow(cluster.clone(), Arc::clone(&state), sender));
        Self { state, snapshots, task }
    }

    /// What is known, as it changes.
    pub(super) fn snapshots(&self) -> watch::Receiver<Snapshot> {
        self.snapshots.clone()
    }

    /// The pod that stands in a place now.
    pub(super) fn pod(&self, place: &str) -> Option<Pod> {
        lock(&self.state).places.pod(place).cloned()
    }

    /// For how long the cluster has not answered, and what was heard last.
    pub(super) fn lost(&self) -> Option<(Duration, String)> {
        lock(&self.state).lost.as_ref().map(|(since, reason)| (since.elapsed(), reason.clone()))
    }

    /// Where the time of the bring-up went; nothing before all pods were ready.
    pub(super) fn bring_up(&self) -> Option<BringUp> {
        let state = lock(&self.state);
        let ready = |place: &String| Some((*state.reached.get(place)?.get(&Stage::Ready)?, place.clone()));
        let names = self.snapshots.borrow().pods.keys().cloned().collect::<Vec<_>>();
        let (_, slowest) = names.iter().map(ready).collect::<Option<Vec<_>>>()?.into_iter().max()?;
        let reached = state.reached.get(&slowest)?;
        // A stage that was passed between two looks took no time of its own.
        let at = |stage| reached.range(stage..).next().map_or(Duration::ZERO, |(_, at)| *at);
        let ms = |from: Duration, to: Duration| u64::try_from(to.saturating_sub(from).as_millis()).unwrap_or(u64::MAX);
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

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn follow(cluster: Cluster, state: Arc<Mutex<State>>, sender: watch::Sender<Snapshot>) {
    let mut pods = Known::<Pod>::default();
    let mut events = Known::<ClusterEvent>::default();
    let mut pod_stream = stream(&cluster);
    let mut event_stream = stream(&cluster);
    loop {
        let told = tokio::select! {
            Some(told) = pod_stream.next() => told.map(|event| pods.take_in(event)),
            Some(told) = event_stream.next() => told.map(|event| events.take_in(event)),
            else => return,
        };
        let mut state = lock(&state);
        match told {
            Err(error) => {
                let reason = super::error::reason(&error);
                let since = state.lost.as_ref().map_or_else(Instant::now, |(since, _)| *since);
                state.lost = Some((since, reason));
                continue;
            }
            Ok(is_whole) => {
                state.lost = None;
                if !is_whole {
                    continue;
                }
            }
        }
        state.places.set_pods(pods.all.clone());
        state.places.set_events(events.all.clone());
        let snapshot = state.places.snapshot();
        state.note_stages(&snapshot);
        sender.send_if_modified(|known| {
            let changed = *known != snapshot;
            *known = snapshot;
            changed
        });
    }
}

impl State {
    fn note_stages(&mut self, snapshot: &Snapshot) {
        let now = self.started.elapsed();
        for (name, report) in &snapshot.pods {
            if let Some(stage) = stage(self.places.pod(name), report) {
                self.reached.entry(name.clone()).or_default().entry(stage).or_insert(now);
            }
        }
    }
}

fn stream<K>(cluster: &Cluster) -> std::pin::Pin<Box<dyn Stream<Item = watcher::Result<watcher::Event<K>>> + Send>>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug
        + Send
        + 'static,
    K::DynamicType: Default,
{
    let api = Api::<K>::namespaced(cluster.client.clone(), &cluster.namespace);
    Box::pin(watcher(api, watcher::Config::default()).default_backoff())
}

/// All objects of a kind, by uid.
#[derive(Debug)]
struct Known<K> {
    all: BTreeMap<String, K>,
    /// The list that is being told anew.
    incoming: BTreeMap<String, K>,
}

impl<K> Default for Known<K> {
    fn default() -> Self {
        Self { all: BTreeMap::new(), incoming: BTreeMap::new() }
    }
}

impl<K: Resource> Known<K> {
    /// Takes in what the cluster told; whether `all` is all that there is.
    fn take_in(&mut self, event: watcher::Event<K>) -> bool {
        let uid = |object: &K| object.meta().uid.clone().unwrap_or_default();
        match event {
            watcher::Event::Init => self.incoming.clear(),
            watcher::Event::InitApply(object) => {
                self.incoming.insert(uid(&object), object);
            }
            watcher::Event::InitDone => {
                self.all = std::mem::take(&mut self.incoming);
                return true;
            }
            watcher::Event::Apply(object) => {
                self.all.insert(uid(&object), object);
                return true;
            }
            watcher::Event::Delete(object) => {
                self.all.remove(&uid(&object));
                return true;
            }
        }
        false
    }
}
