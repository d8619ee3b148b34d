//! A scaling study: throughput by replicas. Main function: [`scaling`].

use e2e_figures::scaling::{Point, Study, levels, mean};

use super::{Lines, Series, Tone};

/// Measured points, the fitted law with the intervals of its levels, and `hosts`, the throughput at which each run would have used up the
/// machine's processors: the cost per request differs by level, and so does that limit. Nothing without a point.
pub fn scaling(points: &[Point], study: &Study, hosts: &[Point]) -> Option<String> {
    let most = f64::from(points.iter().map(|point| point.level).max()?);
    let of = |points: &[Point]| points.iter().map(|point| (f64::from(point.level), point.throughput)).collect();
    let mut series =
        vec![Series { name: "measured".to_owned(), points: of(points), scattered: true, ..Series::default() }];
    if let Study::Fitted(fit) = study {
        let steps = (0..=100).map(|step| 1.0 + f64::from(step) / 100.0 * (most - 1.0));
        series.push(Series {
            name: "Universal Scalability Law, 95% intervals".to_owned(),
            points: steps.map(|replicas| (replicas, fit.law.at(replicas))).collect(),
            tone: Tone::Nth(2),
            intervals: fit.levels.iter().map(|(level, _, of)| (f64::from(*level), of.low, of.high)).collect(),
            ..Series::default()
        });
    }
    if !hosts.is_empty() {
        let means = levels(hosts).into_iter().filter_map(|level| Some((f64::from(level), mean(hosts, level)?)));
        series.push(Series {
            name: "the machine's limit, mean of each level".to_owned(),
            points: means.collect(),
            tone: Tone::Bad,
            ..Series::default()
        });
    }
    let lines = Lines {
        says: "Throughput by replicas".to_owned(),
        x: "replicas".to_owned(),
        y: "requests per second".to_owned(),
        series,
        places: levels(points).into_iter().map(|level| (f64::from(level), level.to_string())).collect(),
        ..Lines::default()
    };
    lines.svg()
}

#[cfg(test)]
mod tests {
    use e2e_figures::scaling::study;

    use super::*;

    #[test]
    fn every_point_the_law_and_the_limit_are_in_the_picture() {
        let point = |replicas, throughput| Point { level: replicas, throughput };
        let points: Vec<Point> =
            [1, 2, 3, 4, 6, 8].into_iter().map(|replicas| point(replicas, 100.0 * f64::from(replicas))).collect();
        // Two runs with 8 replicas: their mean is drawn.
        let hosts = [point(1, 400.0), point(8, 850.0), point(8, 900.0)];
        let picture = scaling(&points, &study(&points, 1), &hosts).unwrap();
        assert!(picture.contains("measured: 800 at 8") && picture.contains("limit, mean of each level: 875 at 8"));
        assert!(picture.contains("Universal Scalability Law"));
        let none = scaling(&points[..2], &Study::Abstained("few".to_owned()), &[]).unwrap();
        assert!(!none.contains("Law") && !none.contains("limit"));
        assert_eq!(scaling(&[], &Study::Abstained("few".to_owned()), &[]), None);
    }
}
