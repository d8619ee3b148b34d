//! The study as Markdown: [`render`].

use std::collections::BTreeSet;

use e2e_load::scaling::{Fit, Point, Study, levels, mean};
use e2e_report::report::{Verdict, table::Table};

use super::{
    Found, Kind, Level, RunForecast,
    control::{self, Control},
};

pub(super) fn render(found: &Found, points: &[Point]) -> String {
    let axis = found.axis.word();
    let title = format!("# Rate of {} by {axis}s of {} on {}", found.scenario, found.component, found.target);
    let columns = ["measured requests/s", "lowest to highest", "fitted", "linearity", "bottleneck", "verdicts"];
    let mut table = Table::with_header([&[format!("{axis}s")][..], &columns.map(str::to_owned)].concat());
    let fit = match &found.study {
        Study::Fitted(fit) => Some(fit),
        Study::Abstained(_) => None,
    };
    for level in levels(points) {
        table.row(row(level, found, points, fit));
    }
    let mut lines = vec![title, String::new(), table.markdown().trim_end().to_owned() + "\n"];
    lines.extend(beside_measured(found, points));
    match &found.study {
        Study::Fitted(fit) => lines.extend(law(found.axis, fit)),
        Study::Abstained(reason) => lines.push(format!("No law was fitted: {reason}.")),
    }
    let unmeasured = found.runs.iter().filter(|run| run.requests_per_second.is_none());
    lines.extend(unmeasured.map(|run| format!("Not measured: {} in {}.", found.axis.counted(run.level), run.run)));
    lines.extend(found.ended_by.iter().map(|run| {
        let how = run.control.map_or_else(String::new, |control| format!(", {}", control.described()));
        format!("The run with {}{how} failed and ended the study: {}.", found.axis.counted(run.level), run.reason)
    }));
    lines.extend(found.runs.iter().filter(|run| run.verdict != Verdict::Pass).map(|run| {
        let level = found.axis.counted(run.level);
        format!("Verdict {}: {level} in {} ({}).", run.verdict.word(), run.run, run.verdict_reason)
    }));
    lines.extend(bottlenecks(found));
    lines.extend(more_is_less(found.axis, points));
    lines.extend(controls(found, points));
    lines.join("\n")
}

/// A run's forecast, printed before the other runs.
pub(super) fn forecast(kind: Kind, forecast: &RunForecast) -> Vec<String> {
    match &forecast.forecast {
        Err(reason) => vec![format!("no forecast: {reason}")],
        Ok(forecast) => {
            let levels = forecast.levels.iter();
            let levels = levels.map(|level| format!("{}: {}", kind.counted(level.level), level.described()));
            let levels = levels.collect::<Vec<_>>().join("; ");
            vec![format!("{}", forecast.because), format!("forecast: {levels}")]
        }
    }
}

/// The forecast beside the measurements.
fn beside_measured(found: &Found, points: &[Point]) -> Vec<String> {
    let Some(RunForecast { run, forecast }) = &found.forecast else { return Vec::new() };
    let forecast = match forecast {
        Ok(forecast) => forecast,
        Err(reason) => return vec![format!("No forecast from {run}: {reason}."), String::new()],
    };
    let one = mean(points, 1);
    let rows = forecast.levels.iter().map(|level| {
        let gain = mean(points, level.level).zip(one).map(|(rate, one)| rate / one);
        let measured = gain.map_or("not measured".to_owned(), |gain| {
            format!("{gain:.2} times measured ({:+.0}%)", (gain / level.gain - 1.0) * 100.0)
        });
        format!("- {}: {} forecast, {measured}", found.axis.counted(level.level), level.described())
    });
    let head = [format!("Forecast from {run}: {}.", forecast.because), String::new()];
    head.into_iter().chain(rows).chain([String::new()]).collect()
}

