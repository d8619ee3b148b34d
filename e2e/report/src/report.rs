//! The report as plain data, the only thing that renderers see. Main type: [`Report`], made by [`Report::new`].

pub mod build;
mod expected;
pub mod html;
pub(crate) mod lines;
pub mod markdown;
mod predict;
pub mod snapshot;
pub mod summary;
pub(crate) mod table;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::{environment::Warning, evidence::cluster::Cluster, record::Outcome};
pub use e2e_figures::scenario::ScenarioResult;
pub use e2e_plan::target::Target;

/// Version of the form of `report.json`; it changes when a field is renamed or removed.
pub const SCHEMA: &str = "e2e-report/2";

/// The JSON Schema of `report.json`, made from the types.
pub fn schema() -> String {
    // A schema is plain data: there is nothing that JSON cannot hold.
    serde_json::to_string_pretty(&schemars::schema_for!(Report)).expect("plain data serialises")
}

/// Everything a report says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// The run.
    pub run_id: String,
    /// Where the system ran.
    pub target: Target,
    /// The overall result.
    pub verdict: Verdict,
    /// One sentence that says why the verdict is what it is.
    pub verdict_reason: String,
    /// Start of the run, RFC 3339, UTC.
    pub started_at: String,
    /// Length of the run, bring-up and teardown included.
    pub duration_ms: u64,
    /// The machine.
    pub host: Host,
    /// What was asked for.
    pub request: Request,
    /// How the system ran.
    pub environment: EnvironmentSection,
    /// Each component.
    pub components: Vec<ComponentSection>,
    /// Each probe that a kubelet sends, and how it went.
    pub probes: Vec<ProbeSection>,
    /// What a kubelet will do with each container whose probe fails.
    pub predictions: Vec<PredictionSection>,
    /// Each suite.
    pub suites: Vec<SuiteSection>,
    /// Each declared scenario that was measured.
    pub scenarios: Vec<ScenarioSection>,
    /// The cluster; absent on other targets.
    pub cluster: Option<Cluster>,
    /// Figures against lines.
    pub thresholds: Vec<ThresholdSection>,
    /// What is wrong, worst first.
    pub findings: Vec<Finding>,
}

impl Report {
    /// A scenario that was measured.
    pub fn scenario(&self, name: &str) -> Option<&ScenarioSection> {
        self.scenarios.iter().find(|scenario| scenario.figures.name == name)
    }
}

/// What a scenario measured, where that stands, and what it says about the system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScenarioSection {
    /// The figures.
    #[serde(flatten)]
    pub figures: ScenarioResult,
    /// Where they stand.
    pub source: Source,
    /// What a request cost each component, and the bounds that follow; absent when too little was measured, and for clients that do not
    /// send as fast as the system answers.
    pub expected: Option<Expected>,
    /// What limited its rate; absent for the same reasons.
    pub bottleneck: Option<Bottleneck>,
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

/// The overall result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything was measured and is as it should be.
    Pass,
    /// Something is wrong.
    Fail,
    /// Nothing measured is wrong, but something was not measured.
    Incomplete,
}

/// The machine that ran it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    /// Processors that this process may use.
    pub cpus: u64,
    /// Memory.
    pub memory_bytes: u64,
    /// Kernel and its version.
    pub kernel: String,
}

/// What the command line and the configuration asked for; written when the run starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Request {
    /// Start of the run, RFC 3339, UTC.
    pub started_at: String,
    /// The loads, by name.
    pub scenarios: BTreeMap<String, crate::request::Scenario>,
    /// Whether only some of the declared ones were chosen.
    #[serde(default)]
    pub some_scenarios: bool,
    /// The lines of the whole run.
    pub thresholds: crate::request::Thresholds,
    /// Overlays, as they were named.
    pub overlays: Vec<String>,
    /// One-off changes, as they were written.
    pub sets: Vec<String>,
    /// Which checks were chosen, in nextest's language; all of them when there is none.
    #[serde(default)]
    pub filter: Option<String>,
    /// The machine.
    pub host: Host,
}

/// How the system ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EnvironmentSection {
    /// What ran it, with its version.
    pub provider: String,
    /// Time until all was ready, or until waiting ended.
    pub up_ms: u64,
    /// Whether all was ready.
    pub ready: bool,
    /// What ran otherwise than the manifests say.
    pub warnings: Vec<Warning>,
    /// How clients reach the system.
    pub entrance: String,
}

/// One component at the end of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ComponentSection {
    /// Its name.
    pub name: String,
    /// The workload's kind.
    pub kind: String,
    /// Replicas that should run.
    pub desired: u32,
    /// Replicas that were ready at the end of the run.
    pub ready: u32,
    /// Container restarts during the run.
    pub restarts: u32,
    /// Whether it was ready, was never restarted and all checks named after it passed.
    pub healthy: bool,
    /// State of its replicas as Kubernetes words it: `Running`, `CrashLoopBackOff`.
    pub status: String,
    /// Largest memory of one replica; absent when it could not be measured.
    pub memory_bytes: Option<u64>,
    /// Limit of one replica.
    pub memory_limit_bytes: Option<u64>,
    /// Processor time of all replicas; absent when it could not be measured.
    pub cpu_seconds: Option<f64>,
}

