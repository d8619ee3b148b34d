//! Figures against their thresholds. Pure. Main type: [`Threshold`], made by [`thresholds`].

use e2e_figures::scenario::{Line, ScenarioResult, ThresholdName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{evidence::PODS, faults::failed_in_faults, request::Scenario, run_data::RunData, run_dir};

/// A figure against a threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Threshold {
    /// Its scenario; absent for a threshold of the whole run.
    pub scenario: Option<String>,
    /// Its step; absent for a threshold of a whole scenario.
    pub step: Option<String>,
    /// What it limits, named by its key in `e2e.toml`.
    pub name: ThresholdName,
    /// The limit.
    pub limit: f64,
    /// The figure; absent if it was not measured.
    pub measured: Option<f64>,
    /// The result.
    pub state: ThresholdState,
    /// Evidence id of the figure.
    pub evidence: String,
}

impl Threshold {
    /// Its full name: `throughput/operation latency_ms_p99_max`.
    pub fn label(&self) -> String {
        self.place().map_or_else(|| self.name.to_string(), |place| format!("{place} {}", self.name))
    }

    /// The scenario, with the step if it is of one: `throughput/operation`; nothing for one of the whole run.
    pub(crate) fn place(&self) -> Option<String> {
        let step = self.step.as_ref().map_or(String::new(), |step| format!("/{step}"));
        self.scenario.as_ref().map(|scenario| format!("{scenario}{step}"))
    }
}

/// The result of a comparison with a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdState {
    /// Within the limit.
    Kept,
    /// Beyond the limit.
    Crossed,
    /// No figure.
    NotMeasured,
}

/// Every declared threshold, with its figure.
pub fn thresholds(data: &RunData) -> Vec<Threshold> {
    let scenarios = data.request.scenarios.iter().flat_map(|(name, declared)| of_scenario(data, name, declared));
    let restarts: u32 = data.snapshot.pods.values().map(|pod| pod.restarts).sum();
    let restarts_max = data.request.thresholds.restarts_max.map(|limit| {
        let (limit, measured) = (f64::from(limit), Some(f64::from(restarts)));
        let line = Line { name: ThresholdName::RestartsMax, pointer: "pods", limit, measured };
        judged(None, None, line, &format!("{PODS}#"))
    });
    scenarios.chain(restarts_max).collect()
}

/// The thresholds of a scenario and its steps, for each measurement. A filter removes those that it skips.
fn of_scenario(data: &RunData, name: &str, declared: &Scenario) -> Vec<Threshold> {
    let measured: Vec<_> = data.scenarios().filter(|(figures, _)| figures.name == name).collect();
    if measured.is_empty() && data.request.filter.is_none() {
        // Without a record there is only the limit.
        return held(declared, name, None, &format!("{}#/scenarios/{name}", run_dir::REQUEST));
    }
    let each = measured.into_iter();
    each.flat_map(|(figures, source)| {
        let figures = without_planned(figures, failed_in_faults(data, figures));
        held(declared, name, Some(&figures), &source.figure(""))
    })
    .collect()
}

/// The figures without requests that failed because of planned faults: these are no failure by themselves. Which step they were of is
/// told nowhere, so that each step may have had all of them.
fn without_planned(figures: &ScenarioResult, planned: u64) -> ScenarioResult {
    let mut figures = figures.clone();
    let take = |requests: &mut u64, errors: &mut u64| {
        let planned = planned.min(*errors);
        *requests -= planned.min(*requests);
        *errors -= planned;
    };
    take(&mut figures.requests, &mut figures.errors);
    figures.steps.iter_mut().for_each(|step| take(&mut step.requests, &mut step.errors));
    figures
}

