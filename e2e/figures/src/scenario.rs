//! What a declared scenario measured and what it must keep to, as plain data: [`ScenarioResult`] and [`Thresholds`]. Pure: a
//! scenario is one section of the report, whatever the system under test is.

use std::{collections::BTreeMap, fmt, ops::Range};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::stats::{Summary, rounded};
use crate::{Generator, Outcome, Second};

/// What one scenario measured. Counts are of the measured window unless they say otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScenarioResult {
    /// The name it is declared under.
    pub name: String,
    /// What decided when clients sent.
    pub model: ModelKind,
    /// Clients that were asked for.
    pub clients: u64,
    /// Those of which nothing is known, because the agent that made their requests was lost. They are in no figure below.
    pub clients_lost: u64,
    /// Those that took no part in the window, because they had finished or were not ready when it began.
    pub clients_idle: u64,
    /// Clients by the outcome of their `once` steps, over the whole run: `succeeded` or the scenario's own word, `rejected_503`,
    /// `timed_out` and others. Empty when the scenario has no such steps.
    pub client_outcomes: BTreeMap<String, u64>,
    /// How these are called that succeeded.
    pub success: String,
    /// Clients whose outcome is not success.
    pub clients_failed: u64,
    /// Clients that succeeded and needed more than one attempt at a `once` step.
    pub clients_retried: u64,
    /// The rate that was asked for, in requests per second; absent in the closed model.
    pub asked_rate: Option<f64>,
    /// Requests of the open model that were due and never sent, because every client waited for an answer; absent in the closed model.
    pub dropped: Option<u64>,
    /// Start of the measured window, milliseconds since 1970.
    pub window_start_unix_ms: u64,
    /// Length of the measured window.
    pub duration_ms: u64,
    /// Requests sent.
    pub requests: u64,
    /// Those with the expected answer.
    pub succeeded: u64,
    /// Those of them per second; absent without a window.
    pub rate_per_second: Option<f64>,
    /// Requests without the expected answer, each attempt counted.
    pub errors: u64,
    /// The same by kind.
    pub by_error: BTreeMap<Outcome, u64>,
    /// Latency of the requests that succeeded, all steps pooled; absent when none did.
    pub latency_ms: Option<Summary>,
    /// Each step, in the order of the declaration.
    pub steps: Vec<StepFigures>,
    /// Each second of the window.
    pub series: Vec<Second>,
    /// Requests that succeeded and failed in each tenth of a second of the window, by when they ended; empty unless faults were planned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenths: Vec<(u64, u64)>,
    /// What clients were told against what is stored; absent when the scenario has no ledger or it could not be checked.
    pub ledger: Option<LedgerResult>,
    /// Where the time of a request goes, in the order of its way; empty when that was not measured.
    pub parts: Vec<Part>,
    /// What the sessions of databases did while the load ran.
    pub activity: Vec<Activity>,
    /// The generator itself.
    pub generator: Generator,
}

/// What decides when clients send.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    /// Each client sends its next request when the last one has been answered.
    #[default]
    Closed,
    /// Requests are due at given times.
    Open,
}

/// What one step measured in the window.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepFigures {
    /// The step's name.
    pub name: String,
    /// Whether each client takes it once. Its failures are told by the clients' outcomes.
    pub once: bool,
    /// Requests sent.
    pub requests: u64,
    /// Those with the expected answer.
    pub succeeded: u64,
    /// Those of them per second; absent without a window.
    pub rate_per_second: Option<f64>,
    /// Requests without the expected answer, each attempt counted.
    pub errors: u64,
    /// The same by kind.
    pub by_error: BTreeMap<Outcome, u64>,
    /// Latency of the requests that succeeded; absent when none did.
    pub latency_ms: Option<Summary>,
    /// Mean of what the answers' `server_time` header says; absent when they do not say it.
    pub server_time_ms_mean: Option<f64>,
}

