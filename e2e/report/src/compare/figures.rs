//! Which figures of a report are compared, by aspect of the founding report's table. Main type: [`Aspect`].

use std::collections::{BTreeMap, BTreeSet};

use e2e_figures::{
    Outcome as Answer,
    noise::{self, difference, mean, paired_difference, stretches},
};
use e2e_plan::words::{counted, number};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Difference, Figure, Noise, Row, Significance};
use crate::{
    record::Outcome,
    report::{CaseSection, Report, ScenarioSection, Verdict},
};

/// How many stretches of a series stand for runs where there is one run: enough for an interval, long enough to be nearly
/// independent in a load of a minute.
const STRETCHES: usize = 10;

/// The lines of the founding report's comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// How much of what was asked could be tested.
    Tested,
    /// What the load came to.
    Results,
    /// How the components fared.
    Health,
    /// How much more load fits, by what an operation cost.
    Scaling,
    /// How clients and components reached each other.
    Network,
}

impl Aspect {
    /// All of them, in the founding report's order.
    pub const ALL: [Self; 5] = [Self::Tested, Self::Results, Self::Health, Self::Scaling, Self::Network];

    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Tested => "Tested",
            Self::Results => "Results",
            Self::Health => "Health",
            Self::Scaling => "Scaling",
            Self::Network => "Network",
        }
    }

    pub(super) fn row(self, sides: &[&[Report]]) -> Row {
        let (measures, words): (_, fn(&[Report]) -> String) = match self {
            Self::Tested => (tested_measures(), tested),
            Self::Results => (of_each_scenario(sides, results_of), results),
            Self::Health => (health_measures(), health),
            Self::Scaling => {
                let components = components(sides);
                (of_each_scenario(sides, |scenario| scaling_of(scenario, &components)), scaling)
            }
            Self::Network => (network_measures(), network),
        };
        let figures = measures.iter().filter_map(|measure| measure.figure(sides)).collect();
        Row { aspect: self, words: sides.iter().map(|reports| words(reports)).collect(), figures }
    }
}

/// What is read from a report.
type Reading<T> = Box<dyn Fn(&Report) -> T>;

/// How one figure is read from a report.
struct Measure {
    name: String,
    of: Reading<Option<f64>>,
    /// Its course within a run, whose mean it is.
    course: Option<Reading<Vec<f64>>>,
}

fn measure(name: impl Into<String>, of: impl Fn(&Report) -> Option<f64> + 'static) -> Measure {
    Measure { name: name.into(), of: Box::new(of), course: None }
}

fn tested_measures() -> Vec<Measure> {
    vec![
        measure("checks passed", |report| Some(checks(report, Outcome::Passed))),
        measure("checks failed", |report| Some(checks(report, Outcome::Failed))),
        measure("checks skipped", |report| Some(checks(report, Outcome::Skipped))),
    ]
}

/// The measures of every scenario that a side measured, by name.
fn of_each_scenario(sides: &[&[Report]], measures: impl Fn(&str) -> Vec<Measure>) -> Vec<Measure> {
    let scenarios = sides.iter().copied().flatten().flat_map(|report| &report.scenarios);
    let names: BTreeSet<&str> = scenarios.map(|scenario| scenario.figures.name.as_str()).collect();
    names.into_iter().flat_map(measures).collect()
}

/// The components of every side, by name.
fn components<'a>(sides: &[&'a [Report]]) -> BTreeSet<&'a str> {
    let components = sides.iter().copied().flatten().flat_map(|report| &report.components);
    components.map(|component| component.name.as_str()).collect()
}

/// One figure of a scenario.
fn of(scenario: &str, what: &str, of: impl Fn(&ScenarioSection) -> Option<f64> + 'static) -> Measure {
    let name = scenario.to_owned();
    measure(format!("{scenario}: {what}"), move |report| of(report.scenario(&name)?))
}

