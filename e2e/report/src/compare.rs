//! Runs side by side: which figures differ by more than the runs vary by themselves. Pure. Main type: [`Comparison`].

mod charts;
mod figures;
mod page;

use std::collections::{BTreeMap, BTreeSet};

use e2e_plan::{duration::human, target::Target, words::listed};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    finding::{Code, Finding, Severity},
    report::{Report, Verdict},
    request::{Host, Scenario},
};

pub use self::{charts::charts, figures::Aspect, page::render};

/// Version of the form of `comparison.json`; it changes when a field is renamed or removed.
pub const SCHEMA: &str = "e2e-comparison/1";

/// Sides, each with what the reports of its runs say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// [`SCHEMA`].
    pub schema: String,
    /// The worst verdict of all runs.
    pub verdict: Verdict,
    /// The machine of the first run.
    pub host: Host,
    /// What is compared; the first one is what the others are compared with.
    pub sides: Vec<Side>,
    /// What else differs between the sides, so that a difference need not come from what is compared.
    pub unlike: Vec<String>,
    /// The figures by aspect.
    pub rows: Vec<Row>,
}

/// One side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Side {
    /// What it is called: a target, or the id of a run.
    pub name: String,
    /// Where its system ran.
    pub target: Target,
    /// What ran it, with its version.
    pub provider: String,
    /// Its runs, in the order in which they were made.
    pub runs: Vec<Run>,
    /// Errors and gaps that any of its runs found, worst first, each once: two are one when they are about the same
    /// thing, such as a line, whatever the figures.
    pub findings: Vec<Found>,
}

/// One run of a side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// Its id: the name of its run directory.
    pub run_id: String,
    /// Its verdict.
    pub verdict: Verdict,
    /// One sentence that says why.
    pub verdict_reason: String,
    /// Its start, RFC 3339, UTC.
    pub started_at: String,
}

/// A finding of a side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Found {
    /// What kind.
    pub code: Code,
    /// The component, when it is about one.
    pub component: Option<String>,
    /// The claim of the first run that has it.
    pub claim: String,
    /// What to do.
    pub fix: String,
    /// In how many of the side's runs it was found.
    pub runs: usize,
}

/// One aspect of the founding report's comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Which.
    pub aspect: Aspect,
    /// A few words with figures for each side, in the order of the sides.
    pub words: Vec<String>,
    /// Its figures.
    pub figures: Vec<Figure>,
}

/// One figure of every run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figure {
    /// Its name, with its unit where it has one.
    pub name: String,
    /// The runs' values by side; a run that did not measure it has none.
    pub values: Vec<Vec<f64>>,
    /// Each side but the first against the first.
    pub differences: Vec<Difference>,
}

/// One side's figure against the first side's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// How much larger the mean is than the first side's, as a share of that; absent when that is 0 or there is none.
    pub relative: Option<f64>,
    /// The interval of the same share by [`e2e_figures::noise`]; absent where it cannot be made.
    pub relative_interval: Option<[f64; 2]>,
    /// What the noise was taken from.
    pub noise: Noise,
    /// What follows.
    pub judgement: Significance,
}

/// What tells how much a figure varies by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Noise {
    /// The runs of each side.
    Runs,
    /// Pairs of runs, one of each side, that were made in turns.
    Pairs,
    /// Stretches of the only run of each side: they vary less than whole runs do.
    Stretches,
    /// Nothing: one run of a side, and a figure without a course.
    Unknown,
}

/// What follows from a difference and its noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Significance {
    /// Every run of both sides has the same value.
    Same,
    /// The interval does not hold 0.
    Larger,
    /// The interval holds 0.
    Within,
    /// There is a difference, and nothing says how large the noise is.
    Unknown,
    /// A side has no value.
    NotMeasured,
}

