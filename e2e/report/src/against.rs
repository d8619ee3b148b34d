//! Base against head: two versions of a system, measured in alternating blocks on one machine. Pure. Main type: [`Against`]; [`figures`]
//! judges the blocks measured so far.

mod page;

use std::collections::BTreeMap;

use e2e_figures::{
    paired::{self, Better, Judgement, Verdict},
    scenario::ScenarioResult,
    stats::{Summary, median},
};
use e2e_plan::target::Target;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::request::Host;

pub use self::page::render;

/// Version of the form of `against.json`; it changes when a field is renamed or removed.
pub const SCHEMA: &str = "e2e-against/1";

/// Two versions of a system, compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Against {
    /// [`SCHEMA`].
    pub schema: String,
    /// The verdict of all figures together; see [`overall`].
    pub verdict: Verdict,
    /// When it began, RFC 3339, UTC.
    pub started_at: String,
    /// The time from the first block to the end, as `--at-most` counts it.
    pub took_ms: u64,
    /// Why it ended.
    pub ended: Ended,
    /// Where both systems ran.
    pub target: Target,
    /// What ran them, with its version.
    pub provider: String,
    /// The machine.
    pub host: Host,
    /// What head is compared with.
    pub base: Version,
    /// What is judged.
    pub head: Version,
    /// The largest difference that does not matter, as a share; [`Kind::P99`] has [`TAIL`] times as much.
    pub line: f64,
    /// Length of a block.
    pub block_ms: u64,
    /// Where the order of each group comes from.
    pub seed: u64,
    /// How often both systems were brought up.
    pub bring_ups: usize,
    /// Every figure, judged.
    pub figures: Vec<Figure>,
    /// Every block, in the order in which they were measured. The figures follow from these.
    pub blocks: Vec<Block>,
}

/// Why a comparison ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Every figure is settled.
    Settled,
    /// A loss was confirmed: what the other figures say no longer changes the verdict.
    LossConfirmed,
    /// The time was up.
    TimeLimit,
    /// A signal ended it.
    Interrupted,
}

/// A version of the system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Version {
    /// As it was asked for: a branch, a tag, a commit, `working tree`.
    pub name: String,
    /// The commit; absent outside of a git repository.
    pub commit: Option<String>,
    /// Whether tracked files differ from the commit.
    pub dirty: bool,
    /// Images in place of those of the manifests, as `COMPONENT=IMAGE`.
    pub images: Vec<String>,
}

/// Which version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// What head is compared with.
    Base,
    /// What is judged.
    Head,
}

/// One block: a short load on one side while the other idles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Block {
    /// The scenario.
    pub scenario: String,
    /// The group of four blocks that it belongs to, counted from 0 within its scenario.
    pub group: usize,
    /// The bring-up of both systems, counted from 0.
    pub bring_up: usize,
    /// Which side.
    pub side: Side,
    /// Start of its window, milliseconds since 1970.
    pub window_start_unix_ms: u64,
    /// Requests sent.
    pub requests: u64,
    /// Requests without the expected answer.
    pub errors: u64,
    /// Requests with the expected answer, per second.
    pub rate_per_second: Option<f64>,
    /// Latency of the requests that succeeded.
    pub latency_ms: Option<Summary>,
    /// Processor time for each request with the expected answer, by component; empty where the target does not tell it block by block.
    #[serde(default)]
    pub cpu_ms_per_request: BTreeMap<String, f64>,
}

/// A figure that is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Successful requests per second, of a scenario whose clients send as fast as the system answers.
    Rate,
    /// The share of requests with the expected answer: the other figures are those of these requests.
    Success,
    /// The median latency.
    P50,
    /// The 99th percentile of the latency, of scenarios with at least [`TAIL_REQUESTS`] requests in a block.
    P99,
    /// Processor time of all components for each request, where every block has it. It varies less than what clients see.
    Cpu,
}

/// How much wider the line of a 99th percentile is: in short blocks a few requests decide it, and it varies about four times as much as
/// the median.
const TAIL: f64 = 4.0;

/// Fewer requests have fewer than ten beyond their 99th percentile.
const TAIL_REQUESTS: u64 = 1000;

/// A scenario's figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// The scenario.
    pub scenario: String,
    /// Which of its figures.
    pub kind: Kind,
}

/// A figure, judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figure {
    /// The scenario.
    pub scenario: String,
    /// Which of its figures.
    pub kind: Kind,
    /// Which direction is good.
    pub better: Better,
    /// The largest difference that does not matter, as a share.
    pub line: f64,
    /// Median of base's blocks, in requests per second, milliseconds or as a share.
    pub base: Option<f64>,
    /// The same of head's.
    pub head: Option<f64>,
    /// What the groups say.
    pub judgement: Judgement,
}

