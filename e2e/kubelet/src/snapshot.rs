//! The node's state of its pods, as plain data. Main type: [`Snapshot`].

use std::{collections::BTreeMap, fmt, net::IpAddr, time::Duration};

use e2e_plan::{Container, Hooks, Pod, ProbeKind, Probes, Restart, duration::millis, words::counted};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    observation::{Kind, Observation, Verdict},
    status::{ContainerState, ContainerStatus, Event, Termination},
};

/// A pod for the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSpec {
    /// The pod's name, such as `backend-0`.
    pub name: String,
    /// Run in order before the containers: each to completion, a sidecar until it has started.
    pub init_containers: Vec<ContainerSpec>,
    /// Run side by side.
    pub containers: Vec<ContainerSpec>,
    /// The restart policy.
    pub restart: Restart,
    /// The grace period for a container to stop.
    pub grace: Duration,
    /// Names of pods to start first. Kubernetes has no such order; see `e2e_node::node::Options`.
    pub depends_on: Vec<String>,
    /// Names of pods that have to end well before it starts, however long that takes, as helm waits for its hooks.
    pub after: Vec<String>,
}

/// A container for the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSpec {
    /// The container's name, unique in its pod.
    pub name: String,
    /// The probes to send.
    pub probes: Probes,
    /// The hooks to run.
    pub hooks: Hooks,
    /// Whether it is a sidecar: an init container that keeps running.
    pub is_sidecar: bool,
}

impl PodSpec {
    /// A pod of the plan under a name, which waits for no other one.
    #[must_use]
    pub fn of_plan(name: impl Into<String>, pod: &Pod) -> Self {
        let spec = |c: &Container| ContainerSpec {
            name: c.name.clone(),
            probes: c.probes.clone(),
            hooks: c.hooks.clone(),
            is_sidecar: c.is_sidecar,
        };
        Self {
            name: name.into(),
            init_containers: pod.init_containers.iter().map(spec).collect(),
            containers: pod.containers.iter().map(spec).collect(),
            restart: pod.restart,
            grace: pod.termination_grace,
            depends_on: Vec::new(),
            after: Vec::new(),
        }
    }
}

/// All pods by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    /// The pods.
    pub pods: BTreeMap<String, PodReport>,
}

/// One pod.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PodReport {
    /// The pod's address as a kubelet knows it; absent before it has one.
    pub ip: Option<IpAddr>,
    /// The STATUS column of `kubectl get pods`: `Running`, `CrashLoopBackOff`, `Init:0/1`.
    pub status: String,
    /// Whether Services may send it traffic because every container is ready, or it has run to completion.
    pub ready: bool,
    /// Whether every container has started; for a pod that runs to completion, has succeeded.
    pub started: bool,
    /// Whether it should run to completion.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub completes: bool,
    /// Restarts of all containers in total.
    pub restarts: u32,
    /// The init containers, in order.
    pub init_containers: Vec<ContainerReport>,
    /// The containers.
    pub containers: Vec<ContainerReport>,
    /// Events of the pod itself; see [`PodReport::all_events`] for those of its containers too.
    pub events: Vec<Event>,
    /// The object in the cluster; absent on docker and local.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ClusterPod>,
}

/// A pod as an object of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterPod {
    /// Its name; empty while it does not exist.
    pub name: String,
    /// Its node.
    pub node: Option<String>,
    /// Its conditions that are not `True`.
    pub conditions: Vec<Condition>,
    /// Names of the pods that it replaced.
    pub replaced: Vec<String>,
}

/// A condition of a pod, for example `PodScheduled`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Condition {
    /// The name.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// The reason in one word; may be empty.
    pub reason: String,
    /// The message; may be empty.
    pub message: String,
}

/// Formats it as `PodScheduled=False (Unschedulable: 0/1 nodes are available)`.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, status, reason, message } = self;
        write!(f, "{kind}={status} ({reason}: {message})")
    }
}

