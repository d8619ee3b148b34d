//! A cluster's pods and events in the words that all targets share. Pure. Main function: [`pod_report`].

use std::time::Duration;

use e2e_kubelet::{
    observation::{Kind, Observation, Verdict},
    snapshot::{ContainerReport, PodReport, ProbeReport},
    status::{ContainerState, ContainerStatus, Event, EventType, Exit, OOM_KILLED, Termination},
};
use e2e_plan::{self, ProbeKind};
use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{self, Event as ClusterEvent, Pod},
    apimachinery::pkg::apis::meta::v1::{MicroTime, Time},
};

/// What is known of a pod, made anew from what the cluster says. `before` is what was known of the same pod, whose earlier
/// terminations the cluster has forgotten. Times count from `epoch`, by the cluster's clock.
pub(super) fn pod_report(
    declared: &e2e_plan::Pod,
    pod: Option<&Pod>,
    events: &[&ClusterEvent],
    before: Option<&PodReport>,
    epoch: Timestamp,
) -> PodReport {
    let status = pod.and_then(|pod| pod.status.as_ref());
    let container = |spec: &e2e_plan::Container, statuses: Option<&Vec<v1::ContainerStatus>>| {
        let status = statuses.and_then(|all| all.iter().find(|status| status.name == spec.name));
        let events: Vec<&ClusterEvent> = events.iter().copied().filter(|event| is_of(event, &spec.name)).collect();
        let before = before.and_then(|before| before.container(&spec.name));
        container_report(spec, status, &events, before, epoch)
    };
    let init = status.and_then(|status| status.init_container_statuses.as_ref());
    let main = status.and_then(|status| status.container_statuses.as_ref());
    let mut report = PodReport {
        completes: declared.restart.runs_to_completion(),
        ip: status.and_then(|status| status.pod_ip.as_deref()?.parse().ok()),
        init_containers: declared.init_containers.iter().map(|spec| container(spec, init)).collect(),
        containers: declared.containers.iter().map(|spec| container(spec, main)).collect(),
        events: events
            .iter()
            .filter(|event| container_of(event).is_none())
            .map(|event| to_event(event, epoch))
            .collect(),
        ..PodReport::default()
    };
    report.sum_up();
    // A container may be ready while the pod is not: when it is being deleted, or waits for a readiness gate.
    report.ready &= report.is_completed() || is_met(pod, "Ready");
    if let Some(word) = overall(pod) {
        report.status = word;
    }
    report
}

/// What `kubectl get pods` says of the pod itself, where that is not what its containers say.
fn overall(pod: Option<&Pod>) -> Option<String> {
    let Some(pod) = pod else { return Some("NoPod".to_owned()) };
    let status = pod.status.as_ref();
    if pod.metadata.deletion_timestamp.is_some() {
        return Some("Terminating".to_owned());
    }
    if let Some(reason) = status.and_then(|status| status.reason.clone()) {
        return Some(reason);
    }
    let has_no_containers =
        status.and_then(|status| status.container_statuses.as_ref()).is_none_or(|statuses| statuses.is_empty());
    let is_pending = status.and_then(|status| status.phase.as_deref()) == Some("Pending");
    (has_no_containers && is_pending).then(|| "Pending".to_owned())
}

/// A condition of a pod by its type.
pub(super) fn condition<'a>(pod: Option<&'a Pod>, kind: &str) -> Option<&'a v1::PodCondition> {
    pod?.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

/// Whether a condition of a pod is met; one that is not told is not.
pub(super) fn is_met(pod: Option<&Pod>, kind: &str) -> bool {
    condition(pod, kind).is_some_and(|condition| condition.status == "True")
}

/// Why a container of a pod does not start, where waiting for it is of no use.
pub(super) fn stuck(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let statuses = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let mut waiting = statuses.filter_map(|status| status.state.as_ref()?.waiting.as_ref());
    waiting.find_map(|waiting| {
        let (reason, message) = (waiting.reason.as_deref()?, waiting.message.as_deref().unwrap_or_default());
        e2e_report::diagnose::stuck::waiting(reason, message).map(|_| format!("{reason} ({message})"))
    })
}

fn container_report(
    spec: &e2e_plan::Container,
    status: Option<&v1::ContainerStatus>,
    events: &[&ClusterEvent],
    before: Option<&ContainerReport>,
    epoch: Timestamp,
) -> ContainerReport {
    let mut report = ContainerReport {
        is_sidecar: spec.is_sidecar,
        ..ContainerReport::declared(&spec.name, &spec.probes, "ContainerCreating")
    };
    if let Some(before) = before {
        report.terminations.clone_from(&before.terminations);
    }
    let events_here: Vec<Event> = events.iter().map(|event| to_event(event, epoch)).collect();
    report.update(&container_status(status, epoch), &events_here);
    for (which, probe) in &mut report.probes {
        *probe = probe_report(*which, &events_here);
    }
    report
}

fn container_status(status: Option<&v1::ContainerStatus>, epoch: Timestamp) -> ContainerStatus {
    let Some(status) = status else { return ContainerStatus::waiting("ContainerCreating") };
    let ended = |state: &Option<v1::ContainerState>| {
        state.as_ref().and_then(|state| state.terminated.as_ref()).map(|end| termination(end, epoch))
    };
    let waiting = status.state.as_ref().and_then(|state| state.waiting.as_ref());
    let running = status.state.as_ref().and_then(|state| state.running.as_ref());
    let state = match (running, ended(&status.state)) {
        (Some(running), _) => ContainerState::Running { since: since(running.started_at.as_ref(), epoch) },
        (None, Some(end)) => ContainerState::Terminated(end),
        (None, None) => ContainerState::Waiting {
            reason: waiting.and_then(|waiting| waiting.reason.clone()).unwrap_or("ContainerCreating".to_owned()),
            message: waiting.and_then(|waiting| waiting.message.clone()).unwrap_or_default(),
        },
    };
    ContainerStatus {
        state,
        ready: status.ready,
        started: status.started.unwrap_or(status.ready),
        restart_count: u32::try_from(status.restart_count).unwrap_or(0),
        last_termination: ended(&status.last_state),
    }
}