fn results_of(scenario: &str) -> Vec<Measure> {
    let name = scenario.to_owned();
    let course = move |report: &Report| report.scenario(&name).map(requests_each_second).unwrap_or_default();
    vec![
        Measure {
            course: Some(Box::new(course)),
            ..of(scenario, "requests/s", |section| section.figures.rate_per_second)
        },
        of(scenario, "latency p50 ms", |section| Some(section.figures.latency_ms?.p50)),
        of(scenario, "latency p99 ms", |section| Some(section.figures.latency_ms?.p99)),
        of(scenario, "errors", |section| Some(section.figures.errors as f64)),
        of(scenario, "clients failed", |section| {
            let figures = &section.figures;
            (!figures.client_outcomes.is_empty()).then_some(figures.clients_failed as f64)
        }),
        of(scenario, "acknowledged keys missing", |section| Some(section.figures.ledger.as_ref()?.missing as f64)),
    ]
}

fn health_measures() -> Vec<Measure> {
    vec![
        measure("ready after ms", |report| report.environment.ready.then_some(report.environment.up_ms as f64)),
        measure("components not healthy", |report| Some(unhealthy(report).count() as f64)),
        measure("container restarts", |report| Some(restarts(report))),
        measure("probes failed", |report| Some(failed_probes(report))),
    ]
}

fn scaling_of(scenario: &str, components: &BTreeSet<&str>) -> Vec<Measure> {
    let mut measures = vec![
        of(scenario, "CPU ms per request", |section| {
            Some(section.expected.as_ref()?.cpu_ms_per_request.values().sum())
        }),
        of(scenario, "requests/s that this machine carries at most", |section| {
            Some(section.expected.as_ref()?.host_bound)
        }),
        of(scenario, "requests/s at which one thread for each replica would be full", |section| {
            narrowest(section).map(|(_, bound)| bound)
        }),
    ];
    measures.extend(components.iter().map(|component| {
        let name = (*component).to_owned();
        of(scenario, &format!("relative CPU of {component}"), move |section| {
            section.expected.as_ref()?.relative_to_generator(&name)
        })
    }));
    measures
}

fn network_measures() -> Vec<Measure> {
    vec![
        measure("connections refused, lost or timed out", |report| {
            let kinds = report.scenarios.iter().flat_map(|scenario| &scenario.figures.by_error);
            let of_network = kinds.filter(|(kind, _)| matches!(kind, Answer::Failure(_))).map(|(_, count)| *count);
            (!report.scenarios.is_empty()).then(|| of_network.sum::<u64>() as f64)
        }),
        measure("network checks passed", |report| {
            let mut cases = network_cases(report).peekable();
            cases.peek()?;
            Some(cases.filter(|case| case.outcome == Outcome::Passed).count() as f64)
        }),
    ]
}

impl Measure {
    /// The figure, unless no run of any side has it.
    fn figure(&self, sides: &[&[Report]]) -> Option<Figure> {
        let values: Vec<Vec<f64>> = sides.iter().map(|reports| reports.iter().filter_map(&self.of).collect()).collect();
        if values.iter().all(Vec::is_empty) {
            return None;
        }
        let differences = (1..sides.len()).map(|other| self.compare(&values, sides, other)).collect();
        Some(Figure { name: self.name.clone(), values, differences })
    }

