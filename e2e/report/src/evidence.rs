//! What was gathered before anything was torn down: the files in `evidence/` as plain data.

pub mod cluster;

use std::{collections::BTreeMap, ops::RangeBounds};

use e2e_kubelet::diagnosis::Diagnosis;
use e2e_plan::ProbeKind;
use serde::{Deserialize, Serialize};

use crate::run_dir::EVIDENCE;

/// Statuses, events and probe counts of every pod.
pub const PODS: &str = "evidence/pods.json";
/// Memory and processor time over time.
pub const RESOURCES: &str = "evidence/resources.json";
/// Use of the bounded resources that the configuration names.
pub const SATURATION: &str = "evidence/saturation.json";
/// How often the kernel held containers back at their CPU limits.
pub const THROTTLING: &str = "evidence/throttling.json";
/// What the cluster says of itself and of the run.
pub const CLUSTER: &str = "evidence/cluster.json";
/// What the doctor found for each HTTP probe that fails.
pub const DOCTOR: &str = "evidence/doctor.json";

/// Everything that was measured about resources.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// In order of time.
    pub samples: Vec<Sample>,
}

/// What every pod used at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Milliseconds since 1970.
    pub at_unix_ms: u64,
    /// By pod; pods that could not be measured are left out.
    pub pods: BTreeMap<String, Usage>,
    /// The machines that run the pods, by the names of nodes, or this one; those that do not tell are left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub machines: BTreeMap<String, Machine>,
}

/// How busy a machine has been, whoever with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Processor seconds since it started.
    pub busy_seconds: f64,
    /// When that was, as in [`Usage`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured_unix_ms: Option<u64>,
    /// How many processors that is about; absent where the cluster says it at another place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u64>,
}

/// What a pod uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Memory now, without page cache.
    pub memory_bytes: u64,
    /// Processor time since the start.
    pub cpu_seconds: f64,
    /// When that was, in milliseconds since 1970 by the clock of whoever measured it; absent where it is measured when it is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured_unix_ms: Option<u64>,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.memory_bytes += other.memory_bytes;
        self.cpu_seconds += other.cpu_seconds;
        self.measured_unix_ms = self.measured_unix_ms.max(other.measured_unix_ms);
    }
}

/// How often the kernel held a pod's containers back at their CPU limits, since the last start of each. A period is 100 ms in which
/// something wanted to run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttling {
    /// Periods.
    pub periods: u64,
    /// Periods in which the limit was used up before their end.
    pub throttled: u64,
}

impl std::ops::AddAssign for Throttling {
    fn add_assign(&mut self, other: Self) {
        self.periods += other.periods;
        self.throttled += other.throttled;
    }
}

/// What the doctor found for one probe of one pod.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DoctorEntry {
    /// The component.
    pub component: String,
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// Which probe.
    pub which: ProbeKind,
    /// When the doctor had looked, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// What was tried and what follows.
    pub diagnosis: Diagnosis,
}

/// How a bounded resource of one pod was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saturation {
    /// The component.
    pub component: String,
    /// The pod.
    pub pod: String,
    /// The resource, as the configuration names it.
    pub resource: String,
    /// How much of it there is.
    pub limit: u64,
    /// In order of time, about one a second.
    pub samples: Vec<InUse>,
}

/// How much of a bounded resource was in use at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InUse {
    /// Milliseconds since 1970.
    pub at_unix_ms: u64,
    /// How much was in use.
    pub used: u64,
    /// How many callers waited for some.
    pub waiting: u64,
}

impl Saturation {
    /// In how many of the samples of a time all of it was in use and callers waited, and how many there are.
    pub fn used_up(&self, time: impl RangeBounds<u64>) -> (usize, usize) {
        let samples: Vec<&InUse> = self.samples.iter().filter(|sample| time.contains(&sample.at_unix_ms)).collect();
        let used_up = samples.iter().filter(|sample| sample.used >= self.limit && sample.waiting > 0);
        (used_up.count(), samples.len())
    }
}

/// Where the log of a container stands.
pub fn log_file(pod: &str, container: &str) -> String {
    format!("{EVIDENCE}/logs/{pod}.{container}.log")
}

/// Where a suite writes everything that its load generator counted.
pub fn load_file(suite: &str) -> String {
    format!("{EVIDENCE}/{suite}.load.json")
}