impl Comparison {
    /// Compares the runs of each side, given with its name; one side alone shows how much its figures vary. Nothing without a
    /// side, or with a side that has no runs.
    pub fn new(sides: &[(String, Vec<Report>)]) -> Option<Self> {
        let first = sides.first().and_then(|(_, reports)| reports.first())?;
        if sides.iter().any(|(_, reports)| reports.is_empty()) {
            return None;
        }
        let reports: Vec<&[Report]> = sides.iter().map(|(_, reports)| reports.as_slice()).collect();
        Some(Self {
            schema: SCHEMA.to_owned(),
            verdict: worst(reports.iter().copied().flatten()),
            host: first.host.clone(),
            sides: sides.iter().filter_map(|(name, reports)| side(name, reports)).collect(),
            unlike: unlike(&reports),
            rows: Aspect::ALL.iter().map(|aspect| aspect.row(&reports)).collect(),
        })
    }

    /// Figures whose difference is larger than the noise, with the name of the side and the difference.
    pub fn larger(&self) -> impl Iterator<Item = (&Figure, &Side, &Difference)> {
        self.rows.iter().flat_map(|row| &row.figures).flat_map(|figure| {
            let differences = self.sides.iter().skip(1).zip(&figure.differences);
            differences
                .filter(|(_, difference)| difference.judgement == Significance::Larger)
                .map(move |(side, difference)| (figure, side, difference))
        })
    }
}

fn worst<'a>(reports: impl Iterator<Item = &'a Report>) -> Verdict {
    let rank = |verdict: &Verdict| match verdict {
        Verdict::Pass => 0,
        Verdict::Incomplete => 1,
        Verdict::Fail => 2,
    };
    reports.map(|report| report.verdict).max_by_key(rank).unwrap_or(Verdict::Incomplete)
}

fn side(name: &str, reports: &[Report]) -> Option<Side> {
    let first = reports.first()?;
    let run = |report: &Report| Run {
        run_id: report.run_id.clone(),
        verdict: report.verdict,
        verdict_reason: report.verdict_reason.clone(),
        started_at: report.started_at.clone(),
    };
    Some(Side {
        name: name.to_owned(),
        target: first.target,
        provider: first.environment.provider.clone(),
        runs: reports.iter().map(run).collect(),
        findings: findings(reports),
    })
}

/// The findings of all runs, worst first, each once.
fn findings(reports: &[Report]) -> Vec<Found> {
    let mut found: BTreeMap<_, (&Finding, BTreeSet<usize>)> = BTreeMap::new();
    for (run, report) in reports.iter().enumerate() {
        for finding in report.findings.iter().filter(|finding| finding.severity != Severity::Warning) {
            let key = (finding.severity, finding.code, &finding.component, subject(finding));
            found.entry(key).or_insert_with(|| (finding, BTreeSet::new())).1.insert(run);
        }
    }
    let found = found.into_values().map(|(first, runs)| Found {
        code: first.code,
        component: first.component.clone(),
        claim: first.claim.clone(),
        fix: first.fix.clone(),
        runs: runs.len(),
    });
    found.collect()
}

/// What tells findings of one kind and component apart, in words that are the same in every run: claims have figures.
fn subject(finding: &Finding) -> &str {
    let place = finding.evidence.first().map_or("", String::as_str);
    match finding.code {
        // Where the figure stands, and whose generator it was.
        Code::ThresholdCrossed | Code::GeneratorSaturated => place,
        // The container and the probe, of whichever replica.
        Code::ProbeFailing => place.split_once("/containers/").map_or("", |(_, probe)| probe),
        // It names the resource, or the container.
        Code::PoolExhausted | Code::OomKilled => &finding.fix,
        Code::NotMeasured => &finding.claim,
        _ => "",
    }
}