/// One container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContainerReport {
    /// The container's name.
    pub name: String,
    /// Whether it is a sidecar: an init container that keeps running.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_sidecar: bool,
    /// Its entry in `containerStatuses`.
    pub status: ContainerStatus,
    /// The terminations of its instances, oldest first. Kubernetes keeps only the last one.
    pub terminations: Vec<Termination>,
    /// Its events.
    pub events: Vec<Event>,
    /// Its declared probes.
    pub probes: BTreeMap<ProbeKind, ProbeReport>,
}

/// The results of a probe over all instances of its container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeReport {
    /// The number of probes sent; absent on k8s, where kubelets report only failures.
    #[serde(default)]
    pub sent: Option<u32>,
    /// The number of failures.
    pub failed: u32,
    /// The number of errors, which a kubelet ignores.
    pub errored: u32,
    /// The number of probes that this program could not send.
    pub not_measured: u32,
    /// The time from an instance's start to its first success.
    pub first_success_ms: Option<u64>,
    /// The longest duration.
    pub max_ms: f64,
    /// The total duration.
    pub sum_ms: f64,
    /// The last success.
    pub last_success: Option<Observation>,
    /// The last failure or error.
    pub last_failure: Option<Observation>,
}

impl Snapshot {
    /// Pods in their initial state.
    #[must_use]
    pub fn of_specs(specs: &[PodSpec]) -> Self {
        let pods = specs.iter().map(|spec| (spec.name.clone(), PodReport::of_spec(spec))).collect();
        Self { pods }
    }

    /// Whether every pod is ready.
    #[must_use]
    pub fn all_ready(&self) -> bool {
        self.pods.values().all(|pod| pod.ready)
    }

    /// The names of the pods that Services may send traffic to.
    pub fn ready_pods(&self) -> impl Iterator<Item = &str> {
        self.pods.iter().filter(|(_, pod)| pod.ready).map(|(name, _)| name.as_str())
    }

    /// One pod by name.
    #[must_use]
    pub fn pod(&self, name: &str) -> Option<&PodReport> {
        self.pods.get(name)
    }

    /// The state of each unready pod, for an error message.
    #[must_use]
    pub fn unready_lines(&self) -> String {
        let line = |(name, pod): (&String, &PodReport)| {
            let last = pod.all_events().into_iter().rfind(|event| event.reason != "Started");
            let last = last.map_or_else(String::new, |event| format!(", {}: {}", event.reason, event.message));
            format!("{name} is {} with {}{last}", pod.status, counted(pod.restarts, "restart"))
        };
        let unready: Vec<_> = self.pods.iter().filter(|(_, pod)| !pod.ready).map(line).collect();
        unready.join("; ")
    }
}

impl PodReport {
    fn of_spec(spec: &PodSpec) -> Self {
        let reason = first_reason(spec.init_containers.is_empty());
        let reports = |specs: &[ContainerSpec]| {
            let report = |c: &ContainerSpec| ContainerReport {
                is_sidecar: c.is_sidecar,
                ..ContainerReport::declared(&c.name, &c.probes, reason)
            };
            specs.iter().map(report).collect()
        };
        let mut report = Self {
            completes: spec.restart.runs_to_completion(),
            init_containers: reports(&spec.init_containers),
            containers: reports(&spec.containers),
            ..Self::default()
        };
        report.sum_up();
        report
    }

    /// The pod that takes this one's place has not started anything yet. What has been stays.
    pub fn begin_again(&mut self) {
        let waiting = ContainerStatus::waiting(first_reason(self.init_containers.is_empty()));
        self.ip = None;
        for container in self.init_containers.iter_mut().chain(&mut self.containers) {
            let ContainerStatus { restart_count, last_termination, .. } = container.status.clone();
            container.status = ContainerStatus { restart_count, last_termination, ..waiting.clone() };
        }
    }

