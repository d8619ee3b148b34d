//! Examines probes while they fail: at the end the container may be in CrashLoopBackOff and unable to answer.
//! Main type: [`Examinations`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use e2e_kubelet::{
    diagnosis::{Cause, Diagnosis},
    observation::Kind,
    snapshot::{ContainerReport, Snapshot},
    status::ContainerState,
};
use e2e_load::clock::now_unix_ms;
use e2e_node::{
    doctor::{self, Case},
    node::Runtime,
    probe::Target,
};
use e2e_plan::{Probe, ProbeAction, ProbeKind};
use e2e_report::{
    diagnose::trouble,
    environment::{self, Component},
    evidence::DoctorEntry,
};
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    known::{Facts, known},
    prepared::Prepared,
};
use crate::{
    gather::{self, Meter},
    provider::{Provider, pods::PodSpec},
};

/// Examines failing probes until it is dropped.
pub(super) struct Examinations {
    examiner: Arc<Examiner>,
    task: AbortOnDropHandle<()>,
}

impl Examinations {
    pub(super) fn start(provider: Arc<Provider>, prepared: &Prepared, snapshots: watch::Receiver<Snapshot>) -> Self {
        let examiner = Arc::new(Examiner {
            provider,
            pods: prepared.pods.clone(),
            routes: environment::routes(&prepared.plan),
            components: environment::components(&prepared.plan),
            meters: prepared.config.saturation.clone(),
            snapshots,
            histories: Mutex::default(),
            been_ready: Mutex::default(),
        });
        let task = AbortOnDropHandle::new(tokio::spawn(follow(Arc::clone(&examiner))));
        Self { examiner, task }
    }

    /// The diagnosis of each failing probe, once per component. A cause found at the end replaces an earlier one, which may
    /// have disappeared since.
    pub(super) async fn finish(&self, snapshot: &Snapshot) -> Vec<DoctorEntry> {
        self.task.abort();
        let mut entries: BTreeMap<Key, DoctorEntry> = BTreeMap::new();
        for subject in self.examiner.subjects(snapshot) {
            let Subject { pod, container, which, probe, tally } = &subject;
            let report = snapshot.pod(&pod.name);
            let troubled = report.and_then(|report| trouble(report, &container.name, *which, probe));
            if entries.contains_key(&subject.key()) {
                continue;
            }
            let earlier = self.examiner.earlier(&subject.key());
            if troubled.is_none() {
                // What the load did to a probe is over with it.
                let of_load = earlier.filter(|entry| is_of_load(entry) && tally.failed >= probe.failure_threshold);
                entries.extend(of_load.map(|entry| (subject.key(), entry)));
                continue;
            }
            let now = match subject.is_running() {
                true => self.examiner.examine(&subject).await,
                false => None,
            };
            let has_cause = |entry: &DoctorEntry| entry.diagnosis.cause.is_some();
            let entry = now.clone().filter(has_cause).or(earlier).or(now);
            entries.extend(entry.map(|entry| (subject.key(), entry)));
        }
        entries.into_values().collect()
    }
}

/// Whether a finding may be of an app that works, and only has too much to do.
fn is_of_load(entry: &DoctorEntry) -> bool {
    matches!(entry.diagnosis.cause, Some(Cause::TooSlow | Cause::WaitsForPool))
}

/// Component, container, probe: replicas are copies, so one examination covers all of them.
type Key = (String, String, ProbeKind);

struct Examiner {
    provider: Arc<Provider>,
    pods: Vec<PodSpec>,
    routes: BTreeMap<String, Vec<String>>,
    components: Vec<Component>,
    meters: Vec<Meter>,
    snapshots: watch::Receiver<Snapshot>,
    histories: Mutex<BTreeMap<Key, History>>,
    /// Pod, container and start of the instances that have been ready.
    been_ready: Mutex<BTreeSet<(String, String, Duration)>>,
}

/// The record of one probe.
#[derive(Default)]
struct History {
    /// Failures required before the next examination. They double each time, so that a probe without an identifiable cause does not
    /// keep the doctor and the component busy.
    failures_wanted: u32,
    unready: Option<Unready>,
    entry: Option<DoctorEntry>,
    /// Whether the instance that the entry is about had been ready by then.
    was_ready: bool,
}

/// A replica whose container runs but is not ready.
struct Unready {
    pod: String,
    since: Instant,
    /// How long it may stay unready before the next examination.
    limit: Duration,
}

