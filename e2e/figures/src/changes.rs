//! Lasting changes in the level of a series of runs. Pure. Main function: [`changes`].
//!
//! Binary segmentation (A. J. Scott and M. Knott, "A cluster analysis method for grouping means in the analysis of variance", Biometrics 30,
//! 1974): the split with the largest standardised difference of means (A. Sen and M. S. Srivastava, "On tests for detecting change in mean",
//! Annals of Statistics 3, 1975) is a change if the same runs in random order rarely have as large a one, and both parts are searched
//! further. The permutation test, which needs no distribution of the noise, is that of D. S. Matteson and N. A. James, "A nonparametric
//! approach for multiple change point analysis of multivariate data", Journal of the American Statistical Association 109 (2014), which
//! D. Daly et al., "The use of change point detection to identify software performance regressions", ICPE 2020, apply to builds. Values
//! are compared as logarithms, so that a change is a ratio.

use crate::{Random, noise::mean};

/// Fewer runs show no level: a single slow run is none.
const SHORTEST: usize = 4;

/// How often random order may have as large a difference.
const ERROR: f64 = 0.02;

/// Enough to tell 2% from chance; the order is the same each time, so that a history is told the same way twice.
const PERMUTATIONS: usize = 499;

/// A lasting change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// The index of the first run at the new level.
    pub at: usize,
    /// How much larger the new level is than the one before, as a share of that: both are means of logarithms from one change to the next.
    pub relative: f64,
}

/// The changes of a series in the order of its runs. Values must be above 0; a series with others has none.
pub fn changes(values: &[f64]) -> Vec<Change> {
    if values.iter().any(|value| !value.is_finite() || *value <= 0.0) {
        return Vec::new();
    }
    let logs: Vec<f64> = values.iter().map(|value| value.ln()).collect();
    let mut splits = Vec::new();
    search(&logs, 0, &mut splits);
    splits.sort_unstable();
    let ends: Vec<usize> = [0].into_iter().chain(splits.iter().copied()).chain([logs.len()]).collect();
    let level = |part: usize| mean(&logs[ends[part]..ends[part + 1]]).unwrap_or_default();
    let change = |(part, at): (usize, &usize)| Change { at: *at, relative: (level(part + 1) - level(part)).exp_m1() };
    splits.iter().enumerate().map(change).collect()
}

/// Finds the changes of a part that begins at `start`.
fn search(part: &[f64], start: usize, splits: &mut Vec<usize>) {
    let Some((at, found)) = best_split(part) else { return };
    let mut random = Random::new(part.len() as u64, 0);
    let mut shuffled = part.to_vec();
    let as_large = (0..PERMUTATIONS).filter(|_| {
        random.shuffle(&mut shuffled);
        // The same two parts in another order sum up to a little more or less.
        best_split(&shuffled).is_some_and(|(_, other)| other >= found * (1.0 - 1e-9))
    });
    if (as_large.count() + 1) as f64 / (PERMUTATIONS + 1) as f64 <= ERROR {
        splits.push(start + at);
        search(&part[..at], start, splits);
        search(&part[at..], start + at, splits);
    }
}

/// Where a part splits best, and the squared difference of means there in units of its own noise; nothing in a part that is too short, or
/// whose values are all the same.
fn best_split(part: &[f64]) -> Option<(usize, f64)> {
    let count = part.len() as f64;
    let total: f64 = part.iter().sum();
    let all: f64 = part.iter().map(|value| (value - total / count).powi(2)).sum();
    let mut before = 0.0;
    let mut best: Option<(usize, f64)> = None;
    for (index, value) in part.iter().enumerate() {
        let at = index + 1;
        before += value;
        if at < SHORTEST || part.len() - at < SHORTEST {
            continue;
        }
        let (first, second) = (at as f64, count - at as f64);
        let between = (before / first - (total - before) / second).powi(2) * first * second / count;
        // Without any noise within the parts the difference is as large as can be.
        let size = between / (all - between).max(1e-12 * all);
        if all > 0.0 && best.is_none_or(|(_, largest)| size > largest) {
            best = Some((at, size));
        }
    }
    best
}

#[cfg(test)]
mod tests;
