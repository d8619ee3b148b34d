//! One record per test: what was checked, how it ended, what was measured. Main type: [`Record`].

use std::collections::BTreeMap;

use e2e_figures::scenario::ScenarioResult;
use e2e_kubelet::observation::Observation;
use e2e_plan::ProbeKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::run_dir::{self, RunDir};

/// What one test found, as a file in `results/`. Its schema is docs/record.schema.json: checks in any language write it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// The suite: `health`, `probes`, `scenarios` or one of yours.
    pub suite: String,
    /// The case, unique in its suite. One that begins with a component's name, such as `backend_answers`, is a check of that
    /// component, which counts as unhealthy when it fails.
    pub case: String,
    /// The test that wrote it, as `junit.xml` names it; a test without a record gets one from there.
    #[serde(default)]
    pub test: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What was found, or why it failed, in one line.
    #[serde(default)]
    pub detail: String,
    /// How long it took.
    #[serde(default)]
    pub duration_ms: u64,
    /// Figures.
    #[serde(default)]
    pub measured: Measured,
}

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// What was expected was found.
    Passed,
    /// Something else was found.
    Failed,
    /// It could not be tried; the detail says why.
    Skipped,
}

/// What a test measured, beyond its outcome.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Measured {
    /// Only the outcome.
    #[default]
    Nothing,
    /// Exchanges of one probe, one per replica. The framework sends probes, so the schema leaves them out.
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
    /// Which probe.
    pub which: ProbeKind,
    /// What was sent and what came back.
    pub observation: Observation,
}

/// The JSON Schema of a record.
///
/// # Panics
///
/// Never: a schema is plain data.
pub fn schema() -> String {
    serde_json::to_string_pretty(&schemars::schema_for!(Record)).expect("plain data serialises")
}

impl Record {
    /// Where the record stands in the run directory: the evidence id of what it says.
    pub fn file(&self) -> String {
        let safe = |text: &str| -> String {
            text.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect()
        };
        format!("{}/{}.{}.json", run_dir::RESULTS, safe(&self.suite), safe(&self.case))
    }

    /// All records of a run, by suite and case, and the files that hold none.
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

/// A file among the records that is none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unreadable {
    /// The file.
    pub file: String,
    /// The test that it names, as far as it can be read.
    pub test: Option<String>,
    /// What is wrong with it, such as a field that is missing.
    pub reason: String,
}

fn read(directory: &RunDir, name: &str) -> Result<Record, Unreadable> {
    let unreadable = |test, reason| Unreadable { file: name.to_owned(), test, reason };
    let text = directory.read(name).map_err(|error| unreadable(None, error.reason))?;
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
