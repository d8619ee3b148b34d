//! How throughput grows with replicas or shards: a fit of the Universal Scalability Law, with intervals, or the reason why there is
//! none. Main function: [`study`].
//!
//! The law (Gunther, Guerrilla Capacity Planning, 2007, chapter 5): with `n` replicas the throughput is
//! `lambda n / (1 + sigma (n - 1) + kappa n (n - 1))`. `lambda` is what one replica does, `sigma` the share that waits for
//! something that only one can have, `kappa` the cost of replicas that have to agree with each other. With `kappa` above 0 there
//! is a peak, at `sqrt((1 - sigma) / kappa)`.
//!
//! The fit minimises the squared distances of the throughput by Levenberg and Marquardt's method within bounds: no parameter is
//! below 0 and `sigma` not above 1 (Press et al., Numerical Recipes, 2007, section 15.5). Intervals are percentiles of a bootstrap of residuals (Efron and
//! Tibshirani, An Introduction to the Bootstrap, 1993, section 9.4), which assumes no distribution.

use std::array::from_fn;

use serde::Serialize;

use crate::{Random, noise};

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// How many replicas, or others, there were.
    pub level: u32,
    /// Operations per second.
    pub throughput: f64,
}

/// The law's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Law {
    /// Throughput of one replica.
    pub lambda: f64,
    /// Contention.
    pub sigma: f64,
    /// Coherency.
    pub kappa: f64,
}

/// The middle 95% of what the bootstrap gave.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// 2.5% are below.
    pub low: f64,
    /// 2.5% are above; infinite for a peak that may not exist, which JSON writes as `null`.
    pub high: f64,
}

/// A law with its intervals.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fit {
    /// The parameters.
    pub law: Law,
    /// Of `lambda`.
    pub lambda: Interval,
    /// Of `sigma`.
    pub sigma: Interval,
    /// Of `kappa`.
    pub kappa: Interval,
    /// Where throughput is highest; nothing when it grows without end.
    pub peak: Option<f64>,
    /// Of the peak.
    pub peak_interval: Interval,
    /// The fitted throughput at each level, with its interval.
    pub levels: Vec<(u32, f64, Interval)>,
}

/// What the measurements allow to say.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Study {
    /// A law that they support.
    Fitted(Fit),
    /// None, and why.
    Abstained(String),
}

/// Three parameters need more than three levels to be told from noise.
const FEWEST_LEVELS: usize = 6;
/// Enough for the 2.5% ends of an interval: 25 resamples lie beyond each.
const RESAMPLES: usize = 1000;
/// A level that may do a quarter more or a quarter less than the law says is not described by it.
const WIDEST: f64 = 0.5;
/// The lowest and the highest value of `lambda`, `sigma` and `kappa`.
const BOUNDS: [(f64, f64); 3] = [(f64::MIN_POSITIVE, f64::INFINITY), (0.0, 1.0), (0.0, f64::INFINITY)];
/// Steps of the fit; it ends earlier when nothing changes.
const STEPS: usize = 200;

impl Law {
    /// The throughput at a number of replicas.
    pub fn at(&self, replicas: f64) -> f64 {
        let Self { lambda, sigma, kappa } = self;
        lambda * replicas / (1.0 + sigma * (replicas - 1.0) + kappa * replicas * (replicas - 1.0))
    }

    /// Where the throughput is highest; nothing when it grows without end.
    fn peak(&self) -> Option<f64> {
        (self.kappa > 0.0).then(|| ((1.0 - self.sigma).max(0.0) / self.kappa).sqrt().max(1.0))
    }

    fn parameters(&self) -> [f64; 3] {
        [self.lambda, self.sigma, self.kappa]
    }

    /// With other parameters, as far as the bounds allow.
    fn moved(&self, step: [f64; 3]) -> Self {
        let parameters = self.parameters();
        let [lambda, sigma, kappa] = from_fn(|of| (parameters[of] + step[of]).clamp(BOUNDS[of].0, BOUNDS[of].1));
        Self { lambda, sigma, kappa }
    }

