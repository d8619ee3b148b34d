//! Brings planned faults about while a scenario's load is on, and writes down what pods did. Main type: [`Faults`].

mod changes;
mod cluster;
mod hand;
mod here;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use e2e::control::FAULTS_LIMIT;
use e2e_kubelet::snapshot::Snapshot;
use e2e_load::clock::now_unix_ms;
use e2e_node::node::{Restarter, wait_for};
use e2e_report::{
    evidence::faults::{CarriedOut, PodEvent, ScenarioFaults},
    fault::PlannedFault,
    request::Scenario,
};
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::{sync::watch, task::JoinHandle, time::Instant};

use self::hand::{Done, Hand};
use crate::provider::{Provider, pods::PodSpec};

/// The planned faults of all scenarios.
pub(crate) struct Faults {
    hand: Arc<Hand>,
    planned: BTreeMap<String, Vec<PlannedFault>>,
    running: Mutex<BTreeMap<String, Running>>,
    done: Mutex<Vec<ScenarioFaults>>,
}

/// The faults of a scenario whose load is on.
struct Running {
    faults: JoinHandle<Vec<CarriedOut>>,
    recorder: JoinHandle<()>,
    events: Arc<Mutex<Vec<PodEvent>>>,
    /// Set when the load has ended: what has not begun then never does.
    over: watch::Sender<bool>,
}

impl Faults {
    /// The faults that scenarios declare, for pods that are followed and, where this program looks after them, can be restarted.
    pub(crate) fn new(
        provider: Arc<Provider>,
        pods: Vec<PodSpec>,
        scenarios: &BTreeMap<String, Scenario>,
        (snapshot, restarter): (watch::Receiver<Snapshot>, Option<Restarter>),
    ) -> Self {
        let planned = scenarios.iter().filter(|(_, scenario)| !scenario.during.is_empty());
        Self {
            hand: Arc::new(Hand { provider, pods, snapshot, restarter }),
            planned: planned.map(|(name, scenario)| (name.clone(), scenario.during.clone())).collect(),
            running: Mutex::default(),
            done: Mutex::default(),
        }
    }

    /// The load of a scenario is on, and its window begins in `window_in`. Said again, it changes nothing.
    pub(crate) fn begin(&self, scenario: &str, window_in: Duration) {
        let Some(planned) = self.planned.get(scenario).cloned() else { return };
        let mut running = self.running.lock();
        if running.contains_key(scenario) {
            return;
        }
        let start = Instant::now() + window_in;
        let (over, is_over) = watch::channel(false);
        let hand = Arc::clone(&self.hand);
        let faults = tokio::spawn(async move {
            join_all(planned.into_iter().map(|fault| at_its_time(&hand, fault, start, is_over.clone()))).await
        });
        let events = Arc::default();
        let recorder = tokio::spawn(changes::record(self.hand.snapshot.clone(), Arc::clone(&events)));
        running.insert(scenario.to_owned(), Running { faults, recorder, events, over });
    }

    /// The load has ended: waits until its faults are over and all pods are ready, as far as that takes no longer than
    /// [`FAULTS_LIMIT`].
    pub(crate) async fn end(&self, scenario: &str) {
        let running = self.running.lock().remove(scenario);
        let Some(Running { mut faults, recorder, events, over }) = running else { return };
        over.send_replace(true);
        let until = Instant::now() + FAULTS_LIMIT;
        let carried_out = match tokio::time::timeout_at(until, &mut faults).await {
            Ok(Ok(carried_out)) => carried_out,
            ended => {
                faults.abort();
                let why = match ended {
                    Ok(_) => "the program has a bug there".to_owned(),
                    Err(_) => format!("it was not over {} s after the load", FAULTS_LIMIT.as_secs()),
                };
                let planned = self.planned.get(scenario).into_iter().flatten().cloned();
                planned.map(|fault| not_carried_out(fault, why.clone())).collect()
            }
        };
        let left = until.saturating_duration_since(Instant::now());
        // What is not ready then is a finding of its own.
        let _ = wait_for(self.hand.snapshot.clone(), "not all pods are ready", left, Snapshot::all_ready).await;
        recorder.abort();
        let events = std::mem::take(&mut *events.lock());
        let done = ScenarioFaults { scenario: scenario.to_owned(), faults: carried_out, events };
        self.done.lock().push(done);
    }

    /// Everything that came of planned faults, those included whose suite went away.
    pub(crate) async fn finish(&self) -> Vec<ScenarioFaults> {
        for scenario in self.planned.keys() {
            self.end(scenario).await;
        }
        std::mem::take(&mut *self.done.lock())
    }
}

fn not_carried_out(fault: PlannedFault, why: String) -> CarriedOut {
    CarriedOut { fault, unix_ms: None, failure: Some(why), ends: Vec::new() }
}

/// Carries a fault out at its time, unless the load is over by then.
async fn at_its_time(hand: &Hand, fault: PlannedFault, start: Instant, mut over: watch::Receiver<bool>) -> CarriedOut {
    tokio::select! {
        _ = over.wait_for(|over| *over) => {
            return not_carried_out(fault, "the load ended before its time".to_owned());
        }
        () = tokio::time::sleep_until(start + fault.at.unwrap_or_default()) => {}
    }
    let begun = now_unix_ms();
    let Done { ends, failure } = match &*hand.provider {
        Provider::K8s(pods) => cluster::carry_out(hand, pods, &fault).await,
        Provider::Docker(_) | Provider::Local(_) => here::carry_out(hand, &fault).await,
    };
    CarriedOut { fault, unix_ms: Some((begun, now_unix_ms())), failure, ends }
}
