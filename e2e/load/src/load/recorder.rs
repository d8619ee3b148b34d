//! Counts and histograms of a run, filled by all clients on the generator's thread: [`Recorder`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::outcome::Outcome;
use super::result::{Connections, FirstError, Second, StepResult, Totals};
use super::scenario::{Phase, Step};
use crate::stats::{Samples, milliseconds};

/// One request that ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) phase: Phase,
    pub(super) step: Step,
    pub(super) outcome: Outcome,
    /// The status code, if there was a whole response.
    pub(super) status: Option<u16>,
    /// When the request should have been sent. In the closed model that is when it was sent.
    pub(super) intended: Instant,
    pub(super) completed: Instant,
}

/// Collects samples. One set of histograms serves all clients, because they share a thread.
#[derive(Debug)]
pub(super) struct Recorder {
    steps: Vec<String>,
    phases: [Vec<StepTally>; 3],
    series: Series,
    errors: BTreeMap<Outcome, FirstError>,
    /// How late wake-ups were.
    pub(super) lag: Samples,
    /// How long connecting took.
    pub(super) connecting: Samples,
    /// What happened to connections.
    pub(super) connections: Connections,
}

/// Latencies of one step in one phase.
#[derive(Debug, Default)]
struct StepTally {
    /// Few outcomes occur, so that a search from the front is the fastest map.
    by_outcome: Vec<(Outcome, Samples)>,
    by_status: Vec<(u16, u64)>,
}

impl Recorder {
    pub(super) fn new(steps: Vec<String>) -> Self {
        let tallies = || steps.iter().map(|_| StepTally::default()).collect();
        let phases = [tallies(), tallies(), tallies()];
        Self {
            steps,
            phases,
            series: Series::default(),
            errors: BTreeMap::new(),
            lag: Samples::new(),
            connecting: Samples::new(),
            connections: Connections::default(),
        }
    }

    /// Starts the per-second series.
    pub(super) fn start_series(&mut self, at: Instant) {
        self.series.start = Some(at);
    }

    /// Counts one request.
    pub(super) fn record(&mut self, sample: &Sample) {
        let latency = sample.completed.saturating_duration_since(sample.intended);
        let tallies = &mut self.phases[sample.phase as usize];
        let Some(tally) = tallies.get_mut(sample.step.0) else {
            panic!("step {} is not one of the scenario's {} steps", sample.step.0, self.steps.len());
        };
        entry(&mut tally.by_outcome, sample.outcome).record(latency);
        if let Some(status) = sample.status {
            *entry(&mut tally.by_status, status) += 1;
        }
        if sample.phase == Phase::Measured {
            self.series.record(sample.completed, sample.outcome, latency);
        }
    }

    /// Keeps the error if it is the first of its kind.
    pub(super) fn explain(
        &mut self,
        sample: &Sample,
        client: u32,
        since_run_start: Duration,
        detail: impl FnOnce() -> String,
    ) {
        let steps = &self.steps;
        self.errors.entry(sample.outcome).or_insert_with(|| FirstError {
            outcome: sample.outcome,
            step: steps[sample.step.0].clone(),
            client,
            at_ms: milliseconds(since_run_start),
            detail: detail(),
        });
    }

    /// The counts of one phase.
    pub(super) fn totals(&self, phase: Phase) -> Totals {
        let mut totals = Totals::default();
        let mut succeeded = Samples::new();
        for tally in &self.phases[phase as usize] {
            for (outcome, samples) in &tally.by_outcome {
                totals.requests += samples.count();
                if outcome.is_ok() {
                    succeeded.merge(samples);
                } else {
                    *totals.by_error.entry(*outcome).or_default() += samples.count();
                }
            }
            for (status, count) in &tally.by_status {
                *totals.by_status.entry(*status).or_default() += count;
            }
        }
        totals.succeeded = succeeded.count();
        totals.errors = totals.requests - totals.succeeded;
        totals.latency_ms = succeeded.summary();
        totals
    }

    /// The latencies, the series over a window of this length, and the first errors.
    pub(super) fn finish(self, window: Duration) -> (Vec<StepResult>, Vec<Second>, Vec<FirstError>) {
        let mut results = Vec::new();
        for (phase, tallies) in [Phase::SetUp, Phase::WarmUp, Phase::Measured].into_iter().zip(self.phases) {
            for (step, mut tally) in self.steps.iter().zip(tallies) {
                tally.by_outcome.sort_by_key(|(outcome, _)| *outcome);
                results.extend(tally.by_outcome.into_iter().filter_map(|(outcome, samples)| {
                    Some(StepResult { phase, step: step.clone(), outcome, latency_ms: samples.summary()?, samples })
                }));
            }
        }
        (results, self.series.finish(window), self.errors.into_values().collect())
    }
}

/// The measured requests by second. Requests end in the order of time, so that one second at a time is open.
#[derive(Debug)]
struct Series {
    start: Option<Instant>,
    seconds: Vec<Second>,
    current: Second,
    latencies: Samples,
}

impl Default for Series {
    fn default() -> Self {
        Self { start: None, seconds: Vec::new(), current: Second::default(), latencies: Samples::coarse() }
    }
}

impl Series {
    fn record(&mut self, completed: Instant, outcome: Outcome, latency: Duration) {
        let Some(start) = self.start else { return };
        let second = completed.saturating_duration_since(start).as_secs() as u32;
        while self.current.second < second {
            self.close_second();
        }
        if outcome.is_ok() {
            self.current.succeeded += 1;
            self.latencies.record(latency);
        } else {
            self.current.errors += 1;
        }
    }

    fn close_second(&mut self) {
        let next = Second { second: self.current.second + 1, ..Second::default() };
        let closed = std::mem::replace(&mut self.current, next);
        self.seconds.push(Second { latency_ms_p99: self.latencies.quantile_ms(0.99), ..closed });
        self.latencies.clear();
    }

    fn finish(mut self, window: Duration) -> Vec<Second> {
        if self.current.succeeded + self.current.errors > 0 {
            self.close_second();
        }
        // Seconds in which nothing ended belong to the window as well.
        while f64::from(self.current.second) < window.as_secs_f64() {
            self.close_second();
        }
        self.seconds
    }
}

/// The value of a key in a short list, added when it is new.
fn entry<K: PartialEq + Copy, V: Default>(list: &mut Vec<(K, V)>, key: K) -> &mut V {
    let index = list.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
        list.push((key, V::default()));
        list.len() - 1
    });
    &mut list[index].1
}
