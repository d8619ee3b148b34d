//! Container statuses and events as Kubernetes words them. Main types: [`ContainerStatus`], [`Event`].

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What `containerStatuses` says of one container. Times are since the start of the run, in ms in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContainerStatus {
    /// What it does now.
    pub state: ContainerState,
    /// Whether Services may send it traffic.
    pub ready: bool,
    /// Whether it runs and its startup probe, if it has one, has succeeded.
    pub started: bool,
    /// How often it was started again.
    pub restart_count: u32,
    /// How its last instance ended.
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
    /// It is not running yet, or not again.
    Waiting {
        /// `ContainerCreating`, `PodInitializing`, `CrashLoopBackOff`, `RunContainerError`.
        reason: String,
        /// More about it; may be empty.
        message: String,
    },
    /// It runs.
    Running {
        /// Since when.
        #[serde(rename = "since_ms", with = "millis")]
        #[schemars(with = "u64")]
        since: Duration,
    },
    /// It ended, and is either about to be started again or done.
    Terminated(Termination),
}

/// How an instance of a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Termination {
    /// The exit status; 128 + signal when a signal ended it.
    pub exit_code: i32,
    /// The signal, when the exit status says that one ended it.
    pub signal: Option<i32>,
    /// `Completed`, `Error` or `OOMKilled`.
    pub reason: String,
    /// When it was started.
    #[serde(rename = "started_ms", with = "millis")]
    #[schemars(with = "u64")]
    pub started: Duration,
    /// When it ended.
    #[serde(rename = "at_ms", with = "millis")]
    #[schemars(with = "u64")]
    pub at: Duration,
}

/// How a container's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exit {
    /// The exit status; 128 + signal when a signal ended it.
    pub code: i32,
    /// Whether the memory limit ended it.
    pub oom_killed: bool,
}

impl Exit {
    /// The word in `kubectl describe`.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self { oom_killed: true, .. } => "OOMKilled",
            Self { code: 0, .. } => "Completed",
            Self { .. } => "Error",
        }
    }

    /// The signal that the exit status tells of.
    #[must_use]
    pub fn signal(self) -> Option<i32> {
        // 64 is the last real-time signal; higher statuses are a program's own.
        Some(self.code - 128).filter(|signal| (1..=64).contains(signal))
    }
}

/// Whether an event is a matter of course or a sign of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum EventType {
    /// A matter of course.
    Normal,
    /// A sign of trouble.
    Warning,
}

/// An event, equal ones counted. Times are since the start of the run, in ms in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// `Normal` or `Warning`.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// One word: `Unhealthy`, `Killing`, `BackOff`, `Started`, `Failed`, `ProbeWarning`.
    pub reason: String,
    /// The sentence.
    pub message: String,
    /// How often.
    pub count: u32,
    /// When first.
    #[serde(rename = "first_ms", with = "millis")]
    #[schemars(with = "u64")]
    pub first: Duration,
    /// When last.
    #[serde(rename = "last_ms", with = "millis")]
    #[schemars(with = "u64")]
    pub last: Duration,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, reason, message, count, .. } = self;
        let times = if *count > 1 { format!(" (x{count})") } else { String::new() };
        write!(f, "{kind:?} {reason}: {message}{times}")
    }
}

/// A status in one word, as the STATUS column of `kubectl get pods` has it.
impl fmt::Display for ContainerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting { reason, .. } | Self::Terminated(Termination { reason, .. }) => f.write_str(reason),
            Self::Running { .. } => f.write_str("Running"),
        }
    }
}

/// Events of one object; equal ones are counted, as the API server's clients do.
#[derive(Debug, Clone, Default)]
pub(super) struct Events {
    all: Vec<Event>,
}

/// Messages may differ each time; older events than this many are forgotten.
const MAX_EVENTS: usize = 200;

impl Events {
    pub(super) fn add(&mut self, now: Duration, kind: EventType, reason: &str, message: &str) {
        add_event(&mut self.all, now, kind, reason, message);
    }

    pub(super) fn all(&self) -> &[Event] {
        &self.all
    }
}

/// Adds an event, or counts it where an equal one is there.
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
        serializer.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
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
        let mut events = Events::default();
        for seconds in [1, 2, 3] {
            events.add(Duration::from_secs(seconds), EventType::Warning, "Unhealthy", "Liveness probe failed: x");
        }
        assert_eq!(events.all().len(), 1);
        assert_eq!(events.all()[0].to_string(), "Warning Unhealthy: Liveness probe failed: x (x3)");
        assert_eq!(events.all()[0].last, Duration::from_secs(3));
    }

    #[test]
    fn exits_have_kubernetes_words() {
        assert_eq!(Exit { code: 137, oom_killed: true }.reason(), "OOMKilled");
        assert_eq!(Exit { code: 137, oom_killed: false }.signal(), Some(9));
        assert_eq!(Exit { code: 0, oom_killed: false }.reason(), "Completed");
        assert_eq!(Exit { code: 1, oom_killed: false }.signal(), None);
    }
}