/// What clients were told is stored, against what is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LedgerResult {
    /// Keys that were acknowledged, in the whole run: each must be stored, once.
    pub acknowledged: u64,
    /// Keys that the system refused each time.
    pub refused: u64,
    /// Keys whose fate no client knows: they may be stored or not.
    pub unknown: u64,
    /// Rows that the system stores.
    pub stored: u64,
    /// The same by pod, where each pod stores its own part.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stored_by_pod: BTreeMap<String, u64>,
    /// Acknowledged and not stored: the worst finding there is.
    pub missing: u64,
    /// Keys that are stored more than once.
    pub duplicate: u64,
    /// Keys that are stored without an acknowledgement that arrived: the answer was lost or came too late. Harmless.
    pub unacknowledged: u64,
    /// The first of the missing keys.
    pub missing_keys: Vec<String>,
    /// The first of the duplicate keys.
    pub duplicate_keys: Vec<String>,
}

/// The time that requests spend in a part of their way, that of the parts behind it not counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    /// The component, or several that were not told apart. The queue in front of it belongs to it.
    pub name: String,
    /// Mean, in milliseconds.
    pub mean_ms: f64,
    /// What it could do, where it says so itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
}

/// What a part carries, by how much of itself it used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Capacity {
    /// Requests per second that would use it up.
    pub per_second: f64,
    /// How long a request waited for room in it, which more of it would take away once it is used up.
    pub waiting_ms: f64,
}

/// What the sessions of one component did, looked at many times in the measured window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Activity {
    /// The component.
    pub component: String,
    /// How many looks there were.
    pub samples: u64,
    /// Mean number of sessions at work, by what they wait for: `running` for nothing, else `type:event` as in PostgreSQL's
    /// `pg_stat_activity`.
    pub sessions: BTreeMap<String, f64>,
    /// Transactions per second; absent when the database restarted meanwhile.
    pub commits_per_second: Option<f64>,
}

/// Lines that the figures of a scenario, or of one of its steps, must not cross; a line that is not set is not drawn.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Thresholds {
    /// Lowest rate of requests that succeed, per second.
    pub rate_min: Option<f64>,
    /// Highest number of requests without the expected answer.
    pub errors_max: Option<u64>,
    /// The same as a share of all requests, 0 to 1.
    pub error_rate_max: Option<f64>,
    /// Highest share of clients that fail, 0 to 1. Of a whole scenario only.
    pub client_failure_rate_max: Option<f64>,
    /// Highest median latency.
    pub latency_ms_p50_max: Option<f64>,
    /// Highest 90th percentile.
    pub latency_ms_p90_max: Option<f64>,
    /// Highest 99th percentile.
    pub latency_ms_p99_max: Option<f64>,
    /// Highest 99.9th percentile.
    pub latency_ms_p999_max: Option<f64>,
}

/// One line of [`Thresholds`], with the figure it is about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// What it limits.
    pub name: ThresholdName,
    /// Where the figure stands, or what it is made of, as a JSON pointer below the scenario's or the step's figures.
    pub pointer: &'static str,
    /// The limit.
    pub limit: f64,
    /// The figure; nothing when it was not measured.
    pub measured: Option<f64>,
}

/// What a line limits, named by its key in `e2e.toml`: the smallest value of a `_min`, the largest of a `_max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdName {
    /// Requests that succeed, per second.
    RateMin,
    /// Requests without the expected answer.
    ErrorsMax,
    /// The same as a share of all requests.
    ErrorRateMax,
    /// Share of clients that fail.
    ClientFailureRateMax,
    /// Median latency.
    LatencyMsP50Max,
    /// 90th percentile of the latency.
    LatencyMsP90Max,
    /// 99th percentile of the latency.
    LatencyMsP99Max,
    /// 99.9th percentile of the latency.
    LatencyMsP999Max,
    /// Restarts of all containers of a run.
    RestartsMax,
}

