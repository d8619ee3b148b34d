//! What planned faults did to clients: requests that failed, outage, recovery. Pure. Main functions: [`impacts`], [`failed_in_faults`],
//! [`forgive`].

use std::{ops::Range, time::Duration};

use e2e_figures::scenario::ScenarioResult;
use e2e_kubelet::snapshot::Snapshot;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    environment::Component,
    evidence::faults::{CarriedOut, PodChange, PodEvent, ScenarioFaults},
    fault::{Action, PlannedFault},
    run_data::RunData,
};

/// A planned fault, and what clients noticed of it. Times are in milliseconds, of a tenth of a second each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Impact {
    /// The fault.
    pub fault: PlannedFault,
    /// When it began, since the start of the measured window; absent when it was not carried out, and so is all that follows from it.
    pub at_ms: Option<u64>,
    /// How long it lasted: a pause until the processes went on, a rollout until all pods were ready.
    pub took_ms: Option<u64>,
    /// Why it was not carried out.
    pub failure: Option<String>,
    /// Requests that failed because of it.
    pub failed: u64,
    /// The same by the second of the window.
    pub failed_by_second: Vec<FailedSecond>,
    /// How long no request succeeded at all.
    pub outage_ms: Option<u64>,
    /// From its beginning until clients noticed it no more; absent when they still did at the window's end.
    pub recovery_ms: Option<u64>,
    /// By how much a drain was too short; absent where nothing could be drained, nothing failed, or another fault may have done it.
    pub drain: Option<ShortDrain>,
    /// What the pods did meanwhile.
    pub events: Vec<PodMoment>,
}

/// Failed requests of one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedSecond {
    /// Which second of the window.
    pub second: u64,
    /// How many failed.
    pub failed: u64,
}

/// Why requests failed although the pod was asked to stop: it ended, or stopped serving, while clients were still sent to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShortDrain {
    /// The pod.
    pub pod: String,
    /// When it was asked to stop, since the start of the window.
    pub asked_ms: u64,
    /// When it left its Services; absent when that was not seen.
    pub out_of_services_ms: Option<u64>,
    /// When its program ended; absent when that was not seen.
    pub ended_ms: Option<u64>,
    /// The end of the tenth of a second in which the last request failed.
    pub last_failure_ms: u64,
    /// How much longer it should have served.
    pub short_by_ms: u64,
}

/// Something that happened to a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PodMoment {
    /// Since the start of the measured window.
    pub at_ms: u64,
    /// The pod.
    pub pod: String,
    /// What happened.
    pub what: String,
}

/// Milliseconds of a tenth of a second.
const TENTH: u64 = 100;
/// Mean number of requests that a stretch of time must have for its emptiness to mean something: by Poisson's law one with a mean of 10 is
/// empty once in 22,000.
const EXPECTED: f64 = 10.0;

/// The impact of each planned fault of a scenario, in the order of the declaration.
pub(crate) fn impacts(data: &RunData, figures: &ScenarioResult) -> Vec<Impact> {
    let Some(faults) = data.faults.iter().find(|faults| faults.scenario == figures.name) else { return Vec::new() };
    let declared = data.request.scenarios.get(&figures.name);
    let timeout = declared.map_or(Duration::ZERO, |scenario| scenario.timeout);
    let first = faults.faults.iter().filter_map(|fault| fault.unix_ms).map(|(begun, _)| begun).min();
    let timeline = Tenths::new(figures, timeout, first);
    let begun = |fault: &CarriedOut| fault.unix_ms.map(|(begun, _)| timeline.since(begun));
    let one = |fault: &CarriedOut| {
        let at = begun(fault);
        // What comes later is the next fault's.
        let next = faults.faults.iter().filter_map(begun).filter(|next| Some(*next) > at).min();
        let impact = impact(faults, fault, &timeline, next);
        let is_alone = |drain: &ShortDrain| {
            let others = faults.faults.iter().filter(|other| !std::ptr::eq(*other, fault));
            let mut disturbances = others.filter_map(|other| other.unix_ms).chain(absences(data, faults, &drain.pod));
            !disturbances.any(|(begun, over)| {
                timeline.since(begun) < drain.last_failure_ms
                    && timeline.since(over).saturating_add(timeline.quiet * TENTH) > drain.asked_ms
            })
        };
        let drain = impact.drain.filter(|drain| others_take_over(data, &fault.fault) && is_alone(drain));
        Impact { drain, ..impact }
    };
    faults.faults.iter().map(one).collect()
}

/// `1.2 s`: as exactly as impacts are known.
pub(crate) fn seconds(ms: u64) -> String {
    format!("{:.1} s", ms as f64 / 1000.0)
}

/// Requests of a scenario that failed because of planned faults.
pub(crate) fn failed_in_faults(data: &RunData, figures: &ScenarioResult) -> u64 {
    impacts(data, figures).iter().map(|impact| impact.failed).sum()
}

