//! Two versions of a system in alternating blocks on one machine. Main function: [`against()`].

mod cpu;
mod sides;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use e2e::scenario;
use e2e_figures::{Random, paired::Verdict};
use e2e_plan::{
    duration::{human, millis},
    target::Target,
    words::signed_percent,
};
use e2e_report::{
    against::{self, Against, Block, Ended, Figure, SCHEMA, Side, Version, Watched},
    environment::Environment,
    report::{self, html},
    request::Scenario,
    run_dir::{self, new_run_id, now_text, random},
};

use self::sides::{Runnable, lock, sides};
use super::{
    Error, Options, Signal,
    bring_up::{self, Up},
    comparison::{Compared, write_files},
    in_system,
    prepared::Prepared,
    rooted,
    system::System,
};
use crate::{exit::ExitCode, host::host, progress::Progress, provider::Provider};

/// The comparison as data.
const AGAINST_JSON: &str = "against.json";
/// The comparison as text.
const AGAINST_MARKDOWN: &str = "against.md";
/// The comparison for a browser.
pub const AGAINST_HTML: &str = "against.html";

/// The time between the common start of a block's clients and its window. The systems are warm; new connections need a few round trips.
const WARM_UP: Duration = Duration::from_millis(200);

/// What to compare with, and how long.
#[derive(Debug, Clone)]
pub struct AgainstOptions {
    /// A branch, a tag or a commit; the working tree itself unless set.
    pub reference: Option<String>,
    /// Images of base by component, in place of those of its manifests.
    pub images: BTreeMap<String, String>,
    /// Length of a block.
    pub block: Duration,
    /// When measuring ends, counted from the first time that both systems are up.
    pub at_most: Duration,
    /// The largest difference that does not matter, as a share.
    pub line: f64,
}

/// Brings both versions up, measures them in alternating blocks until every figure is settled, a loss is confirmed or the time is up, and
/// writes the comparison. A suspected difference is confirmed by systems that are brought up anew, in the other order. The exit code is
/// [`ExitCode::Slower`] for a confirmed loss, incomplete where something is unstable, else pass.
///
/// # Errors
///
/// When a version is not there, does not come up, or a block cannot be made.
pub async fn against(
    options: Options,
    request: &AgainstOptions,
    progress: &Progress,
) -> Result<Compared<Against>, Error> {
    let started_at = now_text();
    let options = Options { up_only: true, hold: false, run_id: None, ..rooted(options).waiting() };
    let latest = fs::read_link(options.runs().join("latest")).ok();
    let scenarios = scenarios(&options)?;
    let _lock = lock(&options)?;
    let (head, base) = sides(&options, request, progress)?;
    let seed = random() as u64;
    let mut measuring = Measuring {
        scenarios,
        request: request.clone(),
        random: Random::new(seed, 0),
        watched: Vec::new(),
        blocks: Vec::new(),
        began: None,
        made: 0,
        place: None,
    };
    let mut runs = Vec::new();
    let mut bring_up = 0;
    let ended = loop {
        match Box::pin(round(&base, &head, bring_up, &mut measuring, &mut runs, progress)).await {
            Ok(Some(ended)) => break ended,
            Ok(None) => progress.line("a difference is suspected: bringing both systems up again to confirm it"),
            // What was measured until then is written.
            Err(Error::Interrupted { .. }) if !measuring.blocks.is_empty() => break Ended::Interrupted,
            Err(error) => return Err(error),
        }
        bring_up += 1;
    };
    forget(&options.runs(), &runs, latest.as_deref());
    let (target, provider) = measuring.place.clone().expect("systems are up before anything is measured");
    let figures = measuring.figures();
    let against = Against {
        schema: SCHEMA.to_owned(),
        verdict: against::overall(&figures),
        started_at,
        took_ms: measuring.began.map_or(0, |began| millis(began.elapsed())),
        ended,
        target,
        provider,
        host: host(),
        base: base.version,
        head: head.version,
        line: request.line,
        block_ms: millis(request.block),
        seed,
        bring_ups: bring_up + 1,
        figures,
        blocks: measuring.blocks,
    };
    write(&options, against)
}

/// A project at another commit. No other comparison takes its place while it is there.
#[derive(Debug)]
pub struct Tree {
    /// The options of a run of it.
    pub options: Options,
    _lock: fs::File,
}

/// The same project at a branch, a tag or a commit, checked out beside the working tree.
///
/// # Errors
///
/// There is no such commit, or another comparison uses the place.
pub fn at(options: &Options, reference: &str, progress: &Progress) -> Result<Tree, Error> {
    let options = rooted(options.clone());
    let lock = lock(&options)?;
    Ok(Tree { options: sides::checked_out(&options, reference, progress)?.options, _lock: lock })
}