/// One declared probe over all replicas of its component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeSection {
    /// The component.
    pub component: String,
    /// The container.
    pub container: String,
    /// `startup`, `readiness` or `liveness`.
    pub which: String,
    /// What is sent, in short: `GET :8000/livez`.
    pub spec: String,
    /// Probes sent during the run; absent where that is not known: a cluster's kubelets report failures alone.
    pub sent: Option<u64>,
    /// Those that failed.
    pub failed: u64,
    /// Those that errored, which counts for nothing.
    #[serde(default)]
    pub errored: u64,
    /// Whether its failures are what keeps a replica from being ready, or had one killed.
    pub failing: bool,
    /// The last failure in the kubelet's words.
    pub last_failure: Option<String>,
    /// Longest exchange.
    pub latency_ms_max: Option<f64>,
    /// The probe's `timeoutSeconds`.
    pub timeout_ms: u64,
}

/// What a kubelet will do with a container whose probe fails, played from what the run measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PredictionSection {
    /// The component.
    pub component: String,
    /// The container.
    pub container: String,
    /// What a kubelet will do, in a sentence.
    pub kubelet: String,
    /// Seconds after the start at which it waits in CrashLoopBackOff first; absent when it does not within an hour.
    pub crash_loop_s: Option<f64>,
    /// Restarts in the first hour.
    pub restarts_in_an_hour: u32,
    /// What it will do with the doctor's patches; absent without one that was tried and helped.
    pub with_fix: Option<String>,
    /// Requests that the doctor sent to prove these patches.
    pub requests: u32,
    /// What the cluster's kubelet did, on k8s.
    pub observed: Option<String>,
    /// Evidence ids.
    pub evidence: Vec<String>,
}

/// One suite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SuiteSection {
    /// Its name.
    pub name: String,
    /// Cases that passed.
    pub passed: u32,
    /// Cases that failed.
    pub failed: u32,
    /// Cases that could not be tried.
    pub skipped: u32,
    /// Each case.
    pub cases: Vec<CaseSection>,
}

/// One case of a suite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CaseSection {
    /// Its name.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What was found, or why it failed.
    pub detail: String,
    /// Evidence id.
    pub evidence: String,
    /// Figures of suites that are not the framework's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, f64>,
}

impl CaseSection {
    /// What was found, with the figures.
    pub(crate) fn found(&self) -> String {
        let figures = self.figures.iter().map(|(name, value)| format!("; {name} {value}"));
        std::iter::once(self.detail.clone()).chain(figures).collect()
    }
}

/// Upper bounds of a rate, derived from what each request cost.
///
/// Utilisation law (Denning and Buzen, The Operational Analysis of Queueing Network Models, 1978): with service demand D per
/// request, a resource of capacity c carries at most c / D.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Expected {
    /// Processors of the machine that ran the system, or of the nodes.
    #[serde(default)]
    pub cpus: f64,
    /// Processor time per request by component, with the load generator where it ran on the same machine, and all else that kept the
    /// machine busy where it tells.
    pub cpu_ms_per_request: BTreeMap<String, f64>,
    /// Requests per second at which the machine's processors are used up.
    pub host_bound: f64,
    /// Share of the machine's processors that was in use during the measurement, 0 to 1.
    pub host_utilisation: f64,
    /// Requests per second at which each replica's one thread, or its CPU limit where that is less, is used up, by component.
    pub replica_bound: BTreeMap<String, f64>,
    /// Components whose processor time was measured too seldom, or not at all. What they used is part of all else that kept the machine
    /// busy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_measured: Vec<String>,
}

/// What limited the rate of a scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bottleneck {
    /// In a few words: `the host`, `a pool of backend`, or the name of a component.
    pub name: String,
    /// The figures that say so.
    pub evidence: String,
}

/// A figure against a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ThresholdSection {
    /// The scenario that it is a line of; absent for the whole run's.
    pub scenario: Option<String>,
    /// The step that it is a line of; absent for a whole scenario's.
    pub step: Option<String>,
    /// The key in `e2e.toml`.
    pub name: String,
    /// The line.
    pub limit: f64,
    /// The figure; absent when it was not measured.
    pub measured: Option<f64>,
    /// How they compare.
    pub state: ThresholdState,
    /// Evidence id of the figure.
    pub evidence: String,
}

impl ThresholdSection {
    /// Its name with what it is a line of: `throughput/operation latency_ms_p99_max`.
    pub fn label(&self) -> String {
        match (&self.scenario, &self.step) {
            (Some(scenario), Some(step)) => format!("{scenario}/{step} {}", self.name),
            (Some(scenario), None) => format!("{scenario} {}", self.name),
            _ => self.name.clone(),
        }
    }
}

/// How a figure compares with its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdState {
    /// On the right side.
    Kept,
    /// On the wrong side.
    Crossed,
    /// There is no figure.
    NotMeasured,
}

/// Something that is wrong, with its proof and its remedy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// What kind: see [`crate::diagnose::Code`].
    pub code: crate::diagnose::Code,
    /// How bad.
    pub severity: Severity,
    /// The component, when it is about one.
    pub component: Option<String>,
    /// One sentence with figures.
    pub claim: String,
    /// Files of the run directory that prove it, with a JSON pointer where it helps.
    pub evidence: Vec<String>,
    /// What to do.
    pub fix: String,
    /// Last lines of a log, or a patch, shown as they are.
    pub excerpt: Option<String>,
}

impl Finding {
    /// Whether it says why the run failed. A warning of the same kind is advice: whoever made the system may want it so.
    pub(crate) fn is_proven_cause(&self) -> bool {
        self.severity == Severity::Error && self.code.is_cause()
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The verdict is fail.
    Error,
    /// Something was not measured, so the verdict is incomplete at best.
    Gap,
    /// Worth knowing; the verdict does not depend on it.
    Warning,
}