/// Whether clients can be sent elsewhere while a pod is replaced. Each pod of a StatefulSet may have data of its own.
fn others_take_over(data: &RunData, fault: &PlannedFault) -> bool {
    let is_of = |component: &&Component| component.name == fault.victim || component.has_pod(&fault.victim);
    let component = data.environment.components.iter().find(is_of);
    component
        .filter(|it| it.kind != "StatefulSet")
        .is_some_and(|it| it.desired > 1 || fault.action == Action::Rollout && it.kind == "Deployment")
}

/// When pods of other components than this pod's were not ready, in Unix milliseconds: a fault lasts until its victim is back.
fn absences<'a>(data: &'a RunData, faults: &'a ScenarioFaults, pod: &str) -> impl Iterator<Item = (u64, u64)> + 'a {
    let own = data.environment.owner(pod);
    let is_own = move |pod: &str| own.is_some_and(|component| component.has_pod(pod));
    faults
        .events
        .iter()
        .enumerate()
        .filter(move |(_, event)| event.what != PodChange::Ready && !is_own(&event.pod))
        .map(|(index, left)| {
            let is_back = |event: &&PodEvent| event.pod == left.pod && event.what == PodChange::Ready;
            (left.unix_ms, faults.events[index..].iter().find(is_back).map_or(u64::MAX, |back| back.unix_ms))
        })
}

struct Tenths<'a> {
    figures: &'a ScenarioResult,
    /// How many undisturbed tenths end what a fault brought about: a request fails at the latest when its client's timeout ends.
    quiet: u64,
    /// How many tenths without a success in a row tell something.
    gap: usize,
}

impl<'a> Tenths<'a> {
    /// What counts as silence is longer than chance explains, and than any silence before the first fault: where an engine answers in
    /// batches, its clients wait together.
    fn new(figures: &'a ScenarioResult, timeout: Duration, first_unix_ms: Option<u64>) -> Self {
        let quiet = timeout.as_millis() as u64 / TENTH;
        let mut timeline = Tenths { figures, quiet, gap: 0 };
        let succeeded: u64 = figures.tenths.iter().map(|(succeeded, _)| succeeded).sum();
        // A fault that stops everything for long takes part in the mean, so that it is rather too low, and the gap too long.
        let mean = succeeded as f64 / timeline.end().max(1) as f64;
        let by_chance = if mean > 0.0 { (EXPECTED / mean).ceil() as usize } else { usize::MAX };
        let before = first_unix_ms.map_or(0, |first| timeline.since(first) / TENTH).min(timeline.end());
        let longest = timeline
            .silences(0, before)
            .map(|silence| (silence.end - silence.start) as usize)
            .max()
            .unwrap_or_default();
        timeline.gap = by_chance.max(longest + 1);
        timeline
    }

    /// The stretches of tenths without a success, each as long as it is.
    fn silences(&self, from: u64, to: u64) -> impl Iterator<Item = Range<u64>> {
        let mut at = from;
        std::iter::from_fn(move || {
            let start = (at..to).find(|index| self.tenth(*index).0 == 0)?;
            at = (start..to).find(|index| self.tenth(*index).0 > 0).unwrap_or(to);
            Some(start..at)
        })
    }

    /// Milliseconds since the start of the window.
    fn since(&self, unix_ms: u64) -> u64 {
        unix_ms.saturating_sub(self.figures.window_start_unix_ms)
    }

    fn end(&self) -> u64 {
        self.figures.duration_ms / TENTH
    }

    /// The end of the last request, which may have been under way when the window ended.
    fn whole(&self) -> u64 {
        self.end().max(self.figures.tenths.len() as u64)
    }

    fn tenth(&self, index: u64) -> (u64, u64) {
        usize::try_from(index).ok().and_then(|index| self.figures.tenths.get(index)).copied().unwrap_or_default()
    }

    /// The tenths from one on that clients noticed: some of their requests failed, or none ended well for too long.
    fn disturbed(&self, from: u64, to: u64) -> Vec<bool> {
        let mut disturbed: Vec<bool> = (from..to).map(|index| self.tenth(index).1 > 0).collect();
        for silence in
            self.silences(from, to.min(self.end())).filter(|silence| (silence.end - silence.start) as usize >= self.gap)
        {
            disturbed[(silence.start - from) as usize..(silence.end - from) as usize].fill(true);
        }
        disturbed
    }
}

/// The failures of the seconds that have any, in order.
fn by_second(failures: impl Iterator<Item = (u64, u64)>) -> Vec<FailedSecond> {
    let mut seconds: Vec<FailedSecond> = Vec::new();
    for (second, failed) in failures.filter(|(_, failed)| *failed > 0) {
        match seconds.last_mut() {
            Some(last) if last.second == second => last.failed += failed,
            _ => seconds.push(FailedSecond { second, failed }),
        }
    }
    seconds
}