/// A declared probe of a pod.
struct Subject<'a> {
    pod: &'a PodSpec,
    container: &'a ContainerReport,
    which: ProbeKind,
    probe: &'a Probe,
    tally: &'a e2e_kubelet::snapshot::ProbeReport,
}

impl Subject<'_> {
    fn key(&self) -> Key {
        (self.pod.component.name.clone(), self.container.name.clone(), self.which)
    }

    /// Number of probes without a correct answer.
    fn unanswered(&self) -> u32 {
        self.tally.failed.saturating_add(self.tally.errored)
    }

    fn is_running(&self) -> bool {
        instance(self.container).is_some()
    }

    fn instance(&self) -> Option<(String, String, Duration)> {
        instance(self.container).map(|since| (self.pod.name.clone(), self.container.name.clone(), since))
    }

    /// Whether it may keep its container from becoming ready although no failure was reported: a cluster's events come late or not
    /// at all.
    fn is_suspect(&self) -> bool {
        let status = &self.container.status;
        !status.ready && (self.which == ProbeKind::Readiness || status.restart_count > 0)
    }
}

/// How often the doctor looks whether a pool is used up while it searches for another cause.
const POOL_LOOKS: Duration = Duration::from_millis(100);

/// How often the doctor checks all probes when no news arrives.
const ROUND: Duration = Duration::from_secs(1);

/// Since when the container runs; `None` if it does not or is being stopped, since a draining program answers differently.
fn instance(container: &ContainerReport) -> Option<Duration> {
    let ContainerState::Running { since } = container.status.state else { return None };
    let stopping = container.events.iter().any(|event| event.is_killing() && event.last >= since);
    (!stopping).then_some(since)
}

async fn follow(examiner: Arc<Examiner>) {
    let mut snapshots = examiner.snapshots.clone();
    loop {
        let snapshot = snapshots.borrow_and_update().clone();
        for subject in examiner.subjects(&snapshot) {
            if subject.container.status.ready {
                examiner.forget(&subject);
            }
            if subject.is_running() && examiner.wants(&subject) {
                let entry = examiner.examine(&subject).await;
                examiner.keep(&subject, entry);
            }
        }
        if let Ok(Err(_)) = timeout(ROUND, snapshots.changed()).await {
            return;
        }
    }
}

impl Examiner {
    /// Every probe of every pod that the doctor can explain; liveness first, because nothing can be asked of what it had killed.
    fn subjects<'a>(&'a self, snapshot: &'a Snapshot) -> Vec<Subject<'a>> {
        let mut subjects = Vec::new();
        for pod in &self.pods {
            let Some(report) = snapshot.pod(&pod.name) else { continue };
            for declared in &pod.component.pod.containers {
                let Some(container) = report.container(&declared.name) else { continue };
                subjects.extend(ProbeKind::ALL.into_iter().rev().filter_map(|which| {
                    let probe = which.of(&declared.probes)?;
                    let tally = container.probes.get(&which)?;
                    let is_examined = match probe.action {
                        ProbeAction::HttpGet { .. } | ProbeAction::Grpc { .. } => true,
                        // A command costs the container a process: it is run again only where it was not done in time.
                        ProbeAction::Exec { .. } => {
                            tally.last_failure.as_ref().is_some_and(|last| last.kind == Kind::Timeout)
                        }
                        // Its failure says all there is: nothing listens.
                        ProbeAction::TcpSocket { .. } => false,
                    };
                    is_examined.then_some(Subject { pod, container, which, probe, tally })
                }));
            }
        }
        subjects
    }

    fn wants(&self, subject: &Subject<'_>) -> bool {
        let mut histories = self.histories.lock();
        let history = histories.entry(subject.key()).or_default();
        if history.entry.as_ref().is_some_and(|entry| entry.diagnosis.cause.is_some()) {
            return false;
        }
        let told = subject.unanswered() > 0 && subject.unanswered() >= history.failures_wanted;
        // Two periods: a probe about to succeed needs no examination.
        let patience = subject.probe.initial_delay + subject.probe.period * 2;
        let pod = &subject.pod.name;
        let now_unready = || Unready { pod: pod.clone(), since: Instant::now(), limit: patience };
        let is_late = |unready: &mut Unready| unready.pod == *pod && unready.since.elapsed() >= unready.limit;
        told || subject.is_suspect() && is_late(history.unready.get_or_insert_with(now_unready))
    }

