//! Which figures of a report are compared, by aspect of the founding report's table. Main type: [`Aspect`].

use e2e_figures::Outcome as Answer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Difference, Figure, Judgement, Noise, Row,
    noise::{self, difference, mean, stretches},
};
use crate::{
    record::Outcome,
    report::{CaseSection, Report, Verdict},
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
        let figures = self.measures().iter().filter_map(|measure| measure.figure(sides)).collect();
        Row { aspect: self, words: sides.iter().map(|reports| self.words(reports)).collect(), figures }
    }

    fn measures(self) -> &'static [Measure] {
        match self {
            Self::Tested => TESTED,
            Self::Results => RESULTS,
            Self::Health => HEALTH,
            Self::Scaling => SCALING,
            Self::Network => NETWORK,
        }
    }

    fn words(self, reports: &[Report]) -> String {
        match self {
            Self::Tested => tested(reports),
            Self::Results => results(reports),
            Self::Health => health(reports),
            Self::Scaling => scaling(reports),
            Self::Network => network(reports),
        }
    }
}

/// How one figure is read from a report.
struct Measure {
    name: &'static str,
    of: fn(&Report) -> Option<f64>,
    /// Its course within a run, whose mean it is.
    course: Option<fn(&Report) -> Vec<f64>>,
}

const fn measure(name: &'static str, of: fn(&Report) -> Option<f64>) -> Measure {
    Measure { name, of, course: None }
}

const TESTED: &[Measure] = &[
    measure("checks passed", |report| Some(checks(report, Outcome::Passed))),
    measure("checks failed", |report| Some(checks(report, Outcome::Failed))),
    measure("checks skipped", |report| Some(checks(report, Outcome::Skipped))),
];

const RESULTS: &[Measure] = &[
    Measure {
        name: "operations/s",
        of: |report| Some(report.throughput.as_ref()?.operations_per_second),
        course: Some(operations_each_second),
    },
    measure("operation latency p50 ms", |report| Some(report.throughput.as_ref()?.latency_ms?.p50)),
    measure("operation latency p99 ms", |report| Some(report.throughput.as_ref()?.latency_ms?.p99)),
    measure("operation errors", |report| Some(report.throughput.as_ref()?.errors as f64)),
    measure("clients registered", |report| Some(report.registration.as_ref()?.registered as f64)),
    measure("registration latency p99 ms", |report| Some(report.registration.as_ref()?.latency_ms?.p99)),
    measure("acknowledged operations missing", |report| Some(report.conservation.as_ref()?.missing as f64)),
];

const HEALTH: &[Measure] = &[
    measure("ready after ms", |report| report.environment.ready.then_some(report.environment.up_ms as f64)),
    measure("components not healthy", |report| Some(unhealthy(report).count() as f64)),
    measure("container restarts", |report| Some(restarts(report))),
    measure("probes failed", |report| Some(failed_probes(report))),
];

const SCALING: &[Measure] = &[
    measure("CPU ms per operation", |report| Some(report.expected.as_ref()?.cpu_ms_per_operation.values().sum())),
    measure("operations/s that this machine carries at most", |report| Some(report.expected.as_ref()?.host_bound)),
    measure("operations/s at which one thread for each replica would be full", |report| {
        narrowest(report).map(|(_, bound)| bound)
    }),
];

const NETWORK: &[Measure] = &[
    measure("connections refused, lost or timed out", |report| {
        let registration = report.registration.as_ref().map(|figures| &figures.by_error);
        let throughput = report.throughput.as_ref().map(|figures| &figures.by_error);
        (registration.is_some() || throughput.is_some()).then(|| {
            let kinds = registration.into_iter().chain(throughput).flatten();
            kinds.filter(|(kind, _)| is_of_network(kind)).map(|(_, count)| *count).sum::<u64>() as f64
        })
    }),
    measure("network checks passed", |report| {
        let mut cases = network_cases(report).peekable();
        cases.peek()?;
        Some(cases.filter(|case| case.outcome == Outcome::Passed).count() as f64)
    }),
];

impl Measure {
    /// The figure, unless no run of any side has it.
    fn figure(&self, sides: &[&[Report]]) -> Option<Figure> {
        let values: Vec<Vec<f64>> = sides.iter().map(|reports| reports.iter().filter_map(self.of).collect()).collect();
        if values.iter().all(Vec::is_empty) {
            return None;
        }
        let differences = (1..sides.len()).map(|other| self.compare(&values, sides, other)).collect();
        Some(Figure { name: self.name.to_owned(), values, differences })
    }