    /// Whether a parameter lies on the bound beyond which a step in this direction would take it.
    fn is_held(&self, parameter: usize, direction: f64) -> bool {
        let (value, (lowest, highest)) = (self.parameters()[parameter], BOUNDS[parameter]);
        value <= lowest && direction < 0.0 || value >= highest && direction > 0.0
    }

    /// The slopes of the throughput by each parameter.
    fn gradient(&self, replicas: f64) -> [f64; 3] {
        let divisor = 1.0 + self.sigma * (replicas - 1.0) + self.kappa * replicas * (replicas - 1.0);
        let by_divisor = -self.lambda * replicas / (divisor * divisor);
        [replicas / divisor, by_divisor * (replicas - 1.0), by_divisor * replicas * (replicas - 1.0)]
    }
}

/// Fits the law to measurements, of which there may be several per level. The seed decides the bootstrap.
pub fn study(points: &[Point], seed: u64) -> Study {
    let levels = levels(points);
    if levels.len() < FEWEST_LEVELS {
        let text = format!("{} levels were measured, a fit needs {FEWEST_LEVELS}", levels.len());
        return Study::Abstained(text);
    }
    if points.iter().any(|point| !point.throughput.is_finite() || point.throughput <= 0.0) {
        return Study::Abstained("a level had no throughput".to_owned());
    }
    let law = fit(points);
    let resampled = bootstrap(points, &law, seed);
    let of = |figure: &dyn Fn(&Law) -> f64| interval(resampled.iter().map(figure).collect());
    let level = |level: &u32| (*level, law.at(f64::from(*level)), of(&|law| law.at(f64::from(*level))));
    let levels: Vec<_> = levels.iter().map(level).collect();
    if let Some((level, _, Interval { low, high })) =
        levels.iter().find(|(_, fitted, interval)| interval.high - interval.low > WIDEST * fitted)
    {
        return Study::Abstained(format!(
            "the measurements scatter too much: the fit gives {low:.0} to {high:.0} requests/s at level {level}"
        ));
    }
    Study::Fitted(Fit {
        law,
        lambda: of(&|law| law.lambda),
        sigma: of(&|law| law.sigma),
        kappa: of(&|law| law.kappa),
        peak: law.peak(),
        peak_interval: of(&|law| law.peak().unwrap_or(f64::INFINITY)),
        levels,
    })
}

/// The different levels, in order.
pub fn levels(points: &[Point]) -> Vec<u32> {
    let mut levels: Vec<u32> = points.iter().map(|point| point.level).collect();
    levels.sort_unstable();
    levels.dedup();
    levels
}

/// The mean throughput of one level; nothing where there is no measurement.
pub fn mean(points: &[Point], replicas: u32) -> Option<f64> {
    let of_level = points.iter().filter(|point| point.level == replicas);
    noise::mean(&of_level.map(|point| point.throughput).collect::<Vec<_>>())
}

/// Minimises the squared distances, from a linear law as the first guess.
fn fit(points: &[Point]) -> Law {
    let per_replica = |point: &Point| point.throughput / f64::from(point.level);
    let lambda = points.iter().map(per_replica).fold(0.0, f64::max);
    let mut law = Law { lambda, sigma: 0.05, kappa: 0.001 };
    let mut error = squares(points, &law);
    let mut damping = 1e-3;
    for _ in 0..STEPS {
        let Some(step) = newton_step(points, &law, damping) else { break };
        let next = law.moved(step);
        let next_error = squares(points, &next);
        if next_error < error {
            let gained = error - next_error;
            (law, error, damping) = (next, next_error, damping * 0.3);
            if gained <= error * 1e-12 {
                break;
            }
        } else {
            damping *= 4.0;
            if damping > 1e12 {
                break;
            }
        }
    }
    law
}

fn squares(points: &[Point], law: &Law) -> f64 {
    points.iter().map(|point| (point.throughput - law.at(f64::from(point.level))).powi(2)).sum()
}

