//! The content of a run directory, before judgement. Main type: [`RunData`].

use std::collections::{BTreeMap, BTreeSet};

use e2e_figures::scenario::ScenarioResult;
use e2e_kubelet::{
    exchange::ProbeHistory,
    snapshot::{PodReport, Snapshot},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    environment::{Component, Environment},
    evidence::{
        DoctorEntry, Resources, Saturation, Throttling, cluster::Cluster, faults::ScenarioFaults, load_file,
        locks::HeldLock, processes::ContainerProcesses, redis::RedisServer,
    },
    record::{Measured, Record, Unreadable},
    request::Request,
};

/// The content of a run directory, before judgement.
#[derive(Debug, Clone, PartialEq)]
pub struct RunData {
    /// The request.
    pub request: Request,
    /// The run's duration.
    pub duration_ms: u64,
    /// The environment.
    pub environment: Environment,
    /// The tests' records.
    pub records: Vec<Record>,
    /// Invalid files among the records.
    pub unreadable: Vec<Unreadable>,
    /// The test runner's results.
    pub tests: Vec<Test>,
    /// The abnormal end of the suites' command, if any.
    pub suites: Option<AbnormalEnd>,
    /// Pods at the end of the run, without the effects of planned faults: see [`crate::faults::forgive`].
    pub snapshot: Snapshot,
    /// Memory and processor time.
    pub resources: Resources,
    /// Use of the resources of `[[saturation]]`.
    pub saturation: Vec<Saturation>,
    /// CPU throttling by pod.
    pub throttling: BTreeMap<String, Throttling>,
    /// Locks in PostgreSQL that others wait for.
    pub locks: Vec<HeldLock>,
    /// The processes of containers that were throttled.
    pub processes: Vec<ContainerProcesses>,
    /// The memory of Redis servers.
    pub redis: Vec<RedisServer>,
    /// Each probe that was sent to a container and can be told by its time.
    pub probes: Vec<ProbeHistory>,
    /// The digest of each image in use, by its name.
    pub images: BTreeMap<String, String>,
    /// The cluster's state; absent on other targets.
    pub cluster: Option<Cluster>,
    /// Planned faults and their execution, by scenario.
    pub faults: Vec<ScenarioFaults>,
    /// The doctor's results.
    pub doctor: Vec<DoctorEntry>,
    /// The suites' load files: see [`crate::evidence::load_file`].
    pub load_files: BTreeSet<String>,
    /// Last lines of each container's log, by `pod.container`.
    pub logs: BTreeMap<String, String>,
}

/// A test in the runner's results.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Test {
    /// The test binary: two may have a test of the same name.
    pub binary: String,
    /// Its name.
    pub name: String,
    /// Whether it passed.
    pub passed: bool,
    /// The runner's message for a failure, for example `test timeout`.
    pub failure: Option<String>,
}

/// The abnormal end of the suites' command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbnormalEnd {
    /// The command.
    pub command: String,
    /// The anomaly.
    pub reason: String,
    /// The fix.
    pub remedy: String,
}

/// The files with a scenario's figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    /// The test's record.
    pub record: String,
    /// The load file; absent if the suite did not write one.
    pub load: Option<String>,
}

impl Source {
    /// Evidence id of a figure, by its JSON pointer below the scenario's figures; of all of them for an empty one.
    pub(crate) fn figure(&self, pointer: &str) -> String {
        let slash = if pointer.is_empty() { "" } else { "/" };
        format!("{}#/measured/scenario{slash}{pointer}", self.record)
    }

    /// The same, and the load file if there is one.
    pub(crate) fn figure_and_load(&self, pointer: &str) -> Vec<String> {
        std::iter::once(self.figure(pointer)).chain(self.load.clone()).collect()
    }
}

impl RunData {
    /// The scenarios' figures, with their files.
    pub(crate) fn scenarios(&self) -> impl Iterator<Item = (&ScenarioResult, Source)> {
        self.records.iter().filter_map(|record| {
            let Measured::Scenario(figures) = &record.measured else { return None };
            let load = Some(load_file(&figures.name)).filter(|file| self.load_files.contains(file));
            Some((&**figures, Source { record: record.file(), load }))
        })
    }

    pub(crate) fn scenario(&self, name: &str) -> Option<(&ScenarioResult, Source)> {
        self.scenarios().find(|(figures, _)| figures.name == name)
    }

    /// The known pods of a component, with their names.
    pub(crate) fn pods_of<'a>(&'a self, component: &'a Component) -> impl Iterator<Item = (&'a str, &'a PodReport)> {
        let pods = component.pod_names().filter_map(|name| self.snapshot.pods.get_key_value(&name));
        pods.map(|(name, pod)| (name.as_str(), pod))
    }
}
