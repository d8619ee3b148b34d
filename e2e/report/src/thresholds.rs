//! Figures against the lines that were drawn for them. Pure. Main type: [`Threshold`], made by [`thresholds`].

use e2e_figures::scenario::Line;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{evidence::PODS, run_data::RunData, run_dir};

/// A figure against a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Threshold {
    /// The scenario that it is a line of; absent for the whole run's.
    pub scenario: Option<String>,
    /// The step that it is a line of; absent for a whole scenario's.
    pub step: Option<String>,
    /// The key in `e2e.toml`.
    pub name: String,
    /// The line.
    pub limit: f64,
    /// The figure; absent when it was not measured.
    pub measured: Option<f64>,
    /// How they compare.
    pub state: ThresholdState,
    /// Evidence id of the figure.
    pub evidence: String,
}

impl Threshold {
    /// Its name with what it is a line of: `throughput/operation latency_ms_p99_max`.
    pub fn label(&self) -> String {
        match (&self.scenario, &self.step) {
            (Some(scenario), Some(step)) => format!("{scenario}/{step} {}", self.name),
            (Some(scenario), None) => format!("{scenario} {}", self.name),
            _ => self.name.clone(),
        }
    }
}

/// How a figure compares with its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdState {
    /// On the right side.
    Kept,
    /// On the wrong side.
    Crossed,
    /// There is no figure.
    NotMeasured,
}

/// Every line that is drawn, with its figure.
pub fn thresholds(data: &RunData) -> Vec<Threshold> {
    let scenarios = data.request.scenarios.keys().flat_map(|name| of_scenario(data, name));
    let restarts: u32 = data.snapshot.pods.values().map(|pod| pod.restarts).sum();
    let restarts_max = data.request.thresholds.restarts_max.map(|limit| Threshold {
        scenario: None,
        step: None,
        name: "restarts_max".to_owned(),
        limit: f64::from(limit),
        measured: Some(f64::from(restarts)),
        state: if restarts <= limit { ThresholdState::Kept } else { ThresholdState::Crossed },
        evidence: format!("{PODS}#/pods"),
    });
    scenarios.chain(restarts_max).collect()
}

/// The lines of a scenario and of its steps. What a filter leaves out is not asked for.
fn of_scenario(data: &RunData, name: &str) -> Vec<Threshold> {
    let Some(declared) = data.request.scenarios.get(name) else { return Vec::new() };
    let measured = data.scenario(name);
    if measured.is_none() && data.request.filter.is_some() {
        return Vec::new();
    }
    let figures = measured.as_ref().map(|(figures, _)| *figures);
    // Without a record there is only the line.
    let evidence = match &measured {
        Some((_, source)) => format!("{}#/measured/scenario", source.record),
        None => format!("{}#/scenarios/{name}", run_dir::REQUEST),
    };
    let whole = figures.map_or_else(|| declared.thresholds.drawn(), |figures| declared.thresholds.of_scenario(figures));
    let whole = whole.into_iter().map(|line| section(name, None, line, evidence.clone()));
    let steps = declared.steps.iter().enumerate().flat_map(|(index, step)| {
        let figures = figures.and_then(|figures| figures.step(&step.name));
        let lines = figures.map_or_else(|| step.thresholds.drawn(), |figures| step.thresholds.of_step(figures));
        let evidence = format!("{evidence}/steps/{index}");
        lines.into_iter().map(move |line| section(name, Some(&step.name), line, evidence.clone()))
    });
    whole.chain(steps).collect()
}

fn section(scenario: &str, step: Option<&str>, line: Line, evidence: String) -> Threshold {
    Threshold {
        scenario: Some(scenario.to_owned()),
        step: step.map(str::to_owned),
        name: line.name.to_owned(),
        limit: line.limit,
        measured: line.measured,
        state: match line.is_kept() {
            None => ThresholdState::NotMeasured,
            Some(true) => ThresholdState::Kept,
            Some(false) => ThresholdState::Crossed,
        },
        evidence: match line.measured {
            // A figure that is absent has no place of its own, only the record that should have it.
            None => evidence,
            Some(_) => format!("{evidence}/{}", line.pointer),
        },
    }
}