fn impact(faults: &ScenarioFaults, fault: &CarriedOut, timeline: &Tenths<'_>, next: Option<u64>) -> Impact {
    let nothing = Impact {
        fault: fault.fault.clone(),
        at_ms: None,
        took_ms: None,
        failure: fault.failure.clone(),
        failed: 0,
        failed_by_second: Vec::new(),
        outage_ms: None,
        recovery_ms: None,
        drain: None,
        events: Vec::new(),
    };
    let Some((begun, over)) = fault.unix_ms else { return nothing };
    let (at, over) = (timeline.since(begun), timeline.since(over));
    let end = timeline.end();
    let to = next.map_or(u64::MAX, |next| next / TENTH).min(timeline.whole());
    let from = (at / TENTH).min(to);
    let disturbed = timeline.disturbed(from, to);
    let mut last = from;
    for (index, _) in disturbed.iter().enumerate().filter(|(_, disturbed)| **disturbed) {
        let index = from + index as u64;
        if index <= last.max(over / TENTH) + timeline.quiet {
            last = index + 1;
        }
    }
    let noticed = || from..last;
    let failed = noticed().map(|index| timeline.tenth(index).1).sum();
    let is_out = |index: &u64| *index < end && disturbed[(index - from) as usize] && timeline.tenth(*index).0 == 0;
    let outage = noticed().filter(is_out).count() as u64 * TENTH;
    let is_over = last < end || last == from;
    let ends = next.unwrap_or(u64::MAX);
    let events: Vec<PodMoment> = faults
        .events
        .iter()
        .filter(|event| event.unix_ms >= begun && timeline.since(event.unix_ms) < ends)
        .map(|event| PodMoment {
            at_ms: timeline.since(event.unix_ms),
            pod: event.pod.clone(),
            what: event.what.to_string(),
        })
        .collect();
    let last_failure = noticed().filter(|index| timeline.tenth(*index).1 > 0).max().map(|index| (index + 1) * TENTH);
    let drain = last_failure
        .filter(|_| fault.fault.action.can_be_drained())
        .and_then(|last_failure| short_drain(faults, timeline, (at, last_failure)));
    Impact {
        at_ms: Some(at),
        took_ms: Some(over - at.min(over)),
        failed,
        failed_by_second: by_second(noticed().map(|index| (index / 10, timeline.tenth(index).1))),
        outage_ms: Some(outage),
        recovery_ms: is_over.then(|| (last * TENTH).saturating_sub(at) * u64::from(last > from)),
        drain,
        events,
        ..nothing
    }
}

/// The pod that was asked to stop last before the last request failed, and how much longer it should have served: since it ended, or, where
/// requests failed while it still ran, since it was asked.
fn short_drain(
    faults: &ScenarioFaults,
    timeline: &Tenths<'_>,
    (begun, last_failure_ms): (u64, u64),
) -> Option<ShortDrain> {
    let moments = || faults.events.iter().map(|event| (timeline.since(event.unix_ms), event));
    let asked =
        moments().filter(|(at, event)| event.what == PodChange::Stopping && (begun..last_failure_ms).contains(at));
    let (asked_ms, pod) = asked.map(|(at, event)| (at, &event.pod)).next_back()?;
    let first = |is: fn(PodChange) -> bool| {
        moments().find(|(at, event)| event.pod == *pod && *at >= asked_ms && is(event.what)).map(|(at, _)| at)
    };
    let ended_ms = first(|what| matches!(what, PodChange::Ended(_)));
    let served_until = ended_ms.filter(|ended| *ended <= last_failure_ms).unwrap_or(asked_ms);
    Some(ShortDrain {
        pod: pod.clone(),
        asked_ms,
        out_of_services_ms: first(|what| what == PodChange::NotReady),
        ended_ms,
        last_failure_ms,
        short_by_ms: last_failure_ms.saturating_sub(served_until).div_ceil(TENTH) * TENTH,
    })
}

/// Takes out of what is known of pods the ends and restarts that planned faults brought about: they are no findings.
pub fn forgive(snapshot: &mut Snapshot, faults: &[ScenarioFaults]) {
    let mut ends: Vec<_> = faults.iter().flat_map(|faults| &faults.faults).flat_map(|fault| &fault.ends).collect();
    // Later ones first, so that the places of earlier ones stay what they are; once each, although faults at one time share ends.
    ends.sort_by_key(|end| (std::cmp::Reverse(end.index), &end.pod, &end.container));
    ends.dedup_by_key(|end| (end.index, &end.pod, &end.container));
    for end in ends {
        let Some(pod) = snapshot.pods.get_mut(&end.pod) else { continue };
        let Some(container) = &end.container else {
            if let Some(object) = pod.object.as_mut().filter(|object| end.index < object.replaced.len()) {
                object.replaced.remove(end.index);
            }
            continue;
        };
        let mut containers = pod.containers.iter_mut().filter(|known| known.name == *container);
        let Some(known) = containers.next().filter(|known| end.index < known.terminations.len()) else { continue };
        let was_last = end.index + 1 == known.terminations.len();
        known.terminations.remove(end.index);
        if was_last {
            known.status.last_termination = known.terminations.last().cloned();
        }
        let restarted = u32::from(known.status.restart_count > 0);
        known.status.restart_count -= restarted;
        pod.restarts = pod.restarts.saturating_sub(restarted);
    }
}

#[cfg(test)]
pub(crate) mod tests;
