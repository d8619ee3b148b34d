//! Findings about pods: not ready, restarted, out of memory, never started.

use super::{Code, RunData};
use crate::{
    environment::Component,
    evidence::{self, PODS},
    kubelet::{
        Which,
        node::{ContainerReport, PodReport},
        observation::Kind,
    },
    report::{Finding, Severity},
};

pub(super) fn findings(data: &RunData) -> Vec<Finding> {
    data.environment.components.iter().flat_map(|component| of_component(data, component)).collect()
}

fn of_component(data: &RunData, component: &Component) -> Vec<Finding> {
    if component.replicas.is_empty() {
        return vec![no_replicas(component)];
    }
    let pods: Vec<(&str, &PodReport)> = data.pods_of(component).collect();
    [
        restarts(data, component, &pods),
        out_of_memory(data, component, &pods),
        not_started(component, &pods),
        not_ready(data, component, &pods),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn no_replicas(component: &Component) -> Finding {
    Finding {
        code: Code::NoReplicas,
        severity: Severity::Error,
        component: Some(component.name.clone()),
        claim: format!("{} is declared with 0 replicas, so nobody serves its name", component.name),
        evidence: vec!["environment.json#/components".to_owned()],
        fix: format!("Set spec.replicas of {} {} to at least 1.", component.kind, component.name),
        excerpt: None,
    }
}

fn containers<'a>(pods: &[(&'a str, &'a PodReport)]) -> Vec<(&'a str, &'a ContainerReport)> {
    pods.iter()
        .flat_map(|(name, pod)| pod.init_containers.iter().chain(&pod.containers).map(|container| (*name, container)))
        .collect()
}

fn pointer(pod: &str) -> String {
    format!("{PODS}#/pods/{pod}")
}

fn restarts(data: &RunData, component: &Component, pods: &[(&str, &PodReport)]) -> Option<Finding> {
    let restarts: u32 = pods.iter().map(|(_, pod)| pod.restarts).sum();
    let (worst, pod) = pods.iter().max_by_key(|(_, pod)| pod.restarts)?;
    if restarts == 0 {
        return None;
    }
    let looping = pod.restarts > 1 || pods.iter().any(|(_, pod)| pod.status.contains("CrashLoopBackOff"));
    let container = pod.init_containers.iter().chain(&pod.containers).max_by_key(|c| c.status.restart_count)?;
    let ended = container.status.last_termination.as_ref().map_or(String::new(), |end| {
        format!("; the last instance ended with {} (exit code {})", end.reason, end.exit_code)
    });
    let why = killed_by(container).map_or(String::new(), |message| format!("; {message}"));
    let (log, excerpt) = log(data, worst, &container.name);
    Some(Finding {
        code: if looping { Code::RestartLoop } else { Code::Restarted },
        severity: Severity::Error,
        component: Some(component.name.clone()),
        claim: format!(
            "{} was restarted {restarts} times, {worst} {} times, and ended the run as {}{ended}{why}",
            component.name, pod.restarts, pod.status
        ),
        evidence: vec![pointer(worst), log],
        fix: "Remove what ends the container; the log's last lines and the findings on its probes and memory say what."
            .to_owned(),
        excerpt,
    })
}

/// Why the kubelet killed it, in the kubelet's words.
fn killed_by(container: &ContainerReport) -> Option<&str> {
    container.events.iter().rfind(|event| event.reason == "Killing").map(|event| event.message.as_str())
}

fn out_of_memory(data: &RunData, component: &Component, pods: &[(&str, &PodReport)]) -> Option<Finding> {
    let killed: Vec<(&str, &ContainerReport)> = containers(pods)
        .into_iter()
        .filter(|(_, container)| {
            container.events.iter().any(|event| event.message.contains("OOMKilled"))
                || container.status.last_termination.as_ref().is_some_and(|end| end.reason == "OOMKilled")
        })
        .collect();
    let (pod, container) = killed.first()?;
    let limit =
        component.memory_limit_bytes.map_or("its limit".to_owned(), |bytes| format!("{} MiB", bytes / 1_048_576));
    let (log, _) = log(data, pod, &container.name);
    let names: Vec<&str> = killed.iter().map(|(pod, _)| *pod).collect();
    Some(Finding {
        code: Code::OomKilled,
        severity: Severity::Error,
        component: Some(component.name.clone()),
        claim: format!(
            "{} used more than {limit} of memory and was killed (OOMKilled): {}",
            component.name,
            names.join(", ")
        ),
        evidence: vec![pointer(pod), evidence::RESOURCES.to_owned(), log],
        fix: format!(
            "Raise resources.limits.memory of container {} in {} {}, or find what makes it grow; {} has its memory over time.",
            container.name,
            component.kind,
            component.name,
            evidence::RESOURCES
        ),
        excerpt: None,
    })
}

/// The startup probe killed it and never found the port open.
fn not_started(component: &Component, pods: &[(&str, &PodReport)]) -> Option<Finding> {
    let (pod, container) = containers(pods).into_iter().find(|(_, container)| {
        let never = container.probes.get(&Which::Startup).is_some_and(|probe| {
            probe.last_success.is_none() && probe.last_failure.as_ref().is_some_and(|last| last.kind == Kind::Refused)
        });
        never && killed_by(container).is_some_and(|message| message.contains("startup probe"))
    })?;
    let probe =
        &component.probes.iter().find(|spec| spec.container == container.name && spec.which == Which::Startup)?.probe;
    let allowed = probe.initial_delay + probe.period * probe.failure_threshold;
    Some(Finding {
        code: Code::NotStarted,
        severity: Severity::Error,
        component: Some(component.name.clone()),
        claim: format!(
            "{} does not listen within the {} that its startup probe allows ({} probes, {} apart), so it is killed before it is up",
            component.name,
            crate::duration::human(allowed),
            probe.failure_threshold,
            crate::duration::human(probe.period)
        ),
        evidence: vec![format!("{}/containers", pointer(pod))],
        fix: format!(
            "Raise startupProbe.failureThreshold of container {} in {} {} until it allows for the slowest start, or make the start faster.",
            container.name, component.kind, component.name
        ),
        excerpt: None,
    })
}

fn not_ready(data: &RunData, component: &Component, pods: &[(&str, &PodReport)]) -> Option<Finding> {
    let unready: Vec<&(&str, &PodReport)> = pods.iter().filter(|(_, pod)| !pod.ready).collect();
    let (name, pod) = unready.first()?;
    let container = pod.containers.iter().find(|container| !container.status.ready)?;
    let (log, excerpt) = log(data, name, &container.name);
    let states: Vec<String> = unready.iter().map(|(name, pod)| format!("{name} is {}", pod.status)).collect();
    Some(Finding {
        code: Code::ComponentNotReady,
        severity: Severity::Error,
        component: Some(component.name.clone()),
        claim: format!(
            "{} of {} replicas of {} were not ready at the end of the run: {}",
            unready.len(),
            component.replicas.len(),
            component.name,
            states.join(", ")
        ),
        evidence: vec![pointer(name), log],
        fix: format!(
            "See the findings on {}'s probes, restarts and dependencies, and the last lines of its log.",
            component.name
        ),
        excerpt,
    })
}

fn log(data: &RunData, pod: &str, container: &str) -> (String, Option<String>) {
    let excerpt = data.logs.get(&format!("{pod}.{container}")).filter(|text| !text.trim().is_empty()).cloned();
    (evidence::log_file(pod, container), excerpt)
}
