//! The evidence gathered before teardown: the files in `evidence/` as plain data.

pub mod cluster;
pub mod faults;
pub mod locks;
pub mod processes;
pub mod redis;

use std::{collections::BTreeMap, ops::RangeBounds};

use e2e_kubelet::diagnosis::Diagnosis;
use e2e_plan::ProbeKind;
use serde::{Deserialize, Serialize};

use crate::run_dir::EVIDENCE;

/// Statuses, events and probe counts of every pod.
pub const PODS: &str = "evidence/pods.json";
/// Memory and processor time over time.
pub const RESOURCES: &str = "evidence/resources.json";
/// Use of the configured bounded resources.
pub const SATURATION: &str = "evidence/saturation.json";
/// Each probe with its time: see [`e2e_kubelet::exchange`].
pub const PROBES: &str = "evidence/probes.json";
/// How often the kernel held containers back at their CPU limits.
pub const THROTTLING: &str = "evidence/throttling.json";
/// Locks in PostgreSQL that others wait for: see [`locks`].
pub const LOCKS: &str = "evidence/locks.json";
/// The processes of throttled containers: see [`processes`].
pub const PROCESSES: &str = "evidence/processes.json";
/// The memory of Redis servers: see [`redis`].
pub const REDIS: &str = "evidence/redis.json";
/// The cluster's state.
pub const CLUSTER: &str = "evidence/cluster.json";
/// The digest of each image in use, by its name.
pub const IMAGES: &str = "evidence/images.json";
/// The planned faults.
pub const FAULTS: &str = "evidence/faults.json";
/// The doctor's results for failing HTTP probes.
pub const DOCTOR: &str = "evidence/doctor.json";

/// All measurements of resources.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// In order of time.
    pub samples: Vec<Sample>,
}

impl Resources {
    /// What was measured of a pod, in order of time.
    pub(crate) fn of_pod(&self, pod: &str) -> impl Iterator<Item = Usage> {
        self.samples.iter().filter_map(move |sample| sample.pods.get(pod).copied())
    }
}

/// The usage of every pod at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Milliseconds since 1970.
    pub at_unix_ms: u64,
    /// By pod, without unmeasured pods.
    pub pods: BTreeMap<String, Usage>,
    /// The pods' machines by node name, or this one; without unmeasured ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub machines: BTreeMap<String, Machine>,
}

/// The total CPU use of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Processor seconds since it started.
    pub busy_seconds: f64,
    /// The time of the measurement, as in [`Usage`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured_unix_ms: Option<u64>,
    /// The number of processors; absent on k8s, where the nodes have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u64>,
}

/// The usage of a pod.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Memory now, without page cache.
    pub memory_bytes: u64,
    /// Processor time since the start.
    pub cpu_seconds: f64,
    /// The time of the measurement, in milliseconds since 1970 by the measuring machine's clock; absent for on-demand measurements.
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

/// CPU throttling of a pod's containers since the last start of each. A period is 100 ms with runnable work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttling {
    /// Periods.
    pub periods: u64,
    /// Periods that used up the limit.
    pub throttled: u64,
}

impl Throttling {
    /// The share of periods that used up the limit, 0 to 1.
    pub fn share(&self) -> f64 {
        self.throttled as f64 / self.periods.max(1) as f64
    }
}

impl std::ops::AddAssign for Throttling {
    fn add_assign(&mut self, other: Self) {
        self.periods += other.periods;
        self.throttled += other.throttled;
    }
}

/// The doctor's result for one probe of one pod.
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
    /// The time of the examination, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// The diagnosis.
    pub diagnosis: Diagnosis,
}

/// The use of a bounded resource of one pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saturation {
    /// The component.
    pub component: String,
    /// The pod.
    pub pod: String,
    /// The resource's configured name.
    pub resource: String,
    /// Its size.
    pub limit: u64,
    /// In order of time, about one per second.
    pub samples: Vec<InUse>,
}

/// The use of a bounded resource at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InUse {
    /// Milliseconds since 1970.
    pub at_unix_ms: u64,
    /// The amount in use.
    pub used: u64,
    /// The number of waiting callers.
    pub waiting: u64,
}

impl Saturation {
    /// The number of samples in a time span with all of it in use and callers waiting, and the number of all samples.
    pub fn used_up(&self, time: impl RangeBounds<u64>) -> (usize, usize) {
        let samples: Vec<&InUse> = self.samples.iter().filter(|sample| time.contains(&sample.at_unix_ms)).collect();
        let used_up = samples.iter().filter(|sample| sample.used >= self.limit && sample.waiting > 0);
        (used_up.count(), samples.len())
    }
}

/// The path of a container's log.
pub fn log_file(pod: &str, container: &str) -> String {
    format!("{EVIDENCE}/logs/{pod}.{container}.log")
}

/// The path of the file with everything that a suite's load generator counted.
pub fn load_file(suite: &str) -> String {
    format!("{EVIDENCE}/{suite}.load.json")
}
