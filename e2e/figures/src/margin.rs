//! Where the margin of a deadline ends as the load grows, from latencies at a few loads. Pure. Main function: [`margin_end`].
//!
//! In a closed system each client has at most one request under way, and an arriving one finds what the others have left in the queue
//! (the arrival theorem: S. S. Lavenberg and M. Reiser, "Stationary state probabilities at arrival instants for closed queueing networks",
//! Journal of Applied Probability 17, 1980). So latency grows in a straight line with the clients once the slowest station is busy (the
//! asymptotic bounds of E. D. Lazowska and others, Quantitative System Performance, 1984, chapter 5), and below that more slowly: the
//! line through a light and a heavy load reaches the deadline no sooner than the system does. In an open system latency is
//! `S / (1 - rate * S)` where one server does the work (M/M/1: L. Kleinrock, Queueing Systems, volume 1, 1975), and its inverse falls in a
//! straight line.
//!
//! The interval is the percentile bootstrap's (B. Efron and R. J. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).

use crate::{Random, scenario::ModelKind, stats::nearest_rank};

/// What stands for a load: nine of ten probes are faster.
pub const QUANTILE: f64 = 0.9;
/// How often the samples are drawn anew.
const RESAMPLES: usize = 1_000;
/// The share of the resamples that the interval holds.
const CONFIDENCE: f64 = 0.95;

/// The load at which nine of ten latencies reach a deadline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MarginEnd {
    /// Clients in the closed model, requests per second in the open one.
    pub load: f64,
    /// 97.5% of the resamples give at least this,
    pub low: f64,
    /// and at most this; absent where some of them never reach the deadline.
    pub high: Option<f64>,
}

/// The latencies at one load, in any unit of time.
#[derive(Debug, Clone, PartialEq)]
pub struct AtLoad {
    /// Clients in the closed model, requests per second in the open one; 0 at rest.
    pub load: f64,
    /// Each latency.
    pub latencies: Vec<f64>,
}

/// Fits a line of least squares through the 90th percentiles and follows it to the deadline. Nothing with fewer than two loads, without
/// latencies at one, or where latency does not grow with the load.
pub fn margin_end(model: ModelKind, groups: &[AtLoad], deadline: f64) -> Option<MarginEnd> {
    let load = end(model, groups, deadline, <[f64]>::to_vec)?;
    // The same resamples for the same run, so that a report can be made again.
    let mut random = Random::new(1, 0);
    let resampled = |_| end(model, groups, deadline, |latencies| resample(latencies, &mut random));
    let mut ends: Vec<f64> = (0..RESAMPLES).map(resampled).map(|end| end.unwrap_or(f64::INFINITY)).collect();
    ends.sort_by(f64::total_cmp);
    let at = |share: f64| ends[((RESAMPLES as f64 * share) as usize).min(RESAMPLES - 1)];
    let (low, high) = (at((1.0 - CONFIDENCE) / 2.0), at(1.0 - (1.0 - CONFIDENCE) / 2.0));
    Some(MarginEnd { load, low, high: Some(high).filter(|high| high.is_finite()) })
}

/// Where the line through samples of the groups reaches the deadline.
fn end(model: ModelKind, groups: &[AtLoad], deadline: f64, mut sample: impl FnMut(&[f64]) -> Vec<f64>) -> Option<f64> {
    let point = |group: &AtLoad| {
        let latency = nearest_rank(&mut sample(&group.latencies), QUANTILE)?;
        Some((group.load, straight(model, latency)))
    };
    let points: Vec<_> = groups.iter().map(point).collect::<Option<_>>()?;
    crossing(&points, straight(model, deadline))
}

/// What grows in a straight line with the load.
fn straight(model: ModelKind, latency: f64) -> f64 {
    match model {
        ModelKind::Closed => latency,
        ModelKind::Open => -1.0 / latency.max(f64::MIN_POSITIVE),
    }
}

/// Where the line of least squares through `points` reaches `height`; nothing where it does not rise.
fn crossing(points: &[(f64, f64)], height: f64) -> Option<f64> {
    let count = points.len() as f64;
    let (sum_x, sum_y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let spread: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let slope = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>() / spread;
    (spread > 0.0 && slope > 0.0).then(|| mean_x + (height - mean_y) / slope)
}

fn resample(latencies: &[f64], random: &mut Random) -> Vec<f64> {
    let draw = |_| latencies[(random.fraction() * latencies.len() as f64) as usize];
    (0..latencies.len()).map(draw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(load: f64, latencies: &[f64]) -> AtLoad {
        AtLoad { load, latencies: latencies.to_vec() }
    }

    #[test]
    fn a_line_is_followed_to_the_deadline() {
        // 1 ms at rest and 401 ms with 20 clients: 20 ms each, and so 1001 ms with 50.
        let end = margin_end(ModelKind::Closed, &[at(0.0, &[1.0; 5]), at(20.0, &[401.0; 5])], 1001.0).unwrap();
        assert!((end.load - 50.0).abs() < 1e-9, "{end:?}");
        assert_eq!((end.low, end.high), (end.load, Some(end.load)), "without spread the interval is a point");
    }

    #[test]
    fn one_server_follows_its_formula() {
        // 10 ms of work: 20 ms at 50 requests a second, 100 ms at 90 and 1 s at 99.
        let groups = [at(0.0, &[0.01; 4]), at(50.0, &[0.02; 4]), at(90.0, &[0.1; 4])];
        let end = margin_end(ModelKind::Open, &groups, 1.0).unwrap();
        assert!((end.load - 99.0).abs() < 1e-6, "{end:?}");
    }

    #[test]
    fn spread_widens_the_interval() {
        let noisy = [300.0, 320.0, 350.0, 380.0, 400.0, 420.0, 450.0, 480.0, 500.0, 560.0];
        let end = margin_end(ModelKind::Closed, &[at(0.0, &[1.0; 10]), at(20.0, &noisy)], 1000.0).unwrap();
        // The 90th percentile is the ninth of ten, 500 ms: 20 * 999 / 499 = 40.04 clients.
        assert!((end.load - 40.04).abs() < 0.01, "{end:?}");
        assert!(end.low < end.load && end.high.is_some_and(|high| high > end.load), "{end:?}");
        // At most what the slowest and the fastest sample would give.
        assert!(end.low >= 20.0 * 999.0 / 559.0 - 0.1 && end.high.unwrap() <= 20.0 * 999.0 / 299.0 + 0.1, "{end:?}");
    }

    #[test]
    fn what_does_not_grow_has_no_end() {
        let flat = [at(0.0, &[600.0; 5]), at(20.0, &[600.0; 5])];
        assert_eq!(margin_end(ModelKind::Closed, &flat, 1000.0), None);
        assert_eq!(margin_end(ModelKind::Closed, &flat[..1], 1000.0), None);
        assert_eq!(margin_end(ModelKind::Closed, &[at(0.0, &[]), at(20.0, &[600.0])], 1000.0), None);
    }
}
