//! Findings about pods: never started, ended by themselves, restarted, not ready.

use e2e_kubelet::{
    diagnosis::Cause,
    snapshot::{ContainerReport, PodReport},
    status::Termination,
};
use e2e_plan::{ProbeKind, words::counted};

use super::{Code, RunData, cpu};
use crate::{
    environment::Component,
    evidence::{self, PODS},
    finding::{Finding, Severity},
};

pub(super) fn findings(data: &RunData) -> Vec<Finding> {
    data.environment.components.iter().flat_map(|component| of_component(data, component)).collect()
}

fn of_component(data: &RunData, component: &Component) -> Vec<Finding> {
    if component.desired == 0 {
        return vec![no_replicas(component)];
    }
    let pods: Vec<(&str, &PodReport)> = data.pods_of(component).collect();
    [
        not_started(component, &pods),
        cpu::held_back(data, component),
        cpu::not_known(data, component),
        crashed(data, component, &pods),
        restarts(data, component, &pods),
        not_ready(data, component, &pods),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn no_replicas(component: &Component) -> Finding {
    Finding {
        claim: format!("{} is declared with 0 replicas, so its Service has no endpoint", component.name),
        evidence: vec!["environment.json#/components".to_owned()],
        fix: format!("Set spec.replicas of {} {} to at least 1.", component.kind, component.name),
        ..Finding::of(&component.name, Code::NoReplicas, Severity::Error)
    }
}

pub(super) fn containers<'a>(pods: &[(&'a str, &'a PodReport)]) -> Vec<(&'a str, &'a ContainerReport)> {
    pods.iter().flat_map(|(name, pod)| pod.all_containers().map(|container| (*name, container))).collect()
}

fn pointer(pod: &str) -> String {
    format!("{PODS}#/pods/{pod}")
}

/// Evidence id of the list in which a container of a pod stands.
pub(super) fn containers_with(pods: &[(&str, &PodReport)], pod: &str, container: &str) -> String {
    let mut inits = pods.iter().filter(|(name, _)| *name == pod).flat_map(|(_, report)| &report.init_containers);
    let is_init = inits.any(|init| init.name == container);
    format!("{}/{}", pointer(pod), if is_init { "init_containers" } else { "containers" })
}

fn restarts(data: &RunData, component: &Component, pods: &[(&str, &PodReport)]) -> Option<Finding> {
    let restarts: u32 = pods.iter().map(|(_, pod)| pod.restarts).sum();
    let (worst, pod) = pods.iter().max_by_key(|(_, pod)| pod.restarts)?;
    if restarts == 0 {
        return None;
    }
    let looping = pod.restarts > 1 || pods.iter().any(|(_, pod)| pod.status.contains("CrashLoopBackOff"));
    let container = pod.all_containers().max_by_key(|c| c.status.restart_count)?;
    let each: Vec<String> =
        pods.iter().map(|(name, pod)| format!("{name} {}", counted(pod.restarts, "time"))).collect();
    let ended = container.status.last_termination.as_ref().map_or(String::new(), |end| {
        let why = killed_by(container, end).map_or(String::new(), |message| format!(": `{message}`"));
        format!("; the last instance of {worst} ended with {} (exit code {}){why}", end.reason, end.exit_code)
    });
    let (log, excerpt) = log(data, worst, &container.name);
    Some(Finding {
        claim: format!("{} was restarted {}: {}{ended}", component.name, counted(restarts, "time"), each.join(", ")),
        evidence: [Some(pointer(worst)), log].into_iter().flatten().collect(),
        fix: format!("Find out from the probes, the memory limit and the log of {} why it ends.", component.name),
        excerpt,
        ..Finding::of(&component.name, if looping { Code::RestartLoop } else { Code::Restarted }, severity(pod))
    })
}

/// The kubelet's message for the kill of an instance.
fn killed_by<'a>(container: &'a ContainerReport, end: &Termination) -> Option<&'a str> {
    let kill = container.kills().into_iter().find(|(.., killed)| *killed == end);
    kill.map(|(event, ..)| event.message.as_str())
}