fn row(level: u32, found: &Found, points: &[Point], fit: Option<&Fit>) -> [String; 7] {
    let of_level = || points.iter().filter(|point| point.level == level).map(|point| point.throughput);
    let (low, high) = (of_level().fold(f64::INFINITY, f64::min), of_level().fold(0.0, f64::max));
    let measured = mean(points, level).unwrap_or_default();
    let fitted = fit.and_then(|fit| fit.levels.iter().find(|(replicas, ..)| *replicas == level));
    let fitted = fitted.map_or("-".to_owned(), |(_, fitted, interval)| {
        format!("{fitted:.0} ({:.0} to {:.0})", interval.low, interval.high)
    });
    let linearity =
        mean(points, 1).map_or("-".to_owned(), |one| format!("{:.0}%", measured / (one * f64::from(level)) * 100.0));
    let names = limits(found, |run| run.level == level && run.control.is_none());
    let verdicts = verdicts(found, level);
    let (level, measured, range) = (level.to_string(), format!("{measured:.0}"), format!("{low:.0} to {high:.0}"));
    [level, measured, range, fitted, linearity, names, verdicts]
}

/// The number of runs of a level by verdict.
fn verdicts(found: &Found, level: u32) -> String {
    let count = |verdict| {
        let of_level = |run: &&Level| run.level == level && run.control.is_none() && run.verdict == verdict;
        Some(found.runs.iter().filter(of_level).count()).filter(|count| *count > 0)
    };
    let verdicts = [Verdict::Pass, Verdict::Fail, Verdict::Incomplete].into_iter();
    let counts = verdicts.filter_map(|verdict| Some(format!("{} {}", count(verdict)?, verdict.word())));
    counts.collect::<Vec<_>>().join(", ")
}

fn law(axis: Kind, fit: &Fit) -> Vec<String> {
    let Fit { law, lambda, sigma, kappa, peak, peak_interval, .. } = fit;
    let peak = match peak {
        Some(peak) if peak_interval.high.is_finite() => format!(
            "Throughput peaks at {peak:.1} {}s (95%: {:.1} to {:.1}).",
            axis.word(),
            peak_interval.low,
            peak_interval.high
        ),
        Some(_) | None => "The measurements do not show where throughput peaks.".to_owned(),
    };
    vec![
        format!(
            "Universal Scalability Law: one {} {:.0} requests/s (95%: {:.0} to {:.0}), contention {:.3} ({:.3} to {:.3}), \
             coherency {:.4} ({:.4} to {:.4}).",
            axis.word(),
            law.lambda,
            lambda.low,
            lambda.high,
            law.sigma,
            sigma.low,
            sigma.high,
            law.kappa,
            kappa.low,
            kappa.high
        ),
        peak,
    ]
}

/// Each bottleneck once, with the evidence of the first run that showed it.
fn bottlenecks(found: &Found) -> Vec<String> {
    let mut lines: Vec<(String, String)> = Vec::new();
    for run in &found.runs {
        if let Some(bottleneck) = &run.bottleneck
            && run.control.is_none()
            && !lines.iter().any(|(name, _)| *name == bottleneck.name)
        {
            let text = format!(
                "- {}: {} ({}, {})",
                bottleneck.name,
                bottleneck.evidence,
                found.axis.counted(run.level),
                run.run
            );
            lines.push((bottleneck.name.clone(), text));
        }
    }
    if lines.is_empty() {
        return Vec::new();
    }
    let heading = ["".to_owned(), "Bottlenecks:".to_owned(), String::new()];
    heading.into_iter().chain(lines.into_iter().map(|(_, line)| line)).collect()
}

/// Whether the highest level reaches less than the best lower one.
fn more_is_less(axis: Kind, points: &[Point]) -> Option<String> {
    let rate = |level: &u32| mean(points, *level).unwrap_or_default();
    let levels = levels(points);
    let (most, fewer) = levels.split_last()?;
    let best = fewer.iter().max_by(|a, b| rate(a).total_cmp(&rate(b)))?;
    Some(format!("\nDo {} do less than {best}? {}.", axis.counted(*most), regression(points, *best, *most)))
}

