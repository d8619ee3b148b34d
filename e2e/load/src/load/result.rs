//! What a run measured, as plain data. The main type is [`LoadResult`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scenario::Phase;
use super::schedule::Arrivals;
use e2e_figures::stats::{Samples, Summary};
use e2e_figures::{Generator, Outcome, Second};

/// The result of one run. `C` is the scenario's own report of one client.
///
/// A request belongs to the phase in which it was sent. Requests that are in flight when the window ends are waited for, so
/// that a stall at the end is in the latencies; they are counted in the window because they were sent in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoadResult<C> {
    /// The scenario's name.
    pub scenario: String,
    /// How many clients there were, each with a connection of its own.
    pub clients: u32,
    /// How many were ready at the common start; the others had finished or were late.
    pub clients_ready: u32,
    /// The seed that the clients' data comes from.
    pub seed: u64,
    /// From the first client's start to the common start.
    pub set_up_ms: f64,
    /// From the common start to the measured window.
    pub warm_up_ms: f64,
    /// When the measured window began, or would have, in milliseconds since 1970 by the clock of the process that started the run,
    /// which need not be a generator's.
    pub window_start_unix_ms: u64,
    /// The measured window. Shorter than asked for only when every client had finished or the run was stopped.
    pub duration_ms: f64,
    /// Whether the run was stopped before its end.
    pub stopped: bool,
    /// Requests sent before the common start.
    pub set_up: Totals,
    /// Requests sent in the warm-up.
    pub warm_up: Totals,
    /// Requests sent in the measured window.
    pub measured: Totals,
    /// Successful requests per second of the measured window; nothing without a window.
    pub succeeded_per_second: Option<f64>,
    /// What became of the schedule; nothing in the closed model, which has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<OpenResult>,
    /// Latencies per phase, step and outcome, errors included.
    pub steps: Vec<StepResult>,
    /// The measured requests by the second in which they ended.
    pub series: Vec<Second>,
    /// The latencies of each of these seconds' successful requests, within 1%.
    pub series_samples: Vec<Samples>,
    /// The measured requests by the tenth of a second in which they ended: how many succeeded and failed.
    #[serde(default)]
    pub tenths: Vec<(u64, u64)>,
    /// What happened to connections, in the whole run.
    pub connections: Connections,
    /// How long each of them took to be made.
    pub connecting: Samples,
    /// The generator's own cost, in the measured window.
    pub generator: Generator,
    /// The first error of each kind, in the whole run.
    pub first_errors: Vec<FirstError>,
    /// One report per client, by index; without those whose agent was lost.
    pub client_reports: Vec<C>,
    /// The agents that shared the run, and what of it is missing. Empty when one process made the whole load.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<AgentCoverage>,
}

/// What one agent was to do, and whether it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentCoverage {
    /// The agent's number, from 0.
    pub agent: u32,
    /// The index of its first client.
    pub first_client: u32,
    /// How many clients it had.
    pub clients: u32,
    /// Why its figures are missing from the result; nothing when they are in it.
    pub missing: Option<String>,
}

/// The requests of one phase.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// All requests that ended in any way.
    pub requests: u64,
    /// Those with the expected answer.
    pub succeeded: u64,
    /// Those without.
    pub errors: u64,
    /// Whole responses by status code, expected ones included.
    pub by_status: BTreeMap<u16, u64>,
    /// Errors by kind.
    pub by_error: BTreeMap<Outcome, u64>,
    /// Latency of the successful ones, all steps pooled. Errors' latencies are in [`LoadResult::steps`].
    pub latency_ms: Option<Summary>,
}

/// What became of the open model's schedule in the measured window. A request belongs to the window if it was due in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OpenResult {
    /// The schedule that was asked for.
    pub arrivals: Arrivals,
    /// Requests that were due: those sent and those dropped.
    pub due: u64,
    /// Those that were sent late, because at their time every client waited for an answer.
    pub late: u64,
    /// Those that were never sent, for the same reason. They are in no latency, so the true percentiles are higher than the
    /// reported ones when there are any.
    pub dropped: u64,
    /// Latency of the successful ones from when they were sent, which hides what a slow server made others wait. To compare
    /// with tools that report nothing else.
    pub latency_uncorrected_ms: Option<Summary>,
    /// All samples of that.
    pub uncorrected: Samples,
}

/// The latencies of one step with one outcome in one phase, to the end of the response. In the closed model from the moment when
/// the client could send, which includes connecting where that was needed (service latency; there is no schedule that a
/// response could be late for); in the open model from the moment when the request was due.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepResult {
    /// The phase.
    pub phase: Phase,
    /// The step's name.
    pub step: String,
    /// The outcome.
    pub outcome: Outcome,
    /// The summary.
    pub latency_ms: Summary,
    /// All samples, so that the summary can be checked and runs can be merged exactly.
    pub samples: Samples,
}

/// What happened to connections.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Connections {
    /// Connections made.
    pub opened: u64,
    /// Those of them that replaced an earlier one of the same client.
    pub reopened: u64,
    /// Attempts that made no connection.
    pub failed: u64,
    /// Connections that the server ended after a whole response or while they were idle, which is its right.
    pub closed_by_server: u64,
    /// Connections given up after a request without a whole response.
    pub abandoned: u64,
    /// Connections given up because bytes came that belong to no response.
    pub unsolicited: u64,
    /// How long connecting took.
    pub connect_ms: Option<Summary>,
}

/// The first error of a kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FirstError {
    /// The kind.
    pub outcome: Outcome,
    /// The step's name.
    pub step: String,
    /// The client's index.
    pub client: u32,
    /// When the request ended, since the run's start.
    pub at_ms: f64,
    /// The system's or the parser's words, or the start of an error response's body. Bodies of successes are never quoted,
    /// because they may hold secrets.
    pub detail: String,
}

impl Totals {
    /// The totals of a phase: all but the statuses follow from the steps.
    pub(crate) fn pooled(phase: Phase, by_status: BTreeMap<u16, u64>, steps: &[StepResult]) -> Self {
        let mut totals = Totals { by_status, ..Totals::default() };
        let mut succeeded = Samples::new();
        for step in steps.iter().filter(|step| step.phase == phase) {
            totals.requests += step.samples.count();
            if step.outcome.is_ok() {
                succeeded.merge(&step.samples);
            } else {
                *totals.by_error.entry(step.outcome).or_default() += step.samples.count();
            }
        }
        totals.succeeded = succeeded.count();
        totals.errors = totals.requests - totals.succeeded;
        totals.latency_ms = succeeded.summary();
        totals
    }
}

impl<C> LoadResult<C> {
    /// The agents whose figures are missing.
    pub fn missing_agents(&self) -> impl Iterator<Item = &AgentCoverage> {
        self.agents.iter().filter(|agent| agent.missing.is_some())
    }

    /// The samples of one step in the measured window that ended as expected, if there are any.
    pub fn step(&self, name: &str) -> Option<&StepResult> {
        self.steps.iter().find(|step| step.phase == Phase::Measured && step.step == name && step.outcome.is_ok())
    }
}
