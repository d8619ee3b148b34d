//! One record per test: what was checked, how it ended, what was measured. Main type: [`Record`].

use std::collections::BTreeMap;

use e2e_figures::scenario::ScenarioResult;
use e2e_kubelet::observation::Observation;
use e2e_plan::Which;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::run_dir::{self, RunDir};

/// What one test found, as a file in `results/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The suite: `health`, `probes`, `scenarios` or one of yours.
    pub suite: String,
    /// The case, unique in its suite. One that begins with a component's name, such as `backend_answers`, is a check of that
    /// component, which counts as unhealthy when it fails.
    pub case: String,
    /// The test that wrote it, as nextest names it.
    pub test: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What was found, or why it failed, in one line.
    pub detail: String,
    /// How long it took.
    pub duration_ms: u64,
    /// Figures.
    pub measured: Measured,
}

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// What was expected was found.
    Passed,
    /// Something else was found.
    Failed,
    /// It could not be tried; the detail says why.
    Skipped,
}

/// What a test measured, beyond its outcome.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measured {
    /// Only the outcome.
    #[default]
    Nothing,
    /// Exchanges of one probe, one per replica.
    Probes(Vec<ProbeExchange>),
    /// A declared scenario.
    Scenario(Box<ScenarioResult>),
    /// Figures of your own suites, shown by name.
    Figures(BTreeMap<String, f64>),
}

/// One probe sent to one replica.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeExchange {
    /// The component.
    pub component: String,
    /// The container.
    pub container: String,
    /// The replica.
    pub replica: String,
    /// Which probe.
    pub which: Which,
    /// What was sent and what came back.
    pub observation: Observation,
}

impl Record {
    /// Where the record stands in the run directory: the evidence id of what it says.
    pub fn file(&self) -> String {
        let safe = |text: &str| -> String {
            text.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect()
        };
        format!("{}/{}.{}.json", run_dir::RESULTS, safe(&self.suite), safe(&self.case))
    }

    /// All records of a run, by suite and case.
    pub fn read_all(directory: &RunDir) -> Result<Vec<Self>, run_dir::Error> {
        let mut records: Vec<Self> = Vec::new();
        let results = directory.join(run_dir::RESULTS);
        for entry in std::fs::read_dir(&results).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "json") {
                records.push(directory.read_json(entry.path())?);
            }
        }
        records.sort_by(|a, b| (&a.suite, &a.case).cmp(&(&b.suite, &b.case)));
        Ok(records)
    }
}
