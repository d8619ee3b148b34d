//! Whether two samples differ by more than their own spread explains. Pure. Main functions: [`difference`], [`paired_difference`].
//!
//! Welch's unequal-variances t interval for a difference of means: B. L. Welch, "The generalization of 'Student's' problem
//! when several different population variances are involved", Biometrika 34 (1947); its degrees of freedom are those of
//! F. E. Satterthwaite, "An approximate distribution of estimates of variance components", Biometrics Bulletin 2 (1946).

use std::f64::consts::FRAC_PI_2;

/// How sure an interval is. A table has about a dozen figures: at 95% every second table would show a difference that is none
/// (1 - 0.95^12 = 46%), at 99% one in nine.
pub const CONFIDENCE: f64 = 0.99;

/// The interval that holds `mean(b) - mean(a)` with [`CONFIDENCE`]; nothing with fewer than two values on a side, because one
/// value says nothing of how much it would vary.
///
/// Without any spread on both sides the interval is a point.
pub fn difference(a: &[f64], b: &[f64]) -> Option<[f64; 2]> {
    let ((mean_a, square_a), (mean_b, square_b)) = (moments(a)?, moments(b)?);
    let (error, difference) = (square_a + square_b, mean_b - mean_a);
    if error <= 0.0 {
        return Some([difference; 2]);
    }
    let share = |square: f64, count: usize| square * square / (count as f64 - 1.0);
    let freedom = error * error / (share(square_a, a.len()) + share(square_b, b.len()));
    let half = student_t(freedom, CONFIDENCE) * error.sqrt();
    Some([difference - half, difference + half])
}

/// The fewest pairs that are worth it: a paired interval has half the degrees of freedom, which fewer pairs pay for with a wider
/// interval unless the two of a pair resemble each other closely.
const PAIRS: usize = 6;

/// The same interval for values that were measured in turns, `a[i]` right before or after `b[i]` (Student, "The probable error of a mean",
/// Biometrika 6, 1908): what both of a pair share, such as the speed of the machine at that time, cancels. Nothing with fewer than six
/// pairs.
pub fn paired_difference(a: &[f64], b: &[f64]) -> Option<[f64; 2]> {
    if a.len() != b.len() || a.len() < PAIRS {
        return None;
    }
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| b - a).collect();
    let (difference, square) = moments(&differences)?;
    let half = if square > 0.0 { student_t((a.len() - 1) as f64, CONFIDENCE) * square.sqrt() } else { 0.0 };
    Some([difference - half, difference + half])
}

/// The arithmetic mean; nothing without values.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Mean and squared standard error; nothing with fewer than two values.
fn moments(values: &[f64]) -> Option<(f64, f64)> {
    let (mean, count) = (mean(values)?, values.len() as f64);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (values.len() > 1).then(|| (mean, squares / (count - 1.0) / count))
}

/// How many steps a quarter turn is cut into: enough for five digits of every quantile with one degree of freedom or more.
const STEPS: u32 = 20_000;

/// The two-sided quantile of Student's t distribution.
///
/// With `t = sqrt(freedom) * tan(angle)` the distribution is the integral of `cos(angle)^(freedom - 1)` (Abramowitz and
/// Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4): it is walked until the wanted share lies behind.
pub(crate) fn student_t(freedom: f64, confidence: f64) -> f64 {
    let step = FRAC_PI_2 / f64::from(STEPS);
    // The midpoint rule never looks at the ends, where the integrand may have no slope.
    let slice = |index: u32| ((f64::from(index) + 0.5) * step).cos().powf(freedom - 1.0);
    let wanted = confidence * (0..STEPS).map(slice).sum::<f64>();
    let mut behind = 0.0;
    for index in 0..STEPS {
        let next = slice(index);
        if behind + next >= wanted {
            let angle = (f64::from(index) + (wanted - behind) / next) * step;
            return freedom.sqrt() * angle.tan();
        }
        behind += next;
    }
    f64::INFINITY
}

/// Means of consecutive stretches of a series, as equally long as can be: neighbours of a series resemble each other, stretches
/// much less (method of batch means: A. M. Law, Simulation Modeling and Analysis, chapter 9).
///
/// `count` of them, or each value where there are fewer.
pub fn stretches(series: &[f64], count: usize) -> Vec<f64> {
    let count = count.min(series.len());
    let start = |index: usize| index * series.len() / count;
    (0..count).filter_map(|index| mean(&series[start(index)..start(index + 1)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quantiles from a printed table (NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2, column 0.995).
    #[rstest::rstest]
    #[case(1.0, 63.657)]
    #[case(2.0, 9.925)]
    #[case(3.0, 5.841)]
    #[case(4.0, 4.604)]
    #[case(10.0, 3.169)]
    #[case(30.0, 2.750)]
    #[case(100.0, 2.626)]
    fn quantiles_are_those_of_the_tables(#[case] freedom: f64, #[case] expected: f64) {
        let found = student_t(freedom, 0.99);
        assert!((found - expected).abs() < 0.001 * expected.max(1.0), "{found} for {freedom}");
    }

    #[test]
    fn an_interval_computed_by_hand() {
        // Means 2 and 12, variances 1 and 1, standard error sqrt(2/3), 4 degrees of freedom: 10 ± 4.604 * 0.81650.
        let [low, high] = difference(&[1.0, 2.0, 3.0], &[11.0, 12.0, 13.0]).unwrap();
        assert!((low - (10.0 - 3.7592)).abs() < 0.001 && (high - (10.0 + 3.7592)).abs() < 0.001, "{low} {high}");
    }

    #[test]
    fn what_both_of_a_pair_share_cancels() {
        let machine = [100.0, 140.0, 90.0, 120.0, 80.0, 130.0];
        let own = [1.0, -1.0, 0.0, 1.0, -1.0, 0.0];
        let slower: Vec<f64> = machine.iter().zip(own).map(|(speed, own)| speed - 5.0 + own).collect();
        // Mean -5, variance 0.8, 5 degrees of freedom: -5 ± 4.032 * sqrt(0.8 / 6).
        let [low, high] = paired_difference(&machine, &slower).unwrap();
        assert!((low + 5.0 + 1.4723).abs() < 0.001 && (high + 5.0 - 1.4723).abs() < 0.001, "{low} {high}");
        let [low, high] = difference(&machine, &slower).unwrap();
        assert!(low < 0.0 && 0.0 < high, "without the pairs the machine hides it: {low} {high}");
        assert_eq!(paired_difference(&machine[..5], &slower[..5]), None);
        assert_eq!(paired_difference(&machine, &slower[..5]), None);
    }

    #[test]
    fn one_value_says_nothing_of_noise() {
        assert_eq!(difference(&[1.0], &[5.0, 6.0]), None);
        assert_eq!(difference(&[], &[5.0, 6.0]), None);
        assert_eq!(difference(&[4.0, 4.0], &[5.0, 5.0]), Some([1.0, 1.0]));
    }

    #[test]
    fn stretches_are_as_many_as_asked_for() {
        assert_eq!(stretches(&[1.0, 3.0, 5.0, 7.0, 9.0], 2), [2.0, 7.0]);
        let series: Vec<f64> = (0..19).map(f64::from).collect();
        assert_eq!(stretches(&series, 10).len(), 10);
        assert_eq!(stretches(&[1.0, 3.0], 10), [1.0, 3.0]);
        assert!(stretches(&[], 10).is_empty());
    }
}
