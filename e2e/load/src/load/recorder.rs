//! Counts and histograms of a run, filled by all clients on the generator's thread: [`Recorder`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::result::{Connections, FirstError, StepResult, Totals};
use super::scenario::{Phase, Step};
use e2e_figures::stats::{Samples, milliseconds};
use e2e_figures::{Outcome, Second};

/// One request that ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) phase: Phase,
    pub(crate) step: Step,
    pub(crate) outcome: Outcome,
    /// The status code, if there was a whole response.
    pub(crate) status: Option<u16>,
    /// When the request should have been sent. In the closed model that is when it was sent.
    pub(crate) intended: Instant,
    pub(crate) sent: Instant,
    pub(crate) completed: Instant,
}

/// Collects samples. One set of histograms serves all clients, because they share a thread.
#[derive(Debug)]
pub(crate) struct Recorder {
    steps: Vec<String>,
    phases: [Vec<StepTally>; 3],
    series: Series,
    errors: BTreeMap<Outcome, FirstError>,
    /// Latencies of measured successes from when they were sent; only the open model fills it, because only there they differ.
    pub(crate) uncorrected: Samples,
    /// How late wake-ups were.
    pub(crate) lag: Samples,
    /// How long connecting took.
    pub(crate) connecting: Samples,
    pub(crate) connections: Connections,
}

/// Latencies of one step in one phase.
#[derive(Debug, Default)]
struct StepTally {
    /// Few outcomes occur, so that a search from the front is the fastest map.
    by_outcome: Vec<(Outcome, Samples)>,
    by_status: Vec<(u16, u64)>,
}

impl Recorder {
    pub(crate) fn new(steps: Vec<String>) -> Self {
        let tallies = || steps.iter().map(|_| StepTally::default()).collect();
        let phases = [tallies(), tallies(), tallies()];
        Self {
            steps,
            phases,
            series: Series::default(),
            errors: BTreeMap::new(),
            uncorrected: Samples::new(),
            lag: Samples::new(),
            connecting: Samples::new(),
            connections: Connections::default(),
        }
    }

    pub(crate) fn start_series(&mut self, at: Instant) {
        self.series.start = Some(at);
    }

    pub(crate) fn record(&mut self, sample: &Sample) {
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
            if sample.intended != sample.sent && sample.outcome.is_ok() {
                self.uncorrected.record(sample.completed.saturating_duration_since(sample.sent));
            }
            self.series.record(sample.completed, sample.outcome, latency);
        }
    }

    /// Keeps the error if it is the first of its kind.
    pub(crate) fn explain(
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

    /// The median and the 99th percentile of the last whole second's successes, in milliseconds.
    pub(crate) fn last_second(&self) -> Option<(f64, f64)> {
        let samples = self.series.samples.last()?;
        samples.quantile_ms(0.5).zip(samples.quantile_ms(0.99))
    }

    /// Everything that was counted, with the series over a window of this length.
    pub(crate) fn finish(mut self, window: Duration) -> Recorded {
        let mut steps = Vec::new();
        let totals = [Phase::SetUp, Phase::WarmUp, Phase::Measured].map(|phase| {
            let mut by_status = BTreeMap::<u16, u64>::new();
            let tallies = std::mem::take(&mut self.phases[phase as usize]);
            for (step, mut tally) in self.steps.iter().zip(tallies) {
                for (status, count) in tally.by_status {
                    *by_status.entry(status).or_default() += count;
                }
                tally.by_outcome.sort_by_key(|(outcome, _)| *outcome);
                steps.extend(tally.by_outcome.into_iter().filter_map(|(outcome, samples)| {
                    Some(StepResult { phase, step: step.clone(), outcome, latency_ms: samples.summary()?, samples })
                }));
            }
            Totals::pooled(phase, by_status, &steps)
        });
        let tenths = std::mem::take(&mut self.series.tenths);
        let (series, series_samples) = self.series.finish(window);
        Recorded { totals, steps, series, series_samples, tenths, first_errors: self.errors.into_values().collect() }
    }
}

/// What a recorder has counted, as parts of a result.
pub(crate) struct Recorded {
    /// By phase, in the order of [`Phase`].
    pub(crate) totals: [Totals; 3],
    pub(crate) steps: Vec<StepResult>,
    pub(crate) series: Vec<Second>,
    pub(crate) series_samples: Vec<Samples>,
    pub(crate) tenths: Vec<(u64, u64)>,
    pub(crate) first_errors: Vec<FirstError>,
}

/// The measured requests by second. Requests end in the order of time, so that one second at a time is open.
#[derive(Debug)]
struct Series {
    start: Option<Instant>,
    seconds: Vec<Second>,
    samples: Vec<Samples>,
    tenths: Vec<(u64, u64)>,
    current: Second,
    latencies: Samples,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            start: None,
            seconds: Vec::new(),
            samples: Vec::new(),
            tenths: Vec::new(),
            current: Second::default(),
            latencies: Samples::coarse(),
        }
    }
}

impl Series {
    fn record(&mut self, completed: Instant, outcome: Outcome, latency: Duration) {
        let Some(start) = self.start else { return };
        let since_start = completed.saturating_duration_since(start);
        let tenth = (since_start.as_millis() / 100) as usize;
        if self.tenths.len() <= tenth {
            self.tenths.resize(tenth + 1, (0, 0));
        }
        let (succeeded, failed) = &mut self.tenths[tenth];
        *if outcome.is_ok() { succeeded } else { failed } += 1;
        let second = since_start.as_secs() as u32;
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
        let [latency_ms_p50, latency_ms_p99] = [0.5, 0.99].map(|quantile| self.latencies.quantile_ms(quantile));
        self.seconds.push(Second { latency_ms_p50, latency_ms_p99, ..closed });
        self.samples.push(std::mem::replace(&mut self.latencies, Samples::coarse()));
    }

    fn finish(mut self, window: Duration) -> (Vec<Second>, Vec<Samples>) {
        if self.current.succeeded + self.current.errors > 0 {
            self.close_second();
        }
        // Seconds in which nothing ended belong to the window as well.
        while f64::from(self.current.second) < window.as_secs_f64() {
            self.close_second();
        }
        (self.seconds, self.samples)
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
