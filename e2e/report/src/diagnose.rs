//! Records and evidence become findings: what is wrong, proven by which file, and what to do. Pure. Main function: [`findings`].

mod cluster;
mod coverage;
mod cpu;
mod load;
mod memory;
mod pods;
mod probes;
pub mod stuck;
mod suites;
mod tolerated;

use std::collections::BTreeSet;

use e2e_kubelet::diagnosis::Cause;
use e2e_plan::words::counted;

use crate::{
    finding::{Code, Finding, Severity},
    run_data::RunData,
    thresholds::Threshold,
};

pub use self::probes::{Trouble, trouble};

/// All findings, worst first and causes before what they cause.
pub fn findings(data: &RunData, thresholds: &[Threshold]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = pods::findings(data)
        .into_iter()
        .chain(cluster::findings(data))
        .chain(probes::findings(data))
        .chain(load::findings(data, thresholds))
        .chain(coverage::findings(data))
        .chain(suites::findings(data, thresholds))
        .chain(ignored_fields(data))
        .collect();
    // A run that ended because a pod cannot start waited for nothing else: who had not found its stores by then may yet.
    if data.tests.is_empty() && findings.iter().any(|finding| finding.code.keeps_from_starting()) {
        leave_out_what_was_starting(&mut findings);
    }
    pods::refer_to_others(&mut findings);
    tolerated::soften(data, thresholds, &mut findings);
    findings
        .sort_by(|a, b| (a.severity, a.code.place(), &a.component).cmp(&(b.severity, b.code.place(), &b.component)));
    findings
}

const DEPENDENCY_DOWN: Code = Code::Probe(Cause::DependencyDown);

/// Takes out what is said of components only because nobody waited for them: of what was killed or has ended, nothing.
fn leave_out_what_was_starting(findings: &mut Vec<Finding>) {
    let is_passing =
        |code| matches!(code, DEPENDENCY_DOWN | Code::ComponentNotReady | Code::ProbeFailing | Code::ProbeErrored);
    let others = findings.iter().filter(|finding| !is_passing(finding.code));
    let troubled: BTreeSet<_> = others.filter_map(|finding| finding.component.clone()).collect();
    findings.retain(|finding| {
        let is_troubled = finding.component.as_ref().is_some_and(|component| troubled.contains(component));
        !is_passing(finding.code) || is_troubled && finding.code != DEPENDENCY_DOWN
    });
}

fn ignored_fields(data: &RunData) -> Option<Finding> {
    let warnings = &data.environment.warnings;
    (!warnings.is_empty()).then(|| Finding {
        code: Code::ManifestFieldIgnored,
        severity: Severity::Warning,
        component: None,
        claim: format!(
            "{} of the manifests {} no effect, or another one, on {}; the table at the end lists each",
            counted(warnings.len() as u64, "field"),
            if warnings.len() == 1 { "has" } else { "have" },
            data.environment.target
        ),
        evidence: vec!["environment.json#/warnings".to_owned()],
        fix: String::new(),
        excerpt: None,
    })
}

#[cfg(test)]
mod tests;
