//! The doctor looks at a probe while it fails: at the end there may be nobody left to ask, since a container in
//! CrashLoopBackOff does not run. Main type: [`Examinations`].

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
use e2e_plan::{Probe, ProbeAction, Service, Which};
use e2e_report::{diagnose::trouble, evidence::DoctorEntry};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::prepare::Prepared;
use crate::provider::{Provider, pods::PodSpec};

/// Examines probes that fail, until it is dropped.
pub(super) struct Examinations {
    surgery: Arc<Surgery>,
    task: JoinHandle<()>,
}

impl Examinations {
    /// Begins to look.
    pub(super) fn start(provider: Arc<Provider>, prepared: &Prepared, snapshots: watch::Receiver<Snapshot>) -> Self {
        let surgery = Arc::new(Surgery {
            provider,
            pods: prepared.pods.clone(),
            services: prepared.plan.services.clone(),
            snapshots,
            files: Mutex::default(),
        });
        let task = tokio::spawn(follow(Arc::clone(&surgery)));
        Self { surgery, task }
    }

    /// What was found of each HTTP probe that fails, once per component. A cause that shows at the end stands above one that
    /// showed before, which may have gone since.
    pub(super) async fn finish(&self, snapshot: &Snapshot) -> Vec<DoctorEntry> {
        self.task.abort();
        let mut entries: BTreeMap<Key, DoctorEntry> = BTreeMap::new();
        for patient in self.surgery.patients(snapshot) {
            let Patient { pod, container, which, probe, tally } = &patient;
            let report = snapshot.pod(&pod.name);
            let troubled = report.and_then(|report| trouble(report, &container.name, probe, *which, tally));
            if troubled.is_none() || entries.contains_key(&patient.key()) {
                continue;
            }
            let earlier = self.surgery.earlier(&patient.key());
            let now = match patient.is_running() {
                true => self.surgery.examine(&patient).await,
                false => None,
            };
            let has_cause = |entry: &DoctorEntry| entry.diagnosis.cause.is_some();
            let entry = now.clone().filter(has_cause).or(earlier).or(now);
            entries.extend(entry.map(|entry| (patient.key(), entry)));
        }
        entries.into_values().collect()
    }
}

impl Drop for Examinations {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Replicas are copies, so one examination speaks for all: component, container, probe.
type Key = (String, String, Which);

struct Surgery {
    provider: Arc<Provider>,
    pods: Vec<PodSpec>,
    services: Vec<Service>,
    snapshots: watch::Receiver<Snapshot>,
    files: Mutex<BTreeMap<Key, File>>,
}

/// What is known of one probe.
#[derive(Default)]
struct File {
    /// How many failures there must be before the next look: twice as many each time, so that a probe without a cause that
    /// can be found does not keep the doctor and the component busy.
    failures_wanted: u32,
    unready: Option<Unready>,
    entry: Option<DoctorEntry>,
}

/// A replica whose container runs and is not ready.
struct Unready {
    pod: String,
    since: Instant,
    /// After how long of that the next look comes.
    limit: Duration,
}

/// A declared HTTP probe of a pod.
struct Patient<'a> {
    pod: &'a PodSpec,
    container: &'a ContainerReport,
    which: Which,
    probe: &'a Probe,
    tally: &'a e2e_kubelet::snapshot::ProbeReport,
}

impl Patient<'_> {
    fn key(&self) -> Key {
        (self.pod.component.name.clone(), self.container.name.clone(), self.which)
    }

    /// How many probes have not been answered as they should.
    fn unanswered(&self) -> u32 {
        self.tally.failed.saturating_add(self.tally.errored)
    }

    fn is_running(&self) -> bool {
        instance(self.container).is_some()
    }

    /// Whether it may be what keeps its container from being ready, although nobody has told of a failure: a cluster's events come
    /// late, and of many some never do.
    fn is_suspect(&self) -> bool {
        let status = &self.container.status;
        !status.ready && (self.which == Which::Readiness || status.restart_count > 0)
    }
}

/// How often the doctor looks round while nothing is heard.
const ROUND: Duration = Duration::from_secs(1);

/// Since when the container runs; `None` while it does not, or is being stopped: a program that drains answers otherwise.
fn instance(container: &ContainerReport) -> Option<Duration> {
    let ContainerState::Running { since } = container.status.state else { return None };
    let stopping = container.events.iter().any(|event| event.reason == "Killing" && event.last >= since);
    (!stopping).then_some(since)
}