    /// Its containers in the order of their start.
    pub fn all_containers(&self) -> impl Iterator<Item = &ContainerReport> {
        self.init_containers.iter().chain(&self.containers)
    }

    /// Those that go on running: its sidecars, then its containers.
    pub fn running_containers(&self) -> impl Iterator<Item = &ContainerReport> {
        self.init_containers.iter().filter(|init| init.is_sidecar).chain(&self.containers)
    }

    /// A container or init container by name.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<&ContainerReport> {
        self.all_containers().find(|container| container.name == name)
    }

    /// A container or init container by name, to change it.
    pub fn container_mut(&mut self, name: &str) -> Option<&mut ContainerReport> {
        self.init_containers.iter_mut().chain(&mut self.containers).find(|container| container.name == name)
    }

    /// How often a cluster has put another pod in its place.
    #[must_use]
    pub fn replacements(&self) -> usize {
        self.object.as_ref().map_or(0, |object| object.replaced.len())
    }

    /// The events of the pod and of its containers, oldest first.
    #[must_use]
    pub fn all_events(&self) -> Vec<&Event> {
        let mut events: Vec<_> = self.events.iter().chain(self.all_containers().flat_map(|c| &c.events)).collect();
        events.sort_by_key(|event| event.last);
        events
    }

    /// Derives the pod's fields from its containers.
    pub fn sum_up(&mut self) {
        let is_completed = self.is_completed();
        self.ready = is_completed || self.running_containers().all(|container| container.status.ready);
        let is_started = || self.running_containers().all(|container| container.status.started);
        self.started = is_completed || (!self.completes && is_started());
        self.restarts = self.all_containers().map(|container| container.status.restart_count).sum();
        self.status = self.column();
    }

    /// Whether it has run to completion.
    #[must_use]
    pub fn is_completed(&self) -> bool {
        self.completes && self.containers.iter().all(ContainerReport::has_succeeded)
    }

    /// `printPod` in `pkg/printers/internalversion/printers.go`.
    fn column(&self) -> String {
        let passed = |container: &ContainerReport| match container.is_sidecar {
            true => container.status.started || self.is_completed(),
            false => container.has_succeeded(),
        };
        if let Some(index) = self.init_containers.iter().position(|container| !passed(container)) {
            let state = &self.init_containers[index].status.state;
            return match state.is_new() || state.is_running() {
                true => format!("Init:{index}/{}", self.init_containers.len()),
                false => format!("Init:{state}"),
            };
        }
        let troubled = self.containers.iter().find(|c| !c.status.state.is_running());
        troubled.map_or_else(|| "Running".to_owned(), |container| container.status.state.to_string())
    }
}

/// Why the containers of a new pod wait.
fn first_reason(is_without_init: bool) -> &'static str {
    if is_without_init { "ContainerCreating" } else { "PodInitializing" }
}

impl ContainerReport {
    fn has_succeeded(&self) -> bool {
        matches!(&self.status.state, ContainerState::Terminated(end) if end.exit_code == 0)
    }

    /// A container in its initial state.
    pub fn declared(name: &str, probes: &Probes, reason: &str) -> Self {
        Self {
            name: name.to_owned(),
            is_sidecar: false,
            status: ContainerStatus::waiting(reason),
            terminations: Vec::new(),
            events: Vec::new(),
            probes: probes
                .all()
                .map(|(which, _)| (which, ProbeReport { sent: Some(0), ..ProbeReport::default() }))
                .collect(),
        }
    }

    /// How often the kubelet killed an instance because of this probe.
    #[must_use]
    pub fn kills_by(&self, which: ProbeKind) -> u64 {
        let phrase = format!("{which} probe");
        self.killings().filter(|event| event.message.contains(&phrase)).map(|event| u64::from(event.count)).sum()
    }

    /// Whether it did so at all.
    #[must_use]
    pub fn was_killed_by(&self, which: ProbeKind) -> bool {
        self.kills_by(which) > 0
    }