    fn compare(&self, values: &[Vec<f64>], sides: &[&[Report]], other: usize) -> Difference {
        let (a, b) = (&values[0], &values[other]);
        let pairs = are_in_turns(sides[0], sides[other]).then(|| paired_difference(a, b)).flatten();
        let (noise, interval) = match (pairs.or_else(|| difference(a, b)), &self.course) {
            (Some(interval), _) => (if pairs.is_some() { Noise::Pairs } else { Noise::Runs }, Some(interval)),
            (None, Some(course)) if a.len() == 1 && b.len() == 1 => {
                let parts = |side: &[Report]| stretches(&side.iter().flat_map(course).collect::<Vec<_>>(), STRETCHES);
                let interval = difference(&parts(sides[0]), &parts(sides[other]));
                (if interval.is_some() { Noise::Stretches } else { Noise::Unknown }, interval)
            }
            (None, _) => (Noise::Unknown, None),
        };
        let (Some(mean_a), Some(mean_b)) = (mean(a), mean(b)) else {
            let judgement = Significance::NotMeasured;
            return Difference { relative: None, relative_interval: None, noise: Noise::Unknown, judgement };
        };
        let judgement = match interval {
            _ if a.iter().chain(b).all(|value| value == &a[0]) => Significance::Same,
            Some([low, high]) if low <= 0.0 && 0.0 <= high => Significance::Within,
            Some(_) => Significance::Larger,
            None => Significance::Unknown,
        };
        let share = |difference: f64| e2e_figures::stats::rounded(difference / mean_a, 6);
        let has_share = mean_a != 0.0;
        Difference {
            relative: has_share.then(|| share(mean_b - mean_a)),
            relative_interval: interval.filter(|_| has_share).map(|ends| ends.map(share)),
            noise,
            judgement,
        }
    }
}

/// Whether the runs of two sides were made in turns, one of each before the next of either.
fn are_in_turns(a: &[Report], b: &[Report]) -> bool {
    // RFC 3339 in UTC is ordered like the times.
    let pairs = a.iter().zip(b).map(|(a, b)| [&a.started_at, &b.started_at]);
    let order: Vec<[&String; 2]> = pairs.map(|[a, b]| [a.min(b), a.max(b)]).collect();
    a.len() == b.len()
        && order.iter().all(|[first, second]| first < second)
        && order.windows(2).all(|pair| pair[0][1] < pair[1][0])
}

fn requests_each_second(section: &ScenarioSection) -> Vec<f64> {
    section.figures.whole_seconds().iter().map(|second| second.succeeded as f64).collect()
}

fn cases(report: &Report) -> impl Iterator<Item = &CaseSection> {
    report.suites.iter().flat_map(|suite| &suite.cases)
}

fn checks(report: &Report, outcome: Outcome) -> f64 {
    cases(report).filter(|case| case.outcome == outcome).count() as f64
}

/// Checks of how components reach each other: those of a suite of that name, and those that go through the entrance.
fn network_cases(report: &Report) -> impl Iterator<Item = &CaseSection> {
    report.suites.iter().flat_map(|suite| {
        let all = suite.name == "network";
        suite.cases.iter().filter(move |case| all || case.name.contains("_through_"))
    })
}

fn unhealthy(report: &Report) -> impl Iterator<Item = String> {
    let unhealthy = report.components.iter().filter(|component| !component.healthy);
    unhealthy.map(|component| format!("{} ({})", component.name, component.status))
}

fn restarts(report: &Report) -> f64 {
    f64::from(report.components.iter().map(|component| component.restarts).sum::<u32>())
}

fn failed_probes(report: &Report) -> f64 {
    report.probes.iter().map(|probe| probe.failed).sum::<u64>() as f64
}

/// The component whose replicas carry least together.
fn narrowest(section: &ScenarioSection) -> Option<(&str, f64)> {
    let bounds = section.expected.as_ref()?.replica_bound.iter().map(|(name, bound)| (name.as_str(), *bound));
    bounds.min_by(|(_, a), (_, b)| a.total_cmp(b))
}

fn tested(reports: &[Report]) -> String {
    let passed = reports.iter().filter(|report| report.verdict == Verdict::Pass).count();
    let count = |outcome| reports.iter().map(|report| checks(report, outcome)).sum::<f64>();
    let (good, all) = (count(Outcome::Passed), reports.iter().map(|report| cases(report).count()).sum::<usize>());
    let scenarios = reports.first().map_or(0, |report| report.request.scenarios.len());
    let scenarios = counted(scenarios, "scenario");
    format!("{passed} of {} runs pass; {good:.0} of {all} checks passed; {scenarios}", reports.len())
}

