//! Turns findings within a threshold into warnings. Pure. Main function: [`soften`].

use e2e_figures::scenario::ThresholdName;

use super::{Code, Finding, RunData, Severity};
use crate::thresholds::{Threshold, ThresholdState};

/// Turns errors within a threshold into warnings.
pub(super) fn soften(data: &RunData, thresholds: &[Threshold], findings: &mut [Finding]) {
    let is_kept = |name| thresholds.iter().any(|line| line.name == name && line.state == ThresholdState::Kept);
    for finding in findings.iter_mut().filter(|finding| finding.severity == Severity::Error) {
        if line(finding.code).is_some_and(is_kept) && has_worked(data, finding) {
            finding.severity = Severity::Warning;
        }
    }
}

/// The threshold that allows a finding. It covers a restart together with its cause.
fn line(code: Code) -> Option<ThresholdName> {
    match code {
        Code::Restarted | Code::RestartLoop | Code::ProbeFailing => Some(ThresholdName::RestartsMax),
        Code::NoReplicas | Code::PodReplaced | Code::PoolExhausted | Code::DrainMissing => None,
        cause if cause.is_cause() => Some(ThresholdName::RestartsMax),
        _ => None,
    }
}

/// Whether a threshold can cover it: a cause in a component that was not restarted, or is not ready, had other effects.
fn has_worked(data: &RunData, finding: &Finding) -> bool {
    data.environment.components.iter().any(|component| {
        finding.component.as_ref() == Some(&component.name)
            && data.pods_of(component).all(|(_, pod)| pod.ready)
            && data.pods_of(component).any(|(_, pod)| pod.restarts > 0)
    })
}
