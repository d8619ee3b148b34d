//! Findings about planned faults: what they lost, drains that were too short, slow recoveries, and faults that did not happen.

use std::time::Duration;

use e2e_figures::scenario::ScenarioResult;
use e2e_plan::{duration::human, words::counted};

use super::{Code, Finding, RunData, Severity};
use crate::{
    evidence::FAULTS,
    faults::{Impact, ShortDrain, impacts, seconds},
    run_data::Source,
};

pub(super) fn findings(data: &RunData) -> Vec<Finding> {
    let measured = data.scenarios().flat_map(|(figures, source)| of_scenario(data, figures, &source));
    measured.chain(not_carried_out(data)).collect()
}

fn of_scenario(data: &RunData, figures: &ScenarioResult, source: &Source) -> Vec<Finding> {
    let impacts = impacts(data, figures);
    let tenths = source.figure("tenths");
    let of_each = impacts.iter().flat_map(|impact| {
        [drain(data, figures, impact, &tenths), slow(data, figures, impact, &tenths)].into_iter().flatten()
    });
    lost(figures, &impacts, source).into_iter().chain(of_each).collect()
}

/// Acknowledged keys that are missing where a planned fault ended a program.
fn lost(figures: &ScenarioResult, impacts: &[Impact], source: &Source) -> Option<Finding> {
    let ledger = figures.ledger.as_ref().filter(|ledger| ledger.missing > 0)?;
    let faults: Vec<String> = impacts
        .iter()
        .filter(|impact| impact.at_ms.is_some() && impact.fault.action.ends_programs())
        .map(|impact| format!("`{}`", impact.fault))
        .collect();
    let only = match faults.len() {
        0 => return None,
        1 => None,
        _ => Some("a run with only one of them shows which"),
    };
    Some(Finding {
        claim: format!(
            "{} of {} acknowledged in the scenario {} did not survive {}{}",
            ledger.missing,
            counted(ledger.acknowledged, "key"),
            figures.name,
            faults.join(", "),
            only.map_or(String::new(), |only| format!("; {only}"))
        ),
        evidence: vec![source.figure("ledger/missing"), FAULTS.to_owned()],
        fix: "Acknowledge only what would survive a kill at that moment: committed, synced, and in a volume that outlives the pod.".to_owned(),
        ..Finding::new(Code::LostOnKill, Severity::Error)
    })
}

fn drain(data: &RunData, figures: &ScenarioResult, impact: &Impact, tenths: &str) -> Option<Finding> {
    let ShortDrain { pod, asked_ms, out_of_services_ms, ended_ms, last_failure_ms, short_by_ms } =
        impact.drain.as_ref()?;
    let left = out_of_services_ms.map_or(String::new(), |left| format!(", left its Services at {}", seconds(left)));
    let ended = match ended_ms.filter(|ended| ended <= last_failure_ms) {
        Some(ended) => format!("its program ended at {}", seconds(ended)),
        None => "its program still ran".to_owned(),
    };
    Some(Finding {
        component: data.environment.owner(pod).map(|component| component.name.clone()),
        claim: format!(
            "{} of the scenario {} failed during `{}`: {pod} was asked to stop at {}{left}, {ended}, and the last request failed at {}; it \
             should have kept serving for {} longer",
            counted(impact.failed, "request"),
            figures.name,
            impact.fault,
            seconds(*asked_ms),
            seconds(*last_failure_ms),
            seconds(*short_by_ms)
        ),
        evidence: vec![tenths.to_owned(), FAULTS.to_owned()],
        fix: format!(
            "Make {pod} serve for at least {} longer after SIGTERM, with a sleep in its preStop hook or a drain of its own, within \
             terminationGracePeriodSeconds.",
            seconds(*short_by_ms)
        ),
        ..Finding::new(Code::DrainMissing, Severity::Error)
    })
}

fn slow(data: &RunData, figures: &ScenarioResult, impact: &Impact, tenths: &str) -> Option<Finding> {
    let (at, took) = (impact.at_ms?, impact.took_ms?);
    let limit = data.request.scenarios.get(&figures.name)?.recovery_max;
    let until_end = figures.duration_ms.saturating_sub(at + took);
    let after = Duration::from_millis(impact.recovery_ms.map_or(until_end, |recovery| recovery.saturating_sub(took)));
    let noticed = match impact.recovery_ms {
        Some(_) if after <= limit => return None,
        None if after <= limit => return Some(cut_off(figures, impact, (after, limit), tenths)),
        Some(_) => format!("clients still noticed it {} after it was over", human(after)),
        None => format!("clients still noticed it at the end of the window, {} after it was over", human(after)),
    };
    Some(Finding {
        claim: format!(
            "the scenario {} did not recover from `{}` within {} (recovery_max): {noticed}; {} failed, and for {} none succeeded",
            figures.name,
            impact.fault,
            human(limit),
            counted(impact.failed, "request"),
            seconds(impact.outage_ms.unwrap_or_default())
        ),
        evidence: vec![tenths.to_owned(), FAULTS.to_owned()],
        fix: "See in the fault's table what the pods did meanwhile: how long the program takes to start and become ready, and how long its clients \
         wait before they reconnect."
            .to_owned(),
        ..Finding::new(Code::SlowRecovery, Severity::Error)
    })
}

/// The window ended while clients noticed a fault, and before they may no longer.
fn cut_off(figures: &ScenarioResult, impact: &Impact, (after, limit): (Duration, Duration), tenths: &str) -> Finding {
    Finding {
        claim: format!(
            "whether the scenario {} recovers from `{}` within {} (recovery_max) was not measured: clients still noticed it when the window \
             ended, {} after it was over",
            figures.name,
            impact.fault,
            human(limit),
            human(after)
        ),
        evidence: vec![tenths.to_owned(), FAULTS.to_owned()],
        fix: "Plan the fault earlier, or give the scenario a longer duration.".to_owned(),
        ..Finding::new(Code::NotMeasured, Severity::Gap)
    }
}

/// Planned faults that did not happen prove nothing.
fn not_carried_out(data: &RunData) -> Vec<Finding> {
    let declared = data.request.scenarios.iter().filter(|(name, scenario)| {
        !scenario.during.is_empty()
            && data.scenario(name).is_some()
            && !data.faults.iter().any(|faults| faults.scenario == **name)
    });
    let silent = declared.map(|(name, scenario)| {
        (
            name.as_str(),
            counted(scenario.during.len(), "planned fault"),
            "the suite that runs it did not tell the run when its load began".to_owned(),
        )
    });
    let failed = data.faults.iter().flat_map(|faults| {
        faults
            .faults
            .iter()
            .filter_map(|fault| Some((faults.scenario.as_str(), format!("`{}`", fault.fault), fault.failure.clone()?)))
    });
    silent
        .chain(failed)
        .map(|(scenario, what, why)| Finding {
            claim: format!("{what} of the scenario {scenario} did not happen: {why}"),
            evidence: vec![FAULTS.to_owned()],
            fix: "Remove the obstacle and run again: this run does not show how the system copes with the fault."
                .to_owned(),
            ..Finding::new(Code::NotMeasured, Severity::Gap)
        })
        .collect()
}
