//! Whether a system became slower, judged while its blocks alternate with those of another. Pure. Main function: [`judge`].
//!
//! A *group* is four short blocks, two of each system, in the order base-head-head-base or its mirror image: a drift that is linear
//! over the group cancels. It gives one log-ratio of head to base ([`log_ratio`]). A coin chooses the order of each group. If the systems
//! do not differ, the label is arbitrary and the log-ratio is therefore symmetric about 0 given everything before it, whatever the
//! machine's noise: heavy tails and dependence between groups do no harm.
//!
//! For such a log-ratio x and any λ, the expectation of exp(λx) / cosh(λx) is 1, so the product over groups is a martingale, as is a mean
//! over several λ (V. H. de la Peña, "A general class of exponential inequalities for martingales and ratios", Annals of Probability 27,
//! 1999; V. Vovk and R. Wang, "Nonparametric e-tests of symmetry", New England Journal of Statistics in Data Science 2, 2024). It exceeds
//! 1/α with probability α at most, at any time (J. Ville, 1939), so that one may look after every group and stop. The shifts of the
//! log-ratios that are not refuted are a confidence sequence (S. R. Howard, A. Ramdas, J. McAuliffe, J. Sekhon, "Time-uniform,
//! nonparametric, nonasymptotic confidence sequences", Annals of Statistics 49, 2021).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::stats::median;

/// How sure the intervals of all figures of a comparison are together (C. E. Bonferroni's inequality): 95%.
pub const ERROR: f64 = 0.05;

/// How sure the confirmation of a difference is, in the direction that was suspected. A false alarm must pass both tests, of which the
/// second begins after the first: at most [`ERROR`] times this, 0.25% of comparisons.
const CONFIRMATION_ERROR: f64 = 0.05;

/// The λ of the mixture: each power of two serves log-ratios of about its reciprocal, from 0.4% to 50%.
const LAMBDAS: [f64; 8] = [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// Which direction of a figure is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// A rate.
    More,
    /// A latency, a cost.
    Less,
}

/// What a comparison says of one figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Worse than the base, twice: with systems that were brought up anew after the suspicion, too.
    Slower,
    /// Better than the base, in the same way.
    Faster,
    /// The whole interval lies within the line.
    Same,
    /// The measurements ended, and the interval still reaches beyond the line.
    Unstable,
    /// Suspected to differ, and not confirmed.
    Unconfirmed,
    /// No group has this figure on both sides.
    NotMeasured,
}

/// What the groups measured so far say of a figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Judgement {
    /// The verdict if measuring ended now.
    pub verdict: Verdict,
    /// Whether more groups cannot change it.
    pub settled: bool,
    /// How many groups have the figure; those behind the one that settled it do not count.
    pub groups: usize,
    /// By how much head differs from base, as a share of base: the estimate of J. L. Hodges and E. L. Lehmann, "Estimates of location based
    /// on rank tests", Annals of Mathematical Statistics 34 (1963).
    pub change: Option<f64>,
    /// The interval of the same share; absent while there are too few groups for one.
    pub interval: Option<[f64; 2]>,
    /// The smallest loss that these groups would have shown as one, as a share of base; absent like the interval.
    pub smallest_loss: Option<f64>,
    /// The group after which a difference was suspected, counting from 1 the groups that have the figure.
    pub suspected_after: Option<usize>,
}

/// The log-ratio of one group; nothing if a block does not have the figure or it is 0.
pub fn log_ratio(base: [Option<f64>; 2], head: [Option<f64>; 2]) -> Option<f64> {
    let log = |value: Option<f64>| value.filter(|value| *value > 0.0 && value.is_finite()).map(f64::ln);
    let mean = |[first, second]: [Option<f64>; 2]| Some(f64::midpoint(log(first)?, log(second)?));
    Some(mean(head)? - mean(base)?)
}

/// Judges one figure by the log-ratios of its groups, in the order in which they were measured and each with the number of the bring-up
/// that measured it.
///
/// `line` is the largest difference that does not matter, as a share; `figures` is how many figures the whole comparison judges.
pub fn judge(groups: &[(usize, f64)], better: Better, line: f64, figures: usize) -> Judgement {
    let mut course = Course::new(line, figures);
    let mut ratios = Vec::new();
    for (bring_up, ratio) in groups {
        course.push(*bring_up, *ratio);
        ratios.push(*ratio);
        if course.settled.is_some() {
            break;
        }
    }
    let share = |log: f64| log.exp_m1();
    let (centre, interval) = (centre(&ratios), interval(&ratios, ERROR / figures.max(1) as f64));
    // Shifted by this, the same groups would have had an interval beside 0.
    let loss = |[low, high]: [f64; 2]| {
        let width = centre.map_or(high - low, |centre| (high - centre).max(centre - low));
        match better {
            Better::More => -share(-width),
            Better::Less => share(width),
        }
    };
    Judgement {
        verdict: course.verdict(better),
        settled: course.settled.is_some(),
        groups: ratios.len(),
        change: centre.map(share),
        interval: interval.map(|ends| ends.map(share)),
        smallest_loss: interval.map(loss),
        suspected_after: course.suspicion.map(|suspicion| suspicion.after),
    }
}

/// The interval that holds the centre of the log-ratios with probability `1 - error`, however often one looks; nothing while there are too few.
pub fn interval(ratios: &[f64], error: f64) -> Option<[f64; 2]> {
    let negated: Vec<f64> = ratios.iter().map(|ratio| -ratio).collect();
    Some([lowest(ratios, error / 2.0)?, -lowest(&negated, error / 2.0)?])
}

