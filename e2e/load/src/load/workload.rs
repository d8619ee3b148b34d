//! A load's scenario as a value that can be sent elsewhere: [`Workload`], with a [`Registry`] of those that are written in Rust.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::scenarios::{Fixed, InvalidSteps, Steps, StepsScenario};
use super::{Client, ClientReport, Error, LoadResult, Run, Scenario, Settings, start_held};

/// What clients do. It makes the same load wherever it is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// One request again and again.
    Fixed(Fixed),
    /// Steps that a file declares.
    Steps(Steps),
    /// A scenario in Rust, by its name in the [`Registry`] of the program that runs it.
    Named {
        /// The name.
        name: String,
        /// What it is made from.
        parameters: Value,
    },
}

/// Why a workload cannot be started.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum WorkloadError {
    #[error(transparent)]
    Load(#[from] Error),
    #[error(transparent)]
    Steps(#[from] InvalidSteps),
    #[error("no scenario `{name}` in this program; it has {known}: name the project's own agent")]
    Unknown { name: String, known: String },
    #[error("scenario `{name}`: {reason}")]
    Parameters { name: String, reason: String },
}

impl Workload {
    /// Starts it; clients that are ready wait for [`Run::release`].
    ///
    /// # Errors
    ///
    /// See [`WorkloadError`].
    pub fn start_held(
        self,
        settings: Settings,
        registry: &Registry,
    ) -> Result<Run<LoadResult<ClientReport>>, WorkloadError> {
        match self {
            Self::Fixed(fixed) => Ok(start_held(settings, fixed)?),
            Self::Steps(steps) => Ok(start_held(settings, StepsScenario::new(&steps)?)?),
            Self::Named { name, parameters } => match registry.0.get(&name) {
                Some(start) => start(settings, parameters),
                None => Err(WorkloadError::Unknown { name, known: registry.listed() }),
            },
        }
    }
}

/// The scenarios in Rust that a program has, by name.
///
/// ```
/// use e2e_load::load::{Registry, RequestHead, scenarios::Fixed};
///
/// let registry = Registry::default().with("ping", |path: String| {
///     let head = RequestHead::new("GET", &path, "localhost")?;
///     Ok::<_, e2e_load::load::InvalidRequest>(Fixed::new(&head, None))
/// });
/// # let _ = registry;
/// ```
#[derive(Default)]
pub struct Registry(BTreeMap<String, Start>);

type Start = Box<dyn Fn(Settings, Value) -> Result<Run<LoadResult<ClientReport>>, WorkloadError> + Send + Sync>;

impl Registry {
    /// Adds a scenario that is made from parameters.
    #[must_use]
    pub fn with<P, S, E>(mut self, name: &str, make: impl Fn(P) -> Result<S, E> + Send + Sync + 'static) -> Self
    where
        P: serde::de::DeserializeOwned,
        S: Scenario<Client: Client<Report = ClientReport>>,
        E: fmt::Display,
    {
        let named = name.to_owned();
        let start = move |settings, parameters| {
            let invalid = |reason: String| WorkloadError::Parameters { name: named.clone(), reason };
            let parameters = serde_json::from_value(parameters).map_err(|error| invalid(error.to_string()))?;
            let scenario = make(parameters).map_err(|error| invalid(error.to_string()))?;
            Ok(start_held(settings, scenario)?)
        };
        self.0.insert(name.to_owned(), Box::new(start));
        self
    }

    fn listed(&self) -> String {
        let names: Vec<&str> = self.0.keys().map(String::as_str).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Registry").field(&self.0.keys()).finish()
    }
}
