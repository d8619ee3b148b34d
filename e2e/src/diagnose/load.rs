//! Findings about load: clients that could not register, operations that failed or went missing, figures that crossed a line.

use std::collections::BTreeMap;

use super::{Code, RunData};
use crate::{
    evidence,
    report::{Finding, Severity, ThresholdState, build::thresholds},
};

pub(super) fn findings(data: &RunData) -> Vec<Finding> {
    [registration(data), operations(data), missing(data), duplicated(data), pool(data)]
        .into_iter()
        .flatten()
        .chain(crossed(data))
        .chain(saturated(data))
        .collect()
}

fn error(code: Code, claim: String, evidence: Vec<String>, fix: &str) -> Finding {
    Finding { code, severity: Severity::Error, component: None, claim, evidence, fix: fix.to_owned(), excerpt: None }
}

fn kinds(by_kind: &BTreeMap<String, u64>, but: &str) -> String {
    let kinds: Vec<String> =
        by_kind.iter().filter(|(kind, _)| *kind != but).map(|(kind, count)| format!("{count} × {kind}")).collect();
    kinds.join(", ")
}

fn registration(data: &RunData) -> Option<Finding> {
    let (figures, file) = data.registration()?;
    (figures.failed > 0).then(|| {
        error(
            Code::RegistrationFailures,
            format!(
                "{} of {} clients could not register ({}); requests that failed: {}",
                figures.failed,
                figures.clients,
                kinds(&figures.by_outcome, "registered"),
                kinds(&figures.by_error, "")
            ),
            vec![format!("{file}#/measured/registration/by_outcome"), "evidence/registration.load.json".to_owned()],
            "Fix the causes above; rejected_503 says that the service had no room, connection failures that nobody served.",
        )
    })
}

fn operations(data: &RunData) -> Option<Finding> {
    let (figures, file) = data.throughput()?;
    (figures.errors > 0 || figures.acknowledged == 0).then(|| {
        error(
            Code::OperationErrors,
            format!(
                "{} operations were acknowledged and {} requests failed ({})",
                figures.acknowledged,
                figures.errors,
                kinds(&figures.by_error, "")
            ),
            vec![format!("{file}#/measured/throughput/by_error"), "evidence/throughput.load.json".to_owned()],
            "Fix the causes above; status_503 is a full queue, status_504 an engine that does not answer, status_502 a backend that is not there.",
        )
    })
}

fn missing(data: &RunData) -> Option<Finding> {
    let (figures, file) = data.conservation()?;
    (figures.missing > 0).then(|| {
        error(
            Code::AcknowledgedOperationMissing,
            format!("{} of {} acknowledged operations are not in the database", figures.missing, figures.acknowledged),
            vec![format!("{file}#/measured/conservation/missing")],
            "Acknowledge an operation only once its transaction is committed, and keep synchronous_commit and fsync on.",
        )
    })
}

fn duplicated(data: &RunData) -> Option<Finding> {
    let (figures, file) = data.conservation()?;
    (figures.duplicate > 0).then(|| {
        error(
            Code::OperationDuplicated,
            format!("{} operations are in the database more than once", figures.duplicate),
            vec![format!("{file}#/measured/conservation/duplicate")],
            "Make the operation's id unique in the database, so that applying it twice changes nothing.",
        )
    })
}

/// A bounded resource counts as used up when callers waited for it in at least this share of the samples: a moment of
/// waiting at the start of a load is normal.
const WAITING_SHARE: f64 = 0.2;

fn pool(data: &RunData) -> Option<Finding> {
    let (index, used_up) = data.saturation.iter().enumerate().find(|(_, resource)| {
        resource.samples_waiting as f64 >= WAITING_SHARE * resource.samples as f64 && resource.samples_waiting > 1
    })?;
    let mut finding = error(
        Code::PoolExhausted,
        format!(
            "{} of {} is used up: all {} were in use while callers waited in {} of {} samples, {} callers at most",
            used_up.resource, used_up.pod, used_up.limit, used_up.samples_waiting, used_up.samples, used_up.waiting_max
        ),
        vec![format!("{}#/{index}", evidence::SATURATION)],
        "Raise the limit of this resource, hold it for a shorter time, or add replicas.",
    );
    finding.component = Some(used_up.component.clone());
    Some(finding)
}

fn crossed(data: &RunData) -> Vec<Finding> {
    thresholds(data)
        .into_iter()
        .filter(|threshold| threshold.state == ThresholdState::Crossed)
        .map(|threshold| {
            error(
                Code::ThresholdCrossed,
                format!(
                    "{} is {}, and the measured figure is {:.3}",
                    threshold.name,
                    threshold.limit,
                    threshold.measured.unwrap_or(f64::NAN)
                ),
                vec![threshold.evidence],
                "Fix the causes above; where there are none, find what changed, or move the line in .config/e2e.toml.",
            )
        })
        .collect()
}

fn saturated(data: &RunData) -> Vec<Finding> {
    let registration = data.registration().map(|(figures, file)| ("registration", figures.generator, file));
    let throughput = data.throughput().map(|(figures, file)| ("throughput", figures.generator, file));
    [registration, throughput]
        .into_iter()
        .flatten()
        .filter(|(_, generator, _)| generator.saturated)
        .map(|(suite, generator, file)| Finding {
            code: Code::GeneratorSaturated,
            severity: Severity::Gap,
            component: None,
            claim: format!(
                "the load generator used {:.0}% of its processor in {suite}, so its figures say nothing about the system",
                generator.cpu_share * 100.0
            ),
            evidence: vec![file],
            fix: "Run with fewer clients, on a machine with more processors, or generate the load elsewhere.".to_owned(),
            excerpt: None,
        })
        .collect()
}