    /// Each kill with a known time, and the termination that followed.
    ///
    /// Equal events are merged into one with a count, which keeps the times of the first and the last.
    pub fn kills(&self) -> Vec<(&Event, Duration, &Termination)> {
        let mut ends: Vec<&Termination> = self.terminations.iter().collect();
        let mut kills = Vec::new();
        for event in self.killings() {
            for at in [Some(event.first), (event.count > 1).then_some(event.last)].into_iter().flatten() {
                let followed = ends.iter().position(|end| end.started <= at && at <= end.at);
                kills.extend(followed.map(|index| (event, at, ends.remove(index))));
            }
        }
        kills
    }

    /// The terminations that no kill accounts for.
    pub fn own_ends(&self) -> Vec<&Termination> {
        let killed: Vec<_> = self.kills().into_iter().map(|(.., end)| end).collect();
        let mut ends: Vec<_> = self.terminations.iter().filter(|end| !killed.contains(end)).collect();
        let looks_killed = |end: &Termination| !end.is_oom_kill() && matches!(end.exit_code, 0 | 137 | 143);
        for event in self.killings() {
            // Only the number of kills between the first and the last is known. Terminations that look like kills are assigned
            // first; the rest cannot be assigned.
            let mut untold = event.count.saturating_sub(2) as usize;
            let is_between = |end: &Termination| event.first <= end.at && end.started <= event.last;
            ends.retain(|end| {
                let is_taken = untold > 0 && is_between(end) && looks_killed(end);
                untold -= usize::from(is_taken);
                !is_taken
            });
            ends.retain(|end| untold == 0 || !is_between(end) || end.is_oom_kill());
        }
        // A cluster drops events when there are many: if a probe is known to have killed the container, a termination that looks
        // like a kill counts as one.
        let by_probe = [ProbeKind::Startup, ProbeKind::Liveness].into_iter().any(|which| self.was_killed_by(which));
        ends.retain(|end| !(by_probe && looks_killed(end)));
        ends
    }

    fn killings(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(|event| event.is_killing())
    }

    /// The probe that killed instances before they listened: the startup probe, or a liveness probe without a startup probe.
    #[must_use]
    pub fn killed_before_it_listened(&self) -> Option<ProbeKind> {
        let which =
            [ProbeKind::Startup, ProbeKind::Liveness].into_iter().find(|which| self.probes.contains_key(which))?;
        let probe = &self.probes[&which];
        let refused = |last: &Observation| last.kind == Kind::Refused;
        let never_listened = probe.last_success.is_none() && probe.last_failure.as_ref().is_some_and(refused);
        (never_listened && self.was_killed_by(which)).then_some(which)
    }

    /// Applies the worker's current state.
    pub fn update(&mut self, status: &ContainerStatus, events: &[Event]) {
        let ended = match &status.state {
            ContainerState::Terminated(termination) => Some(termination),
            ContainerState::Waiting { .. } | ContainerState::Running { .. } => status.last_termination.as_ref(),
        };
        if let Some(termination) = ended.filter(|ended| self.terminations.last() != Some(ended)) {
            self.terminations.push(termination.clone());
        }
        self.status.clone_from(status);
        self.events = events.to_vec();
    }
}

impl ProbeReport {
    /// Records a probe's result, `running_for` after the start of the probed instance.
    pub fn record(&mut self, observation: &Observation, running_for: Duration) {
        *self.sent.get_or_insert(0) += 1;
        self.sum_ms += observation.total_ms;
        self.max_ms = self.max_ms.max(observation.total_ms);
        match observation.verdict {
            Verdict::Success => {
                let running_for = millis(running_for);
                self.first_success_ms.get_or_insert(running_for);
                self.last_success = Some(observation.clone());
                return;
            }
            Verdict::Failure => self.failed += 1,
            Verdict::Errored => self.errored += 1,
            Verdict::NotMeasured => self.not_measured += 1,
        }
        self.last_failure = Some(observation.clone());
    }
}
