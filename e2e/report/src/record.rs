//! One record per test: the check, its outcome and its measurements. Main type: [`Record`].

use std::collections::BTreeMap;

use e2e_figures::scenario::ScenarioResult;
use e2e_kubelet::observation::Observation;
use e2e_plan::ProbeKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::run_dir::{self, RunDir};

/// The result of one test, as a file in `results/`. Checks in any language can write it; its schema is docs/record.schema.json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// The suite: `health`, `probes`, `scenarios` or one of yours.
    pub suite: String,
    /// The case, unique in its suite.
    pub case: String,
    /// The name in `junit.xml` of the test that wrote it; a test without a record gets one from there.
    #[serde(default)]
    pub test: String,
    /// Its outcome.
    pub outcome: Outcome,
    /// The result or the reason of its failure, in one line.
    #[serde(default)]
    pub detail: String,
    /// Its duration.
    #[serde(default)]
    pub duration_ms: u64,
    /// Figures.
    #[serde(default)]
    pub measured: Measured,
}

/// The outcome of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As expected.
    Passed,
    /// Not as expected.
    Failed,
    /// Not tried; the detail has the reason.
    Skipped,
}

/// A test's measurements.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Measured {
    /// Only the outcome.
    #[default]
    Nothing,
    /// Exchanges of one probe, one per replica. Not in the schema, because only the framework sends probes.
    #[schemars(skip)]
    Probes(Vec<ProbeExchange>),
    /// A declared scenario.
    Scenario(Box<ScenarioResult>),
    /// Figures of your own suites, shown by name.
    Figures(BTreeMap<String, f64>),
}

/// One probe sent to one replica.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeExchange {
    /// The component.
    pub component: String,
    /// The container.
    pub container: String,
    /// The replica.
    pub replica: String,
    /// The kind of the probe.
    pub which: ProbeKind,
    /// The request and the response.
    pub observation: Observation,
}

/// The suite of the declared scenarios' records; the case is the scenario's name.
pub const SCENARIOS: &str = "scenarios";

impl Record {
    /// Whether a suite ran this scenario, measured or not.
    pub fn is_of_scenario(&self, name: &str) -> bool {
        let measured = matches!(&self.measured, Measured::Scenario(figures) if figures.name == name);
        measured || (self.suite == SCENARIOS && self.case == name)
    }

    /// The record's path in the run directory, which is its evidence id.
    pub fn file(&self) -> String {
        format!("{}/{}.{}.json", run_dir::RESULTS, file_name(&self.suite), file_name(&self.case))
    }

    /// All records of a run, by suite and case, and the invalid files.
    pub fn read_all(directory: &RunDir) -> (Vec<Self>, Vec<Unreadable>) {
        let (mut records, mut unreadable): (Vec<Self>, _) = (Vec::new(), Vec::new());
        for entry in std::fs::read_dir(directory.join(run_dir::RESULTS)).into_iter().flatten().flatten() {
            let name = format!("{}/{}", run_dir::RESULTS, entry.file_name().to_string_lossy());
            if entry.path().extension().is_some_and(|extension| extension == "json") {
                match read(directory, &name) {
                    Ok(record) => records.push(record),
                    Err(found) => unreadable.push(found),
                }
            }
        }
        records.sort_by(|a, b| (&a.suite, &a.case).cmp(&(&b.suite, &b.case)));
        unreadable.sort();
        (records, unreadable)
    }
}

/// A name as part of a file's: the same where it can be, else with a number that tells it from others that look alike then.
fn file_name(name: &str) -> String {
    let safe: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
    // FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    if safe == name { safe } else { format!("{safe}-{:08x}", name.bytes().fold(0x811c_9dc5, step)) }
}

/// An invalid file among the records.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unreadable {
    /// The file.
    pub file: String,
    /// The test that it names, if readable.
    pub test: Option<String>,
    /// The error, for example a missing field.
    pub reason: String,
}

fn read(directory: &RunDir, name: &str) -> Result<Record, Unreadable> {
    let unreadable = |test, reason| Unreadable { file: name.to_owned(), test, reason };
    let text = directory.read(name).map_err(|error| unreadable(None, error.reason.to_string()))?;
    serde_json::from_str(&text).map_err(|error| {
        let json: Option<serde_json::Value> = serde_json::from_str(&text).ok();
        let test = json.and_then(|json| Some(json.get("test")?.as_str()?.to_owned()));
        unreadable(test, error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_a_file_of_its_own() {
        assert_eq!(file_name("every-probe.backend_0"), "every-probe.backend_0");
        // FNV-1a of 32 bits of `a/b`, by hand.
        assert_eq!(file_name("a/b"), "a-b-3a8e75c1");
        assert_ne!(file_name("größe"), file_name("grüße"));
    }

    #[test]
    fn a_bad_record_does_not_hide_the_others() {
        let directory = tempfile::tempdir().unwrap();
        let directory = RunDir::create(directory.path(), "run", |_| Ok(())).unwrap();
        let record = serde_json::json!({
            "suite": "own", "case": "works", "test": "it_works", "outcome": "passed", "detail": "", "duration_ms": 1, "measured": "nothing",
        });
        let mut without_outcome = record.clone();
        without_outcome.as_object_mut().unwrap().remove("outcome");
        directory.write_json("results/good.json", &record).unwrap();
        directory.write_json("results/half.json", &without_outcome).unwrap();
        directory.write("results/cut.json", "{").unwrap();
        let (records, unreadable) = Record::read_all(&directory);
        assert_eq!(records.len(), 1);
        let unreadable: Vec<_> = unreadable
            .iter()
            .map(|found| (found.file.as_str(), found.test.as_deref(), found.reason.as_str()))
            .collect();
        assert_eq!(unreadable[0], ("results/cut.json", None, "EOF while parsing an object at line 1 column 1"));
        assert_eq!((unreadable[1].0, unreadable[1].1), ("results/half.json", Some("it_works")));
        assert!(unreadable[1].2.starts_with("missing field `outcome`"), "{unreadable:?}");
    }
}
