//! One record per test: what was checked, how it ended, what was measured. Main type: [`Record`].

mod figures;

use std::collections::BTreeMap;

use e2e_figures::{Generator, Second, stats::Summary};
use e2e_kubelet::observation::Observation;
use e2e_plan::Which;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::run_dir::{self, RunDir};

pub use e2e_figures::scenario::{Activity, Part};

/// What one test found, as a file in `results/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The suite: `health`, `probes`, `registration`, `throughput`, `conservation` or one of yours.
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
    /// The registration scenario.
    Registration(Registration),
    /// The throughput scenario.
    Throughput(Throughput),
    /// Acknowledged against stored operations.
    Conservation(Conservation),
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

/// What the registration scenario measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Registration {
    /// Clients that were asked for.
    pub clients: u64,
    /// Those of which nothing is known, since the agent that made their requests was lost. They are in no figure below.
    #[serde(default)]
    pub lost: u64,
    /// Clients that got an id and a token.
    pub registered: u64,
    /// Clients that did not.
    pub failed: u64,
    /// `failed / (registered + failed)`; absent when there is nobody of whom that is known.
    pub failure_rate: Option<f64>,
    /// Registered clients that needed more than one attempt.
    pub retried: u64,
    /// Requests sent, confirmations of a registration included.
    pub requests: u64,
    /// Requests that were not answered as expected, by kind, over the whole duration.
    pub by_error: BTreeMap<String, u64>,
    /// Latency of successful requests; absent when none succeeded.
    pub latency_ms: Option<Summary>,
    /// Clients by outcome: `registered`, `rejected_503`, `timed_out` and others.
    pub by_outcome: BTreeMap<String, u64>,
    /// The generator itself.
    pub generator: Generator,
}

/// What the throughput scenario measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Throughput {
    /// Clients that were asked for.
    pub clients: u64,
    /// Those of which nothing is known, since the agent that made their requests was lost. They are in no figure below.
    #[serde(default)]
    pub lost: u64,
    /// Those that took no part, because they were not registered when the load began.
    #[serde(default)]
    pub idle: u64,
    /// Start of the measured window, milliseconds since 1970.
    pub window_start_unix_ms: u64,
    /// Length of the measured window.
    pub duration_ms: u64,
    /// Acknowledged operations in the window divided by its length.
    pub operations_per_second: f64,
    /// Operations acknowledged in the window.
    pub acknowledged: u64,
    /// Requests in the window that were not acknowledged.
    pub errors: u64,
    /// The same by kind.
    pub by_error: BTreeMap<String, u64>,
    /// Latency of acknowledged operations; absent when none was acknowledged.
    pub latency_ms: Option<Summary>,
    /// Each second of the window.
    pub series: Vec<Second>,
    /// The generator itself.
    pub generator: Generator,
    /// Where the time of an operation goes, in the order of its way; empty when that was not measured.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// What the sessions of databases did while the load ran.
    #[serde(default)]
    pub activity: Vec<Activity>,
}

/// Operations that clients were told are committed, against those in the database.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Conservation {
    /// Acknowledged to clients, warm-up included.
    pub acknowledged: u64,
    /// Rows in the database.
    pub stored: u64,
    /// Acknowledged and not stored: the worst finding there is.
    pub missing: u64,
    /// Stored more than once.
    pub duplicate: u64,
    /// Stored without an acknowledgement that arrived: the answer was lost or came too late. Harmless.
    pub unacknowledged: u64,
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