/// The sections of each scenario, over all runs.
fn by_scenario(reports: &[Report]) -> BTreeMap<&str, Vec<&ScenarioSection>> {
    let mut scenarios: BTreeMap<&str, Vec<&ScenarioSection>> = BTreeMap::new();
    for section in reports.iter().flat_map(|report| &report.scenarios) {
        scenarios.entry(&section.figures.name).or_default().push(section);
    }
    scenarios
}

fn results(reports: &[Report]) -> String {
    let words = by_scenario(reports).into_iter().map(|(name, sections)| {
        let of = |figure: fn(&ScenarioSection) -> Option<f64>| -> Vec<f64> {
            sections.iter().filter_map(|section| figure(section)).collect()
        };
        let errors: u64 = sections.iter().map(|section| section.figures.errors).sum();
        let failed: u64 = sections.iter().map(|section| section.figures.clients_failed).sum();
        let rate = mean(&of(|section| section.figures.rate_per_second)).unwrap_or_default();
        let mut words = vec![format!("{name} {rate:.0} requests/s")];
        if let Some(latency) = mean(&of(|section| Some(section.figures.latency_ms?.p99))) {
            words.push(format!("p99 {latency:.1} ms"));
        }
        words.push(format!("{errors} errors"));
        if failed > 0 {
            words.push(format!("{failed} clients failed"));
        }
        words.join(", ")
    });
    or_not_measured(&words.collect::<Vec<_>>(), "; ")
}

fn health(reports: &[Report]) -> String {
    let mut unhealthy: Vec<String> = reports.iter().flat_map(unhealthy).collect();
    unhealthy.sort();
    unhealthy.dedup();
    let sum = |of: fn(&Report) -> f64| reports.iter().map(of).sum::<f64>();
    let word = if unhealthy.is_empty() { "stable".to_owned() } else { format!("unstable: {}", unhealthy.join(", ")) };
    let up: Vec<f64> = reports.iter().map(|report| report.environment.up_ms as f64 / 1000.0).collect();
    let ready = if reports.iter().all(|report| report.environment.ready) { "ready after" } else { "not ready after" };
    let up = mean(&up).unwrap_or_default();
    format!("{word}; {:.0} restarts, {:.0} probes failed; {ready} {up:.1} s", sum(restarts), sum(failed_probes))
}

fn scaling(reports: &[Report]) -> String {
    let words = by_scenario(reports).into_iter().filter_map(|(name, sections)| {
        let expected = || sections.iter().filter_map(|section| section.expected.as_ref());
        let bound = mean(&expected().map(|expected| expected.host_bound).collect::<Vec<_>>())?;
        let used = mean(&expected().map(|expected| expected.host_utilisation * 100.0).collect::<Vec<_>>())?;
        let narrowest =
            sections.iter().find_map(|section| narrowest(section)).map_or(String::new(), |(name, bound)| {
                format!("; with one thread per replica, {name} would be full first, at {bound:.0}")
            });
        Some(format!(
            "{name}: at most {bound:.0} requests/s on this machine, with {used:.0}% of its processors used{narrowest}"
        ))
    });
    or_not_measured(&words.collect::<Vec<_>>(), "; ")
}

fn network(reports: &[Report]) -> String {
    let Some(first) = reports.first() else { return or_not_measured(&[], "") };
    let cases: Vec<&CaseSection> = reports.iter().flat_map(network_cases).collect();
    let passed = cases.iter().filter(|case| case.outcome == Outcome::Passed).count();
    format!("{}; {passed} of {} network checks passed", first.environment.entrance, cases.len())
}

fn or_not_measured(words: &[String], between: &str) -> String {
    if words.is_empty() { "not measured".to_owned() } else { words.join(between) }
}

/// A mean with the smallest and largest value where there are several.
pub(super) fn spread(values: &[f64]) -> String {
    let digits = |value| number(value, 4);
    let Some(mean) = noise::mean(values) else { return "not measured".to_owned() };
    let (low, high) = values.iter().fold((mean, mean), |(low, high), value| (value.min(low), value.max(high)));
    if low == high { digits(mean) } else { format!("{} ({} to {})", digits(mean), digits(low), digits(high)) }
}
