//! Findings about probes: failures, and the doctor's causes.

use e2e_kubelet::{
    diagnosis::{self, Cause, Diagnosis},
    observation::{Kind, Observation, Verdict},
    snapshot::{PodReport, ProbeReport},
};
use e2e_plan::{Probe, ProbeAction, ProbeKind, words::counted};

use super::{Code, RunData, busy};
use crate::{
    environment::{Component, ProbeSpec},
    evidence::{DOCTOR, DoctorEntry, PODS},
    finding::{Finding, Severity},
};

pub(super) fn findings(data: &RunData) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        data.environment.components.iter().flat_map(|component| troubled(data, component)).collect();
    let starved = busy::starved(data);
    let is_starved = |component: &String| starved.iter().any(|finding| finding.component.as_ref() == Some(component));
    findings.extend(causes(data, |entry| {
        // What the load alone made late is said there, and what has passed by itself with no known reason is not said.
        let is_late = entry.diagnosis.cause == Some(Cause::TooSlow);
        !is_late || !is_starved(&entry.component) && is_in_trouble(data, entry)
    }));
    findings.extend(starved);
    findings
}

/// Whether the probe that the doctor looked at does harm at the end, or has done so.
fn is_in_trouble(data: &RunData, entry: &DoctorEntry) -> bool {
    let Ok(component) = data.environment.component(&entry.component) else { return false };
    let spec = component.probe(&entry.container, entry.which);
    spec.is_some_and(|spec| troubles(data, component, spec).next().is_some())
}

/// What a probe does to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It fails, which keeps the container unready or killed it.
    Fails,
    /// It errors, which a kubelet ignores: it counts neither as a success nor as a failure.
    Errors,
}

/// So many bad answers in a row are no accident of a start; Kubernetes's own default threshold.
const FAILURES_OF_AN_ANSWER: u32 = 3;

/// The trouble with a probe of a container, if any.
pub fn trouble(pod: &PodReport, container: &str, which: ProbeKind, probe: &Probe) -> Option<Trouble> {
    let container = pod.container(container)?;
    let (status, report) = (&container.status, container.probes.get(&which)?);
    let never = report.last_success.is_none();
    // A container that waits for its restart gets no probes; a probe that never succeeded counts as failing.
    let unready = !status.ready && (status.started || never);
    let fails = report.failed > 0
        && match which {
            ProbeKind::Readiness => unready,
            ProbeKind::Startup => {
                // What answers has started: a threshold of many minutes only delays the kill.
                let answers = report.last_failure.as_ref().is_some_and(|last| last.kind == Kind::Response);
                let is_stuck = !status.started && never && answers && report.failed >= FAILURES_OF_AN_ANSWER;
                is_stuck || container.was_killed_by(which)
            }
            ProbeKind::Liveness => container.was_killed_by(which),
        };
    let errors = report.errored > 0
        && match which {
            ProbeKind::Readiness => unready,
            ProbeKind::Startup => !status.started && never,
            // As failures, these would have killed it.
            ProbeKind::Liveness => never && report.failed == 0 && report.errored >= probe.failure_threshold,
        };
    let last_errored = report.last_failure.as_ref().is_some_and(|last| last.verdict == Verdict::Errored);
    match (fails, errors) {
        (true, false) => Some(Trouble::Fails),
        (true, true) if !last_errored => Some(Trouble::Fails),
        (_, true) => Some(Trouble::Errors),
        (false, false) => None,
    }
}

/// The trouble with a probe in each pod of its component that has any.
pub(crate) fn troubles<'a>(
    data: &'a RunData,
    component: &'a Component,
    spec: &'a ProbeSpec,
) -> impl Iterator<Item = Trouble> {
    data.pods_of(component).filter_map(|(_, pod)| trouble(pod, &spec.container, spec.which, &spec.probe))
}

fn troubled(data: &RunData, component: &Component) -> Vec<Finding> {
    component.probes.iter().filter_map(|spec| troubled_probe(data, component, spec)).collect()
}

/// A replica with a failing probe.
struct Case<'a> {
    pod: &'a str,
    /// The container's place in the pod.
    index: usize,
    report: &'a ProbeReport,
    trouble: Trouble,
}

impl Case<'_> {
    /// `3 of 12 probes to app-0 failed`.
    fn tally(&self) -> String {
        let Self { pod, report, trouble, .. } = self;
        let (count, verb, noun) = match trouble {
            Trouble::Fails => (report.failed, "failed", "failure"),
            Trouble::Errors => (report.errored, "errored", "error"),
        };
        match report.sent {
            Some(sent) => format!("{count} of {} to {pod} {verb}", counted(sent, "probe")),
            None => format!("{} of {pod} reported", counted(count, noun)),
        }
    }
}

