//! `.config/e2e.toml`: what manifests cannot say. Main type: [`Config`].

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{evidence::Meter, image::Recipes, provider::local::Programs};

/// The whole file. Every key has a default, so an empty file is a valid one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Directory of the manifests, from the project's root.
    pub manifests: PathBuf,
    /// Directory of the snapshots, from the project's root.
    pub snapshots: PathBuf,
    /// Name of the Service that clients use.
    pub entrance: String,
    /// How long the system may take until all of it is ready.
    #[serde(with = "crate::duration")]
    pub bring_up: Duration,
    /// The command that runs the suites.
    pub suites: Vec<String>,
    /// The command that runs the snapshot test.
    pub snapshot_test: Vec<String>,
    /// What the scenarios do.
    pub scenario: Scenario,
    /// Lines that figures must not cross.
    pub thresholds: Thresholds,
    /// Bounded resources that components report about themselves.
    pub saturation: Vec<Meter>,
    /// How images are made that no registry has.
    pub images: Recipes,
    /// Which program stands for which image on `--target local`, over those that the framework knows.
    pub local: Programs,
}

impl Default for Config {
    fn default() -> Self {
        let nextest = |profile: &str| ["cargo", "nextest", "run", "--profile", profile].map(str::to_owned).to_vec();
        Self {
            manifests: "manifests".into(),
            snapshots: "snapshots".into(),
            entrance: "nginx".to_owned(),
            bring_up: Duration::from_secs(60),
            suites: nextest("e2e"),
            snapshot_test: nextest("snapshot"),
            scenario: Scenario::default(),
            thresholds: Thresholds::default(),
            saturation: Vec::new(),
            images: Recipes::default(),
            local: Programs::default(),
        }
    }
}

/// The load that the suites put on the system. Flags of `cargo xtask e2e` override it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// Concurrent clients.
    pub clients: u32,
    /// How long the registration suite lasts.
    #[serde(with = "crate::duration")]
    #[schemars(with = "String")]
    pub registration: Duration,
    /// How long the throughput suite measures.
    #[serde(with = "crate::duration")]
    #[schemars(with = "String")]
    pub throughput: Duration,
    /// How long the throughput suite runs before it measures.
    #[serde(with = "crate::duration")]
    #[schemars(with = "String")]
    pub warm_up: Duration,
    /// Bound on one request.
    #[serde(with = "crate::duration")]
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

/// Why the configuration cannot be used. Each message names the file, the key and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}: {source}; create it, an empty file is enough", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML of the expected form.
    #[error("{}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line, column, key and what was expected.
        message: String,
    },
    /// A value makes no sense.
    #[error("{key} is {value}; {remedy}")]
    Invalid {
        /// The key or flag.
        key: &'static str,
        /// What it is.
        value: String,
        /// What it should be.
        remedy: &'static str,
    },
}

impl Config {
    /// Reads and checks a file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Unreadable { path: path.to_owned(), source })?;
        let config = Self::parse(&text).map_err(|error| Error::Malformed {
            path: path.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        })?;
        config.scenario.check()?;
        config.thresholds.check()?;
        Ok(config)
    }

    /// Reads text, without the checks of values that flags may still override.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}

impl Scenario {
    /// Refuses a load that is none, and one that no process could put on.
    pub fn check(&self) -> Result<(), Error> {
        let invalid =
            |key, value: &dyn std::fmt::Display, remedy| Err(Error::Invalid { key, value: value.to_string(), remedy });
        // More clients than this need more than one machine's ephemeral ports.
        const CLIENTS_MAX: u32 = 20_000;
        if self.clients == 0 || self.clients > CLIENTS_MAX {
            return invalid("scenario.clients (--clients)", &self.clients, "it must be from 1 to 20000");
        }
        if self.attempts == 0 {
            return invalid("scenario.attempts", &0, "it must be at least 1");
        }
        for (key, duration) in [
            ("scenario.registration (--duration)", self.registration),
            ("scenario.throughput (--duration)", self.throughput),
            ("scenario.timeout", self.timeout),
        ] {
            if duration.is_zero() {
                return invalid(key, &"0s", "it must be longer than zero");
            }
        }
        Ok(())
    }
}

impl Thresholds {
    fn check(&self) -> Result<(), Error> {
        let figures: BTreeMap<&'static str, Option<f64>> = BTreeMap::from([
            ("thresholds.registration_failure_rate_max", self.registration_failure_rate_max),
            ("thresholds.registration_latency_ms_p99_max", self.registration_latency_ms_p99_max),
            ("thresholds.throughput_operations_per_second_min", self.throughput_operations_per_second_min),
            ("thresholds.throughput_latency_ms_p99_max", self.throughput_latency_ms_p99_max),
        ]);
        for (key, value) in figures {
            if let Some(value) = value.filter(|value| !value.is_finite() || *value < 0.0) {
                return Err(Error::Invalid { key, value: value.to_string(), remedy: "it must be a number from 0 up" });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_default() {
        let config = Config::parse("").unwrap();
        assert_eq!(config.scenario, Scenario::default());
        assert_eq!(config.entrance, "nginx");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error = Config::parse("[scenario]\nclients = 40\nclient = 3\n").unwrap_err().to_string();
        assert!(error.contains("line 3") && error.contains("client") && error.contains("clients"), "{error}");
    }

    #[test]
    fn no_load_is_refused() {
        let scenario = Scenario { clients: 0, ..Scenario::default() };
        assert_eq!(
            scenario.check().unwrap_err().to_string(),
            "scenario.clients (--clients) is 0; it must be from 1 to 20000"
        );
        let scenario = Scenario { throughput: Duration::ZERO, ..Scenario::default() };
        assert!(scenario.check().unwrap_err().to_string().contains("longer than zero"));
    }
}