/// The terminations of a program that ended by itself, except kills for memory, and except success where that is what it is for.
fn own_ends<'a>(pod: &PodReport, container: &'a ContainerReport) -> Vec<&'a Termination> {
    let completes = pod.completes || is_init(pod, container);
    let mut ends = container.own_ends();
    ends.retain(|end| (container.status.restart_count > 0 || pod.completes) && !end.is_oom_kill());
    ends.retain(|end| !(completes && end.exit_code == 0));
    ends
}

/// What ended and was started again is an error, unless it has run to completion since, as a Job may that waits so for what it needs.
fn severity(pod: &PodReport) -> Severity {
    if pod.is_completed() { Severity::Warning } else { Severity::Error }
}

/// The program ended by itself, and the kernel did not kill it for memory.
fn crashed(data: &RunData, component: &Component, pods: &[(&str, &PodReport)]) -> Option<Finding> {
    // Some container runtimes miss kills for memory: if one of a component's is known, an unexplained SIGKILL counts as another.
    let short_of_memory = containers(pods).iter().flat_map(|(_, c)| &c.terminations).any(|end| end.is_oom_kill());
    let all = pods.iter().flat_map(|(name, pod)| pod.all_containers().map(move |container| (*name, *pod, container)));
    let own = all.map(|(name, pod, container)| {
        let mut ends = own_ends(pod, container);
        ends.retain(|end| !(short_of_memory && end.exit_code == 137));
        (name, pod, container, ends)
    });
    let (name, pod, container, ends) = own.into_iter().find(|(.., ends)| !ends.is_empty())?;
    let last = ends.last()?;
    let how = match last.signal {
        Some(signal) => format!("signal {signal}, not sent by the kubelet"),
        None => format!("exit code {}", last.exit_code),
    };
    let (log, excerpt) = log(data, name, &container.name);
    Some(Finding {
        claim: format!(
            "the program of {} ended on its own (killed neither by the kubelet nor for memory): {name} {}, the last time \
             with {how} \
             after {}",
            match (is_init(pod, container), pod.containers.len()) {
                (true, _) => format!("the init container {} of {}", container.name, component.name),
                (false, 1) => component.name.clone(),
                (false, _) => format!("the container {} of {}", container.name, component.name),
            },
            counted(ends.len(), "time"),
            e2e_plan::duration::human(last.at.saturating_sub(last.started))
        ),
        evidence: [Some(containers_with(pods, name, &container.name)), log].into_iter().flatten().collect(),
        fix: format!("Find out from the log of {} why its program ends.", component.name),
        excerpt,
        ..Finding::of(&component.name, Code::Crashed, severity(pod))
    })
}

/// Whether it is an init container that runs to completion.
fn is_init(pod: &PodReport, container: &ContainerReport) -> bool {
    !container.is_sidecar && pod.init_containers.iter().any(|init| std::ptr::eq(init, container))
}

/// A probe killed it that never found the port open.
fn not_started(component: &Component, pods: &[(&str, &PodReport)]) -> Option<Finding> {
    let (pod, container, which) = containers(pods)
        .into_iter()
        .find_map(|(pod, container)| Some((pod, container, container.killed_before_it_listened()?)))?;
    let probe = &component.probe(&container.name, which)?.probe;
    // The first probe is sent at once, so a threshold of n gives n - 1 periods.
    let allowed = probe.initial_delay + probe.period * probe.failure_threshold.saturating_sub(1);
    let place = format!("container {} in {} {}", container.name, component.kind, component.name);
    let fix = match which {
        ProbeKind::Liveness => {
            format!(
                "Add a startupProbe to {place} that allows for the slowest start: liveness waits until it \
            succeeds."
            )
        }
        ProbeKind::Startup | ProbeKind::Readiness => format!(
            "Raise startupProbe.failureThreshold of {place} to allow for the slowest start, or make the start faster."
        ),
    };
    Some(Finding {
        claim: format!(
            "{} does not listen within the {} that its {which} probe allows ({}, {} apart), so the kubelet kills \
             it before it is up",
            component.name,
            e2e_plan::duration::human(allowed),
            counted(probe.failure_threshold, "probe"),
            e2e_plan::duration::human(probe.period)
        ),
        evidence: vec![containers_with(pods, pod, &container.name)],
        fix,
        ..Finding::of(&component.name, Code::Probe(Cause::NotStarted), Severity::Error)
    })
}

