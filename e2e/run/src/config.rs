//! `.config/e2e.toml`: what manifests cannot say. Main type: [`Config`].

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use e2e_load::load::scenarios::{InvalidSteps, StepSpec, Steps, StepsScenario};
use e2e_report::request::{Scenario, Thresholds};
use serde::Deserialize;

use crate::{gather::Meter, image::Recipes, provider::local::Programs};

/// The whole file. Every key has a default, so an empty file is a valid one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Directory of the manifests, from the project's root.
    pub manifests: PathBuf,
    /// Directory of the snapshots, from the project's root.
    pub snapshots: PathBuf,
    /// Name of the Service that clients use; unless set, that of the only component which no other one refers to.
    pub entrance: Option<String>,
    /// How long the system may take until all of it is ready.
    #[serde(with = "e2e_plan::duration")]
    pub bring_up: Duration,
    /// The command that runs the suites: nextest, with a profile that writes `junit.xml`.
    pub suites: Vec<String>,
    /// The command that runs the snapshot test; none unless set.
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
    /// Scenarios of `cargo xtask load --scenario`, by name.
    pub load: BTreeMap<String, LoadScenario>,
}

/// Steps for `cargo xtask load --scenario`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadScenario {
    /// The pause before each step but the first.
    #[serde(with = "e2e_plan::duration", default)]
    pub think: Duration,
    /// The steps, in order.
    pub steps: Vec<StepSpec>,
}

impl LoadScenario {
    /// The steps for a server's Host header, with the text that `${run}` stands for.
    pub fn steps(&self, name: &str, host: &str, run: &str) -> Steps {
        Steps {
            name: name.to_owned(),
            host: host.to_owned(),
            run: run.to_owned(),
            think: self.think,
            steps: self.steps.clone(),
            ledger: None,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            manifests: "manifests".into(),
            snapshots: "snapshots".into(),
            entrance: None,
            bring_up: Duration::from_secs(60),
            suites: ["cargo", "nextest", "run", "--profile", "e2e"].map(str::to_owned).to_vec(),
            snapshot_test: Vec::new(),
            scenario: Scenario::default(),
            thresholds: Thresholds::default(),
            saturation: Vec::new(),
            images: Recipes::default(),
            local: Programs::default(),
            load: BTreeMap::new(),
        }
    }
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
    #[error("{place}: {message}; correct or remove it")]
    Malformed {
        /// File, line and column.
        place: String,
        /// What is wrong and what was expected.
        message: String,
    },
    /// A value in the file makes no sense.
    #[error("{place}: {source}")]
    InvalidAt {
        /// File, line and column.
        place: String,
        /// What is wrong with it.
        source: Box<Self>,
    },
    /// A scenario's steps cannot be taken.
    #[error("load.{name}: {reason}")]
    Load {
        /// The scenario.
        name: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A value makes no sense.
    #[error("{key} is {value}; {remedy}")]
    Invalid {
        /// The key.
        key: &'static str,
        /// What it is.
        value: String,
        /// What it should be.
        remedy: String,
    },
}

impl Config {
    /// Whether the suites are run by cargo-nextest, and not by a program of the project's own.
    pub fn needs_nextest(&self) -> bool {
        self.suites.starts_with(&["cargo".to_owned(), "nextest".to_owned()])
    }

    /// Reads and checks a file, which errors name as `shown`.
    pub fn read(path: &Path, shown: &Path) -> Result<Self, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Unreadable { path: shown.to_owned(), source })?;
        Self::parse(&text, shown)
    }

    /// Reads and checks text; `file` is for errors.
    pub fn parse(text: &str, file: &Path) -> Result<Self, Error> {
        let place = |at: usize| {
            let before = &text[..at.min(text.len())];
            let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
            let column = before[line_start..].chars().count() + 1;
            format!("{}:{}:{column}", file.display(), before.matches('\n').count() + 1)
        };
        let config: Self = toml::from_str(text).map_err(|error| Error::Malformed {
            place: place(error.span().map_or(0, |span| span.start)),
            message: error.message().replace('\n', ", "),
        })?;
        config.check().map_err(|error| match &error {
            Error::Invalid { key, .. } => {
                Error::InvalidAt { place: place(position(text, key).unwrap_or(0)), source: Box::new(error) }
            }
            Error::Load { name, .. } => {
                let at = position(text, &format!("load.{name}")).unwrap_or(0);
                Error::InvalidAt { place: place(at), source: Box::new(error) }
            }
            _ => error,
        })?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Error> {
        if self.bring_up.is_zero() {
            return Err(invalid("bring_up", &"0s", "it must be longer than zero"));
        }
        if self.suites.is_empty() {
            return Err(invalid("suites", &"empty", "name a command, or remove the key"));
        }
        for (name, load) in &self.load {
            let named = |error: InvalidSteps| Error::Load { name: name.clone(), reason: error.to_string() };
            StepsScenario::new(&load.steps(name, "localhost", "run")).map_err(named)?;
        }
        check_scenario(&self.scenario)?;
        check_thresholds(&self.thresholds)
    }
}

/// Where a key such as `scenario.clients` stands in a file that has it.
fn position(text: &str, key: &str) -> Option<usize> {
    let (tables, key) = key.rsplit_once('.').map_or((None, key), |(tables, key)| (Some(tables), key));
    let document = toml::de::DeTable::parse(text).ok()?;
    let mut table = document.get_ref();
    for name in tables.into_iter().flat_map(|tables| tables.split('.')) {
        table = table.get(name)?.get_ref().as_table()?;
    }
    table.keys().find(|candidate| candidate.get_ref() == key).map(|key| key.span().start)
}

