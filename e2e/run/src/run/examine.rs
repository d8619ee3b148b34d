//! Examines probes while they fail: at the end the container may be in CrashLoopBackOff and unable to answer.
//! Main type: [`Examinations`].

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use e2e_kubelet::{
    snapshot::{ContainerReport, Snapshot},
    status::ContainerState,
};
use e2e_load::clock::now_unix_ms;
use e2e_node::{
    doctor::{self, Case, Known},
    node::Runtime,
};
use e2e_plan::{Probe, ProbeAction, ProbeKind, Service};
use e2e_report::{diagnose::trouble, evidence::DoctorEntry};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::prepare::Prepared;
use crate::provider::{Provider, pods::PodSpec};

/// Examines failing probes until it is dropped.
pub(super) struct Examinations {
    examiner: Arc<Examiner>,
    task: JoinHandle<()>,
}

impl Examinations {
    /// Starts examining.
    pub(super) fn start(provider: Arc<Provider>, prepared: &Prepared, snapshots: watch::Receiver<Snapshot>) -> Self {
        let examiner = Arc::new(Examiner {
            provider,
            pods: prepared.pods.clone(),
            services: prepared.plan.services.clone(),
            snapshots,
            histories: Mutex::default(),
        });
        let task = tokio::spawn(follow(Arc::clone(&examiner)));
        Self { examiner, task }
    }

