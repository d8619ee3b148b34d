//! Findings about memory: containers that were killed at their limit, or stood at it.

use super::{Code, RunData, counted};
use crate::{
    environment::Component,
    evidence::{self, PODS},
    kubelet::node::{ContainerReport, PodReport},
    report::{Finding, Severity},
};

/// Kubernetes's word for a kill at the memory limit.
pub(super) const OOM_KILLED: &str = "OOMKilled";

/// A kill for memory, or else a limit that was reached.
pub(super) fn finding(data: &RunData, component: &Component, pods: &[(&str, &PodReport)]) -> Option<Finding> {
    killed(data, component, pods).or_else(|| at_limit(data, component, pods))
}

fn killed(data: &RunData, component: &Component, pods: &[(&str, &PodReport)]) -> Option<Finding> {
    let kills = |container: &ContainerReport| {
        container.terminations.iter().filter(|termination| termination.reason == OOM_KILLED).count() as u64
    };
    let killed: Vec<(&str, &ContainerReport)> =
        super::pods::containers(pods).into_iter().filter(|(_, container)| kills(container) > 0).collect();
    let (pod, container) = killed.first()?;
    let limit = component.memory_limit_bytes.map_or("its limit".to_owned(), mebibytes);
    let each: Vec<String> =
        killed.iter().map(|(pod, container)| format!("{pod} {}", counted(kills(container), "time"))).collect();
    let largest = component.replicas.iter().flat_map(|replica| samples(data, &replica.name)).max();
    // Memory that grows within a second is not in the samples, which must not look like a contradiction.
    let largest = largest.map_or(String::new(), |bytes| {
        format!("; the largest of the samples, a second apart, is {}", mebibytes(bytes))
    });
    let log = super::pods::log(data, pod, &container.name).0;
    let proof = [format!("{PODS}#/pods/{pod}/containers"), evidence::RESOURCES.to_owned()];
    Some(Finding {
        code: Code::OomKilled,
        severity: Severity::Error,
        component: Some(component.name.clone()),
        claim: format!(
            "{} used more than {limit} of memory and was killed for it ({OOM_KILLED}): {}{largest}",
            component.name,
            each.join(", ")
        ),
        evidence: proof.into_iter().chain(log).collect(),
        fix: remedy(component, &container.name),
        excerpt: None,
    })
}

/// From this share of the limit on nothing is left to work with: Linux takes back file pages long before.
const FULL: f64 = 0.95;
/// A single sample may be a moment before memory is given back.
const FULL_SAMPLES: usize = 3;

/// A program at its limit may stand still for long before it is killed, if ever. Healthy ones may live at it, with caches.
fn at_limit(data: &RunData, component: &Component, pods: &[(&str, &PodReport)]) -> Option<Finding> {
    let limit = component.memory_limit_bytes?;
    let is_full = |bytes: &u64| *bytes as f64 >= FULL * limit as f64;
    let (pod, report, full, all) = pods
        .iter()
        .filter(|(_, report)| !report.ready || report.restarts > 0)
        .map(|(pod, report)| (*pod, *report, samples(data, pod).filter(is_full).count(), samples(data, pod).count()))
        .max_by_key(|(.., full, _)| *full)?;
    let container = report.containers.first().filter(|_| full >= FULL_SAMPLES)?;
    Some(Finding {
        code: Code::MemoryAtLimit,
        severity: Severity::Error,
        component: Some(component.name.clone()),
        claim: format!(
            "{} had used up its memory limit of {} without being killed for it: {pod} was at {:.0}% of it or more in {full} of {}",
            component.name,
            mebibytes(limit),
            FULL * 100.0,
            counted(all as u64, "sample")
        ),
        evidence: vec![evidence::RESOURCES.to_owned()],
        fix: remedy(component, &container.name),
        excerpt: None,
    })
}

fn remedy(component: &Component, container: &str) -> String {
    format!(
        "Raise resources.limits.memory of container {container} in {} {}, or find what makes it grow; {} has its memory over \
         time.",
        component.kind,
        component.name,
        evidence::RESOURCES
    )
}

/// What a pod used in each sample.
fn samples<'a>(data: &'a RunData, pod: &'a str) -> impl Iterator<Item = u64> + 'a {
    data.resources.samples.iter().filter_map(move |sample| Some(sample.pods.get(pod)?.memory_bytes))
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / 1_048_576.0)
}
