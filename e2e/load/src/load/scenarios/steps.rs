//! A scenario that is data: steps with placeholders, as they stand in a file. Main type: [`StepsScenario`], made of [`Steps`].

use std::sync::Arc;

pub use e2e_figures::steps::{LedgerSpec, StepSpec, Steps};

use crate::load::{ClientReport, Identity, LoadResult, Scenario, StepLabel};
use crate::scenario::ScenarioResult;

mod answer;
mod client;
mod compiled;
mod template;

pub use client::StepsClient;

use compiled::Compiled;
use template::{Encoding, Names, Template};

/// Why steps cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum InvalidSteps {
    #[error("there are no steps: add one as `[[scenario.NAME.steps]]`")]
    NoSteps,
    #[error(
        "every step runs once, before the measured window: remove `once` from one of them, or add `measured = true`"
    )]
    NothingMeasured,
    #[error("two steps are called `{0}`: rename one")]
    SameName(String),
    #[error("step `{step}`: {reason}")]
    Step { step: String, reason: String },
    #[error("ledger: {0}")]
    Ledger(String),
}

/// The values that each client has of its own; slots from here on are what it captures.
const OWN: [&str; 3] = ["client", "round", "random"];
const CLIENT: usize = 0;
const ROUND: usize = 1;
const RANDOM: usize = 2;

fn invalid(step: &StepSpec, reason: impl Into<String>) -> InvalidSteps {
    InvalidSteps::Step { step: step.name.clone(), reason: reason.into() }
}

/// A text of a step, taken apart.
fn template(step: &StepSpec, text: &str, encoding: Encoding, names: &Names) -> Result<Template, InvalidSteps> {
    Template::parse(text, encoding, names)
        .map_err(|name| invalid(step, format!("`${{{name}}}` has no value here; there is {}", names.listed())))
}

/// Steps that clients can take.
#[derive(Debug, Clone)]
pub struct StepsScenario {
    name: String,
    labels: Vec<StepLabel>,
    success: String,
    compiled: Arc<Compiled>,
}

impl StepsScenario {
    /// Makes a scenario of what a file says.
    ///
    /// # Errors
    ///
    /// When no client could take the steps: see [`InvalidSteps`].
    pub fn new(spec: &Steps) -> Result<Self, InvalidSteps> {
        let compiled = Compiled::new(spec)?;
        let once = spec.steps.iter().filter(|step| step.once);
        Ok(Self {
            name: spec.name.clone(),
            labels: spec.steps.iter().map(|step| StepLabel { name: step.name.clone(), once: step.once }).collect(),
            success: once.filter_map(|step| step.outcome.clone()).next_back().unwrap_or_else(|| "succeeded".to_owned()),
            compiled: Arc::new(compiled),
        })
    }

    /// A load's result as figures of these steps.
    pub fn figures(&self, load: &LoadResult<ClientReport>) -> ScenarioResult {
        load.figures(&self.labels, &self.success)
    }

    /// Writes the key of a client's round, for those that follow from them.
    pub fn write_key(&self, client: u32, round: u64, key: &mut String) {
        if let Some(ledger) = &self.compiled.ledger {
            ledger.write(client, round, key);
        }
    }

    /// What all keys of this run look like, as SQL's LIKE writes it; nothing without a ledger.
    pub fn key_pattern(&self) -> Option<String> {
        self.compiled.ledger.as_ref().map(compiled::Key::pattern)
    }
}

impl Scenario for StepsScenario {
    type Client = StepsClient;

    fn name(&self) -> &str {
        &self.name
    }

    fn steps(&self) -> Vec<String> {
        self.labels.iter().map(|step| step.name.clone()).collect()
    }

    fn client(&self, identity: Identity) -> StepsClient {
        StepsClient::new(self.compiled.clone(), identity)
    }
}

#[cfg(test)]
mod tests;
