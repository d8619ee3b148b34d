//! Brings planned faults about while a scenario's load is on, and writes down what pods did. Main type: [`Faults`].

mod changes;

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use e2e::control::FAULTS_LIMIT;
use e2e_kubelet::snapshot::Snapshot;
use e2e_load::clock::now_unix_ms;
use e2e_node::node::{Restart, Restarter, wait_for};
use e2e_report::{
    evidence::faults::{CarriedOut, ExplainedEnd, PodEvent, ScenarioFaults},
    fault::{Action, PlannedFault},
    request::Scenario,
};
use futures_util::future::join_all;
use tokio::{sync::watch, task::JoinHandle, time::Instant};

use crate::provider::{Blow, Provider, pods::PodSpec};

/// How much longer than its grace period a program may take to end.
const END_SLACK: Duration = Duration::from_secs(10);
/// How long a pod of a rollout may take until it is ready, as long as a Deployment's `progressDeadlineSeconds` by a tenth.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// The shortest grace period that a cluster takes for an orderly deletion: what comes nearest to SIGKILL there.
const SHORTEST_GRACE: u32 = 1;

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

/// What carries a fault out.
struct Hand {
    provider: Arc<Provider>,
    pods: Vec<PodSpec>,
    snapshot: watch::Receiver<Snapshot>,
    /// Where this program looks after the pods.
    restarter: Option<Restarter>,
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
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.contains_key(scenario) {
            return;
        }
        let start = Instant::now() + window_in;
        let (over, is_over) = watch::channel(false);
        let hand = Arc::clone(&self.hand);
        let faults = tokio::spawn(async move {
            join_all(planned.into_iter().map(|fault| hand.at_its_time(fault, start, is_over.clone()))).await
        });
        let events = Arc::default();
        let recorder = tokio::spawn(changes::record(self.hand.snapshot.clone(), Arc::clone(&events)));
        running.insert(scenario.to_owned(), Running { faults, recorder, events, over });
    }

    /// The load has ended: waits until its faults are over and all pods are ready, as far as that takes no longer than
    /// [`FAULTS_LIMIT`].
    pub(crate) async fn end(&self, scenario: &str) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(scenario);
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
        let events = std::mem::take(&mut *events.lock().unwrap_or_else(PoisonError::into_inner));
        let done = ScenarioFaults { scenario: scenario.to_owned(), faults: carried_out, events };
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push(done);
    }

    /// Everything that came of planned faults, those included whose suite went away.
    pub(crate) async fn finish(&self) -> Vec<ScenarioFaults> {
        for scenario in self.planned.keys() {
            self.end(scenario).await;
        }
        std::mem::take(&mut *self.done.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn not_carried_out(fault: PlannedFault, why: String) -> CarriedOut {
    CarriedOut { fault, unix_ms: None, failure: Some(why), ends: Vec::new() }
}

/// The ends that a fault has brought about so far, and why it went no further.
struct Done {
    ends: Vec<ExplainedEnd>,
    failure: Option<String>,
}

/// What a seed decides is decided before anything runs.
fn undecided() -> Done {
    Done { ends: Vec::new(), failure: Some("no seed has decided what happens".to_owned()) }
}

impl Hand {
    async fn at_its_time(&self, fault: PlannedFault, start: Instant, mut over: watch::Receiver<bool>) -> CarriedOut {
        tokio::select! {
            _ = over.wait_for(|over| *over) => {
                return not_carried_out(fault, "the load ended before its time".to_owned());
            }
            () = tokio::time::sleep_until(start + fault.at.unwrap_or_default()) => {}
        }
        let begun = now_unix_ms();
        let Done { ends, failure } = match &*self.provider {
            Provider::K8s(_) => self.in_a_cluster(&fault).await,
            Provider::Docker(_) | Provider::Local(_) => self.here(&fault).await,
        };
        CarriedOut { fault, unix_ms: Some((begun, now_unix_ms())), failure, ends }
    }

    async fn here(&self, fault: &PlannedFault) -> Done {
        let pod = std::slice::from_ref(&fault.victim);
        match fault.action {
            Action::Kill => self.ended_by(pod, self.provider.strike(&fault.victim, Blow::Kill)).await,
            Action::Terminate => self.ended_by(pod, self.provider.strike(&fault.victim, Blow::Terminate)).await,
            Action::Delete => self.replace(pod).await,
            Action::Restart => self.replace(&self.pods_of(&fault.victim)).await,
            Action::Random => undecided(),
            Action::Rollout => self.roll_out(&fault.victim).await,
            Action::Pause(length) => {
                let freeze = self.provider.strike(&fault.victim, Blow::Freeze).await;
                if freeze.is_ok() {
                    tokio::time::sleep(length).await;
                }
                let thaw = self.provider.strike(&fault.victim, Blow::Thaw).await;
                Done { ends: Vec::new(), failure: freeze.and(thaw).err().map(|error| error.to_string()) }
            }
        }
    }

    fn pods_of(&self, component: &str) -> Vec<String> {
        self.pods.iter().filter(|pod| pod.component.name == component).map(|pod| pod.name.clone()).collect()
    }

    /// The containers of pods, each with its pod.
    fn containers(&self, pods: &[String]) -> Vec<(String, String)> {
        let specs = self.pods.iter().filter(|spec| pods.contains(&spec.name));
        let of = |spec: &PodSpec| {
            let containers = spec.component.pod.containers.iter();
            containers.map(|container| (spec.name.clone(), container.name.clone())).collect::<Vec<_>>()
        };
        specs.flat_map(of).collect()
    }

    /// How long the programs of pods may take to end.
    fn end_limit(&self, pods: &[String]) -> Duration {
        let specs = self.pods.iter().filter(|spec| pods.contains(&spec.name));
        specs.map(|spec| spec.component.pod.termination_grace).max().unwrap_or_default() + END_SLACK
    }

    /// Stops pods with their grace period and has them started again, without a back-off.
    async fn replace(&self, pods: &[String]) -> Done {
        let Some(restarter) = &self.restarter else {
            return Done { ends: Vec::new(), failure: Some("nothing here starts pods".to_owned()) };
        };
        let ask = async {
            for (pod, container) in self.containers(pods) {
                restarter.restart(Restart { pod, container, spare: Duration::ZERO });
            }
            Ok::<_, std::convert::Infallible>(())
        };
        self.ended_by(pods, ask).await
    }

    /// Pods in turn, or all at once where that is the strategy.
    async fn roll_out(&self, component: &str) -> Done {
        let mut pods = self.pods_of(component);
        let spec = self.pods.iter().find(|pod| pod.component.name == component);
        // As a StatefulSet does it, from the last one to the first.
        if spec.is_some_and(|pod| pod.component.kind == "StatefulSet") {
            pods.reverse();
        }
        let mut all = Done { ends: Vec::new(), failure: None };
        for pod in pods {
            let one = std::slice::from_ref(&pod);
            let done = self.replace(one).await;
            all.ends.extend(done.ends);
            all.failure = done.failure;
            if all.failure.is_none() {
                all.failure = self.are_ready(one).await.err();
            }
            if all.failure.is_some() {
                break;
            }
        }
        all
    }

    async fn are_ready(&self, pods: &[String]) -> Result<(), String> {
        let ready = |snapshot: &Snapshot| pods.iter().all(|pod| snapshot.pods.get(pod).is_some_and(|pod| pod.ready));
        let missing = format!("{} was not ready again", pods.join(", "));
        wait_for(self.snapshot.clone(), &missing, READY_LIMIT, ready).await.map(drop).map_err(|error| error.to_string())
    }

    /// Does something that ends each container of pods, and waits for these ends.
    async fn ended_by<E: std::fmt::Display>(&self, pods: &[String], act: impl Future<Output = Result<(), E>>) -> Done {
        let containers = self.containers(pods);
        let count = |snapshot: &Snapshot, (pod, container): &(String, String)| {
            let report = snapshot.pods.get(pod).and_then(|pod| pod.container(container));
            report.map_or(0, |report| report.terminations.len())
        };
        let before: Vec<usize> = {
            let snapshot = self.snapshot.borrow();
            containers.iter().map(|container| count(&snapshot, container)).collect()
        };
        let acted = act.await.map_err(|error| error.to_string());
        let all = || containers.iter().zip(&before);
        let ended = match acted {
            Ok(()) => {
                let all_ended =
                    |snapshot: &Snapshot| all().all(|(container, before)| count(snapshot, container) > *before);
                let missing = format!("not every container of {} has ended", pods.join(", "));
                let waited = wait_for(self.snapshot.clone(), &missing, self.end_limit(pods), all_ended).await;
                waited.map(drop).map_err(|error| error.to_string())
            }
            Err(error) => Err(error),
        };
        let snapshot = self.snapshot.borrow();
        let ends = all().filter(|(container, before)| count(&snapshot, container) > **before);
        let ends = ends.map(|((pod, container), before)| ExplainedEnd {
            pod: pod.clone(),
            container: Some(container.clone()),
            index: *before,
        });
        Done { ends: ends.collect(), failure: ended.err() }
    }

    async fn in_a_cluster(&self, fault: &PlannedFault) -> Done {
        let pod = std::slice::from_ref(&fault.victim);
        match fault.action {
            Action::Kill => self.replaced_by(pod, self.delete(pod, Some(SHORTEST_GRACE))).await,
            Action::Terminate | Action::Delete => self.replaced_by(pod, self.delete(pod, None)).await,
            Action::Restart => {
                let pods = self.pods_of(&fault.victim);
                self.replaced_by(&pods, self.delete(&pods, None)).await
            }
            Action::Rollout => {
                let pods = self.pods_of(&fault.victim);
                let done = self.replaced_by(&pods, self.roll_out_in_a_cluster(&fault.victim)).await;
                let failure = match done.failure {
                    None => self.are_ready(&pods).await.err(),
                    failure => failure,
                };
                Done { failure, ..done }
            }
            Action::Random => undecided(),
            Action::Pause(_) => {
                Done { ends: Vec::new(), failure: Some("a cluster cannot freeze the processes of a pod".to_owned()) }
            }
        }
    }

    async fn delete(&self, pods: &[String], grace_seconds: Option<u32>) -> Result<(), String> {
        let Provider::K8s(cluster) = &*self.provider else { return Ok(()) };
        let deleted = join_all(pods.iter().map(|pod| cluster.delete(pod, grace_seconds))).await;
        deleted.into_iter().collect::<Result<(), _>>().map_err(|error| error.to_string())
    }

    async fn roll_out_in_a_cluster(&self, component: &str) -> Result<(), String> {
        let Provider::K8s(cluster) = &*self.provider else { return Ok(()) };
        let spec = self.pods.iter().find(|pod| pod.component.name == component);
        let kind = spec.map_or("Deployment", |spec| spec.component.kind.as_str());
        cluster.roll_out(component, kind).await.map_err(|error| error.to_string())
    }

    /// Does something that makes a cluster put others in the places of pods, and waits for these.
    async fn replaced_by(&self, pods: &[String], act: impl Future<Output = Result<(), String>>) -> Done {
        let count = |snapshot: &Snapshot, pod: &String| {
            let object = snapshot.pods.get(pod).and_then(|pod| pod.object.as_ref());
            object.map_or(0, |object| object.replaced.len())
        };
        let before: Vec<usize> = {
            let snapshot = self.snapshot.borrow();
            pods.iter().map(|pod| count(&snapshot, pod)).collect()
        };
        let all = || pods.iter().zip(&before);
        let done = match act.await {
            Ok(()) => {
                let replaced = |snapshot: &Snapshot| all().all(|(pod, before)| count(snapshot, pod) > *before);
                let missing = format!("the cluster has not replaced {}", pods.join(", "));
                let limit = self.end_limit(pods) + READY_LIMIT * u32::try_from(pods.len()).unwrap_or(1);
                let waited = wait_for(self.snapshot.clone(), &missing, limit, replaced).await;
                waited.map(drop).map_err(|error| error.to_string())
            }
            Err(error) => Err(error),
        };
        let snapshot = self.snapshot.borrow();
        let ends = all().flat_map(|(pod, before)| {
            (*before..count(&snapshot, pod)).map(|index| ExplainedEnd { pod: pod.clone(), container: None, index })
        });
        Done { ends: ends.collect(), failure: done.err() }
    }
}