impl Kind {
    /// With its unit.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rate => "requests/s",
            Self::Success => "success share",
            Self::P50 => "latency p50 ms",
            Self::P99 => "latency p99 ms",
            Self::Cpu => "CPU ms/request",
        }
    }

    fn better(self) -> Better {
        match self {
            Self::Rate | Self::Success => Better::More,
            Self::P50 | Self::P99 | Self::Cpu => Better::Less,
        }
    }

    fn line(self, line: f64) -> f64 {
        if self == Self::P99 { line * TAIL } else { line }
    }

    fn of(self, block: &Block) -> Option<f64> {
        match self {
            Self::Rate => block.rate_per_second,
            // Half a request more succeeds and half a one more fails, so that a side of which nothing succeeds has a share too.
            Self::Success => {
                Some((block.requests.saturating_sub(block.errors) as f64 + 0.5) / (block.requests as f64 + 1.0))
            }
            Self::P50 => Some(block.latency_ms?.p50),
            Self::P99 => Some(block.latency_ms?.p99),
            Self::Cpu => Some(block.cpu_ms_per_request.values().sum()).filter(|sum| *sum > 0.0),
        }
    }
}

impl Block {
    /// A block from what its load measured, and the processor time of each request by component.
    pub fn new(
        group: usize,
        bring_up: usize,
        side: Side,
        found: &ScenarioResult,
        cpu_ms_per_request: BTreeMap<String, f64>,
    ) -> Self {
        Self {
            scenario: found.name.clone(),
            group,
            bring_up,
            side,
            window_start_unix_ms: found.window_start_unix_ms,
            requests: found.requests,
            errors: found.errors,
            rate_per_second: found.rate_per_second,
            latency_ms: found.latency_ms,
            cpu_ms_per_request,
        }
    }
}

/// The figures of a scenario that are worth judging, by the fewest requests that one of its blocks had and by whether all have their
/// processor time; chosen before the first block that counts, because the error is shared among them.
pub fn watched(scenario: &str, is_pressing: bool, requests: u64, has_cpu: bool) -> Vec<Watched> {
    let kinds = [
        (Kind::Rate, is_pressing),
        (Kind::Success, true),
        (Kind::P50, true),
        (Kind::P99, requests >= TAIL_REQUESTS),
        (Kind::Cpu, has_cpu),
    ];
    let kinds = kinds.into_iter().filter(|(_, is_watched)| *is_watched);
    kinds.map(|(kind, _)| Watched { scenario: scenario.to_owned(), kind }).collect()
}

/// Judges each figure by the complete groups of the blocks.
pub fn figures(watched: &[Watched], blocks: &[Block], line: f64) -> Vec<Figure> {
    let figure = |of: &Watched| {
        let Watched { scenario, kind } = of;
        let own: Vec<&Block> = blocks.iter().filter(|block| block.scenario == *scenario).collect();
        let side = |side| own.iter().copied().filter(move |block| block.side == side);
        let values = |of: Side| side(of).filter_map(|block| kind.of(block)).collect::<Vec<_>>();
        let (better, line) = (kind.better(), kind.line(line));
        Figure {
            scenario: scenario.clone(),
            kind: *kind,
            better,
            line,
            base: median(values(Side::Base)),
            head: median(values(Side::Head)),
            judgement: paired::judge(&ratios(&own, *kind), better, line, watched.len()),
        }
    };
    watched.iter().map(figure).collect()
}

/// What is worth a word, the most important first: a loss outweighs everything, and what is not known outweighs a gain.
const BY_WEIGHT: [Verdict; 5] =
    [Verdict::Slower, Verdict::Unconfirmed, Verdict::Unstable, Verdict::NotMeasured, Verdict::Faster];

/// What all figures come to.
pub fn overall(figures: &[Figure]) -> Verdict {
    let has = |verdict: &Verdict| figures.iter().any(|figure| figure.judgement.verdict == *verdict);
    match figures {
        [] => Verdict::NotMeasured,
        _ => BY_WEIGHT.into_iter().find(has).unwrap_or(Verdict::Same),
    }
}

/// Whether a figure is suspected to differ by systems that still run: a confirmation needs others.
pub fn needs_bring_up(figures: &[Figure], blocks: &[Block], current: usize) -> bool {
    figures.iter().filter(|figure| !figure.judgement.settled).any(|figure| {
        let own: Vec<&Block> = blocks.iter().filter(|block| block.scenario == figure.scenario).collect();
        let groups = ratios(&own, figure.kind);
        let after = figure.judgement.suspected_after.and_then(|after| groups.get(after - 1));
        after.is_some_and(|(bring_up, _)| *bring_up == current)
    })
}

/// The log-ratio of each complete group, with its bring-up.
fn ratios(blocks: &[&Block], kind: Kind) -> Vec<(usize, f64)> {
    let groups = blocks.chunk_by(|a, b| a.group == b.group);
    let ratio = |group: &[&Block]| {
        let side = |side| {
            let mut values = group.iter().filter(|block| block.side == side).map(|block| kind.of(block));
            Some([values.next()?, values.next()?])
        };
        Some((group.first()?.bring_up, paired::log_ratio(side(Side::Base)?, side(Side::Head)?)?))
    };
    groups.filter_map(ratio).collect()
}

#[cfg(test)]
mod tests;
