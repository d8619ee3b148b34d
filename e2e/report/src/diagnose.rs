//! Turns records and evidence into findings: the problem, its evidence and the fix. Pure. Main function: [`findings`].

mod busy;
mod cluster;
mod coverage;
mod cpu;
mod faults;
mod hangs;
mod load;
mod memory;
mod pods;
mod probes;
mod redis;
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

pub(crate) use self::probes::troubles;
pub use self::probes::{Trouble, trouble};

/// All findings, worst first, causes before effects.
pub fn findings(data: &RunData, thresholds: &[Threshold]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = pods::findings(data)
        .into_iter()
        .chain(memory::findings(data))
        .chain(redis::findings(data))
        .chain(hangs::findings(data))
        .chain(cluster::findings(data))
        .chain(probes::findings(data))
        .chain(busy::margins(data))
        .chain(load::findings(data, thresholds))
        .chain(coverage::findings(data))
        .chain(suites::findings(data, thresholds))
        .chain(faults::findings(data))
        .chain(ignored_fields(data))
        .collect();
    // A run that ended because a pod cannot start did not wait for other pods, which may still have become ready.
    if data.tests.is_empty() && findings.iter().any(|finding| finding.code.keeps_from_starting()) {
        leave_out_what_was_starting(&mut findings);
    }
    hangs::leave_out_effects(data, &mut findings);
    pods::refer_to_others(&mut findings);
    tolerated::soften(data, thresholds, &mut findings);
    let in_start_order = |finding: &Finding| {
        data.environment.components.iter().position(|component| Some(&component.name) == finding.component.as_ref())
    };
    findings.sort_by_cached_key(|finding| {
        (finding.severity, finding.code.place(), in_start_order(finding), finding.component.clone())
    });
    show_once(&mut findings);
    findings
}

/// Leaves out the excerpts that an earlier finding shows.
fn show_once(findings: &mut [Finding]) {
    let mut shown = BTreeSet::new();
    for finding in findings {
        finding.excerpt = finding.excerpt.take().filter(|excerpt| shown.insert(excerpt.clone()));
    }
}

const DEPENDENCY_DOWN: Code = Code::Probe(Cause::DependencyDown);

/// Removes findings about components that the run did not wait for, except those that were killed or ended.
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
        claim: format!(
            "{} of the manifests {} ignored or changed on {}; see the table at the end",
            counted(warnings.len(), "field"),
            if warnings.len() == 1 { "is" } else { "are" },
            data.environment.target
        ),
        evidence: vec!["environment.json#/warnings".to_owned()],
        ..Finding::new(Code::ManifestFieldIgnored, Severity::Warning)
    })
}

#[cfg(test)]
mod tests;
