//! When requests of the open model are due: [`Arrivals`] says how, [`Schedule`] lists the times. Without clock or input, so that a
//! run's schedule is known before it starts.

use std::time::Duration;

pub use e2e_figures::steps::Spacing;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use e2e_figures::Random;

/// How clients decide when to send.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// Each client sends its next request when the last one has been answered: a slow server is asked less.
    #[default]
    Closed,
    /// Requests are due at given times, whatever the server does; a client that is free sends the next one.
    Open(Arrivals),
}

/// The times at which requests are due.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Arrivals {
    /// Requests per second, over all clients and agents; at least one in a year.
    pub rate: f64,
    /// The rate at the window's end, reached in a straight line over the window; constant when there is none.
    pub ramp_to: Option<f64>,
    /// What lies between two of them.
    pub spacing: Spacing,
}

/// The share of a schedule that one of several generators follows: every `count`-th arrival from the one with its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Turn {
    /// From 0.
    pub number: u32,
    /// Above 0.
    pub count: u32,
}

/// The times of arrivals since the common start, in order, without end.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    arrivals: Arrivals,
    warm_up: f64,
    window: f64,
    random: Random,
    turn: Turn,
    /// The index of the next arrival, or its place on a unit-rate Poisson process.
    position: f64,
}

/// No setting of a run is longer, and no rate so low that nothing is due within it: what a clock can tell ends not far above.
pub(super) const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// The schedule's random numbers are not those of any client.
const SCHEDULES_CLIENT: u32 = u32::MAX;

impl Arrivals {
    /// A constant rate.
    pub fn constant(rate: f64) -> Self {
        Self { rate, ramp_to: None, spacing: Spacing::Uniform }
    }

    /// Whether a schedule can be made of them.
    pub(super) fn is_valid(&self) -> bool {
        let is_rate = |rate: f64| rate.is_finite() && rate >= 1.0 / LONGEST.as_secs_f64();
        is_rate(self.rate) && self.ramp_to.is_none_or(is_rate)
    }
}

impl Schedule {
    pub(super) fn new(arrivals: Arrivals, warm_up: Duration, window: Duration, seed: u64, turn: Turn) -> Self {
        let random = Random::new(seed, SCHEDULES_CLIENT);
        let (warm_up, window) = (warm_up.as_secs_f64(), window.as_secs_f64());
        let mut schedule = Self { arrivals, warm_up, window, random, turn, position: 0.0 };
        // An evenly spaced schedule starts with an arrival; a Poisson process does not.
        let skipped = if arrivals.spacing == Spacing::Poisson { turn.number + 1 } else { turn.number };
        (0..skipped).for_each(|_| schedule.step());
        schedule
    }

    /// When the next arrival is due.
    pub(super) fn peek(&self) -> Duration {
        Duration::from_secs_f64(self.time(self.position))
    }

    /// Goes on to the arrival after it.
    pub(super) fn advance(&mut self) {
        (0..self.turn.count).for_each(|_| self.step());
    }

    fn step(&mut self) {
        self.position += match self.arrivals.spacing {
            Spacing::Uniform => 1.0,
            // Inverse transform sampling; 1 - fraction is above 0.
            Spacing::Poisson => -(1.0 - self.random.fraction()).ln(),
        };
    }

    /// The time at which this many arrivals are expected: the inverse of the rate's integral. For a Poisson process that is the
    /// time-rescaling theorem (Çınlar, Introduction to Stochastic Processes, 1975, section 4.7).
    fn time(&self, expected: f64) -> f64 {
        let Arrivals { rate, ramp_to, .. } = self.arrivals;
        let constant = expected / rate;
        let Some(last) = ramp_to.filter(|_| constant > self.warm_up) else {
            return constant;
        };
        let slope = (last - rate) / self.window;
        let at_window = expected - rate * self.warm_up;
        let at_end = (rate + last) / 2.0 * self.window;
        if at_window >= at_end {
            return self.warm_up + self.window + (at_window - at_end) / last;
        }
        // The root of slope/2 t² + rate t = at_window, in the form that stays exact for small slopes.
        self.warm_up + 2.0 * at_window / (rate + (rate * rate + 2.0 * slope * at_window).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Turn = Turn { number: 0, count: 1 };
    const SECONDS: fn(u64) -> Duration = Duration::from_secs;

    /// The arrivals before a time, in seconds.
    fn until(arrivals: Arrivals, warm_up: u64, window: u64, turn: Turn, end: f64) -> Vec<f64> {
        let mut schedule = Schedule::new(arrivals, SECONDS(warm_up), SECONDS(window), 1, turn);
        let mut times = Vec::new();
        while schedule.peek().as_secs_f64() < end {
            times.push(schedule.peek().as_secs_f64());
            schedule.advance();
        }
        times
    }

    #[test]
    fn a_constant_rate_is_exact() {
        let times = until(Arrivals::constant(2000.0), 1, 10, WHOLE, 10.0);
        assert_eq!((times.len(), times[0], times[1]), (20_000, 0.0, 0.0005));
        assert!(times.iter().zip(0..).all(|(time, index)| (time - f64::from(index) / 2000.0).abs() < 1e-9));
    }

    #[test]
    fn a_ramp_goes_through_its_window() {
        let ramp = Arrivals { ramp_to: Some(300.0), ..Arrivals::constant(100.0) };
        // 1 s of warm-up at 100, then 100 to 300 over 10 s: 2,000 in all, of which 125 + 500 in the first half
        // (100 to 200, mean 150, is 750); then 300 again.
        let count = |end| until(ramp, 1, 10, WHOLE, end).len();
        assert_eq!((count(1.0), count(6.0), count(11.0), count(12.0)), (100, 850, 2100, 2400));
        let falling = Arrivals { ramp_to: Some(100.0), ..Arrivals::constant(300.0) };
        assert_eq!(until(falling, 0, 10, WHOLE, 10.0).len(), 2000);
        assert_eq!(until(falling, 0, 10, WHOLE, 5.0).len(), 1250);
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_the_spread_of_their_kind() {
        let arrivals = Arrivals { spacing: Spacing::Poisson, ..Arrivals::constant(1000.0) };
        let times = until(arrivals, 0, 100, WHOLE, 100.0);
        // 100,000 expected, standard deviation 316.
        assert!(times.len().abs_diff(100_000) < 1_300, "{}", times.len());
        let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        // An exponential distribution's deviation is its mean.
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.02, "{} {mean}", variance.sqrt());
    }

    #[test]
    fn turns_cover_the_schedule_once() {
        for spacing in [Spacing::Uniform, Spacing::Poisson] {
            let arrivals = Arrivals { spacing, ramp_to: Some(900.0), rate: 500.0 };
            let whole = until(arrivals, 1, 5, WHOLE, 6.0);
            let turns = (0..3).flat_map(|number| until(arrivals, 1, 5, Turn { number, count: 3 }, 6.0));
            let mut turns: Vec<f64> = turns.collect();
            turns.sort_by(f64::total_cmp);
            assert_eq!(turns, whole);
        }
    }
}
