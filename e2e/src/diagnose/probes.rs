//! Findings about probes: which fail, and the cause that the doctor proved.

use super::{Code, RunData};
use crate::{
    environment::Component,
    evidence::{DOCTOR, DoctorEntry, PODS},
    kubelet::{
        Which,
        doctor::Cause,
        node::{PodReport, ProbeReport},
    },
    report::{Finding, Severity},
};

pub(super) fn findings(data: &RunData) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        data.environment.components.iter().flat_map(|component| failing(data, component)).collect();
    findings.extend(causes(data));
    findings
}

/// Whether a probe is what keeps a container from being ready, or had it killed.
pub(crate) fn is_failing(pod: &PodReport, container: &str, which: Which, probe: &ProbeReport) -> bool {
    let Some(container) = pod.container(container) else { return false };
    let killed = || {
        let phrase = format!("{} probe", which.word().to_lowercase());
        container.events.iter().any(|event| event.reason == "Killing" && event.message.contains(&phrase))
    };
    probe.failed > 0
        && match which {
            Which::Readiness => container.status.started && !container.status.ready,
            Which::Startup | Which::Liveness => killed(),
        }
}

fn failing(data: &RunData, component: &Component) -> Vec<Finding> {
    let mut findings = Vec::new();
    for spec in &component.probes {
        let failing: Vec<(&str, &ProbeReport)> = data
            .pods_of(component)
            .filter_map(|(name, pod)| {
                let probe = pod.container(&spec.container)?.probes.get(&spec.which)?;
                is_failing(pod, &spec.container, spec.which, probe).then_some((name, probe))
            })
            .collect();
        let Some((pod, probe)) = failing.first() else { continue };
        let last = probe.last_failure.as_ref().map_or(String::new(), |last| last.message.clone());
        findings.push(Finding {
            code: Code::ProbeFailing,
            severity: Severity::Error,
            component: Some(component.name.clone()),
            claim: format!(
                "the {} probe of {} fails on {} of {} replicas: {} of {} probes to {pod} failed, the last with `{}`",
                spec.which.word().to_lowercase(),
                component.name,
                failing.len(),
                component.replicas.len(),
                probe.failed,
                probe.sent,
                last.trim()
            ),
            evidence: vec![format!("{PODS}#/pods/{pod}/containers")],
            fix: format!("See the cause that was proven for this probe; `{DOCTOR}` has every request that was tried."),
            excerpt: None,
        });
    }
    findings
}

/// One finding per cause and component: the same cause behind two probes is one thing to fix.
fn causes(data: &RunData) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for (index, entry) in data.doctor.iter().enumerate() {
        let Some(code) = entry.diagnosis.cause.and_then(code_of) else { continue };
        let evidence = format!("{DOCTOR}#/{index}");
        let same = findings.iter_mut().find(|f| f.code == code && f.component.as_deref() == Some(&entry.component));
        if let Some(finding) = same {
            finding.evidence.push(evidence);
            continue;
        }
        findings.push(Finding {
            code,
            severity: Severity::Error,
            component: Some(entry.component.clone()),
            claim: claim(entry),
            evidence: vec![evidence],
            fix: entry.diagnosis.fix.as_ref().map_or(String::new(), |fix| fix.summary.clone()),
            excerpt: entry.diagnosis.fix.as_ref().and_then(|fix| fix.patch.clone()),
        });
    }
    findings
}

fn code_of(cause: Cause) -> Option<Code> {
    match cause {
        Cause::HostAllowList => Some(Code::HostAllowList),
        Cause::MethodOrPath => Some(Code::MethodOrPath),
        Cause::TooSlow => Some(Code::TooSlow),
        Cause::DependencyDown => Some(Code::DependencyDown),
        Cause::WrongPort => Some(Code::WrongPort),
    }
}

fn claim(entry: &DoctorEntry) -> String {
    let DoctorEntry { component, which, diagnosis, .. } = entry;
    let which = which.word().to_lowercase();
    let proof = match (&diagnosis.flip, diagnosis.confirmed) {
        (Some(flip), true) => format!(
            ": changing {} from `{}` to `{}` makes it succeed, and changing it back makes it fail again ({} requests)",
            flip.axis, flip.from, flip.to, diagnosis.requests
        ),
        (Some(flip), false) => format!(
            ": changing {} from `{}` to `{}` made it succeed ({} requests)",
            flip.axis, flip.from, flip.to, diagnosis.requests
        ),
        (None, _) => format!(" ({} requests)", diagnosis.requests),
    };
    let observed = diagnosis.observation.summary();
    format!("the {which} probe of {component} fails ({observed}) because {}{proof}", diagnosis.explanation)
}