    fn keep(&self, subject: &Subject<'_>, entry: Option<DoctorEntry>) {
        let mut histories = self.histories.lock();
        let history = histories.entry(subject.key()).or_default();
        history.failures_wanted = subject.unanswered().saturating_mul(2);
        if let Some(unready) = &mut history.unready {
            unready.limit *= 2;
        }
        // A probe that succeeded again needs no entry.
        if let Some(entry) = entry.filter(|entry| !entry.diagnosis.success()) {
            history.entry = Some(entry);
            history.was_ready = self.has_been_ready(subject);
        }
    }

    /// Drops a replica's findings from before its container became ready: in a cluster all pods start at once, and most must first
    /// wait for another. What a load does to a container that was ready stays.
    fn forget(&self, subject: &Subject<'_>) {
        let pod = &subject.pod.name;
        if let Some(instance) = subject.instance() {
            self.been_ready.lock().insert(instance);
        }
        if let Some(history) = self.histories.lock().get_mut(&subject.key()) {
            let stays = |entry: &DoctorEntry| entry.pod != *pod || history.was_ready && is_of_load(entry);
            history.entry = history.entry.take().filter(stays);
            history.unready = history.unready.take().filter(|unready| unready.pod != *pod);
        }
    }

    fn has_been_ready(&self, subject: &Subject<'_>) -> bool {
        let been_ready = self.been_ready.lock();
        subject.instance().is_some_and(|instance| been_ready.contains(&instance))
    }

    fn earlier(&self, key: &Key) -> Option<DoctorEntry> {
        self.histories.lock().get(key)?.entry.clone()
    }

    /// Runs the doctor. `None` if the container ended or was stopped meanwhile, because the answers then prove nothing.
    async fn examine(&self, subject: &Subject<'_>) -> Option<DoctorEntry> {
        let Subject { pod, container, which, probe, .. } = subject;
        let target = self.provider.target(&pod.name)?;
        let component = self.components.iter().find(|component| component.name == pod.component.name)?;
        let known = {
            let snapshot = self.snapshots.borrow();
            let facts = Facts { routes: &self.routes, components: &self.components, snapshot: &snapshot };
            known(facts, component, &container.name, *which)
        };
        let case = Case {
            kind: component.kind.clone(),
            component: component.name.clone(),
            container: container.name.clone(),
            which: *which,
            probe: (*probe).clone(),
            known,
        };
        let is_command = matches!(probe.action, ProbeAction::Exec { .. });
        let diagnosis = match self.waits_for_pool(pod, &case, &target).await {
            Some(diagnosis) => diagnosis,
            None if is_command => {
                doctor::diagnose_command(&case, &*self.provider, &self.provider.profile(), &pod.name).await
            }
            None => {
                let profile = self.provider.profile();
                // A pool that is used up only now and then: the general search would outlast the load.
                tokio::select! {
                    diagnosis = doctor::diagnose(&case, &target, &profile) => diagnosis,
                    () = self.pool_is_used_up(pod, &case) => match self.waits_for_pool(pod, &case, &target).await {
                        Some(diagnosis) => diagnosis,
                        None => doctor::diagnose(&case, &target, &profile).await,
                    },
                }
            }
        };
        let now = self.snapshots.borrow().pod(&pod.name)?.container(&container.name).and_then(instance);
        // What a command came to by itself stands in its events.
        let is_news = !is_command || diagnosis.cause.is_some();
        (is_news && now == instance(container)).then(|| DoctorEntry {
            component: component.name.clone(),
            pod: pod.name.clone(),
            container: container.name.clone(),
            which: *which,
            at_unix_ms: now_unix_ms(),
            diagnosis,
        })
    }
}

impl Examiner {
    /// Returns once a pool of the component is used up.
    async fn pool_is_used_up(&self, pod: &PodSpec, case: &Case) {
        loop {
            tokio::time::sleep(POOL_LOOKS).await;
            for meter in self.meters.iter().filter(|meter| meter.component == case.component) {
                if gather::look(&self.provider, meter, pod).await.is_some_and(|state| state.is_used_up()) {
                    return;
                }
            }
        }
    }

    /// Whether a probe waits for a pool that its component's requests use up now.
    async fn waits_for_pool(&self, pod: &PodSpec, case: &Case, target: &Target) -> Option<Diagnosis> {
        for meter in self.meters.iter().filter(|meter| meter.component == case.component) {
            let look = || gather::look(&self.provider, meter, pod);
            if look().await.is_some_and(|state| state.is_used_up()) {
                let profile = self.provider.profile();
                let found = doctor::waits_for_pool(case, target, &profile, &meter.resource, look).await;
                if found.is_some() {
                    return found;
                }
            }
        }
        None
    }
}