fn held(declared: &Scenario, name: &str, figures: Option<&ScenarioResult>, evidence: &str) -> Vec<Threshold> {
    let whole = figures.map_or_else(|| declared.thresholds.drawn(), |figures| declared.thresholds.of_scenario(figures));
    let whole = whole.into_iter().map(|line| judged(Some(name), None, line, evidence));
    let steps = declared.steps.iter().enumerate().flat_map(|(index, step)| {
        let place = figures.and_then(|figures| figures.steps.iter().position(|figures| figures.name == step.name));
        let figures = figures.zip(place).map(|(figures, place)| &figures.steps[place]);
        let lines = figures.map_or_else(|| step.thresholds.drawn(), |figures| step.thresholds.of_step(figures));
        let evidence = format!("{evidence}/steps/{}", place.unwrap_or(index));
        lines.into_iter().map(move |line| judged(Some(name), Some(&step.name), line, &evidence))
    });
    whole.chain(steps).collect()
}

fn judged(scenario: Option<&str>, step: Option<&str>, line: Line, evidence: &str) -> Threshold {
    Threshold {
        scenario: scenario.map(str::to_owned),
        step: step.map(str::to_owned),
        name: line.name,
        limit: line.limit,
        measured: line.measured,
        state: match line.is_kept() {
            None => ThresholdState::NotMeasured,
            Some(true) => ThresholdState::Kept,
            Some(false) => ThresholdState::Crossed,
        },
        evidence: match line.measured {
            // The evidence of an absent figure is the record without it.
            None => evidence.to_owned(),
            Some(_) => format!("{evidence}/{}", line.pointer),
        },
    }
}

#[cfg(test)]
mod tests {
    use e2e_figures::{
        scenario::{StepFigures, Thresholds as Lines},
        stats::Summary,
        steps::StepSpec,
    };

    use super::*;
    use crate::testing::{declare, measured, quiet};

    fn latency(p99: f64) -> Option<Summary> {
        Some(Summary { count: 1, min: 1.0, mean: 1.0, p50: 1.0, p90: 1.0, p99, p999: p99, max: p99 })
    }

    /// Each threshold of a scenario, of its steps and of the run is compared with its own figure.
    #[test]
    fn every_line_has_the_evidence_of_its_own_scenario() {
        let mut data = quiet();
        data.request.thresholds.restarts_max = Some(0);
        declare(&mut data, "browse", Lines { errors_max: Some(1), ..Lines::default() });
        declare(&mut data, "order", Lines { rate_min: Some(10.0), ..Lines::default() });
        declare(&mut data, "never", Lines { errors_max: Some(0), ..Lines::default() });
        let lines = Lines { latency_ms_p99_max: Some(50.0), ..Lines::default() };
        let step = StepSpec { name: "pay".to_owned(), thresholds: lines, ..StepSpec::default() };
        data.request.scenarios.get_mut("order").unwrap().steps = vec![StepSpec::default(), step];
        let pay = StepFigures { name: "pay".to_owned(), latency_ms: latency(60.0), ..StepFigures::default() };
        data.records = vec![
            measured("browse", ScenarioResult { requests: 9, errors: 1, ..ScenarioResult::default() }),
            measured(
                "order",
                ScenarioResult { rate_per_second: Some(9.0), steps: vec![pay], ..ScenarioResult::default() },
            ),
        ];
        let held: Vec<_> = thresholds(&data)
            .into_iter()
            .map(|line| (line.label(), line.limit, line.measured, line.state, line.evidence))
            .collect();
        let line = |label: &str, limit, measured, state, evidence: &str| {
            (label.to_owned(), limit, measured, state, evidence.to_owned())
        };
        use ThresholdState::{Crossed, Kept, NotMeasured};
        assert_eq!(
            held,
            [
                line(
                    "browse errors_max",
                    1.0,
                    Some(1.0),
                    Kept,
                    "results/scenarios.browse.json#/measured/scenario/errors"
                ),
                line("never errors_max", 0.0, None, NotMeasured, "request.json#/scenarios/never"),
                line(
                    "order rate_min",
                    10.0,
                    Some(9.0),
                    Crossed,
                    "results/scenarios.order.json#/measured/scenario/rate_per_second"
                ),
                line(
                    "order/pay latency_ms_p99_max",
                    50.0,
                    Some(60.0),
                    Crossed,
                    "results/scenarios.order.json#/measured/scenario/steps/0/latency_ms/p99"
                ),
                line("restarts_max", 0.0, Some(0.0), Kept, "evidence/pods.json#/pods"),
            ]
        );
    }
}