/// A pod may be unready although its containers are ready: during its deletion, or with a readiness gate. There is no log then.
fn not_ready(data: &RunData, component: &Component, pods: &[(&str, &PodReport)]) -> Option<Finding> {
    let unready: Vec<(&str, &PodReport)> = pods.iter().filter(|(_, pod)| !pod.ready).copied().collect();
    let (first, _) = unready.first()?;
    let waiting = unready.iter().find_map(|(name, pod)| Some((*name, unready_container(pod)?)));
    let (log, excerpt) = waiting.map_or((None, None), |(name, container)| log(data, name, &container.name));
    let states: Vec<String> =
        unready.iter().map(|(name, pod)| format!("{name} is {}{}", pod.status, unmet(pod))).collect();
    let count = u64::from(component.desired);
    Some(Finding {
        claim: match component.kind.as_str() {
            "Job" => format!("Job {} did not run to completion: {}", component.name, states.join(", ")),
            _ => format!(
                "{} of {} of {} {} not ready at the end of the run: {}",
                unready.len(),
                counted(count, "replica"),
                component.name,
                if unready.len() == 1 { "was" } else { "were" },
                states.join(", ")
            ),
        },
        evidence: [Some(pointer(waiting.map_or(*first, |(name, _)| name))), log].into_iter().flatten().collect(),
        fix: match waiting {
            Some((_, container)) if unready.iter().any(|(_, pod)| is_init(pod, container)) => format!(
                "Find out from the log of the init container {} of {} why it does not end; it is {}.",
                container.name, component.name, container.status.state
            ),
            Some((_, container)) => format!(
                "Find out why the container {} of {} is not ready; it is {}.",
                container.name, component.name, container.status.state
            ),
            None => format!(
                "Find out what deletes the pods of {} or leaves their readiness gates open: their containers are \
                 ready.",
                component.name
            ),
        },
        excerpt,
        ..Finding::of(&component.name, Code::ComponentNotReady, Severity::Error)
    })
}

/// Refers to the other findings of a component that is not ready.
pub(super) fn refer_to_others(findings: &mut [Finding]) {
    let wrong = findings.iter().filter(|finding| finding.severity != Severity::Warning);
    let known: Vec<_> = wrong.map(|finding| (finding.component.clone(), finding.code)).collect();
    for finding in findings.iter_mut().filter(|finding| finding.code == Code::ComponentNotReady) {
        let of_it = known.iter().filter(|(component, code)| *component == finding.component && *code != finding.code);
        let mut others: Vec<String> = of_it.map(|(_, code)| format!("`{code}`")).collect();
        others.dedup();
        if let (Some(component), false) = (&finding.component, others.is_empty()) {
            finding.fix = format!("See the other findings of {component}: {}.", others.join(", "));
        }
    }
}

/// The init container that the others wait for, or a container or sidecar that is not ready.
fn unready_container(pod: &PodReport) -> Option<&ContainerReport> {
    let runs = |init: &&ContainerReport| !init.is_sidecar && init.status.state.is_running();
    if let Some(init) = pod.init_containers.iter().find(runs) {
        return Some(init);
    }
    let sidecars = pod.init_containers.iter().filter(|init| init.is_sidecar);
    pod.containers.iter().chain(sidecars).find(|container| !container.status.ready)
}

/// The conditions that keep a pod with ready containers unready; other pods' containers tell more.
fn unmet(pod: &PodReport) -> String {
    let conditions = pod.object.as_ref().map_or(&[][..], |object| &object.conditions);
    if conditions.is_empty() || unready_container(pod).is_some() {
        return String::new();
    }
    let conditions: Vec<String> = conditions.iter().map(ToString::to_string).collect();
    format!(", although its containers are ready: {}", conditions.join("; "))
}

/// The log's evidence id and last lines; a container that was never created has none.
pub(super) fn log(data: &RunData, pod: &str, container: &str) -> (Option<String>, Option<String>) {
    let Some(text) = data.logs.get(&format!("{pod}.{container}")) else { return (None, None) };
    (Some(evidence::log_file(pod, container)), Some(text.clone()).filter(|text| !text.trim().is_empty()))
}
