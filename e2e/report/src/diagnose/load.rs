//! Findings about load: clients that could not register, operations that failed or went missing, figures that crossed a line.

use std::collections::BTreeMap;

use e2e_plan::words::counted;

use super::{Code, RunData};
use crate::{
    evidence::{self, Saturation},
    report::{Finding, Severity, Source, ThresholdState, build::thresholds},
};

pub(super) fn findings(data: &RunData) -> Vec<Finding> {
    [registration(data), operations(data), missing(data), duplicated(data)]
        .into_iter()
        .flatten()
        .chain(pools(data))
        .chain(crossed(data))
        .chain(saturated(data))
        .collect()
}

fn error(code: Code, claim: String, evidence: Vec<String>, fix: impl Into<String>) -> Finding {
    Finding { code, severity: Severity::Error, component: None, claim, evidence, fix: fix.into(), excerpt: None }
}

/// ` (66 × status_503)`, or nothing.
fn kinds(by_kind: &BTreeMap<String, u64>, but: &str) -> String {
    let kinds: Vec<String> =
        by_kind.iter().filter(|(kind, _)| *kind != but).map(|(kind, count)| format!("{count} × {kind}")).collect();
    if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) }
}

/// What kinds of failures say, for those that are there.
const MEANINGS: [(&str, &str); 8] = [
    ("status_502", "502 says that the entrance found nobody behind it who answers"),
    ("status_503", "503 says that the service had no room"),
    ("status_504", "504 says that something behind the service did not answer in time"),
    ("timed_out", "timed_out says that no answer came within the client's timeout"),
    ("connect_timed_out", "connect_timed_out says that no connection came about within the client's timeout"),
    ("connection_refused", "connection_refused says that nobody listens"),
    (
        "connection_reset",
        "connection_reset says that the other side broke connections off, as one that is killed or overloaded does",
    ),
    ("closed_early", "closed_early says that the other side ended connections before the answer was whole"),
];

fn remedy(by_error: &BTreeMap<String, u64>) -> String {
    let meanings = MEANINGS.iter().filter(|(kind, _)| by_error.contains_key(*kind));
    let meanings: Vec<&str> = meanings.map(|(_, meaning)| *meaning).collect();
    if meanings.is_empty() {
        "Find out why clients fail.".to_owned()
    } else {
        format!("Find out why clients fail: {}.", meanings.join(", "))
    }
}

fn registration(data: &RunData) -> Option<Finding> {
    let (figures, Source { record, load }) = data.registration()?;
    (figures.failed > 0).then(|| {
        error(
            Code::RegistrationFailures,
            format!(
                "{} of {} could not register{}; {} failed{}",
                figures.failed,
                counted(figures.clients, "client"),
                kinds(&figures.by_outcome, "registered"),
                counted(figures.by_error.values().sum(), "request"),
                kinds(&figures.by_error, "")
            ),
            [format!("{record}#/measured/registration/by_outcome")].into_iter().chain(load).collect(),
            remedy(&figures.by_error),
        )
    })
}

fn operations(data: &RunData) -> Option<Finding> {
    let (figures, Source { record, load }) = data.throughput()?;
    let window = e2e_plan::duration::human(std::time::Duration::from_millis(figures.duration_ms));
    let claim = match (figures.acknowledged, figures.errors) {
        (0, 0) if figures.duration_ms == 0 => {
            "every client had given up before the measured time of the throughput load began".to_owned()
        }
        (0, 0) => format!("no request of the throughput load was answered in the {window} that were measured"),
        (_, 0) => return None,
        (acknowledged, errors) => format!(
            "{} and {} failed in the {window} that were measured{}",
            match acknowledged {
                0 => "no operation was acknowledged".to_owned(),
                1 => "1 operation was acknowledged".to_owned(),
                _ => format!("{acknowledged} operations were acknowledged"),
            },
            counted(errors, "request"),
            kinds(&figures.by_error, "")
        ),
    };
    Some(error(
        Code::OperationErrors,
        claim,
        [format!("{record}#/measured/throughput/by_error")].into_iter().chain(load).collect(),
        remedy(&figures.by_error),
    ))
}

fn missing(data: &RunData) -> Option<Finding> {
    let (figures, Source { record, .. }) = data.conservation()?;
    (figures.missing > 0).then(|| {
        error(
            Code::AcknowledgedOperationMissing,
            format!("{} of {} acknowledged operations are not in the database", figures.missing, figures.acknowledged),
            vec![format!("{record}#/measured/conservation/missing")],
            "Acknowledge an operation only once its transaction is committed, and keep synchronous_commit and fsync on.",
        )
    })
}