fn termination(end: &v1::ContainerStateTerminated, epoch: Timestamp) -> Termination {
    let exit = Exit { code: end.exit_code, oom_killed: end.reason.as_deref() == Some(OOM_KILLED) };
    Termination {
        exit_code: end.exit_code,
        signal: end.signal.or(exit.signal()),
        // The container runtime may know more than the exit code tells, such as ContainerCannotRun.
        reason: end.reason.clone().unwrap_or_else(|| exit.reason().to_owned()),
        started: since(end.started_at.as_ref(), epoch),
        at: since(end.finished_at.as_ref(), epoch),
    }
}

/// The container that an event is about, as in `spec.containers{app}`.
fn container_of(event: &ClusterEvent) -> Option<&str> {
    let path = event.involved_object.field_path.as_deref()?;
    path.split_once('{')?.1.strip_suffix('}')
}

fn is_of(event: &ClusterEvent, container: &str) -> bool {
    container_of(event) == Some(container)
}

/// An event, with its times since `epoch`. A cluster writes them in two ways, by the version of the client.
pub(super) fn to_event(event: &ClusterEvent, epoch: Timestamp) -> Event {
    let series = event.series.as_ref();
    let micro = |time: &Option<MicroTime>| time.as_ref().map(|time| from_epoch(time.0, epoch));
    let seconds = |time: &Option<Time>| time.as_ref().map(|time| from_epoch(time.0, epoch));
    let created = seconds(&event.metadata.creation_timestamp);
    let first = seconds(&event.first_timestamp).or(micro(&event.event_time)).or(created).unwrap_or_default();
    let last = seconds(&event.last_timestamp).or(series.and_then(|series| micro(&series.last_observed_time)));
    let count = series.and_then(|series| series.count).or(event.count).unwrap_or(1);
    Event {
        kind: if event.type_.as_deref() == Some("Warning") { EventType::Warning } else { EventType::Normal },
        reason: event.reason.clone().unwrap_or_default(),
        message: words(event).to_owned(),
        count: u32::try_from(count).unwrap_or(1),
        first,
        last: last.unwrap_or(first).max(first),
    }
}

/// What an event says. Where many differ in their words alone, a cluster counts them in one and puts this before those of the last.
fn words(event: &ClusterEvent) -> &str {
    let message = event.message.as_deref().unwrap_or_default();
    message.strip_prefix("(combined from similar events): ").unwrap_or(message)
}

fn since(time: Option<&Time>, epoch: Timestamp) -> Duration {
    time.map_or(Duration::ZERO, |time| from_epoch(time.0, epoch))
}

/// Zero for what was before: the cluster writes whole seconds.
fn from_epoch(time: Timestamp, epoch: Timestamp) -> Duration {
    Duration::try_from(time.duration_since(epoch)).unwrap_or(Duration::ZERO)
}

/// What the events say of a probe. A kubelet reports failures only, so that nothing is known of how often it was sent.
fn probe_report(which: ProbeKind, events: &[Event]) -> ProbeReport {
    let mut report = ProbeReport::default();
    let mut latest = Duration::ZERO;
    for event in events {
        let Some((failed, text)) = probe_event(which, event) else { continue };
        let counted = if failed { &mut report.failed } else { &mut report.errored };
        *counted += event.count;
        if report.last_failure.is_none() || event.last >= latest {
            latest = event.last;
            report.last_failure = Some(observation(failed, text));
        }
    }
    report
}

/// The text of `Liveness probe failed: <text>`, and whether it failed or errored.
fn probe_event(which: ProbeKind, event: &Event) -> Option<(bool, &str)> {
    if event.reason != "Unhealthy" {
        return None;
    }
    let rest = event.message.strip_prefix(which.word())?.strip_prefix(" probe ")?;
    let failed = rest.strip_prefix("failed: ").map(|text| (true, text));
    failed.or_else(|| Some((false, errored(rest)?)))
}

/// The text after `errored: `, or since 1.33 after `errored and resulted in unknown state: `.
fn errored(rest: &str) -> Option<&str> {
    let rest = rest.strip_prefix("errored")?;
    let (state, text) = rest.split_once(": ")?;
    (state.is_empty() || state.starts_with(" and resulted in ")).then_some(text)
}

/// An exchange of which only the kubelet's sentence is known.
fn observation(failed: bool, text: &str) -> Observation {
    let status = text.strip_prefix("HTTP probe failed with statuscode: ").and_then(|status| status.trim().parse().ok());
    let kind = match status {
        Some(_) => Kind::Response,
        None if text.contains("connection refused") => Kind::Refused,
        None if text.contains("deadline exceeded") || text.contains("Timeout") || text.contains("timed out") => {
            Kind::Timeout
        }
        None if text.contains("connection reset") => Kind::Reset,
        None if text.contains("EOF") => Kind::Closed,
        None if !failed => Kind::CannotExec,
        None => Kind::Exited,
    };
    let verdict = if failed { Verdict::Failure } else { Verdict::Errored };
    Observation { status, ..Observation::new(verdict, kind, text) }
}

#[cfg(test)]
mod tests;
