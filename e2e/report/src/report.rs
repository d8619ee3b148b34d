//! The report as plain data, the renderers' only input. Main type: [`Report`], made by [`Report::new`].

pub mod annotations;
pub mod build;
pub mod comment;
mod headline;
pub mod html;
pub mod markdown;
mod predict;
pub mod snapshot;
pub mod summary;
pub mod table;
pub mod timeline;
pub mod topology;

use std::collections::BTreeMap;

use e2e_figures::scenario::{ScenarioResult, ThresholdName};
use e2e_plan::{ProbeKind, Warning, target::Target};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::{annotations::FindingPlace, timeline::Timeline, topology::Topology};
use crate::{
    bottleneck::Bottleneck,
    evidence::cluster::Cluster,
    expected::Expected,
    faults::Impact,
    finding::Finding,
    probing::ProbeUnderLoad,
    record::Outcome,
    request::{Host, Request},
    run_data::Source,
    thresholds::Threshold,
};

/// Version of the schema of `report.json`; it changes if a field is renamed or removed.
pub const SCHEMA: &str = "e2e-report/2";

/// A whole report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// The run.
    pub run_id: String,
    /// The target.
    pub target: Target,
    /// The overall result.
    pub verdict: Verdict,
    /// The reason for the verdict, in one sentence.
    pub verdict_reason: String,
    /// Start of the run, RFC 3339, UTC.
    pub started_at: String,
    /// Duration of the run, including bring-up and teardown.
    pub duration_ms: u64,
    /// The machine.
    pub host: Host,
    /// The request.
    pub request: Request,
    /// The environment.
    pub environment: EnvironmentSection,
    /// Each component.
    pub components: Vec<ComponentSection>,
    /// Each probe and its results.
    pub probes: Vec<ProbeSection>,
    /// Predictions for each container with a failing probe.
    pub predictions: Vec<PredictionSection>,
    /// Each suite.
    pub suites: Vec<SuiteSection>,
    /// Each measured scenario.
    pub scenarios: Vec<ScenarioSection>,
    /// The cluster; absent on other targets.
    pub cluster: Option<Cluster>,
    /// Figures against thresholds.
    pub thresholds: Vec<Threshold>,
    /// The digest of each image in use, by its name; none on local.
    #[serde(default)]
    pub images: BTreeMap<String, String>,
    /// Problems, worst first.
    pub findings: Vec<Finding>,
    /// Where the manifests say what findings are about.
    #[serde(default)]
    pub places: Vec<FindingPlace>,
    /// Which component calls which.
    #[serde(default)]
    pub topology: Topology,
    /// What components used over time.
    #[serde(default)]
    pub timeline: Timeline,
}

/// The report of a run with nothing in it, for tests.
#[doc(hidden)]
#[must_use]
pub fn empty(target: Target, verdict: Verdict) -> Report {
    Report {
        schema: SCHEMA.to_owned(),
        run_id: String::new(),
        target,
        verdict,
        verdict_reason: String::new(),
        started_at: String::new(),
        duration_ms: 1,
        host: Host::default(),
        request: Request::default(),
        environment: EnvironmentSection {
            provider: String::new(),
            up_ms: 1,
            ready: true,
            warnings: Vec::new(),
            entrance: String::new(),
        },
        components: Vec::new(),
        probes: Vec::new(),
        predictions: Vec::new(),
        suites: Vec::new(),
        scenarios: Vec::new(),
        cluster: None,
        thresholds: Vec::new(),
        images: BTreeMap::new(),
        findings: Vec::new(),
        places: Vec::new(),
        topology: Topology::default(),
        timeline: Timeline::default(),
    }
}

impl Report {
    /// A scenario that was measured.
    pub fn scenario(&self, name: &str) -> Option<&ScenarioSection> {
        self.scenarios.iter().find(|scenario| scenario.figures.name == name)
    }

    /// The threshold of a whole scenario.
    pub(crate) fn threshold(&self, scenario: &str, name: ThresholdName) -> Option<&Threshold> {
        let is_it = |threshold: &&Threshold| {
            threshold.scenario.as_deref() == Some(scenario) && threshold.step.is_none() && threshold.name == name
        };
        self.thresholds.iter().find(is_it)
    }
}