fn troubled_probe(data: &RunData, component: &Component, spec: &ProbeSpec) -> Option<Finding> {
    let cases: Vec<Case<'_>> = data
        .pods_of(component)
        .filter_map(|(name, pod)| {
            let report = pod.container(&spec.container)?.probes.get(&spec.which)?;
            let index = pod.containers.iter().position(|container| container.name == spec.container)?;
            let trouble = trouble(pod, &spec.container, spec.which, &spec.probe)?;
            Some(Case { pod: name, index, report, trouble })
        })
        .collect();
    let first = cases.first()?;
    let last = first.report.last_failure.as_ref().map_or(String::new(), |last| last.message.clone());
    let which = spec.which;
    let Case { pod, index, trouble, .. } = first;
    let mut evidence = vec![format!("{PODS}#/pods/{pod}/containers/{index}/probes/{which}")];
    let examined = data.doctor.iter().position(|entry| {
        entry.component == component.name && entry.container == spec.container && entry.which == which
    });
    evidence.extend(examined.map(|index| format!("{DOCTOR}#/{index}")));
    let cause = examined.and_then(|index| data.doctor[index].diagnosis.cause);
    let same = cases.iter().filter(|case| case.trouble == *trouble).count();
    let claim = format!(
        "the {which} probe of {} {} on {same} of {}: {}, the last with `{}`",
        component.name,
        match trouble {
            Trouble::Fails => "fails",
            Trouble::Errors => "errors",
        },
        counted(component.desired, "replica"),
        first.tally(),
        last.trim()
    );
    let (log, excerpt) = super::pods::log(data, pod, &spec.container);
    evidence.extend(log);
    let finding = |code, severity, claim, fix| {
        Some(Finding { claim, evidence, fix, excerpt, ..Finding::of(&component.name, code, severity) })
    };
    match (trouble, examined, cause) {
        // The cause's finding covers it.
        (Trouble::Errors, _, Some(_)) => None,
        (Trouble::Errors, _, None) => {
            // A liveness probe that never counts breaks nothing.
            let severity = if which == ProbeKind::Liveness { Severity::Warning } else { Severity::Error };
            let claim = format!("{claim}; a kubelet ignores errors, so {}", consequence(which));
            finding(Code::ProbeErrored, severity, claim, repair(component, which, &spec.probe.action))
        }
        (Trouble::Fails, Some(_), Some(_)) => {
            let fix = format!("Fix the cause of the {which} probe of {}.", component.name);
            finding(Code::ProbeFailing, Severity::Error, claim, fix)
        }
        (Trouble::Fails, Some(index), None) => {
            let diagnosis = &data.doctor[index].diagnosis;
            let claim = match diagnosis.explanation.as_str() {
                "" => format!("{claim}; no change of the request proved a cause"),
                explanation => format!("{claim}; no change of the request proved a cause: {explanation}"),
            };
            let advice = diagnosis.fix.as_ref().map_or("compare the requests with what it expects", |fix| &fix.summary);
            let fix = format!("For {}: {advice}. The requests are in {DOCTOR}.", component.name);
            finding(Code::ProbeFailing, Severity::Error, claim, fix)
        }
        (Trouble::Fails, None, _) => {
            let fix = format!("Find out what keeps {} from {}.", component.name, wanted(&spec.probe.action));
            finding(Code::ProbeFailing, Severity::Error, claim, fix)
        }
    }
}

/// The consequence of a probe whose result never counts.
fn consequence(which: ProbeKind) -> &'static str {
    match which {
        ProbeKind::Startup => "the container never counts as started: it neither becomes ready nor is restarted",
        ProbeKind::Readiness => "the pod never becomes ready",
        ProbeKind::Liveness => "a container that hangs is not restarted",
    }
}

/// The fix for a probe that errors.
fn repair(component: &Component, which: ProbeKind, action: &ProbeAction) -> String {
    let name = &component.name;
    match action {
        ProbeAction::Exec { command } => {
            let program = command.first().map_or("", String::as_str);
            format!(
                "Add `{program}` to the image of {name}, or have the {which} probe run a command that the image has."
            )
        }
        other => format!("Find out what keeps {name} from {}.", wanted(other)),
    }
}

/// A probe's requirement, as the end of a sentence.
fn wanted(action: &ProbeAction) -> String {
    match action {
        ProbeAction::HttpGet { port, path, .. } => format!("answering GET {path} on port {port}"),
        ProbeAction::TcpSocket { port, .. } => format!("listening on port {port}"),
        ProbeAction::Exec { command } => format!("completing `{}` with exit code 0", command.join(" ")),
        ProbeAction::Grpc { port, .. } => format!("serving health checks on port {port}"),
    }
}