/// The key, such as `latency_ms_p99_max`.
impl fmt::Display for ThresholdName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl Line {
    /// Whether the figure is on the right side of the line, or on it; nothing when it was not measured.
    pub fn is_kept(&self) -> Option<bool> {
        self.measured.map(|measured| match self.name {
            ThresholdName::RateMin => measured >= self.limit,
            _ => measured <= self.limit,
        })
    }

    /// Whether the limit can be what it is: a number from 0 up, and a share at most 1.
    pub fn has_limit(&self) -> bool {
        let most = if self.is_share() { 1.0 } else { f64::MAX };
        (0.0..=most).contains(&self.limit)
    }

    /// Whether it is about a share, from 0 to 1.
    pub fn is_share(&self) -> bool {
        matches!(self.name, ThresholdName::ErrorRateMax | ThresholdName::ClientFailureRateMax)
    }
}

impl Thresholds {
    /// The lines that are drawn, without figures.
    pub fn drawn(&self) -> Vec<Line> {
        self.lines(None, (0, 0), None, None)
    }

    /// The lines that are drawn, held against a scenario's figures.
    pub fn of_scenario(&self, result: &ScenarioResult) -> Vec<Line> {
        let clients = result.clients.saturating_sub(result.clients_lost);
        let known = result.client_outcomes.values().sum::<u64>().min(clients);
        let failure_rate = (known > 0).then(|| result.clients_failed as f64 / known as f64);
        self.lines(result.rate_per_second, (result.requests, result.errors), failure_rate, result.latency_ms.as_ref())
    }

    /// The lines that are drawn, held against a step's figures.
    pub fn of_step(&self, step: &StepFigures) -> Vec<Line> {
        self.lines(step.rate_per_second, (step.requests, step.errors), None, step.latency_ms.as_ref())
    }