async fn follow(surgery: Arc<Surgery>) {
    let mut snapshots = surgery.snapshots.clone();
    loop {
        let snapshot = snapshots.borrow_and_update().clone();
        for patient in surgery.patients(&snapshot) {
            if patient.container.status.ready {
                surgery.forget(&patient);
            }
            if patient.is_running() && surgery.wants(&patient) {
                let entry = surgery.examine(&patient).await;
                surgery.keep(&patient, entry);
            }
        }
        if let Ok(Err(_)) = timeout(ROUND, snapshots.changed()).await {
            return;
        }
    }
}

impl Surgery {
    /// Every HTTP probe of every pod.
    fn patients<'a>(&'a self, snapshot: &'a Snapshot) -> Vec<Patient<'a>> {
        let mut patients = Vec::new();
        for pod in &self.pods {
            let Some(report) = snapshot.pod(&pod.name) else { continue };
            for declared in &pod.component.pod.containers {
                let Some(container) = report.container(&declared.name) else { continue };
                patients.extend(Which::ALL.into_iter().filter_map(|which| {
                    let probe = which.of(&declared.probes)?;
                    let tally = container.probes.get(&which)?;
                    let is_http = matches!(probe.action, ProbeAction::HttpGet { .. });
                    is_http.then_some(Patient { pod, container, which, probe, tally })
                }));
            }
        }
        patients
    }

    fn wants(&self, patient: &Patient<'_>) -> bool {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let file = files.entry(patient.key()).or_default();
        if file.entry.as_ref().is_some_and(|entry| entry.diagnosis.cause.is_some()) {
            return false;
        }
        let told = patient.unanswered() > 0 && patient.unanswered() >= file.failures_wanted;
        // Two periods: a probe that is about to succeed is no trouble.
        let patience = patient.probe.initial_delay + patient.probe.period * 2;
        let pod = &patient.pod.name;
        let now_unready = || Unready { pod: pod.clone(), since: Instant::now(), limit: patience };
        let is_late = |unready: &mut Unready| unready.pod == *pod && unready.since.elapsed() >= unready.limit;
        told || patient.is_suspect() && is_late(file.unready.get_or_insert_with(now_unready))
    }

    fn keep(&self, patient: &Patient<'_>, entry: Option<DoctorEntry>) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let file = files.entry(patient.key()).or_default();
        file.failures_wanted = patient.unanswered().saturating_mul(2);
        if let Some(unready) = &mut file.unready {
            unready.limit *= 2;
        }
        // A probe that succeeded again has no entry: nothing was found, and nothing is wrong.
        if let Some(entry) = entry.filter(|entry| !entry.diagnosis.success()) {
            file.entry = Some(entry);
        }
    }

    /// What was found of a replica before its container became ready has gone since: in a cluster all pods start at once, and most
    /// have to wait for another at first.
    fn forget(&self, patient: &Patient<'_>) {
        let pod = &patient.pod.name;
        if let Some(file) = self.files.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&patient.key()) {
            file.entry = file.entry.take().filter(|entry| entry.pod != *pod);
            file.unready = file.unready.take().filter(|unready| unready.pod != *pod);
        }
    }

    fn earlier(&self, key: &Key) -> Option<DoctorEntry> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).get(key)?.entry.clone()
    }

    /// Has the doctor look. `None` when the container ended or was stopped meanwhile, for then the answers prove nothing.
    async fn examine(&self, patient: &Patient<'_>) -> Option<DoctorEntry> {
        let Patient { pod, container, which, probe, .. } = patient;
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

impl Surgery {
    /// The components that a pod refers to and of which nobody is ready.
    fn away(&self, pod: &PodSpec) -> Vec<String> {
        let snapshot = self.snapshots.borrow();
        let is_ready =
            |name: &str| snapshot.pod(name).is_some_and(|pod| pod.containers.iter().all(|one| one.status.ready));
        let serves =
            |component: &str| self.pods.iter().any(|pod| pod.component.name == component && is_ready(&pod.name));
        pod.component.depends_on.iter().filter(|component| !serves(component)).cloned().collect()
    }
}

/// Paths that the container's other probes ask.
fn other_paths(pod: &PodSpec, container: &str, which: Which) -> Vec<String> {
    let Some(declared) = pod.container(container) else { return Vec::new() };
    let others = Which::ALL.into_iter().filter(|other| *other != which);
    let path = |probe: &Probe| match &probe.action {
        ProbeAction::HttpGet { path, .. } => Some(path.clone()),
        ProbeAction::TcpSocket { .. } | ProbeAction::Exec { .. } | ProbeAction::Grpc { .. } => None,
    };
    others.filter_map(|other| other.of(&declared.probes).and_then(path)).collect()
}
