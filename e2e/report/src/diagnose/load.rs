//! Findings about load: failed clients and requests, missing keys, crossed thresholds.

use std::collections::BTreeMap;

use e2e_figures::{
    Failure, Outcome,
    scenario::{ScenarioResult, ThresholdName},
};
use e2e_plan::{
    duration::human_ms,
    words::{counted, kinds_in_brackets},
};

use super::{Code, Finding, RunData, Severity};
use crate::{
    environment::Component,
    evidence::{self, Saturation},
    faults::failed_in_faults,
    run_data::Source,
    thresholds::{Threshold, ThresholdState},
};

pub(super) fn findings(data: &RunData, thresholds: &[Threshold]) -> Vec<Finding> {
    data.scenarios()
        .flat_map(|(figures, source)| of_scenario(data, figures, &source, thresholds))
        .chain(pools(data))
        .chain(thresholds.iter().filter_map(crossed))
        .chain(saturated(data))
        .collect()
}

/// The meaning of a kind of failure, where it has a single one.
fn meaning(kind: Outcome) -> Option<&'static str> {
    Some(match kind {
        Outcome::Status(502) => "502: the entrance got no answer from its upstream",
        Outcome::Status(503) => "503: the service is overloaded or refuses to serve",
        Outcome::Status(504) => "504: an upstream of the service timed out",
        Outcome::Failure(Failure::TimedOut) => "timed_out: no answer within the client's timeout",
        Outcome::Failure(Failure::ConnectTimedOut) => "connect_timed_out: no connection within the client's timeout",
        Outcome::Failure(Failure::ConnectionRefused) => "connection_refused: nothing listens on the port",
        Outcome::Failure(Failure::ConnectionReset) => {
            "connection_reset: the server reset connections, as one does that is killed, is overloaded or has no ready replica"
        }
        Outcome::Failure(Failure::ClosedEarly) => {
            "closed_early: the server closed connections before the answer was complete"
        }
        _ => return None,
    })
}

fn remedy(by_error: &BTreeMap<Outcome, u64>) -> String {
    let meanings: Vec<&str> = by_error.keys().copied().filter_map(meaning).collect();
    if meanings.is_empty() {
        "Find out why clients fail.".to_owned()
    } else {
        format!("Find out why clients fail: {}.", meanings.join(", "))
    }
}