    fn compare(&self, values: &[Vec<f64>], sides: &[&[Report]], other: usize) -> Difference {
        let (a, b) = (&values[0], &values[other]);
        let (noise, interval) = match (difference(a, b), self.course) {
            (Some(interval), _) => (Noise::Runs, Some(interval)),
            (None, Some(course)) if a.len() == 1 && b.len() == 1 => {
                let parts = |side: &[Report]| stretches(&side.iter().flat_map(course).collect::<Vec<_>>(), STRETCHES);
                let interval = difference(&parts(sides[0]), &parts(sides[other]));
                (if interval.is_some() { Noise::Stretches } else { Noise::Unknown }, interval)
            }
            (None, _) => (Noise::Unknown, None),
        };
        let (Some(mean_a), Some(mean_b)) = (mean(a), mean(b)) else {
            let judgement = Judgement::NotMeasured;
            return Difference { relative: None, relative_interval: None, noise: Noise::Unknown, judgement };
        };
        let judgement = match interval {
            _ if a.iter().chain(b).all(|value| value == &a[0]) => Judgement::Same,
            Some([low, high]) if low <= 0.0 && 0.0 <= high => Judgement::Within,
            Some(_) => Judgement::Larger,
            None => Judgement::Unknown,
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

fn operations_each_second(report: &Report) -> Vec<f64> {
    let Some(throughput) = &report.throughput else { return Vec::new() };
    // Behind the window come entries for its last requests, which are no whole seconds.
    let whole = usize::try_from(throughput.duration_ms / 1000).unwrap_or(usize::MAX);
    throughput.series.iter().take(whole).map(|second| second.succeeded as f64).collect()
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

/// Whether an error's kind says that there was no whole exchange, rather than an answer that is wrong.
fn is_of_network(kind: &str) -> bool {
    kind.parse().is_ok_and(|answer: Answer| matches!(answer, Answer::Failure(_)))
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
fn narrowest(report: &Report) -> Option<(&str, f64)> {
    let bounds = report.expected.as_ref()?.replica_bound.iter().map(|(name, bound)| (name.as_str(), *bound));
    bounds.min_by(|(_, a), (_, b)| a.total_cmp(b))
}

fn tested(reports: &[Report]) -> String {
    let passed = reports.iter().filter(|report| report.verdict == Verdict::Pass).count();
    let count = |outcome| reports.iter().map(|report| checks(report, outcome)).sum::<f64>();
    let (good, all) = (count(Outcome::Passed), reports.iter().map(|report| cases(report).count()).sum::<usize>());
    let clients = reports.first().map_or(0, |report| report.request.scenario.clients);
    format!("{passed} of {} runs pass; {good:.0} of {all} checks passed; {clients} clients", reports.len())
}

fn results(reports: &[Report]) -> String {
    let of = |measure: &Measure| -> Vec<f64> { reports.iter().filter_map(measure.of).collect() };
    let [operations, _, p99, errors, registered, ..] = RESULTS else { return String::new() };
    let clients: u64 = reports.iter().filter_map(|report| Some(report.registration.as_ref()?.clients)).sum();
    let mut words = Vec::new();
    if let Some(rate) = mean(&of(operations)) {
        words.push(format!("{rate:.0} operations/s"));
    }
    if let Some(latency) = mean(&of(p99)) {
        words.push(format!("p99 {latency:.1} ms"));
    }
    if mean(&of(errors)).is_some() {
        words.push(format!("{:.0} errors", of(errors).iter().sum::<f64>()));
    }
    if clients > 0 {
        words.push(format!("{:.0} of {clients} clients registered", of(registered).iter().sum::<f64>()));
    }
    or_not_measured(&words)
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
    let bounds: Vec<f64> = reports.iter().filter_map(|report| Some(report.expected.as_ref()?.host_bound)).collect();
    let used: Vec<f64> =
        reports.iter().filter_map(|report| Some(report.expected.as_ref()?.host_utilisation * 100.0)).collect();
    let (Some(bound), Some(used)) = (mean(&bounds), mean(&used)) else { return or_not_measured(&[]) };
    let narrowest = reports.iter().find_map(narrowest).map_or(String::new(), |(name, bound)| {
        format!("; with one thread for each replica {name} would be full first, at {bound:.0}")
    });
    format!("at most {bound:.0} operations/s on this machine, of whose processors {used:.0}% were used{narrowest}")
}

fn network(reports: &[Report]) -> String {
    let Some(first) = reports.first() else { return or_not_measured(&[]) };
    let cases: Vec<&CaseSection> = reports.iter().flat_map(network_cases).collect();
    let passed = cases.iter().filter(|case| case.outcome == Outcome::Passed).count();
    format!("{}; {passed} of {} network checks passed", first.environment.entrance, cases.len())
}

fn or_not_measured(words: &[String]) -> String {
    if words.is_empty() { "not measured".to_owned() } else { words.join(", ") }
}

/// A mean with the smallest and largest value where there are several, in digits that fit its size.
pub(super) fn spread(values: &[f64]) -> String {
    let digits = |value: f64| match value.abs() {
        size if size == size.trunc() || size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    };
    let Some(mean) = noise::mean(values) else { return "not measured".to_owned() };
    let (low, high) = values.iter().fold((mean, mean), |(low, high), value| (value.min(low), value.max(high)));
    if low == high { digits(mean) } else { format!("{} ({} to {})", digits(mean), digits(low), digits(high)) }
}
