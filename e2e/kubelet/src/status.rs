//! Container statuses and events in Kubernetes' words. Main types: [`ContainerStatus`], [`Event`].

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One entry of `containerStatuses`. Times are since the start of the run, in ms in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContainerStatus {
    /// Its current state.
    pub state: ContainerState,
    /// Whether Services may send it traffic.
    pub ready: bool,
    /// Whether it runs and its startup probe, if it has one, has succeeded.
    pub started: bool,
    /// The number of restarts.
    pub restart_count: u32,
    /// The termination of its last instance.
    pub last_termination: Option<Termination>,
}

impl ContainerStatus {
    /// A container that has never run, waiting for a reason such as `ContainerCreating`.
    #[must_use]
    pub fn waiting(reason: &str) -> Self {
        let state = ContainerState::Waiting { reason: reason.to_owned(), message: String::new() };
        Self { state, ready: false, started: false, restart_count: 0, last_termination: None }
    }
}

/// The state of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum ContainerState {
    /// Not running: before its first start or a restart.
    Waiting {
        /// `ContainerCreating`, `PodInitializing`, `CrashLoopBackOff`, `RunContainerError`.
        reason: String,
        /// The message; may be empty.
        message: String,
    },
    /// It runs.
    Running {
        /// Since when.
        #[serde(rename = "since_ms", with = "millis")]
        #[schemars(with = "u64")]
        since: Duration,
    },
    /// It ended; a restart may follow.
    Terminated(Termination),
}

impl ContainerState {
    /// Whether it waits for its first start, which nothing has kept from succeeding so far (`pkg/kubelet/kubelet_pods.go`).
    #[must_use]
    pub fn is_new(&self) -> bool {
        matches!(self, Self::Waiting { reason, .. } if reason == "ContainerCreating" || reason == "PodInitializing")
    }

    /// Whether its process runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self, Self::Running { .. })
    }
}

/// Kubernetes's word for a kill at the memory limit.
pub const OOM_KILLED: &str = "OOMKilled";

/// The termination of an instance of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Termination {
    /// The exit status; 128 + signal if a signal ended it.
    pub exit_code: i32,
    /// The signal that ended it, by the exit status.
    pub signal: Option<i32>,
    /// `Completed`, `Error` or `OOMKilled`.
    pub reason: String,
    /// Its start.
    #[serde(rename = "started_ms", with = "millis")]
    #[schemars(with = "u64")]
    pub started: Duration,
    /// Its end.
    #[serde(rename = "at_ms", with = "millis")]
    #[schemars(with = "u64")]
    pub at: Duration,
}

impl Termination {
    /// Whether the kernel killed it at its memory limit.
    #[must_use]
    pub fn is_oom_kill(&self) -> bool {
        self.reason == OOM_KILLED
    }
}

/// The exit of a container's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exit {
    /// The exit status; 128 + signal if a signal ended it.
    pub code: i32,
    /// Whether the kernel killed it at its memory limit.
    pub oom_killed: bool,
}

impl Exit {
    /// The word in `kubectl describe`.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self { oom_killed: true, .. } => OOM_KILLED,
            Self { code: 0, .. } => "Completed",
            Self { .. } => "Error",
        }
    }

    /// The signal in the exit status.
    #[must_use]
    pub fn signal(self) -> Option<i32> {
        // 64 is the last real-time signal; higher statuses are a program's own.
        (129..=192).contains(&self.code).then(|| self.code - 128)
    }
}

/// The type of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum EventType {
    /// Expected.
    Normal,
    /// A sign of trouble.
    Warning,
}

/// An event with its count. Times are since the start of the run, in ms in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// `Normal` or `Warning`.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// One word: `Unhealthy`, `Killing`, `BackOff`, `Started`, `Failed`, `ProbeWarning`.
    pub reason: String,
    /// The message.
    pub message: String,
    /// How often.
    pub count: u32,
    /// The first time.
    #[serde(rename = "first_ms", with = "millis")]
    #[schemars(with = "u64")]
    pub first: Duration,
    /// The last time.
    #[serde(rename = "last_ms", with = "millis")]
    #[schemars(with = "u64")]
    pub last: Duration,
}

impl Event {
    /// A normal event, once, at the start of the run.
    #[must_use]
    pub fn normal(reason: &str, message: impl Into<String>) -> Self {
        let (reason, message) = (reason.to_owned(), message.into());
        Self { kind: EventType::Normal, reason, message, count: 1, first: Duration::ZERO, last: Duration::ZERO }
    }

    /// Whether a kubelet killed the container.
    #[must_use]
    pub fn is_killing(&self) -> bool {
        self.reason == "Killing"
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, reason, message, count, .. } = self;
        let times = if *count > 1 { format!(" (x{count})") } else { String::new() };
        write!(f, "{kind:?} {reason}: {message}{times}")
    }
}

/// The state in one word, as in the STATUS column of `kubectl get pods`.
impl fmt::Display for ContainerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting { reason, .. } | Self::Terminated(Termination { reason, .. }) => f.write_str(reason),
            Self::Running { .. } => f.write_str("Running"),
        }
    }
}

/// Messages may differ each time; this limit drops the oldest events.
const MAX_EVENTS: usize = 200;

/// Adds an event of an object, or increments the count of an equal one, like the API server's clients.
pub fn add_event(all: &mut Vec<Event>, now: Duration, kind: EventType, reason: &str, message: &str) {
    let same = |event: &&mut Event| event.kind == kind && event.reason == reason && event.message == message;
    if let Some(event) = all.iter_mut().find(same) {
        event.count += 1;
        event.last = now;
        return;
    }
    if all.len() == MAX_EVENTS {
        all.remove(0);
    }
    let (reason, message) = (reason.to_owned(), message.to_owned());
    all.push(Event { kind, reason, message, count: 1, first: now, last: now });
}

/// A time in whole milliseconds.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(e2e_plan::duration::millis(*time))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_reads_like_kubernetes_and_survives_json() {
        let at = Duration::from_millis(1500);
        let termination =
            Termination { exit_code: 137, signal: Some(9), reason: "OOMKilled".into(), started: Duration::ZERO, at };
        let status = ContainerStatus {
            state: ContainerState::Waiting { reason: "CrashLoopBackOff".into(), message: String::new() },
            ready: false,
            started: false,
            restart_count: 3,
            last_termination: Some(termination),
        };
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["state"]["reason"], "CrashLoopBackOff");
        assert_eq!(json["last_termination"]["at_ms"], 1500);
        assert_eq!(serde_json::from_value::<ContainerStatus>(json).unwrap(), status);
    }

    #[test]
    fn equal_events_are_counted() {
        let mut events = Vec::new();
        for now in [1, 2, 3].map(Duration::from_secs) {
            add_event(&mut events, now, EventType::Warning, "Unhealthy", "Liveness probe failed: x");
        }
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].to_string(), "Warning Unhealthy: Liveness probe failed: x (x3)");
        assert_eq!(events[0].last, Duration::from_secs(3));
    }

    #[test]
    fn exits_have_kubernetes_words() {
        assert_eq!(Exit { code: 137, oom_killed: true }.reason(), "OOMKilled");
        assert_eq!(Exit { code: 137, oom_killed: false }.signal(), Some(9));
        assert_eq!(Exit { code: 0, oom_killed: false }.reason(), "Completed");
        assert_eq!(Exit { code: 1, oom_killed: false }.signal(), None);
    }
}
