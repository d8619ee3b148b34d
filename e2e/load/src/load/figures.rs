//! A load's result as the figures of a scenario: [`LoadResult::figures`]. Pure.

use std::collections::BTreeMap;

use super::report::{ClientOutcome, ClientReport, ServerTime};
use super::result::LoadResult;
use super::scenario::Phase;
use e2e_figures::scenario::{ModelKind, ScenarioResult, StepFigures, per_second};
use e2e_figures::stats::Samples;

/// A step as it is declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepLabel {
    /// Its name.
    pub name: String,
    /// Whether each client takes it once.
    pub once: bool,
}

impl LoadResult<ClientReport> {
    /// The figures of the steps that were declared, with the word for clients that succeeded. What only the system itself can tell, its
    /// ledger and where the time goes, is added by others.
    pub fn figures(&self, steps: &[StepLabel], success: &str) -> ScenarioResult {
        let clients_lost: u64 = self.missing_agents().map(|agent| u64::from(agent.clients)).sum();
        let clients = u64::from(self.clients);
        let outcomes = || self.client_reports.iter().filter_map(|report| Some((report, report.outcome?)));
        let succeeded = |outcome: ClientOutcome| outcome == ClientOutcome::Succeeded;
        let mut client_outcomes: BTreeMap<String, u64> = BTreeMap::new();
        for (_, outcome) in outcomes() {
            *client_outcomes.entry(outcome.label(success)).or_default() += 1;
        }
        ScenarioResult {
            name: self.scenario.clone(),
            model: if self.open.is_some() { ModelKind::Open } else { ModelKind::Closed },
            clients,
            clients_lost,
            clients_idle: clients.saturating_sub(u64::from(self.clients_ready) + clients_lost),
            client_outcomes,
            success: success.to_owned(),
            clients_failed: outcomes().filter(|(_, outcome)| !succeeded(*outcome)).count() as u64,
            clients_retried: outcomes().filter(|(report, outcome)| succeeded(*outcome) && report.retries > 0).count()
                as u64,
            asked_rate: self.open.as_ref().map(|open| open.arrivals.rate),
            dropped: self.open.as_ref().map(|open| open.dropped),
            window_start_unix_ms: self.window_start_unix_ms,
            duration_ms: self.duration_ms as u64,
            requests: self.measured.requests,
            succeeded: self.measured.succeeded,
            rate_per_second: self.succeeded_per_second,
            errors: self.measured.errors,
            by_error: self.measured.by_error.clone(),
            latency_ms: self.measured.latency_ms,
            steps: steps.iter().map(|step| self.step_figures(step)).collect(),
            // Answers to the last requests arrive after the window; a second of them alone is no second.
            series: self
                .series
                .iter()
                .filter(|second| f64::from(second.second) * 1000.0 < self.duration_ms)
                .copied()
                .collect(),
            generator: self.generator,
            ..ScenarioResult::default()
        }
    }

    fn step_figures(&self, step: &StepLabel) -> StepFigures {
        let measured = self.steps.iter().filter(|result| result.phase == Phase::Measured && result.step == step.name);
        let (mut by_error, mut samples) = (BTreeMap::new(), Samples::new());
        for result in measured {
            if result.outcome.is_ok() {
                samples.merge(&result.samples);
            } else {
                *by_error.entry(result.outcome).or_default() += result.samples.count();
            }
        }
        let (succeeded, errors) = (samples.count(), by_error.values().sum());
        let said = self.client_reports.iter().filter_map(|report| report.server_time.get(&step.name));
        let ServerTime { answers, seconds } = said.fold(ServerTime::default(), |sum, one| ServerTime {
            answers: sum.answers + one.answers,
            seconds: sum.seconds + one.seconds,
        });
        StepFigures {
            name: step.name.clone(),
            once: step.once,
            requests: succeeded + errors,
            succeeded,
            rate_per_second: per_second(succeeded, self.duration_ms),
            errors,
            by_error,
            latency_ms: samples.summary(),
            server_time_ms_mean: (answers > 0).then(|| seconds * 1000.0 / answers as f64),
        }
    }
}
