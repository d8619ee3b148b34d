//! Where the next run of an unchanged system falls. Pure. Main type: [`Band`].
//!
//! A band is the prediction interval for one more value of a normal distribution (G. J. Hahn, "Factors for calculating two-sided
//! prediction intervals for samples from a normal distribution", Journal of the American Statistical Association 64, 1969) of logarithms,
//! so that it is a ratio. The level is that of the runs since the last of the [`changes`]; every part between two changes adds to what is
//! known of the noise.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{changes::changes, noise::student_t};

/// How often one run of an unchanged system may fall outside of any of its bands: 50 runs do with a chance of 5%.
pub const ERROR: f64 = 0.001;

/// The fewest runs of a level that make a band: with fewer, it would be wider than a loss that matters.
pub const RUNS: usize = 8;

/// An interval of a figure, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// The lowest value.
    pub from: f64,
    /// The highest value.
    pub to: f64,
}

impl Band {
    /// The band of a series of runs, oldest first, one of so many `figures` that are judged together. Nothing with fewer than [`RUNS`]
    /// runs, or where a value is not above 0.
    #[must_use]
    pub fn of(values: &[f64], figures: usize) -> Option<Self> {
        if values.len() < RUNS || values.iter().any(|value| !value.is_finite() || *value <= 0.0) {
            return None;
        }
        let mut rest: Vec<f64> = values.iter().map(|value| value.ln()).collect();
        let (mut squares, mut freedom) = (0.0, 0);
        let mut level = None;
        for at in changes(values).iter().rev().map(|change| change.at).chain([0]) {
            let part = rest.split_off(at);
            let mean = part.iter().sum::<f64>() / part.len() as f64;
            squares += part.iter().map(|log| (log - mean).powi(2)).sum::<f64>();
            freedom += part.len() - 1;
            // The newest part is the first.
            level.get_or_insert((mean, part.len()));
        }
        let (mean, runs) = level?;
        let deviation = (squares / freedom as f64 * (1.0 + 1.0 / runs as f64)).sqrt();
        let half = student_t(freedom as f64, 1.0 - ERROR / figures.max(1) as f64) * deviation;
        Some(Self { from: (mean - half).exp(), to: (mean + half).exp() }.rounded())
    }

    /// Whether it holds a value.
    #[must_use]
    pub fn holds(self, value: f64) -> bool {
        (self.from..=self.to).contains(&value)
    }

    /// As wide a band around another level.
    #[must_use]
    pub fn around(self, level: f64) -> Self {
        let half = (self.to / self.from).sqrt();
        Self { from: level / half, to: level * half }.rounded()
    }

    /// The same to four digits, never narrower.
    fn rounded(self) -> Self {
        let unit = |value: f64| 10f64.powi(value.abs().log10().floor() as i32 - 3);
        let digits = |value: f64, unit: f64, round: fn(f64) -> f64| match unit {
            unit if unit < 1.0 => round(value / unit) / (1.0 / unit).round(),
            unit => round(value / unit) * unit,
        };
        Self { from: digits(self.from, unit(self.from), f64::floor), to: digits(self.to, unit(self.to), f64::ceil) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;

    /// Runs at a level with normal noise of this share.
    fn runs(random: &mut Random, count: usize, level: f64, noise: f64) -> Vec<f64> {
        (0..count).map(|_| level * (noise * random.normal()).exp()).collect()
    }

    #[test]
    fn fifty_unchanged_runs_change_nothing() {
        let mut random = Random::new(1, 0);
        let histories = 400;
        let disturbed = (0..histories).filter(|_| {
            // Two figures, whose bands were accepted after 20 runs.
            (0..2).any(|_| {
                let band = Band::of(&runs(&mut random, 20, 4000.0, 0.03), 2).unwrap();
                runs(&mut random, 50, 4000.0, 0.03).into_iter().any(|value| !band.holds(value))
            })
        });
        let disturbed = disturbed.count();
        assert!(disturbed <= histories * 7 / 100, "{disturbed} of {histories}");
    }

    #[rstest::rstest]
    #[case(0.01, 99)]
    #[case(0.015, 90)]
    #[case(0.02, 65)]
    fn a_loss_of_a_tenth_is_outside(#[case] noise: f64, #[case] percent: usize) {
        let mut random = Random::new(2, 0);
        let found = (0..400).filter(|_| {
            let band = Band::of(&runs(&mut random, 20, 4000.0, noise), 2).unwrap();
            !band.holds(runs(&mut random, 1, 3600.0, noise)[0])
        });
        let found = found.count();
        assert!(found >= 400 * percent / 100, "{found} of 400");
    }

    #[test]
    fn only_the_last_level_counts_and_all_of_the_noise() {
        let mut random = Random::new(3, 0);
        let mut values = runs(&mut random, 20, 1000.0, 0.02);
        values.extend(runs(&mut random, 6, 2000.0, 0.02));
        let band = Band::of(&values, 1).unwrap();
        assert!(!band.holds(1700.0) && band.holds(2000.0) && !band.holds(2300.0), "{band:?}");
    }

    #[test]
    fn a_band_is_written_in_four_digits() {
        let band = |from, to| Band { from, to }.rounded();
        assert_eq!(band(3612.34, 4150.01), Band { from: 3612.0, to: 4151.0 });
        assert_eq!(band(1.23456, 12.3456), Band { from: 1.234, to: 12.35 });
        assert_eq!(band(123_456.0, 123_456.0), Band { from: 123_400.0, to: 123_500.0 });
        assert_eq!(Band { from: 90.0, to: 110.0 }.around(1000.0), Band { from: 904.5, to: 1106.0 });
    }

    #[test]
    fn few_runs_and_figures_of_nothing_have_no_band() {
        assert_eq!(Band::of(&[100.0; RUNS - 1], 1), None);
        assert_eq!(Band::of(&[0.0; RUNS], 1), None);
        assert!(Band::of(&[100.0; RUNS], 1).is_some_and(|band| band.holds(100.0) && !band.holds(100.2)));
    }
}