/// A scenario's figures, their evidence and the conclusions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScenarioSection {
    /// The figures.
    #[serde(flatten)]
    pub figures: ScenarioResult,
    /// Their evidence.
    pub source: Source,
    /// The cost of a request by component, and the resulting bounds; absent with too few measurements, and for clients that do not
    /// send as fast as the system answers.
    pub expected: Option<Expected>,
    /// The bottleneck; absent for the same reasons.
    pub bottleneck: Option<Bottleneck>,
    /// Each readiness and liveness probe while it ran.
    #[serde(default)]
    pub probes: Vec<ProbeUnderLoad>,
    /// The planned faults, and what clients noticed of each.
    #[serde(default)]
    pub faults: Vec<Impact>,
}

/// The overall result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything was measured, without errors.
    Pass,
    /// At least one error.
    Fail,
    /// No error, but a missing measurement.
    Incomplete,
}

/// The environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EnvironmentSection {
    /// The provider with its version.
    pub provider: String,
    /// Time until everything was ready, or until the wait ended.
    pub up_ms: u64,
    /// Whether everything was ready.
    pub ready: bool,
    /// Differences from the manifests.
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
    /// Declared replicas.
    pub desired: u32,
    /// Ready replicas at the end of the run.
    pub ready: u32,
    /// Container restarts during the run.
    pub restarts: u32,
    /// Whether all its replicas were ready and none was restarted.
    pub healthy: bool,
    /// State of its replicas in Kubernetes' words: `Running`, `CrashLoopBackOff`.
    pub status: String,
    /// Largest memory of one replica; absent if it was not measured.
    pub memory_bytes: Option<u64>,
    /// Limit of one replica.
    pub memory_limit_bytes: Option<u64>,
    /// Processor time of all replicas; absent if it was not measured.
    pub cpu_seconds: Option<f64>,
}

/// One declared probe over all replicas of its component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeSection {
    /// The component.
    pub component: String,
    /// The container.
    pub container: String,
    /// Its kind.
    pub which: ProbeKind,
    /// The request in short: `GET :8000/livez`.
    pub spec: String,
    /// Probes sent during the run; absent on k8s, where kubelets report only failures.
    pub sent: Option<u64>,
    /// Failures.
    pub failed: u64,
    /// Errors, which a kubelet ignores.
    #[serde(default)]
    pub errored: u64,
    /// Whether its failures keep a replica unready, or killed one.
    pub failing: bool,
    /// The last failure in the kubelet's words.
    pub last_failure: Option<String>,
    /// Longest duration.
    pub latency_ms_max: Option<f64>,
    /// The probe's `timeoutSeconds`.
    pub timeout_ms: u64,
}

/// A kubelet's predicted actions on a container with a failing probe, simulated from the run's measurements.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PredictionSection {
    /// The component.
    pub component: String,
    /// The container.
    pub container: String,
    /// The prediction in one sentence.
    pub kubelet: String,
    /// Seconds from the start to the first CrashLoopBackOff; absent if there is none within an hour.
    pub crash_loop_s: Option<f64>,
    /// Restarts in the first hour.
    pub restarts_in_an_hour: u32,
    /// The prediction with the doctor's patches; absent without a successful patch.
    pub with_fix: Option<String>,
    /// The doctor's requests for these patches.
    pub requests: u32,
    /// The actual behaviour of the cluster's kubelet, on k8s.
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
    /// Skipped cases.
    pub skipped: u32,
    /// Each case.
    pub cases: Vec<CaseSection>,
}

/// One case of a suite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CaseSection {
    /// Its name.
    pub name: String,
    /// Its outcome.
    pub outcome: Outcome,
    /// Its result or the reason of its failure.
    pub detail: String,
    /// Evidence id.
    pub evidence: String,
    /// Figures of the system's own suites.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, f64>,
}

impl CaseSection {
    /// The result with its figures.
    pub(crate) fn found(&self) -> String {
        let figures = self.figures.iter().map(|(name, value)| format!("; {name} {value}"));
        std::iter::once(self.detail.clone()).chain(figures).collect()
    }
}