    fn lines(
        &self,
        rate: Option<f64>,
        (requests, errors): (u64, u64),
        client_failure_rate: Option<f64>,
        latency: Option<&Summary>,
    ) -> Vec<Line> {
        // Without a request nothing failed, which is no reason to call the service free of errors.
        let errors = (requests > 0).then_some(errors as f64);
        let error_rate = errors.map(|errors| errors / requests as f64);
        let line =
            |name, pointer, limit: Option<f64>, measured| limit.map(|limit| Line { name, pointer, limit, measured });
        let at = |name, pointer, limit, of: fn(&Summary) -> f64| line(name, pointer, limit, latency.map(of));
        let (errors_max, clients_max) = (self.errors_max.map(|most| most as f64), self.client_failure_rate_max);
        use ThresholdName::{
            ClientFailureRateMax, ErrorRateMax, ErrorsMax, LatencyMsP50Max, LatencyMsP90Max, LatencyMsP99Max,
            LatencyMsP999Max, RateMin,
        };
        [
            line(RateMin, "rate_per_second", self.rate_min, rate),
            line(ErrorsMax, "errors", errors_max, errors),
            line(ErrorRateMax, "errors", self.error_rate_max, error_rate),
            line(ClientFailureRateMax, "clients_failed", clients_max, client_failure_rate),
            at(LatencyMsP50Max, "latency_ms/p50", self.latency_ms_p50_max, |latency| latency.p50),
            at(LatencyMsP90Max, "latency_ms/p90", self.latency_ms_p90_max, |latency| latency.p90),
            at(LatencyMsP99Max, "latency_ms/p99", self.latency_ms_p99_max, |latency| latency.p99),
            at(LatencyMsP999Max, "latency_ms/p999", self.latency_ms_p999_max, |latency| latency.p999),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl ScenarioResult {
    /// The measured window, in milliseconds since 1970.
    pub fn window(&self) -> Range<u64> {
        self.window_start_unix_ms..self.window_start_unix_ms + self.duration_ms
    }

    /// The seconds of the window: behind it come entries for its last requests, and a second that it cuts short has a lower rate.
    pub fn whole_seconds(&self) -> &[Second] {
        let whole = usize::try_from(self.duration_ms / 1000).unwrap_or(usize::MAX);
        &self.series[..self.series.len().min(whole)]
    }

    /// A step by its name.
    pub fn step(&self, name: &str) -> Option<&StepFigures> {
        self.steps.iter().find(|step| step.name == name)
    }
}

/// Events per second of a window; nothing without a window.
pub fn per_second(count: u64, window_ms: f64) -> Option<f64> {
    (window_ms > 0.0).then(|| rounded(count as f64 * 1000.0 / window_ms, 3))
}

impl Part {
    /// The parts of a way, of which each was measured together with all behind it: name and milliseconds, the outermost first.
    pub fn of_way(way: &[(&str, f64)]) -> Vec<Self> {
        let behind = way.iter().skip(1).map(|(_, ms)| *ms).chain([0.0]);
        // Means of different moments may cross by a little.
        let own = way.iter().zip(behind).map(|((name, ms), behind)| (name, (ms - behind).max(0.0)));
        own.map(|(name, mean_ms)| Self { name: (*name).to_owned(), mean_ms, capacity: None }).collect()
    }
}

impl Activity {
    /// `IO:WALSync 0.80, running 0.30`: those that are seen at all, most first.
    pub fn described(&self) -> String {
        let mut seen: Vec<(&String, f64)> = self.sessions.iter().map(|(event, sessions)| (event, *sessions)).collect();
        seen.sort_by(|a, b| b.1.total_cmp(&a.1));
        let seen: Vec<String> = seen.into_iter().map(|(event, sessions)| format!("{event} {sessions:.2}")).collect();
        if seen.is_empty() { "none".to_owned() } else { seen.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten requests of one step, two of which failed, in two seconds.
    fn figures() -> StepFigures {
        let latency = Summary { count: 8, min: 1.0, mean: 2.0, p50: 2.0, p90: 3.0, p99: 4.0, p999: 5.0, max: 5.0 };
        StepFigures {
            name: "order".to_owned(),
            once: false,
            requests: 10,
            succeeded: 8,
            rate_per_second: per_second(8, 2000.0),
            errors: 2,
            by_error: [(Outcome::Status(503), 2)].into(),
            latency_ms: Some(latency),
            server_time_ms_mean: None,
        }
    }

    #[test]
    fn a_figure_on_the_line_is_on_the_right_side_of_it() {
        let drawn = Thresholds {
            rate_min: Some(4.0),
            errors_max: Some(1),
            error_rate_max: Some(0.2),
            latency_ms_p99_max: Some(3.9),
            ..Thresholds::default()
        };
        let lines = drawn.of_step(&figures());
        let kept: Vec<_> = lines.iter().map(|line| (line.name.to_string(), line.measured, line.is_kept())).collect();
        assert_eq!(
            kept,
            [
                ("rate_min".to_owned(), Some(4.0), Some(true)),
                ("errors_max".to_owned(), Some(2.0), Some(false)),
                ("error_rate_max".to_owned(), Some(0.2), Some(true)),
                ("latency_ms_p99_max".to_owned(), Some(4.0), Some(false)),
            ]
        );
    }

    #[test]
    fn what_was_not_measured_keeps_to_nothing() {
        let nothing =
            StepFigures { requests: 0, succeeded: 0, errors: 0, rate_per_second: None, latency_ms: None, ..figures() };
        let drawn = Thresholds {
            rate_min: Some(1.0),
            errors_max: Some(0),
            latency_ms_p50_max: Some(1.0),
            ..Thresholds::default()
        };
        assert!(drawn.of_step(&nothing).iter().all(|line| line.is_kept().is_none()));
    }

    #[test]
    fn each_part_is_what_the_ones_behind_do_not_take() {
        let parts = Part::of_way(&[("nginx", 10.0), ("backend", 8.0), ("redis", 8.5), ("postgres", 3.0)]);
        let shown: Vec<(&str, f64)> = parts.iter().map(|part| (part.name.as_str(), part.mean_ms)).collect();
        assert_eq!(shown, [("nginx", 2.0), ("backend", 0.0), ("redis", 5.5), ("postgres", 3.0)]);
    }
}