/// The median of all means of two log-ratios, each with itself included; nothing without any.
fn centre(ratios: &[f64]) -> Option<f64> {
    let means = ratios
        .iter()
        .enumerate()
        .flat_map(|(index, first)| ratios[index..].iter().map(move |second| f64::midpoint(*first, *second)));
    median(means.collect())
}

/// The tests of one figure, each carried on from group to group.
#[derive(Debug)]
struct Course {
    groups: usize,
    /// What each test needs to refute.
    needed: f64,
    /// That head is larger, or smaller, than base by any amount.
    larger: Evidence,
    smaller: Evidence,
    /// That it is not smaller, or larger, than base by more than the line.
    above_line: Evidence,
    below_line: Evidence,
    suspicion: Option<Suspicion>,
    settled: Option<Found>,
}

/// A difference that was seen once.
#[derive(Debug, Clone, Copy)]
struct Suspicion {
    direction: Direction,
    /// How many groups had been measured.
    after: usize,
    /// The bring-up that measured the last of them.
    bring_up: usize,
    /// What later bring-ups say of it alone.
    confirmation: Evidence,
}

/// Whether head's figure is larger or smaller than base's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Larger,
    Smaller,
}

/// What settles a figure.
#[derive(Debug, Clone, Copy)]
enum Found {
    Same,
    Different(Direction),
}

impl Course {
    fn new(line: f64, figures: usize) -> Self {
        let line = line.ln_1p();
        Self {
            groups: 0,
            // Both directions share the error.
            needed: -(ERROR / figures.max(1) as f64 / 2.0).ln(),
            larger: Evidence::default(),
            smaller: Evidence::default(),
            above_line: Evidence { centre: -line, ..Evidence::default() },
            below_line: Evidence { centre: -line, ..Evidence::default() },
            suspicion: None,
            settled: None,
        }
    }

    /// One look after a group; nothing once the figure is settled.
    fn push(&mut self, bring_up: usize, ratio: f64) {
        if self.settled.is_some() {
            return;
        }
        self.groups += 1;
        self.larger.push(ratio);
        self.smaller.push(-ratio);
        self.above_line.push(ratio);
        self.below_line.push(-ratio);
        let shown = [(Direction::Larger, &self.larger), (Direction::Smaller, &self.smaller)]
            .into_iter()
            .find(|(_, evidence)| evidence.log() >= self.needed)
            .map(|(direction, _)| direction);
        if self.above_line.log() >= self.needed && self.below_line.log() >= self.needed {
            self.settled = Some(Found::Same);
        } else if let Some(suspicion) = &mut self.suspicion {
            if bring_up > suspicion.bring_up {
                suspicion.confirmation.push(if suspicion.direction == Direction::Larger { ratio } else { -ratio });
            }
            let is_confirmed = suspicion.confirmation.log() >= -CONFIRMATION_ERROR.ln();
            if is_confirmed && shown == Some(suspicion.direction) {
                self.settled = Some(Found::Different(suspicion.direction));
            }
        } else if let Some(direction) = shown {
            let confirmation = Evidence::default();
            self.suspicion = Some(Suspicion { direction, after: self.groups, bring_up, confirmation });
        }
    }

    fn verdict(&self, better: Better) -> Verdict {
        use Direction::{Larger, Smaller};
        match (self.settled, self.suspicion) {
            _ if self.groups == 0 => Verdict::NotMeasured,
            (Some(Found::Same), _) => Verdict::Same,
            (Some(Found::Different(direction)), _) => match (direction, better) {
                (Larger, Better::More) | (Smaller, Better::Less) => Verdict::Faster,
                (Smaller, Better::More) | (Larger, Better::Less) => Verdict::Slower,
            },
            (None, Some(_)) => Verdict::Unconfirmed,
            (None, None) => Verdict::Unstable,
        }
    }
}

/// The evidence against every centre of the log-ratios up to one.
#[derive(Debug, Clone, Copy, Default)]
struct Evidence {
    centre: f64,
    /// The logarithm of each λ's product.
    products: [f64; LAMBDAS.len()],
}

impl Evidence {
    fn of(ratios: &[f64], centre: f64) -> Self {
        let mut evidence = Self { centre, ..Self::default() };
        ratios.iter().for_each(|ratio| evidence.push(*ratio));
        evidence
    }

    fn push(&mut self, ratio: f64) {
        // exp(λx) / cosh(λx) = 2 / (1 + exp(-2λx)), in logarithms that do not overflow.
        let factor = |x: f64| std::f64::consts::LN_2 - (-x).max(0.0) - (-x.abs()).exp().ln_1p();
        for (product, lambda) in self.products.iter_mut().zip(LAMBDAS) {
            *product += factor(2.0 * lambda * (ratio - self.centre));
        }
    }

    /// The logarithm of the mean of the products.
    fn log(&self) -> f64 {
        let largest = self.products.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mean = self.products.iter().map(|product| (product - largest).exp()).sum::<f64>() / LAMBDAS.len() as f64;
        largest + mean.ln()
    }
}

/// The largest centre up to which everything is refuted; nothing while even a centre far below all log-ratios is not.
fn lowest(ratios: &[f64], error: f64) -> Option<f64> {
    let needed = -error.ln();
    let (least, most) =
        ratios.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(*x), high.max(*x)));
    // Beyond this each factor is 2 but for a millionth.
    let mut refuted = least - 5.0;
    if ratios.is_empty() || Evidence::of(ratios, refuted).log() < needed {
        return None;
    }
    let mut possible = most;
    // Halved so often, any start ends below a millionth of a percent.
    for _ in 0..30 {
        let middle = f64::midpoint(refuted, possible);
        match Evidence::of(ratios, middle).log() >= needed {
            true => refuted = middle,
            false => possible = middle,
        }
    }
    Some(refuted)
}

#[cfg(test)]
mod tests;
