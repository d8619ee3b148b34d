//! Faults that a run brings about while a scenario's load is on: their one-line language. Main type: [`PlannedFault`]. Pure: the run
//! carries them out, once [`resolve`] has decided what was left open.
//!
//! ```text
//! kill POD [with SIGKILL|SIGTERM] at TIME      the containers' programs get the signal
//! delete POD at TIME                           the pod is drained with its grace period, and another one takes its place
//! pause POD for TIME at TIME                   the pod's processes stand still
//! partition PODS from PODS for TIME at TIME    what the pods of either side send to the other one is lost
//! delay PODS to PODS by TIME for TIME at TIME  what the first pods send to the others arrives so much later
//! fill POD memory for TIME at TIME             nothing is left of the memory limits of the pod's containers
//! fill POD VOLUME for TIME at TIME             nothing is left of the volume
//! drain POD for TIME at TIME                   the pod's node takes no pods, and the system's pods on it are evicted
//! rollout COMPONENT at TIME                    its pods are replaced as its strategy says; with `Recreate` that is a restart
//! restart COMPONENT at TIME                    its pods are drained and started again, all at once
//! ```
//!
//! For POD a component's name stands for one of its pods, for PODS for all of them, and TIME after `at` may be `random`; a seed decides
//! what is left open. Times count from the start of the scenario's measured window.

pub mod resolve;

use std::{fmt, str::FromStr, time::Duration};

use e2e_plan::duration;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A fault at a moment of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFault {
    /// What happens.
    pub action: Action,
    /// The pod or the component that it happens to.
    pub victim: String,
    /// When, after the start of the measured window; `None` is a moment that a seed decides.
    pub at: Option<Duration>,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The programs of a pod's containers get SIGKILL.
    Kill,
    /// They get SIGTERM, which nothing else announces: no Service learns of it first.
    Terminate,
    /// A pod leaves its Services, is stopped with its grace period, and another one takes its place.
    Delete,
    /// A pod's processes stand still for so long.
    Pause(Duration),
    /// What a component's or a single pod's side and the other one send each other is lost.
    Partition {
        /// The component or the pod on the other side.
        from: String,
        /// For how long.
        length: Duration,
    },
    /// What a component or a single pod sends to another one arrives later; the answers come as before.
    Delay {
        /// The component or the pod that it is sent to.
        to: String,
        /// By how much.
        by: Duration,
        /// For how long.
        length: Duration,
    },
    /// Nothing is left of something that a pod has a limited amount of.
    Fill {
        /// Of what.
        space: Space,
        /// For how long.
        length: Duration,
    },
    /// The pod's node takes no pods for so long, and those of the system on it are evicted.
    Drain(Duration),
    /// A component's pods are replaced as its strategy says.
    Rollout,
    /// A component's pods are stopped with their grace period and started again, all at once.
    Restart,
    /// One of the others, which a seed decides.
    Random,
}

/// What a fault can use up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Space {
    /// The memory limits of a pod's containers.
    Memory,
    /// A volume of the pod, by its name there.
    Volume(String),
}

impl Action {
    /// Whether it ends programs or may do so, so that what they had not written is lost.
    pub(crate) fn ends_programs(&self) -> bool {
        !matches!(self, Self::Pause(_) | Self::Partition { .. } | Self::Delay { .. })
    }

    /// Whether the programs are asked to end and leave their Services, so that a drain can keep clients from noticing where others take over.
    pub(crate) fn can_be_drained(&self) -> bool {
        matches!(self, Self::Delete | Self::Rollout)
    }

    /// How long it lasts as planned; zero for what is over when pods are as before.
    fn length(&self) -> Duration {
        match self {
            Self::Pause(length)
            | Self::Drain(length)
            | Self::Partition { length, .. }
            | Self::Delay { length, .. }
            | Self::Fill { length, .. } => *length,
            Self::Kill | Self::Terminate | Self::Delete | Self::Rollout | Self::Restart | Self::Random => {
                Duration::ZERO
            }
        }
    }
}

/// Why a fault cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}`: {reason}")]
pub struct FaultError {
    /// The fault as it was written.
    pub text: String,
    /// What is wrong and what to write.
    pub reason: String,
}