/// The same comparison with one thing changed, where that was measured.
fn controls(found: &Found, points: &[Point]) -> Vec<String> {
    let [few, many] = control::LEVELS;
    let (few_head, many_head) = (format!("{few} replicas, requests/s"), format!("{many} replicas"));
    let mut table = Table::new(["condition", &few_head, &many_head, &format!("do {many} do less?"), "bottleneck"]);
    let row = |how: &str, points: &[Point], limits: String| {
        let rates = mean(points, few).zip(mean(points, many));
        let [few_rate, many_rate] =
            rates.map_or(["-"; 2].map(str::to_owned), |(few, many)| [few, many].map(|rate| format!("{rate:.0}")));
        [how.to_owned(), few_rate, many_rate, regression(points, few, many), limits]
    };
    let changed = Control::ALL.into_iter().filter(|control| found.runs.iter().any(|run| run.control == Some(*control)));
    let changed: Vec<Control> = changed.collect();
    let own = |run: &Level| run.control.is_none() && control::LEVELS.contains(&run.level);
    table.row(row("unchanged", points, limits(found, own)));
    for control in &changed {
        let points: Vec<Point> = found.runs.iter().filter_map(|run| run.point(Some(*control))).collect();
        table.row(row(control.described(), &points, limits(found, |run| run.control == Some(*control))));
    }
    let text = table.markdown();
    if changed.is_empty() { Vec::new() } else { vec![String::new(), text.trim_end().to_owned()] }
}

/// The bottlenecks of some runs, each name once; "not measured" when no run identified one.
fn limits(found: &Found, of: impl Fn(&Level) -> bool) -> String {
    let runs = found.runs.iter().filter(|run| of(run));
    let names: BTreeSet<&str> = runs.filter_map(|run| Some(run.bottleneck.as_ref()?.name.as_str())).collect();
    if names.is_empty() { "not measured".to_owned() } else { names.into_iter().collect::<Vec<_>>().join(", ") }
}

/// Whether many replicas do less than few, and whether the runs of both levels are apart.
fn regression(points: &[Point], few: u32, many: u32) -> String {
    let Some((with_few, with_many)) = mean(points, few).zip(mean(points, many)) else {
        return "not measured".to_owned();
    };
    let of = |level| points.iter().filter(move |point| point.level == level).map(|point| point.throughput);
    let ratio = with_many / with_few;
    let are_apart = of(many).fold(0.0, f64::max) < of(few).fold(f64::INFINITY, f64::min);
    let times = format!("{ratio:.2} times the rate of {few}");
    match () {
        () if of(few).count() < 2 || of(many).count() < 2 => format!("{times}, too few runs to tell"),
        () if are_apart => format!("yes: {times}, in every run"),
        () if ratio >= 1.0 => format!("no: {times}"),
        () => format!("not shown: {times}, within run-to-run variance"),
    }
}

#[cfg(test)]
mod tests {
    use e2e_report::forecast::{Forecast, ForecastLevel};

    use super::*;

    fn run(level: u32, verdict: Verdict) -> Level {
        Level {
            level,
            control: None,
            run: "a".to_owned(),
            verdict,
            verdict_reason: "a finding".to_owned(),
            requests_per_second: Some(10.0),
            host_bound: None,
            bottleneck: None,
        }
    }

    fn found(runs: Vec<Level>) -> Found {
        Found {
            target: "local".to_owned(),
            axis: Kind::Replicas,
            component: "app".to_owned(),
            scenario: "order".to_owned(),
            forecast: None,
            runs,
            ended_by: None,
            study: Study::Abstained("few".to_owned()),
        }
    }