/// Findings about one scenario, with its record and its load file as evidence.
fn of_scenario(data: &RunData, figures: &ScenarioResult, source: &Source, thresholds: &[Threshold]) -> Vec<Finding> {
    let lines: Vec<&Threshold> =
        thresholds.iter().filter(|line| line.scenario.as_ref() == Some(&figures.name)).collect();
    [
        clients(figures, &lines, source),
        requests(figures, failed_in_faults(data, figures), &lines, source),
        missing(figures, source),
        duplicated(figures, source),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Whether a figure has thresholds and keeps them all: failures within them are warnings.
fn are_kept(lines: &[&Threshold], names: &[ThresholdName]) -> bool {
    let mut drawn = lines.iter().filter(|line| names.contains(&line.name)).peekable();
    drawn.peek().is_some() && drawn.all(|line| line.state == ThresholdState::Kept)
}

fn clients(figures: &ScenarioResult, lines: &[&Threshold], source: &Source) -> Option<Finding> {
    let ScenarioResult { name, clients_failed, clients, client_outcomes, by_error, success, .. } = figures;
    let severity =
        if are_kept(lines, &[ThresholdName::ClientFailureRateMax]) { Severity::Warning } else { Severity::Error };
    (*clients_failed > 0).then(|| Finding {
        claim: format!(
            "{clients_failed} of {} failed in the scenario {name}{}; {} failed{}",
            counted(*clients, "client"),
            kinds_in_brackets(client_outcomes.iter().filter(|(outcome, _)| *outcome != success)),
            counted(figures.errors, "request"),
            kinds_in_brackets(by_error)
        ),
        evidence: source.figure_and_load("client_outcomes"),
        fix: remedy(by_error),
        ..Finding::new(Code::ClientsFailed, severity)
    })
}

/// Failed requests of repeated steps; the clients' outcomes cover `once` steps.
fn requests(figures: &ScenarioResult, planned: u64, lines: &[&Threshold], source: &Source) -> Option<Finding> {
    let ScenarioResult { name, succeeded, requests, .. } = figures;
    let window = human_ms(figures.duration_ms);
    let mut by_error: BTreeMap<Outcome, u64> = BTreeMap::new();
    for (kind, count) in figures.steps.iter().filter(|step| !step.once).flat_map(|step| &step.by_error) {
        *by_error.entry(*kind).or_default() += count;
    }
    let failed = by_error.values().sum::<u64>();
    let claim = match (succeeded, failed) {
        (0, _) if figures.duration_ms == 0 => {
            format!("every client had given up before the measured window of the scenario {name} began")
        }
        (0, _) if *requests == 0 => {
            format!("no request of the scenario {name} was answered in the measured {window}")
        }
        (0, _) => format!(
            "none of the {} of the scenario {name} succeeded in the measured {window}{}",
            counted(*requests, "request"),
            kinds_in_brackets(&figures.by_error)
        ),
        (_, 0) => return None,
        (_, errors) => format!(
            "{} of the scenario {name} succeeded and {errors} failed in the measured {window}{}{}",
            counted(*succeeded, "request"),
            kinds_in_brackets(&by_error),
            if planned > 0 { format!("; {planned} of all failures belong to planned faults") } else { String::new() }
        ),
    };
    // No threshold allows that every request fails.
    // Failures of planned faults are judged there.
    let is_planned = failed <= planned;
    let is_allowed =
        *succeeded > 0 && (is_planned || are_kept(lines, &[ThresholdName::ErrorsMax, ThresholdName::ErrorRateMax]));
    let severity = if is_allowed { Severity::Warning } else { Severity::Error };
    let (evidence, fix) = (source.figure_and_load("by_error"), remedy(&figures.by_error));
    Some(Finding { claim, evidence, fix, ..Finding::new(Code::RequestsFailed, severity) })
}

fn missing(figures: &ScenarioResult, source: &Source) -> Option<Finding> {
    let ledger = figures.ledger.as_ref().filter(|ledger| ledger.missing > 0)?;
    Some(Finding {
        claim: format!(
            "{} of {} acknowledged in the scenario {} are not stored: {}",
            ledger.missing,
            counted(ledger.acknowledged, "key"),
            figures.name,
            first_keys(&ledger.missing_keys, ledger.missing)
        ),
        evidence: vec![source.figure("ledger/missing")],
        fix: "Acknowledge only after the commit, and make the database write it to disk first (PostgreSQL: synchronous_commit and fsync \
              on), in a volume that outlives the pod."
            .to_owned(),
        ..Finding::new(Code::AcknowledgedMissing, Severity::Error)
    })
}

fn duplicated(figures: &ScenarioResult, source: &Source) -> Option<Finding> {
    let ledger = figures.ledger.as_ref().filter(|ledger| ledger.duplicate > 0)?;
    Some(Finding {
        claim: format!(
            "{} of the scenario {} are stored more than once: {}",
            counted(ledger.duplicate, "key"),
            figures.name,
            first_keys(&ledger.duplicate_keys, ledger.duplicate)
        ),
        evidence: vec![source.figure("ledger/duplicate")],
        fix: "Make the key unique in the database, so that a repeated request changes nothing.".to_owned(),
        ..Finding::new(Code::StoredTwice, Severity::Error)
    })
}

/// The first keys, with `...` for more.
fn first_keys(keys: &[String], all: u64) -> String {
    let more = if all > keys.len() as u64 { ", ..." } else { "" };
    format!("{}{more}", keys.join(", "))
}

/// A bounded resource counts as used up if callers waited for it in at least this share of the samples: a short wait at the start
/// of a load is normal.
const WAITING_SHARE: f64 = 0.2;

fn is_used_up(resource: &Saturation) -> bool {
    let (used_up, samples) = resource.used_up(..);
    used_up > 1 && used_up as f64 >= WAITING_SHARE * samples as f64
}

/// Whether callers waited for a bounded resource of a component.
pub(super) fn is_pool_used_up(data: &RunData, component: &Component) -> bool {
    data.saturation.iter().any(|resource| resource.component == component.name && is_used_up(resource))
}

fn pools(data: &RunData) -> Vec<Finding> {
    let mut by_resource: BTreeMap<(&str, &str), Vec<(usize, &Saturation)>> = BTreeMap::new();
    for (index, resource) in data.saturation.iter().enumerate().filter(|(_, resource)| is_used_up(resource)) {
        by_resource.entry((&resource.component, &resource.resource)).or_default().push((index, resource));
    }
    by_resource.into_iter().map(|((component, resource), pods)| pool(component, resource, &pods)).collect()
}

fn pool(component: &str, resource: &str, pods: &[(usize, &Saturation)]) -> Finding {
    let each: Vec<String> = pods
        .iter()
        .map(|(_, saturation)| {
            let Saturation { pod, limit, .. } = saturation;
            let (used_up, samples) = saturation.used_up(..);
            let waiting = saturation.samples.iter().map(|sample| sample.waiting).max().unwrap_or(0);
            format!(
                "{pod} had all {limit} in use while callers waited in {used_up} of {samples} samples, {} at most",
                counted(waiting, "caller")
            )
        })
        .collect();
    Finding {
        claim: format!("{resource} of {component} is used up: {}", each.join("; ")),
        evidence: pods.iter().map(|(index, _)| format!("{}#/{index}", evidence::SATURATION)).collect(),
        fix: format!("Raise the limit of {resource} of {component}, hold it for a shorter time, or add replicas."),
        ..Finding::of(component, Code::PoolExhausted, Severity::Error)
    }
}

fn crossed(threshold: &Threshold) -> Option<Finding> {
    let measured = threshold.measured.filter(|_| threshold.state == ThresholdState::Crossed)?;
    Some(Finding {
        claim: format!(
            "the threshold {} is {}, but the measured figure is {}",
            threshold.label(),
            threshold.limit,
            figure(measured)
        ),
        evidence: vec![threshold.evidence.clone()],
        fix: "Find the reason, or change the threshold in .config/e2e.toml.".to_owned(),
        ..Finding::new(Code::ThresholdCrossed, Severity::Error)
    })
}

/// Counts without decimals, other figures with three.
fn figure(figure: f64) -> String {
    if figure.fract() == 0.0 { format!("{figure}") } else { format!("{figure:.3}") }
}

fn saturated(data: &RunData) -> Vec<Finding> {
    data.scenarios()
        // An empty window says nothing of the generator either.
        .filter(|(figures, _)| figures.requests > 0)
        .map(|(figures, source)| (figures.name.as_str(), figures.generator, source.record))
        .filter(|(_, generator, _)| generator.saturated)
        .map(|(scenario, generator, file)| Finding {
            claim: format!(
                "the load generator {} in the scenario {scenario}, so its figures do not describe the system",
                generator.described()
            ),
            evidence: vec![file],
            fix: "Run with fewer clients, on a machine with more processors, or generate the load elsewhere."
                .to_owned(),
            ..Finding::new(Code::GeneratorSaturated, Severity::Gap)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case::refused("connection_refused", &["nothing listens"])]
    #[case::reset("connection_reset", &["reset connections"])]
    #[case::late("timed_out", &["no answer within"])]
    #[case::never_connected("connect_timed_out", &["no connection within"])]
    #[case::no_room("status_503", &["overloaded"])]
    #[case::unknown("unexpected_body", &[])]
    fn a_kind_of_failure_means_one_thing(#[case] kind: &str, #[case] meanings: &[&str]) {
        let said = remedy(&BTreeMap::from([(kind.to_owned().try_into().unwrap(), 1)]));
        assert_eq!(said.matches(": ").count(), meanings.len() + usize::from(!meanings.is_empty()), "{said}");
        assert!(meanings.iter().all(|meaning| said.contains(meaning)), "{said}");
    }
}
