//! The report as plain data, the only thing that renderers see. Main type: [`Report`], made by [`Report::new`].

pub mod build;
pub mod html;
pub mod markdown;
mod predict;
pub mod snapshot;
pub mod summary;
pub(crate) mod table;

use std::collections::BTreeMap;

use e2e_figures::scenario::ScenarioResult;
use e2e_plan::{Warning, target::Target};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    bottleneck::Bottleneck,
    evidence::cluster::Cluster,
    expected::Expected,
    finding::Finding,
    record::Outcome,
    request::{Host, Request},
    run_data::Source,
    thresholds::Threshold,
};

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
    pub thresholds: Vec<Threshold>,
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