    #[test]
    fn runs_that_did_not_pass_are_marked() {
        let runs = [(1, Verdict::Pass), (2, Verdict::Fail), (1, Verdict::Incomplete), (1, Verdict::Pass)];
        let runs: Vec<Level> = runs.map(|(level, verdict)| run(level, verdict)).into();
        let points: Vec<Point> = runs.iter().filter_map(|run| run.point(None)).collect();
        let text = render(&found(runs), &points);
        assert!(text.starts_with("# Rate of order by replicas of app on local"), "{text}");
        assert!(text.contains("| not measured | 2 pass, 1 incomplete |"), "{text}");
        assert!(text.contains("| not measured | 1 fail |"), "{text}");
        assert!(text.contains("Verdict fail: 2 replicas in a (a finding)."), "{text}");
    }

    fn point(level: u32, throughput: f64) -> Point {
        Point { level, throughput }
    }

    #[test]
    fn a_regression_is_only_claimed_when_runs_are_apart() {
        let apart = |points: &[Point]| regression(points, 4, 8);
        assert_eq!(
            apart(&[point(4, 100.0), point(4, 110.0), point(8, 80.0), point(8, 90.0)]),
            "yes: 0.81 times the rate of 4, in every run"
        );
        assert_eq!(
            apart(&[point(4, 100.0), point(4, 110.0), point(8, 80.0), point(8, 105.0)]),
            "not shown: 0.88 times the rate of 4, within run-to-run variance"
        );
        assert_eq!(
            apart(&[point(4, 100.0), point(4, 100.0), point(8, 120.0), point(8, 120.0)]),
            "no: 1.20 times the rate of 4"
        );
        assert_eq!(apart(&[point(4, 100.0), point(8, 80.0)]), "0.80 times the rate of 4, too few runs to tell");
        assert_eq!(apart(&[point(4, 100.0)]), "not measured");
    }

    #[test]
    fn the_most_replicas_are_held_against_the_best_fewer_ones() {
        let points = [point(1, 50.0), point(2, 90.0), point(3, 70.0), point(6, 45.0)];
        let said = more_is_less(Kind::Replicas, &points).unwrap();
        assert_eq!(said, "\nDo 6 replicas do less than 2? 0.50 times the rate of 2, too few runs to tell.");
        assert_eq!(more_is_less(Kind::Replicas, &points[..1]), None);
    }

    #[test]
    fn what_was_forecast_stands_beside_what_was_measured() {
        let forecast = |level, gain, limit: &str| ForecastLevel {
            level,
            requests_per_second: gain * 40.0,
            gain,
            limit: limit.to_owned(),
        };
        let levels = vec![forecast(2, 2.0, "db"), forecast(4, 1.0, "the host"), forecast(8, 1.0, "the host")];
        let forecast = Ok(Forecast { because: "db did 99% of what it carries".to_owned(), levels });
        let points = [point(1, 40.0), point(2, 76.0), point(4, 42.0)];
        let forecast = Some(RunForecast { run: "a".to_owned(), forecast });
        let found = Found { axis: Kind::Shards, forecast, ..found(Vec::new()) };
        let text = render(&found, &points);
        let expected = "Forecast from a: db did 99% of what it carries.\n\n\
                        - 2 shards: 2.00 times (db) forecast, 1.90 times measured (-5%)\n\
                        - 4 shards: no gain: the host forecast, 1.05 times measured (+5%)\n\
                        - 8 shards: no gain: the host forecast, not measured\n\n";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn controls_stand_beside_the_study() {
        let level =
            |level, control, rate| Level { control, requests_per_second: Some(rate), ..run(level, Verdict::Pass) };
        let through = Some(Control::PublishedPorts);
        let runs = vec![level(4, None, 100.0), level(8, None, 90.0), level(4, through, 80.0), level(8, through, 88.0)];
        let points: Vec<Point> = runs.iter().filter_map(|run| run.point(None)).collect();
        let text = render(&found(runs), &points);
        assert!(
            text.contains("| unchanged | 100 | 90 | 0.90 times the rate of 4, too few runs to tell | not measured |"),
            "{text}"
        );
        let ports = "| through published ports (the engine's proxy) | 80 | 88 | 1.10 times the rate of 4, too few runs to tell | not measured |";
        assert!(text.contains(ports), "{text}");
    }
}
