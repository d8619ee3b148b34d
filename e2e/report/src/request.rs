//! The request of a run: its declared scenarios and thresholds. Main types: [`Scenario`], [`Thresholds`].

use std::{collections::BTreeMap, fmt, time::Duration};

use e2e_figures::{
    scenario::Thresholds as ScenarioThresholds,
    steps::{LedgerSpec, Spacing, StepSpec, Steps},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fault::PlannedFault;

/// A load, as declared in `[scenario.NAME]`. Flags of the command line override some fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a table with the scenario's name, such as [scenario.checkout]")]
pub struct Scenario {
    /// Concurrent clients, each with one connection.
    pub clients: u32,
    /// Requests per second over all clients, independent of the system; without it, each client sends its next request after the
    /// previous answer.
    pub rate: Option<f64>,
    /// With `rate`: the rate at the window's end, reached linearly.
    pub ramp_to: Option<f64>,
    /// With `rate`: the distribution of arrivals.
    pub spacing: Spacing,
    /// The time before figures count.
    #[serde(with = "e2e_plan::duration")]
    #[schemars(with = "String")]
    pub warm_up: Duration,
    /// The measured window.
    #[serde(with = "e2e_plan::duration")]
    #[schemars(with = "String")]
    pub duration: Duration,
    /// Timeout of a request, including the connection set-up.
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
    /// The Host header; `localhost` unless set, as through a port-forward.
    pub host: Option<String>,
    /// Limits for the scenario's figures.
    pub thresholds: ScenarioThresholds,
    /// Whether it is written in Rust, and has no steps here.
    pub rust: bool,
    /// The steps, in order.
    pub steps: Vec<StepSpec>,
    /// The check that acknowledged keys are stored.
    pub ledger: Option<Ledger>,
    /// Faults during the load, such as `kill backend-0 at 10s`.
    pub during: Vec<PlannedFault>,
    /// How long after a planned fault clients may notice it.
    #[serde(with = "e2e_plan::duration")]
    #[schemars(with = "String")]
    pub recovery_max: Duration,
}

/// The keys that a scenario's answers acknowledge, and their storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// The key, with placeholders as in steps.
    pub key: String,
    /// The step whose answer acknowledges it; the only repeated one unless set.
    pub step: Option<String>,
    /// The query for the stored keys; without it, a suite supplies them.
    pub postgres: Option<Sql>,
}

/// The source of the stored keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sql {
    /// The Service of the database.
    pub service: String,
    /// Its component, whose POSTGRES_USER, POSTGRES_DB and POSTGRES_PASSWORD are the login; by default named like the Service.
    pub component: Option<String>,
    /// Whether each pod of the Service stores its own part of the keys: all are asked. By default the Service is asked once.
    #[serde(default)]
    pub sharded: bool,
    /// A query that returns a key and its number of rows in each row. `$1` is a LIKE pattern for all keys of the run.
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
            during: Vec::new(),
            // A period of a readiness probe, by Kubernetes's default: a pod that is back gets requests by then.
            recovery_max: Duration::from_secs(10),
        }
    }
}

impl Scenario {
    /// The steps under the scenario's name, for a run with a unique name.
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

    /// Whether clients send as fast as the system answers, so that the system is the limit.
    pub fn is_pressing(&self) -> bool {
        let pauses = |step: &StepSpec| step.think.is_some_and(|think| !think.is_zero());
        let is_repeated = |step: &&StepSpec| !step.once;
        self.rate.is_none() && self.think.is_zero() && !self.steps.iter().filter(is_repeated).any(pauses)
    }
}

/// Limits of the whole run; a scenario has its own. Unset limits do not apply.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Thresholds {
    /// Maximum number of container restarts during the run.
    pub restarts_max: Option<u32>,
}

/// The machine that ran it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    /// Processors that this process may use.
    pub cpus: u64,
    /// Memory.
    pub memory_bytes: u64,
    /// Kernel and its version.
    pub kernel: String,
}

/// The request from the command line and the configuration, written at the run's start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Request {
    /// Start of the run, RFC 3339, UTC.
    pub started_at: String,
    /// The loads, by name.
    pub scenarios: BTreeMap<String, Scenario>,
    /// Whether only some of the declared ones were selected.
    #[serde(default)]
    pub some_scenarios: bool,
    /// The limits of the whole run.
    pub thresholds: Thresholds,
    /// Overlays, as given.
    pub overlays: Vec<String>,
    /// One-off changes, as given.
    pub sets: Vec<String>,
    /// The nextest filterset of the selected checks; absent for all checks.
    #[serde(default)]
    pub filter: Option<String>,
    /// The machine.
    pub host: Host,
    /// The state of the project's repository; absent where it is in none.
    #[serde(default)]
    pub source: Option<SourceState>,
}

impl Request {
    /// What changes the manifests, as given: overlays, then one-off changes.
    pub(crate) fn changes(&self) -> impl Iterator<Item = &str> {
        self.overlays.iter().chain(&self.sets).map(String::as_str)
    }

    /// Whether a scenario's clients send as fast as the system answers: see [`Scenario::is_pressing`].
    pub(crate) fn is_pressing(&self, scenario: &str) -> bool {
        self.scenarios.get(scenario).is_some_and(Scenario::is_pressing)
    }
}

/// A state of a Git repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceState {
    /// The commit, in 40 hexadecimal digits.
    pub commit: String,
    /// The branch; absent where the commit alone is checked out and no CI system says more.
    pub branch: Option<String>,
    /// Whether there are changes that the commit does not hold.
    pub dirty: bool,
}

/// `1da9fae on main, with changes that are not committed`.
impl fmt::Display for SourceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.commit.get(..7).unwrap_or(&self.commit))?;
        if let Some(branch) = &self.branch {
            write!(f, " on {branch}")?;
        }
        f.write_str(if self.dirty { ", with changes that are not committed" } else { "" })
    }
}