/// The scenarios that steps express, with the command line's changes.
fn scenarios(options: &Options) -> Result<BTreeMap<String, Scenario>, Error> {
    let mut config = options.chosen()?;
    config.scenario.retain(|_, scenario| !scenario.rust);
    for scenario in config.scenario.values_mut() {
        (scenario.ledger, scenario.warm_up) = (None, WARM_UP);
    }
    match config.scenario.is_empty() {
        true => Err(Error::NoScenario),
        false => Ok(config.scenario),
    }
}

/// Everything that is measured, over all bring-ups.
struct Measuring {
    scenarios: BTreeMap<String, Scenario>,
    request: AgainstOptions,
    random: Random,
    watched: Vec<Watched>,
    blocks: Vec<Block>,
    /// When the first block began.
    began: Option<Instant>,
    /// How many blocks were made, those that warm up included: it keeps their clients' keys apart.
    made: usize,
    /// Where both systems run.
    place: Option<(Target, String)>,
}

/// A system that is up.
struct Ready {
    environment: Environment,
    provider: Arc<Provider>,
}

/// Brings both systems up, every second time in the other order, and measures; nothing where they have to be brought up anew.
async fn round(
    base: &Runnable,
    head: &Runnable,
    bring_up: usize,
    measuring: &mut Measuring,
    runs: &mut Vec<String>,
    progress: &Progress,
) -> Result<Option<Ended>, Error> {
    let is_base_first = bring_up.is_multiple_of(2);
    let (first, second) = if is_base_first { (base, head) } else { (head, base) };
    let ids = [new_run_id(), new_run_id()];
    runs.extend(ids.iter().cloned());
    let [first_id, second_id] = ids;
    let outer = Options { run_id: Some(first_id.clone()), ..first.options.clone() };
    let inner = Options { run_id: Some(second_id), beside: Some(first_id), ..second.options.clone() };
    progress.line(format!("bringing up {}", first.version.name));
    let ended = in_system(&outer, progress, async |system: &System, prepared: &Prepared, signal: &Signal| {
        let one = ready(system, prepared, signal, &first.version, progress).await?;
        progress.line(format!("bringing up {}", second.version.name));
        // The signal ends the inner system first, and through its error the outer one.
        let ended = in_system(&inner, progress, async |system: &System, prepared: &Prepared, signal: &Signal| {
            let other = ready(system, prepared, signal, &second.version, progress).await?;
            let (base, head) = if is_base_first { (one, other) } else { (other, one) };
            signal.or_interrupted(prepared, Box::pin(measuring.measure(&base, &head, bring_up, progress))).await?
        });
        // One system inside of the other would need more stack than a thread has.
        let ended = Box::pin(ended).await?;
        ended.removed.map(|()| ended.value)
    });
    let ended = Box::pin(ended).await?;
    ended.removed.map(|()| ended.value)
}

async fn ready(
    system: &System,
    prepared: &Prepared,
    signal: &Signal,
    version: &Version,
    progress: &Progress,
) -> Result<Ready, Error> {
    match signal.or_interrupted(prepared, bring_up::wait(system, prepared, progress)).await?? {
        Up::Ready => {
            Ok(Ready { environment: system.environment(prepared, true), provider: Arc::clone(&system.provider) })
        }
        Up::Unready | Up::Stuck => {
            Err(Error::NotComparable { name: version.name.clone(), state: system.snapshots.borrow().unready_lines() })
        }
    }
}

impl Measuring {
    fn figures(&self) -> Vec<Figure> {
        against::figures(&self.watched, &self.blocks, self.request.line)
    }

    /// Measures group after group; returns nothing where systems have to be brought up anew.
    async fn measure(
        &mut self,
        base: &Ready,
        head: &Ready,
        bring_up: usize,
        progress: &Progress,
    ) -> Result<Option<Ended>, Error> {
        self.place = Some((base.environment.target, base.environment.provider.clone()));
        let names: Vec<String> = self.scenarios.keys().cloned().collect();
        self.warm_up(&names, base, head, progress).await?;
        let began = *self.began.get_or_insert_with(Instant::now);
        loop {
            for name in &names {
                let is_open = |figure: &Figure| figure.scenario == *name && !figure.judgement.settled;
                if self.figures().iter().any(is_open) {
                    self.group(name, base, head, bring_up).await?;
                    self.say(name, began, progress);
                }
            }
            let figures = self.figures();
            if figures.iter().any(|figure| figure.judgement.verdict == Verdict::Slower) {
                return Ok(Some(Ended::LossConfirmed));
            }
            if figures.iter().all(|figure| figure.judgement.settled) {
                return Ok(Some(Ended::Settled));
            }
            if began.elapsed() >= self.request.at_most {
                return Ok(Some(Ended::TimeLimit));
            }
            if against::needs_bring_up(&figures, &self.blocks, bring_up) {
                return Ok(None);
            }
        }
    }