/// How to write one.
const FORMS: &str = "write one of `kill POD at 10s`, `kill POD with SIGTERM at 10s`, `delete POD at 10s`, `pause POD for 3s at 10s`, \
                     `partition COMPONENT from COMPONENT for 3s at 10s`, `delay COMPONENT to COMPONENT by 50ms for 3s at 10s`, \
                     `fill POD memory for 3s at 10s`, `fill POD VOLUME for 3s at 10s`, `drain POD for 20s at 10s`, `rollout COMPONENT at 10s`, \
                     `restart COMPONENT at 10s`, `random any at random`";

impl FromStr for PlannedFault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let error = |reason: String| FaultError { text: text.to_owned(), reason };
        let length = |text: &str| length(text).map_err(error);
        let words: Vec<&str> = text.split_whitespace().collect();
        let (action, victim, at) = match words[..] {
            ["kill", victim, "at", at] => (Action::Kill, victim, at),
            ["kill", victim, "with", "SIGKILL" | "KILL", "at", at] => (Action::Kill, victim, at),
            ["kill", victim, "with", "SIGTERM" | "TERM", "at", at] => (Action::Terminate, victim, at),
            ["kill", _, "with", signal, "at", _] => {
                return Err(error(format!("{signal} is not sent; write SIGKILL or SIGTERM")));
            }
            ["delete", victim, "at", at] => (Action::Delete, victim, at),
            ["pause", victim, "for", time, "at", at] => (Action::Pause(length(time)?), victim, at),
            ["partition", victim, "from", other, "for", time, "at", at] => {
                (Action::Partition { from: other.to_owned(), length: length(time)? }, victim, at)
            }
            ["delay", victim, "to", other, "by", by, "for", time, "at", at] => {
                (Action::Delay { to: other.to_owned(), by: length(by)?, length: length(time)? }, victim, at)
            }
            ["fill", victim, space, "for", time, "at", at] => {
                (Action::Fill { space: Space::of(space), length: length(time)? }, victim, at)
            }
            ["drain", victim, "for", time, "at", at] => (Action::Drain(length(time)?), victim, at),
            ["rollout", victim, "at", at] => (Action::Rollout, victim, at),
            ["restart", victim, "at", at] => (Action::Restart, victim, at),
            ["random", victim, "at", at] => (Action::Random, victim, at),
            _ => return Err(error(FORMS.to_owned())),
        };
        let at = if at == "random" { None } else { Some(duration::parse(at).map_err(error)?) };
        Ok(Self { action, victim: victim.to_owned(), at })
    }
}

/// How long something lasts; [`short`] writes whole milliseconds.
fn length(text: &str) -> Result<Duration, String> {
    let length = duration::parse_positive(text)?;
    match length.as_millis() {
        0 => Err(format!("`{text}` is shorter than a millisecond")),
        _ => Ok(length),
    }
}

impl Space {
    fn of(name: &str) -> Self {
        if name == "memory" { Self::Memory } else { Self::Volume(name.to_owned()) }
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Volume(name) => f.write_str(name),
        }
    }
}

/// As it is read.
impl fmt::Display for PlannedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { action, victim, at } = self;
        match action {
            Action::Kill => write!(f, "kill {victim}")?,
            Action::Terminate => write!(f, "kill {victim} with SIGTERM")?,
            Action::Delete => write!(f, "delete {victim}")?,
            Action::Pause(length) => write!(f, "pause {victim} for {}", short(*length))?,
            Action::Partition { from, length } => write!(f, "partition {victim} from {from} for {}", short(*length))?,
            Action::Delay { to, by, length } => {
                write!(f, "delay {victim} to {to} by {} for {}", short(*by), short(*length))?;
            }
            Action::Fill { space, length } => write!(f, "fill {victim} {space} for {}", short(*length))?,
            Action::Drain(length) => write!(f, "drain {victim} for {}", short(*length))?,
            Action::Rollout => write!(f, "rollout {victim}")?,
            Action::Restart => write!(f, "restart {victim}")?,
            Action::Random => write!(f, "random {victim}")?,
        }
        match at {
            Some(at) => write!(f, " at {}", short(*at)),
            None => f.write_str(" at random"),
        }
    }
}

/// `10s`, `2500ms`.
fn short(time: Duration) -> String {
    if time.subsec_millis() == 0 { format!("{}s", time.as_secs()) } else { format!("{}ms", time.as_millis()) }
}

impl Serialize for PlannedFault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PlannedFault {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for PlannedFault {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PlannedFault".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}