fn invalid(key: &'static str, value: &dyn std::fmt::Display, remedy: &str) -> Error {
    Error::Invalid { key, value: value.to_string(), remedy: remedy.to_owned() }
}

/// Refuses a load that is none, and one that no process could put on.
pub fn check_scenario(scenario: &Scenario) -> Result<(), Error> {
    // More clients than this need more than one machine's ephemeral ports.
    const CLIENTS_MAX: u32 = 20_000;
    if scenario.clients == 0 || scenario.clients > CLIENTS_MAX {
        return Err(invalid("scenario.clients", &scenario.clients, "it must be from 1 to 20000"));
    }
    if scenario.attempts == 0 {
        return Err(invalid("scenario.attempts", &0, "it must be at least 1"));
    }
    for (key, duration) in [
        ("scenario.registration", scenario.registration),
        ("scenario.throughput", scenario.throughput),
        ("scenario.timeout", scenario.timeout),
    ] {
        if duration.is_zero() {
            return Err(invalid(key, &"0s", "it must be longer than zero"));
        }
    }
    Ok(())
}

fn check_thresholds(thresholds: &Thresholds) -> Result<(), Error> {
    let figures: BTreeMap<&'static str, Option<f64>> = BTreeMap::from([
        ("thresholds.registration_failure_rate_max", thresholds.registration_failure_rate_max),
        ("thresholds.registration_latency_ms_p99_max", thresholds.registration_latency_ms_p99_max),
        ("thresholds.throughput_operations_per_second_min", thresholds.throughput_operations_per_second_min),
        ("thresholds.throughput_latency_ms_p99_max", thresholds.throughput_latency_ms_p99_max),
    ]);
    for (key, value) in figures {
        if let Some(value) = value.filter(|value| !value.is_finite() || *value < 0.0) {
            return Err(invalid(key, &value, "it must be a number from 0 up"));
        }
    }
    if let Some(rate) = thresholds.registration_failure_rate_max.filter(|rate| *rate > 1.0) {
        let remedy = "it is a share, from 0 to 1: write 0.25 for a quarter";
        return Err(invalid("thresholds.registration_failure_rate_max", &rate, remedy));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("e2e.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_is_the_default() {
        let config = parse("").unwrap();
        assert_eq!(config.scenario, Scenario::default());
        assert_eq!((config.entrance, config.snapshot_test), (None, Vec::new()));
    }

    #[rstest::rstest]
    #[case::unknown_key(
        "[scenario]\nclients = 40\nclient = 3\n",
        "e2e.toml:3:1: unknown field `client`, expected one of `clients`, "
    )]
    #[case::wrong_type(
        "[scenario]\nclients = 'x'\n",
        "e2e.toml:2:11: invalid type: string \"x\", expected u32; correct or remove it"
    )]
    #[case::no_unit("bring_up = '60'\n", "e2e.toml:1:12: `60` is not a duration; write a number with a unit")]
    #[case::not_toml("\n[scenario\n", "e2e.toml:2:10: ")]
    #[case::no_clients(
        "[scenario]\n  clients = 0\n",
        "e2e.toml:2:3: scenario.clients is 0; it must be from 1 to 20000"
    )]
    #[case::no_time(
        "scenario = { timeout = '0s' }\n",
        "e2e.toml:1:14: scenario.timeout is 0s; it must be longer than zero"
    )]
    #[case::no_command("suites = []\n", "e2e.toml:1:1: suites is empty; name a command")]
    #[case::negative(
        "[thresholds]\nregistration_failure_rate_max = -1.0\n",
        "e2e.toml:2:1: thresholds.registration_failure_rate_max is -1; "
    )]
    #[case::percent(
        "[thresholds]\nregistration_failure_rate_max = 25\n",
        "e2e.toml:2:1: thresholds.registration_failure_rate_max is 25; it is a share, from 0 to 1"
    )]
    fn a_mistake_is_named_with_its_place(#[case] text: &str, #[case] expected: &str) {
        let error = parse(text).unwrap_err();
        assert!(error.starts_with(expected) && !error.contains('\n'), "{error}");
    }

    #[test]
    fn no_load_is_refused() {
        let scenario = Scenario { clients: 0, ..Scenario::default() };
        assert_eq!(
            check_scenario(&scenario).unwrap_err().to_string(),
            "scenario.clients is 0; it must be from 1 to 20000"
        );
        let scenario = Scenario { throughput: Duration::ZERO, ..Scenario::default() };
        assert!(check_scenario(&scenario).unwrap_err().to_string().contains("longer than zero"));
    }

    proptest::proptest! {
        /// PROPTEST_CASES=100000 runs as many inputs.
        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}", key in "[a-z_.]{0,30}", value in "[ -~]{0,40}") {
            let _ = Config::parse(&text, Path::new("e2e.toml"));
            let _ = Config::parse(&format!("[{key}]\n{key} = {value}\n"), Path::new("e2e.toml"));
            for section in ["scenario", "thresholds", "images", "local", "saturation"] {
                let _ = Config::parse(&format!("[{section}]\n{key} = {value}\n"), Path::new("e2e.toml"));
                let _ = Config::parse(&format!("[{section}.\"{key}\"]\ncargo = \"{key}\"\n{value}"), Path::new("e2e.toml"));
            }
        }
    }
}