    /// One block of each scenario on each side, which does not count; the first ones tell which figures are worth judging.
    async fn warm_up(
        &mut self,
        names: &[String],
        base: &Ready,
        head: &Ready,
        progress: &Progress,
    ) -> Result<(), Error> {
        progress.line("both systems are up; measuring alternating blocks");
        let mut watched = Vec::new();
        for name in names {
            let (mut fewest, mut has_cpu) = (u64::MAX, true);
            for system in [base, head] {
                let (found, cpu) = self.block(name, system).await?;
                fewest = fewest.min(found.succeeded);
                has_cpu &= !cpu.is_empty();
            }
            watched.extend(against::watched(name, self.scenarios[name].is_pressing(), fewest, has_cpu));
        }
        if self.watched.is_empty() {
            self.watched = watched;
        }
        Ok(())
    }

    /// Four blocks, in an order that a coin chooses.
    async fn group(&mut self, name: &str, base: &Ready, head: &Ready, bring_up: usize) -> Result<(), Error> {
        let group = self.blocks.iter().filter(|block| block.scenario == name).count() / 4;
        let sides = match self.random.fraction() < 0.5 {
            true => [Side::Base, Side::Head, Side::Head, Side::Base],
            false => [Side::Head, Side::Base, Side::Base, Side::Head],
        };
        for side in sides {
            let (found, cpu) = self.block(name, if side == Side::Base { base } else { head }).await?;
            self.blocks.push(Block::new(group, bring_up, side, &found, cpu));
        }
        Ok(())
    }

    /// A block, and its processor time per request by component.
    async fn block(
        &mut self,
        name: &str,
        system: &Ready,
    ) -> Result<(scenario::ScenarioResult, BTreeMap<String, f64>), Error> {
        self.made += 1;
        let mut environment = system.environment.clone();
        environment.run_id = format!("{}-{}", environment.run_id, self.made);
        let scenario = Scenario { duration: self.request.block, ..self.scenarios[name].clone() };
        environment.scenarios = [(name.to_owned(), scenario)].into();
        let before = cpu::seconds(&system.provider).await;
        let found = scenario::run(&environment, name).await?.figures;
        let after = cpu::seconds(&system.provider).await;
        // Requests of the warm-up cost as much as the others and come as fast.
        let requests = found.succeeded as f64 * (1.0 + WARM_UP.div_duration_f64(self.request.block));
        let cpu = cpu::ms_per_request(&environment.components, &before, &after, requests);
        Ok((found, cpu))
    }

    fn say(&self, name: &str, began: Instant, progress: &Progress) {
        let figures = self.figures();
        let figures = figures.iter().filter(|figure| figure.scenario == name).map(|figure| {
            let judgement = &figure.judgement;
            let interval =
                judgement.interval.map(|[low, high]| format!(" ({} to {})", signed_percent(low), signed_percent(high)));
            let change = judgement.change.map_or_else(|| "not measured".to_owned(), signed_percent);
            format!("{} {change}{}", figure.kind.word(), interval.unwrap_or_default())
        });
        let figures = figures.collect::<Vec<_>>().join(", ");
        let [elapsed, most] = [began.elapsed(), self.request.at_most].map(human);
        progress.step(&format!("{elapsed} of at most {most}, {name}: {figures}"));
    }
}

/// Removes the directories of systems that only served a comparison, and points `latest` where it pointed before.
fn forget(runs: &Path, ids: &[String], latest: Option<&Path>) {
    for id in ids {
        // What stays is in nobody's way.
        let _ = fs::remove_dir_all(runs.join("runs").join(id));
    }
    let before = latest.and_then(Path::file_name).map(|id| id.to_string_lossy().into_owned());
    let _ = match before {
        Some(id) => run_dir::point_latest(runs, &id).map_err(drop),
        None => fs::remove_file(runs.join("latest")).map_err(drop),
    };
}

fn write(options: &Options, against: Against) -> Result<Compared<Against>, Error> {
    let markdown = against::render(&against);
    let (exit, colour) = match against.verdict {
        _ if against.ended == Ended::Interrupted => (ExitCode::Interrupted, report::Verdict::Incomplete),
        Verdict::Slower => (ExitCode::Slower, report::Verdict::Fail),
        Verdict::Faster | Verdict::Same => (ExitCode::Pass, report::Verdict::Pass),
        Verdict::Unstable | Verdict::Unconfirmed | Verdict::NotMeasured => {
            (ExitCode::Incomplete, report::Verdict::Incomplete)
        }
    };
    let title = format!("{} against {}", against.head.name, against.base.name);
    let page = html::page(&title, colour, &[], &markdown);
    let directory = write_files(options, [AGAINST_JSON, AGAINST_MARKDOWN, AGAINST_HTML], &against, &markdown, &page)?;
    Ok(Compared { exit, result: against, directory })
}