    /// The diagnosis of each failing HTTP probe, once per component. A cause found at the end replaces an earlier one, which may
    /// have disappeared since.
    pub(super) async fn finish(&self, snapshot: &Snapshot) -> Vec<DoctorEntry> {
        self.task.abort();
        let mut entries: BTreeMap<Key, DoctorEntry> = BTreeMap::new();
        for subject in self.examiner.subjects(snapshot) {
            let Subject { pod, container, which, probe, tally } = &subject;
            let report = snapshot.pod(&pod.name);
            let troubled = report.and_then(|report| trouble(report, &container.name, probe, *which, tally));
            if troubled.is_none() || entries.contains_key(&subject.key()) {
                continue;
            }
            let earlier = self.examiner.earlier(&subject.key());
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

impl Drop for Examinations {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Component, container, probe: replicas are copies, so one examination covers all of them.
type Key = (String, String, ProbeKind);

struct Examiner {
    provider: Arc<Provider>,
    pods: Vec<PodSpec>,
    services: Vec<Service>,
    snapshots: watch::Receiver<Snapshot>,
    histories: Mutex<BTreeMap<Key, History>>,
}

/// The record of one probe.
#[derive(Default)]
struct History {
    /// Failures required before the next examination. They double each time, so that a probe without an identifiable cause does not
    /// keep the doctor and the component busy.
    failures_wanted: u32,
    unready: Option<Unready>,
    entry: Option<DoctorEntry>,
}

/// A replica whose container runs but is not ready.
struct Unready {
    pod: String,
    since: Instant,
    /// How long it may stay unready before the next examination.
    limit: Duration,
}

/// A declared HTTP probe of a pod.
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

    /// Whether it may keep its container from becoming ready although no failure was reported: a cluster's events come late or not
    /// at all.
    fn is_suspect(&self) -> bool {
        let status = &self.container.status;
        !status.ready && (self.which == ProbeKind::Readiness || status.restart_count > 0)
    }
}

/// How often the doctor checks all probes when no news arrives.
const ROUND: Duration = Duration::from_secs(1);

/// Since when the container runs; `None` if it does not or is being stopped, since a draining program answers differently.
fn instance(container: &ContainerReport) -> Option<Duration> {
    let ContainerState::Running { since } = container.status.state else { return None };
    let stopping = container.events.iter().any(|event| event.reason == "Killing" && event.last >= since);
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
    /// Every HTTP probe of every pod.
    fn subjects<'a>(&'a self, snapshot: &'a Snapshot) -> Vec<Subject<'a>> {
        let mut subjects = Vec::new();
        for pod in &self.pods {
            let Some(report) = snapshot.pod(&pod.name) else { continue };
            for declared in &pod.component.pod.containers {
                let Some(container) = report.container(&declared.name) else { continue };
                subjects.extend(ProbeKind::ALL.into_iter().filter_map(|which| {
                    let probe = which.of(&declared.probes)?;
                    let tally = container.probes.get(&which)?;
                    let is_http = matches!(probe.action, ProbeAction::HttpGet { .. });
                    is_http.then_some(Subject { pod, container, which, probe, tally })
                }));
            }
        }
        subjects
    }

    fn wants(&self, subject: &Subject<'_>) -> bool {
        let mut histories = self.histories.lock().unwrap_or_else(PoisonError::into_inner);
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
        let mut histories = self.histories.lock().unwrap_or_else(PoisonError::into_inner);
        let history = histories.entry(subject.key()).or_default();
        history.failures_wanted = subject.unanswered().saturating_mul(2);
        if let Some(unready) = &mut history.unready {
            unready.limit *= 2;
        }
        // A probe that succeeded again needs no entry.
        if let Some(entry) = entry.filter(|entry| !entry.diagnosis.success()) {
            history.entry = Some(entry);
        }
    }

    /// Drops a replica's findings from before its container became ready: in a cluster all pods start at once, and most must first
    /// wait for another.
    fn forget(&self, subject: &Subject<'_>) {
        let pod = &subject.pod.name;
        if let Some(history) = self.histories.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&subject.key()) {
            history.entry = history.entry.take().filter(|entry| entry.pod != *pod);
            history.unready = history.unready.take().filter(|unready| unready.pod != *pod);
        }
    }

    fn earlier(&self, key: &Key) -> Option<DoctorEntry> {
        self.histories.lock().unwrap_or_else(PoisonError::into_inner).get(key)?.entry.clone()
    }

    /// Runs the doctor. `None` if the container ended or was stopped meanwhile, because the answers then prove nothing.
    async fn examine(&self, subject: &Subject<'_>) -> Option<DoctorEntry> {
        let Subject { pod, container, which, probe, .. } = subject;
        let target = self.provider.target(&pod.name)?;
        let component = &pod.component;
        let in_front = |service: &&Service| service.components.contains(&component.name);
        let case = Case {
            kind: component.kind.clone(),
            component: component.name.clone(),
            container: container.name.clone(),
            which: *which,
            probe: (*probe).clone(),
            known: Known {
                services: self.services.iter().filter(in_front).map(|service| service.name.clone()).collect(),
                paths: other_paths(pod, &container.name, *which),
                away: self.away(pod),
                ..Known::default()
            },
        };
        let diagnosis = doctor::diagnose(&case, &target, &self.provider.profile()).await;
        let now = self.snapshots.borrow().pod(&pod.name)?.container(&container.name).and_then(instance);
        (now == instance(container)).then(|| DoctorEntry {
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
    /// The components that a pod refers to and that have no ready replica.
    fn away(&self, pod: &PodSpec) -> Vec<String> {
        let snapshot = self.snapshots.borrow();
        let is_ready =
            |name: &str| snapshot.pod(name).is_some_and(|pod| pod.containers.iter().all(|one| one.status.ready));
        let serves =
            |component: &str| self.pods.iter().any(|pod| pod.component.name == component && is_ready(&pod.name));
        pod.component.depends_on.iter().filter(|component| !serves(component)).cloned().collect()
    }
}

/// Paths of the container's other probes.
fn other_paths(pod: &PodSpec, container: &str, which: ProbeKind) -> Vec<String> {
    let Some(declared) = pod.container(container) else { return Vec::new() };
    let others = ProbeKind::ALL.into_iter().filter(|other| *other != which);
    let path = |probe: &Probe| match &probe.action {
        ProbeAction::HttpGet { path, .. } => Some(path.clone()),
        ProbeAction::TcpSocket { .. } | ProbeAction::Exec { .. } | ProbeAction::Grpc { .. } => None,
    };
    others.filter_map(|other| other.of(&declared.probes).and_then(path)).collect()
}
