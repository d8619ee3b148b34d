//! Everything that a run directory says, read and not yet judged. Main type: [`RunData`].

use std::collections::{BTreeMap, BTreeSet};

use e2e_figures::scenario::ScenarioResult;
use e2e_kubelet::snapshot::{PodReport, Snapshot};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    environment::{Component, Environment},
    evidence::{DoctorEntry, Resources, Saturation, Throttling, cluster::Cluster, load_file},
    record::{Measured, Record, Unreadable},
    request::Request,
};

/// Everything that a run directory says, read and not yet judged.
#[derive(Debug, Clone, PartialEq)]
pub struct RunData {
    /// What was asked for.
    pub request: Request,
    /// How long the run took.
    pub duration_ms: u64,
    /// What ran.
    pub environment: Environment,
    /// What the tests found.
    pub records: Vec<Record>,
    /// Files among the records that cannot be read as such.
    pub unreadable: Vec<Unreadable>,
    /// Tests as nextest saw them.
    pub tests: Vec<Test>,
    /// How the suites' command ended, where it did not end as it should.
    pub suites: Option<AbnormalEnd>,
    /// Pods at the end of the run.
    pub snapshot: Snapshot,
    /// Memory and processor time.
    pub resources: Resources,
    /// Use of the resources that `[[saturation]]` names.
    pub saturation: Vec<Saturation>,
    /// How often pods were held back at their CPU limits, by pod.
    pub throttling: BTreeMap<String, Throttling>,
    /// What the cluster says; nothing on other targets.
    pub cluster: Option<Cluster>,
    /// What the doctor found.
    pub doctor: Vec<DoctorEntry>,
    /// The files of what load generators counted that suites wrote: see [`crate::evidence::load_file`].
    pub load_files: BTreeSet<String>,
    /// Last lines of each container's log, by `pod.container`.
    pub logs: BTreeMap<String, String>,
}

/// A test as nextest saw it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Test {
    /// The test binary: two may have a test of the same name.
    pub binary: String,
    /// Its name.
    pub name: String,
    /// Whether it passed.
    pub passed: bool,
    /// What nextest says of a failure, such as `test timeout`.
    pub failure: Option<String>,
}

/// How a command of suites ended that did not end as it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbnormalEnd {
    /// The command.
    pub command: String,
    /// What was odd.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

/// The files of a run directory that hold measured figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    /// The test's record.
    pub record: String,
    /// Everything that the load generator counted; absent when the suite wrote no such file.
    pub load: Option<String>,
}

impl Source {
    /// The file that says most.
    pub(crate) fn fullest(&self) -> &str {
        self.load.as_ref().unwrap_or(&self.record)
    }
}

impl RunData {
    /// What scenarios measured, and where that stands.
    pub(crate) fn scenarios(&self) -> impl Iterator<Item = (&ScenarioResult, Source)> {
        self.records.iter().filter_map(|record| {
            let Measured::Scenario(figures) = &record.measured else { return None };
            let load = Some(load_file(&figures.name)).filter(|file| self.load_files.contains(file));
            Some((&**figures, Source { record: record.file(), load }))
        })
    }

    /// What a scenario measured.
    pub(crate) fn scenario(&self, name: &str) -> Option<(&ScenarioResult, Source)> {
        self.scenarios().find(|(figures, _)| figures.name == name)
    }

    /// The pods of a component that are known, with their names.
    pub(crate) fn pods_of<'a>(&'a self, component: &'a Component) -> impl Iterator<Item = (&'a str, &'a PodReport)> {
        let pods = component.pod_names().filter_map(|name| self.snapshot.pods.get_key_value(&name));
        pods.map(|(name, pod)| (name.as_str(), pod))
    }
}
