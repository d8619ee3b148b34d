//! The study as a plot: [`svg`]. Measured points, the fitted law with its intervals, and the host's limit at each level.

use std::fmt::Write as _;

use e2e_load::scaling::{Point, Study, levels, mean};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
const MARGIN: f64 = 60.0;
/// Maximum number of grid lines: enough to read values off.
const GRID: f64 = 5.0;
/// Half the length of a level's mark: wider than a point, narrower than the gap between levels.
const MARK: f64 = 14.0;

/// Plots throughput by replicas. `hosts` holds the throughput at which each run would have saturated the machine's processors; the
/// cost per operation differs by level, and so does the limit.
pub(super) fn svg(points: &[Point], study: &Study, hosts: &[Point]) -> String {
    let most_replicas = points.iter().map(|point| point.replicas).max().unwrap_or(1);
    let highest = points.iter().chain(hosts).map(|point| point.throughput).fold(1.0, f64::max);
    let step = round_up(highest / GRID);
    let lines = (highest / step).ceil();
    let highest = step * lines;
    let x = |replicas: f64| MARGIN + replicas / f64::from(most_replicas) * (WIDTH - 2.0 * MARGIN);
    let y = |throughput: f64| HEIGHT - MARGIN - throughput / highest * (HEIGHT - 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    let mut add = |line: String| svg.write_fmt(format_args!("{line}\n")).expect("writing to memory does not fail");
    for line in 0..=lines as u32 {
        let throughput = step * f64::from(line);
        let height = y(throughput);
        add(format!("<path d=\"M{MARGIN} {height:.1} H{}\" stroke=\"#ddd\"/>", WIDTH - MARGIN));
        add(format!(
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{throughput:.0}</text>",
            MARGIN - 6.0,
            height + 4.0
        ));
    }
    for level in levels(points) {
        let place = x(f64::from(level));
        add(format!("<text x=\"{place:.1}\" y=\"{}\" text-anchor=\"middle\">{level}</text>", HEIGHT - MARGIN + 18.0));
    }
    add(format!("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">replicas</text>", WIDTH / 2.0, HEIGHT - 16.0));
    add(format!("<text x=\"{MARGIN}\" y=\"{}\">requests per second</text>", MARGIN - 20.0));
    for (level, limit) in levels(hosts).into_iter().filter_map(|level| Some((level, mean(hosts, level)?))) {
        let (place, height) = (x(f64::from(level)), y(limit));
        let (from, to) = (place - MARK, place + MARK);
        add(format!("<path d=\"M{from:.1} {height:.1} H{to:.1}\" stroke=\"#c33\" stroke-width=\"2\"/>"));
    }
    if !hosts.is_empty() {
        add(format!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#c33\">\u{2013} the host's limit, mean of each level</text>",
            WIDTH - MARGIN,
            MARGIN - 20.0
        ));
    }
    if let Study::Fitted(fit) = study {
        let steps = (0..=100).map(|step| 1.0 + f64::from(step) / 100.0 * (f64::from(most_replicas) - 1.0));
        let curve: Vec<String> =
            steps.map(|replicas| format!("{:.1},{:.1}", x(replicas), y(fit.law.at(replicas)))).collect();
        add(format!("<polyline points=\"{}\" fill=\"none\" stroke=\"#36c\" stroke-width=\"2\"/>", curve.join(" ")));
        for (level, _, interval) in &fit.levels {
            let place = x(f64::from(*level));
            add(format!("<path d=\"M{place:.1} {:.1} V{:.1}\" stroke=\"#36c\"/>", y(interval.low), y(interval.high)));
        }
    }
    for point in points {
        let (place, height) = (x(f64::from(point.replicas)), y(point.throughput));
        add(format!("<circle cx=\"{place:.1}\" cy=\"{height:.1}\" r=\"4\" fill=\"#222\"/>"));
    }
    svg + "</svg>\n"
}

/// Rounds up to the next of 1, 2, 5, 10, 20, ...
fn round_up(figure: f64) -> f64 {
    let power = 10f64.powf(figure.log10().floor());
    let digit = [1.0, 2.0, 5.0].into_iter().find(|digit| digit * power >= figure);
    digit.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_at_round_figures() {
        for (figure, round) in
            [(1.0, 1.0), (1.2, 2.0), (4257.0, 5000.0), (5000.0, 5000.0), (7000.0, 10_000.0), (0.3, 0.5)]
        {
            assert!((round_up(figure) / round - 1.0).abs() < 1e-9, "{figure}: {}", round_up(figure));
        }
    }

    #[test]
    fn every_point_the_law_and_the_limit_are_in_the_picture() {
        let points: Vec<Point> = [1, 2, 3, 4, 6, 8]
            .into_iter()
            .map(|replicas| Point { replicas, throughput: 100.0 * f64::from(replicas) })
            .collect();
        let host = |replicas, throughput| Point { replicas, throughput };
        // Two runs with 8 replicas: their mean is drawn.
        let hosts = [host(1, 400.0), host(8, 850.0), host(8, 900.0)];
        let picture = svg(&points, &e2e_load::scaling::study(&points, 1), &hosts);
        assert_eq!((picture.matches("<circle").count(), picture.matches("<polyline").count()), (6, 1));
        assert!(picture.contains("the host's limit") && picture.starts_with("<svg") && picture.ends_with("</svg>\n"));
        // 8 replicas are at the right edge; the highest line is that of 1000, so that 800 is at 340 - 800 / 1000 * 280.
        assert!(picture.contains("<circle cx=\"580.0\" cy=\"116.0\""), "{picture}");
        // 340 - 400 / 1000 * 280 and 340 - 875 / 1000 * 280.
        assert!(picture.contains("M111.0 228.0 H139.0") && picture.contains("M566.0 95.0 H594.0"), "{picture}");
        assert_eq!(picture.matches("#c33").count(), 3, "two marks and what they are");
        let none = svg(&points[..2], &Study::Abstained("few".to_owned()), &[]);
        assert!(!none.contains("<polyline") && !none.contains("limit"));
    }
}