fn duplicated(data: &RunData) -> Option<Finding> {
    let (figures, Source { record, .. }) = data.conservation()?;
    (figures.duplicate > 0).then(|| {
        error(
            Code::OperationDuplicated,
            format!("{} operations are in the database more than once", figures.duplicate),
            vec![format!("{record}#/measured/conservation/duplicate")],
            "Make the operation's id unique in the database, so that applying it twice changes nothing.",
        )
    })
}

/// A bounded resource counts as used up when callers waited for it in at least this share of the samples: a moment of
/// waiting at the start of a load is normal.
const WAITING_SHARE: f64 = 0.2;

fn pools(data: &RunData) -> Vec<Finding> {
    let used_up = |resource: &&(usize, &Saturation)| {
        let (used_up, samples) = resource.1.used_up(..);
        used_up > 1 && used_up as f64 >= WAITING_SHARE * samples as f64
    };
    let all: Vec<(usize, &Saturation)> = data.saturation.iter().enumerate().collect();
    let mut by_resource: BTreeMap<(&str, &str), Vec<(usize, &Saturation)>> = BTreeMap::new();
    for (index, resource) in all.iter().filter(used_up) {
        by_resource.entry((&resource.component, &resource.resource)).or_default().push((*index, resource));
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
    let mut finding = error(
        Code::PoolExhausted,
        format!("{resource} of {component} is used up: {}", each.join("; ")),
        pods.iter().map(|(index, _)| format!("{}#/{index}", evidence::SATURATION)).collect(),
        format!("Raise the limit of {resource} of {component}, hold it for a shorter time, or add replicas."),
    );
    finding.component = Some(component.to_owned());
    finding
}

fn crossed(data: &RunData) -> Vec<Finding> {
    thresholds(data)
        .into_iter()
        .filter(|threshold| threshold.state == ThresholdState::Crossed)
        .map(|threshold| {
            error(
                Code::ThresholdCrossed,
                format!(
                    "the line {} is {}, and the measured figure is {}",
                    threshold.name,
                    threshold.limit,
                    figure(threshold.measured.unwrap_or(f64::NAN))
                ),
                vec![threshold.evidence],
                "Find what crossed the line, or move the line in .config/e2e.toml.",
            )
        })
        .collect()
}

/// Counts without a fraction, other figures with three digits of it.
fn figure(figure: f64) -> String {
    if figure.fract() == 0.0 { format!("{figure}") } else { format!("{figure:.3}") }
}

fn saturated(data: &RunData) -> Vec<Finding> {
    let registration = data.registration().map(|(figures, source)| ("registration", figures.generator, source.record));
    let throughput = data.throughput().map(|(figures, source)| ("throughput", figures.generator, source.record));
    [registration, throughput]
        .into_iter()
        .flatten()
        .filter(|(_, generator, _)| generator.saturated)
        .map(|(suite, generator, file)| Finding {
            code: Code::GeneratorSaturated,
            severity: Severity::Gap,
            component: None,
            claim: format!(
                "the load generator {} in {suite}, so its figures say nothing about the system",
                generator.described()
            ),
            evidence: vec![file],
            fix: "Run with fewer clients, on a machine with more processors, or generate the load elsewhere."
                .to_owned(),
            excerpt: None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use e2e_figures::Outcome;

    use super::*;

    #[rstest::rstest]
    #[case::refused("connection_refused", &["nobody listens"])]
    #[case::reset("connection_reset", &["broke connections off"])]
    #[case::late("timed_out", &["no answer came"])]
    #[case::never_connected("connect_timed_out", &["no connection came about"])]
    #[case::no_room("status_503", &["no room"])]
    #[case::unknown("unexpected_body", &[])]
    fn a_kind_of_failure_means_one_thing(#[case] kind: &str, #[case] meanings: &[&str]) {
        let said = remedy(&BTreeMap::from([(kind.to_owned(), 1)]));
        assert_eq!(said.matches(" says that ").count(), meanings.len(), "{said}");
        assert!(meanings.iter().all(|meaning| said.contains(meaning)), "{said}");
    }

    /// A kind that no load has would never be explained.
    #[test]
    fn every_meaning_is_of_a_kind_that_there_is() {
        assert!(MEANINGS.iter().all(|(kind, _)| kind.parse::<Outcome>().is_ok()), "{MEANINGS:?}");
    }
}