/// What the sides were asked for and do not share.
fn unlike(sides: &[&[Report]]) -> Vec<String> {
    let mut unlike = Vec::new();
    let mut note = |what: &str, value: &dyn Fn(&Report) -> String| {
        let mut values: Vec<String> = sides.iter().copied().flatten().map(value).collect();
        values.sort();
        values.dedup();
        if values.len() > 1 {
            unlike.push(format!("{what}: {}", values.join(" and ")));
        }
    };
    note("machine", &machine);
    let names: BTreeSet<&String> =
        sides.iter().copied().flatten().flat_map(|report| report.request.scenarios.keys()).collect();
    for name in names {
        for (index, (what, _)) in load(&Scenario::default()).into_iter().enumerate() {
            note(&format!("{what} of {name}"), &|report| {
                let scenario = report.request.scenarios.get(name);
                scenario.map_or_else(|| "none".to_owned(), |scenario| load(scenario)[index].1.clone())
            });
        }
        note(&format!("steps of {name}"), &|report| steps(sides, report, name));
    }
    note("changes to the manifests", &|report| listed(report.request.changes()));
    note("checks", &|report| report.request.filter.clone().unwrap_or_else(|| "all".to_owned()));
    unlike
}

/// Which of the different steps that the sides have under a scenario's name are a report's.
fn steps(sides: &[&[Report]], report: &Report, name: &str) -> String {
    let of = |report: &Report| {
        report.request.scenarios.get(name).map(|scenario| (scenario.host.clone(), scenario.steps.clone()))
    };
    let mut known = Vec::new();
    for other in sides.iter().copied().flatten().map(of) {
        if !known.contains(&other) {
            known.push(other);
        }
    }
    let number = known.iter().position(|other| *other == of(report)).unwrap_or_default();
    format!("version {}", number + 1)
}

/// Every figure of a single run, by its name with its unit.
pub(crate) fn figures_of(report: &Report) -> BTreeMap<String, f64> {
    let sides: [&[Report]; 1] = [std::slice::from_ref(report)];
    let figures = Aspect::ALL.iter().flat_map(|aspect| aspect.row(&sides).figures);
    figures.filter_map(|figure| Some((figure.name, *figure.values.first()?.first()?))).collect()
}

/// What a run's figures depend on but for the code, in words: its machine, its load, and what changed the manifests.
pub(crate) fn conditions(report: &Report) -> String {
    let usual = load(&Scenario::default());
    let scenarios = report.request.scenarios.iter().map(|(name, scenario)| {
        let [(_, clients), rate, (_, length), others @ ..] = load(scenario);
        let unusual = [rate].into_iter().chain(others).filter(|value| !usual.contains(value));
        let unusual: String = unusual.map(|(what, value)| format!(", {what} {value}")).collect();
        format!("{name}: {clients} clients for {length}{unusual}")
    });
    let changes = report.request.changes().chain(report.request.filter.as_deref()).map(str::to_owned);
    [machine(report)].into_iter().chain(scenarios).chain(changes).collect::<Vec<_>>().join("; ")
}

fn machine(report: &Report) -> String {
    format!("{} CPUs, {}", report.host.cpus, report.host.kernel)
}

/// All of a scenario that its figures depend on, each with its name.
fn load(scenario: &Scenario) -> [(&'static str, String); 9] {
    // Without `..`, so that a new field is not forgotten. Steps are too long to be told.
    let Scenario {
        clients,
        rate,
        ramp_to,
        spacing,
        warm_up,
        duration,
        timeout,
        seed,
        think,
        service,
        host: _,
        thresholds: _,
        rust: _,
        steps: _,
        ledger: _,
        during,
        recovery_max: _,
    } = scenario;
    let rate = rate.map_or_else(
        || "as fast as answers come".to_owned(),
        |rate| {
            let to = ramp_to.map_or(String::new(), |last| format!(" to {last}"));
            format!("{rate}{to} per second, {spacing:?}").to_lowercase()
        },
    );
    [
        ("clients", clients.to_string()),
        ("rate", rate),
        ("length", human(*duration)),
        ("warm-up", human(*warm_up)),
        ("timeout of a request", human(*timeout)),
        ("seed", seed.to_string()),
        ("pauses", human(*think)),
        ("Service", service.clone().unwrap_or_else(|| "the entrance".to_owned())),
        ("planned faults", listed(during.iter().map(ToString::to_string))),
    ]
}

#[cfg(test)]
mod tests;
