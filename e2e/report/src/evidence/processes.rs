//! The processes of throttled containers, as `evidence/processes.json`. Plain data. Main type: [`ContainerProcesses`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The processes of a container that the kernel throttled, after the load.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerProcesses {
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// Its CPU limit, in thousandths of a processor.
    pub cpu_limit_millis: u64,
    /// The processors that it may run on, whatever its limit: what programs count.
    pub cpus: u64,
    /// By process id.
    pub processes: BTreeMap<u32, Process>,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The process that started it, or 0.
    pub parent: u32,
    /// Its program's name, of at most 15 bytes.
    pub name: String,
    /// Its threads.
    pub threads: u64,
}

impl ContainerProcesses {
    /// The largest group of processes that one process started of one program, from two on: the program's name and their number.
    pub(crate) fn workers(&self) -> Option<(&str, u64)> {
        let mut groups: BTreeMap<(u32, &str), u64> = BTreeMap::new();
        for Process { parent, name, .. } in self.processes.values() {
            *groups.entry((*parent, name)).or_default() += 1;
        }
        let largest = groups.into_iter().max_by_key(|(_, count)| *count);
        largest.filter(|(_, count)| *count > 1).map(|((_, name), count)| (name, count))
    }
}