/// One finding per cause and component: the same cause behind two probes is one thing to fix.
fn causes(data: &RunData, is_said: impl Fn(&DoctorEntry) -> bool) -> Vec<Finding> {
    let mut found: Vec<(Cause, Vec<usize>)> = Vec::new();
    for (index, entry) in data.doctor.iter().enumerate() {
        let Some(cause) = entry.diagnosis.cause.filter(|_| is_said(entry)) else { continue };
        let same = |(other, indexes): &&mut (Cause, Vec<usize>)| {
            *other == cause && data.doctor[indexes[0]].component == entry.component
        };
        match found.iter_mut().find(same) {
            Some((_, indexes)) => indexes.push(index),
            None => found.push((cause, vec![index])),
        }
    }
    found.into_iter().map(|(cause, indexes)| of_cause(data, cause, &indexes)).collect()
}

fn of_cause(data: &RunData, cause: Cause, indexes: &[usize]) -> Finding {
    let entries: Vec<&DoctorEntry> = indexes.iter().map(|index| &data.doctor[*index]).collect();
    let patch = entries.iter().filter_map(|entry| entry.diagnosis.fix.as_ref()?.patch.clone());
    let patch = patch.reduce(|all, next| diagnosis::joined(&all, &next).unwrap_or_else(|| format!("{all}---\n{next}")));
    let component = &entries[0].component;
    let fields: Vec<&str> = entries.iter().map(|entry| entry.which.field()).collect();
    let remedy = cause.remedy(&fields.join(" and the "));
    Finding {
        claim: entries[1..].iter().fold(claim(entries[0]), |claim, entry| claim + &same_cause(entry)),
        evidence: indexes.iter().map(|index| format!("{DOCTOR}#/{index}")).collect(),
        fix: match cause {
            // The fix concerns another component.
            Cause::DependencyDown => format!("Restore the dependency of {component}{}.", answered(&entries)),
            _ if patch.is_some() => format!("For {component}: {remedy}; the finding has the patch."),
            _ => format!("For {component}: {remedy}."),
        },
        excerpt: patch,
        ..Finding::of(component, Code::Probe(cause), Severity::Error)
    }
}

/// The answer's text: it may name the missing dependency.
fn answered(entries: &[&DoctorEntry]) -> String {
    let body = entries.iter().find_map(|entry| body(&entry.diagnosis.observation));
    body.map_or(String::new(), |body| format!("; its answer: `{body}`"))
}

/// Longer bodies are pages; `doctor.json` has their beginning.
const BODY_MAX: usize = 120;

/// A short answer, on one line.
fn body(observation: &Observation) -> Option<String> {
    let lines: Vec<&str> = observation.body.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let line = lines.join("; ");
    (!line.is_empty() && line.len() <= BODY_MAX).then_some(line)
}

fn same_cause(DoctorEntry { which, diagnosis, .. }: &DoctorEntry) -> String {
    format!(
        "; the {which} probe fails for the same cause ({}, {})",
        diagnosis.explanation,
        counted(diagnosis.sent(), "request")
    )
}

fn claim(entry: &DoctorEntry) -> String {
    let DoctorEntry { component, which, diagnosis, .. } = entry;
    let Diagnosis { observation, flip, confirmed, explanation, evidence, .. } = diagnosis;
    let observed = match body(observation) {
        Some(body) => format!("{}, `{body}`", observation.summary()),
        None => observation.summary(),
    };
    // The result of a manual try, which the cause explains.
    let plain = evidence.iter().find(|trial| trial.plain && trial.verdict == Verdict::Success);
    let plain = plain.map_or(String::new(), |trial| format!("; {}, succeeds ({})", trial.change, trial.summary));
    let requests = counted(diagnosis.sent(), "request");
    let proof = match flip {
        Some(flip) => {
            let back = match confirmed {
                true => " makes it succeed, and changing it back makes it fail again",
                false => " made it succeed",
            };
            let [from, to] = [&flip.from, &flip.to].map(|value| quoted(value));
            format!("; changing {} from {from} to {to}{back} ({requests})", flip.axis)
        }
        None => format!(" ({requests})"),
    };
    let because = if *confirmed { " because" } else { ", likely because" };
    format!("the {which} probe of {component} fails ({observed}){because} {explanation}{proof}{plain}")
}

/// `` `orders` ``; `none` for nothing.
fn quoted(value: &str) -> String {
    if value.is_empty() { "none".to_owned() } else { format!("`{value}`") }
}
