//! What was asked of a run: the scenarios that a system declares and the lines that its figures must not cross. Main types:
//! [`Scenario`], [`Thresholds`].

use std::{collections::BTreeMap, time::Duration};

use e2e_figures::{
    scenario::Thresholds as ScenarioThresholds,
    steps::{LedgerSpec, Spacing, StepSpec, Steps},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A load that clients put on the system, as `[scenario.NAME]` declares it. Flags of the command line override some of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a table with the scenario's name, such as [scenario.checkout]")]
pub struct Scenario {
    /// Concurrent clients, each with one connection.
    pub clients: u32,
    /// Requests per second over all clients, whatever the system does; without it each client sends its next request when the last one
    /// has been answered.
    pub rate: Option<f64>,
    /// With `rate`: the rate at the window's end, reached in a straight line.
    pub ramp_to: Option<f64>,
    /// With `rate`: what lies between two requests.
    pub spacing: Spacing,
    /// How long clients send before figures count.
    #[serde(with = "e2e_plan::duration")]
    #[schemars(with = "String")]
    pub warm_up: Duration,
    /// The measured window.
    #[serde(with = "e2e_plan::duration")]
    #[schemars(with = "String")]
    pub duration: Duration,
    /// Bound on one request, connecting included.
    #[serde(with = "e2e_plan::duration")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// Seed of the clients' data.
    pub seed: u64,
    /// The pause before each step but a client's first.
    #[serde(with = "e2e_plan::duration")]
    #[schemars(with = "String")]
    pub think: Duration,
    /// The Service that clients call; the entrance unless set.
    pub service: Option<String>,
    /// The Host header; `localhost` unless set, the name under which clients call a system through a port-forward.
    pub host: Option<String>,
    /// Lines that the scenario's figures must not cross.
    pub thresholds: ScenarioThresholds,
    /// Whether it is written in Rust, and has no steps here.
    pub rust: bool,
    /// The steps, in order.
    pub steps: Vec<StepSpec>,
    /// What the system must keep of what it acknowledged.
    pub ledger: Option<Ledger>,
}

/// The keys that a scenario's answers acknowledge, and where the system stores them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// The key, with placeholders as in steps.
    pub key: String,
    /// The step whose answer acknowledges it; the only repeated one unless set.
    pub step: Option<String>,
    /// The stored keys, by SQL; a suite of the system's own tells them otherwise.
    pub postgres: Option<Sql>,
}

/// Where the stored keys are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sql {
    /// The Service of the database.
    pub service: String,
    /// The component behind it, whose POSTGRES_USER, POSTGRES_DB and POSTGRES_PASSWORD say how to log in; called like the Service unless
    /// set.
    pub component: Option<String>,
    /// Gives a key and its number of rows in each row. `$1` is what all keys of the run look like, for LIKE.
    pub query: String,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            clients: 40,
            rate: None,
            ramp_to: None,
            spacing: Spacing::Uniform,
            warm_up: Duration::ZERO,
            duration: Duration::from_secs(60),
            timeout: Duration::from_secs(5),
            seed: 1,
            think: Duration::ZERO,
            service: None,
            host: None,
            thresholds: ScenarioThresholds::default(),
            rust: false,
            steps: Vec::new(),
            ledger: None,
        }
    }
}

impl Scenario {
    /// The steps under the scenario's name, for a run that no other one is called like.
    pub fn steps(&self, name: &str, run: &str) -> Steps {
        let ledger = self.ledger.as_ref();
        Steps {
            name: name.to_owned(),
            host: self.host.clone().unwrap_or_else(|| "localhost".to_owned()),
            run: run.to_owned(),
            think: self.think,
            steps: self.steps.clone(),
            ledger: ledger.map(|ledger| LedgerSpec { key: ledger.key.clone(), step: ledger.step.clone() }),
        }
    }

    /// Whether clients send as fast as the system answers, so that what limits them is the system.
    pub fn is_pressing(&self) -> bool {
        let pauses = |step: &StepSpec| step.think.is_some_and(|think| !think.is_zero());
        let is_repeated = |step: &&StepSpec| !step.once;
        self.rate.is_none() && self.think.is_zero() && !self.steps.iter().filter(is_repeated).any(pauses)
    }
}

/// Lines of the whole run; those of a scenario are its own. A line that is not set is not drawn.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Thresholds {
    /// Highest number of container restarts during the run.
    pub restarts_max: Option<u32>,
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
    pub scenarios: BTreeMap<String, Scenario>,
    /// Whether only some of the declared ones were chosen.
    #[serde(default)]
    pub some_scenarios: bool,
    /// The lines of the whole run.
    pub thresholds: Thresholds,
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
