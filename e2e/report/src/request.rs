//! What was asked of a run. Main types: [`Scenario`], [`Thresholds`].

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The load that the suites put on the system. Flags of `cargo xtask e2e` override it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// Concurrent clients.
    pub clients: u32,
    /// How long the registration suite lasts.
    #[serde(with = "e2e_plan::duration")]
    #[schemars(with = "String")]
    pub registration: Duration,
    /// How long the throughput suite measures.
    #[serde(with = "e2e_plan::duration")]
    #[schemars(with = "String")]
    pub throughput: Duration,
    /// How long the throughput suite runs before it measures.
    #[serde(with = "e2e_plan::duration")]
    #[schemars(with = "String")]
    pub warm_up: Duration,
    /// Bound on one request.
    #[serde(with = "e2e_plan::duration")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// How often a client tries to register before it gives up.
    pub attempts: u32,
    /// Seed of the clients' data.
    pub seed: u64,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            clients: 40,
            registration: Duration::from_secs(60),
            throughput: Duration::from_secs(60),
            warm_up: Duration::from_secs(3),
            timeout: Duration::from_secs(5),
            attempts: 5,
            seed: 1,
        }
    }
}

/// Lines that figures must not cross; a line that is not set is not drawn.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Thresholds {
    /// Highest share of clients that fail to register, 0 to 1.
    pub registration_failure_rate_max: Option<f64>,
    /// Highest 99th percentile of registration latency.
    pub registration_latency_ms_p99_max: Option<f64>,
    /// Lowest acknowledged operations per second.
    pub throughput_operations_per_second_min: Option<f64>,
    /// Highest 99th percentile of operation latency.
    pub throughput_latency_ms_p99_max: Option<f64>,
    /// Highest number of failed operations.
    pub throughput_errors_max: Option<u64>,
    /// Highest number of container restarts during the run.
    pub restarts_max: Option<u32>,
}