/// Half the downhill slope of the squared distances by each parameter, and Gauss and Newton's matrix.
fn normal_equations(points: &[Point], law: &Law) -> ([[f64; 3]; 3], [f64; 3]) {
    let (mut matrix, mut vector) = ([[0.0; 3]; 3], [0.0; 3]);
    for point in points {
        let replicas = f64::from(point.level);
        let (gradient, residual) = (law.gradient(replicas), point.throughput - law.at(replicas));
        for row in 0..3 {
            vector[row] += gradient[row] * residual;
            for column in 0..3 {
                matrix[row][column] += gradient[row] * gradient[column];
            }
        }
    }
    (matrix, vector)
}

/// The damped step of Gauss and Newton. A parameter that lies on its bound and would leave it stays.
fn newton_step(points: &[Point], law: &Law, damping: f64) -> Option<[f64; 3]> {
    let (mut matrix, mut vector) = normal_equations(points, law);
    for fixed in 0..3 {
        if law.is_held(fixed, vector[fixed]) {
            (matrix[fixed], vector[fixed]) = ([0.0; 3], 0.0);
            (0..3).for_each(|row| matrix[row][fixed] = 0.0);
            matrix[fixed][fixed] = 1.0;
        }
    }
    for (diagonal, row) in matrix.iter_mut().enumerate() {
        row[diagonal] *= 1.0 + damping;
    }
    solve(matrix, vector)
}

/// Gaussian elimination with pivots; nothing for a singular matrix.
fn solve(mut matrix: [[f64; 3]; 3], mut vector: [f64; 3]) -> Option<[f64; 3]> {
    for column in 0..3 {
        let pivot = (column..3).max_by(|a, b| matrix[*a][column].abs().total_cmp(&matrix[*b][column].abs()))?;
        matrix.swap(column, pivot);
        vector.swap(column, pivot);
        if matrix[column][column] == 0.0 {
            return None;
        }
        let above = matrix[column];
        for row in column + 1..3 {
            let factor = matrix[row][column] / above[column];
            for (entry, above) in matrix[row].iter_mut().zip(above) {
                *entry -= factor * above;
            }
            vector[row] -= factor * vector[column];
        }
    }
    let mut solution = [0.0; 3];
    for row in (0..3).rev() {
        let known: f64 = (row + 1..3).map(|column| matrix[row][column] * solution[column]).sum();
        solution[row] = (vector[row] - known) / matrix[row][row];
    }
    Some(solution)
}

/// Laws of measurements that might have been: the fitted values with residuals drawn with replacement. Residuals are taken
/// relative to the fit, because a level with twice the throughput scatters twice as much.
fn bootstrap(points: &[Point], law: &Law, seed: u64) -> Vec<Law> {
    let fitted: Vec<f64> = points.iter().map(|point| law.at(f64::from(point.level))).collect();
    let relative: Vec<f64> =
        points.iter().zip(&fitted).map(|(point, fitted)| (point.throughput - fitted) / fitted).collect();
    let centre = noise::mean(&relative).unwrap_or_default();
    // Three parameters have been fitted, so that the residuals are too small by this factor.
    let inflation = (points.len() as f64 / (points.len() - 3) as f64).sqrt();
    let mut random = Random::new(seed, 0);
    (0..RESAMPLES)
        .map(|_| {
            let resampled: Vec<Point> = points
                .iter()
                .zip(&fitted)
                .map(|(point, fitted)| {
                    let drawn = relative[random.below(relative.len())];
                    let factor = 1.0 + (drawn - centre) * inflation;
                    Point { level: point.level, throughput: fitted * factor.max(0.01) }
                })
                .collect();
            fit(&resampled)
        })
        .collect()
}

fn interval(mut figures: Vec<f64>) -> Interval {
    figures.sort_by(f64::total_cmp);
    let beyond = figures.len() / 40;
    Interval { low: figures[beyond], high: figures[figures.len() - 1 - beyond] }
}

#[cfg(test)]
mod tests;
