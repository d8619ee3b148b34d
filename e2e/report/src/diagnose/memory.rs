//! Findings about memory: containers killed at their limit, or close to it.

use std::collections::BTreeMap;

use e2e_kubelet::{snapshot::PodReport, status::OOM_KILLED};
use e2e_plan::words::{counted, mebibytes};

use super::{Code, RunData};
use crate::{
    environment::Component,
    evidence,
    finding::{Finding, Severity},
};

/// For each component its kills for memory, otherwise a limit that was reached.
pub(super) fn findings(data: &RunData) -> Vec<Finding> {
    let of = |component| of_component(data, component, &data.pods_of(component).collect::<Vec<_>>());
    data.environment.components.iter().flat_map(of).collect()
}

pub(super) fn of_component(data: &RunData, component: &Component, pods: &[(&str, &PodReport)]) -> Vec<Finding> {
    let mut killed: BTreeMap<&str, Vec<(&str, u64)>> = BTreeMap::new();
    for (pod, container) in super::pods::containers(pods) {
        let kills = container.terminations.iter().filter(|termination| termination.is_oom_kill()).count();
        if kills > 0 {
            killed.entry(&container.name).or_default().push((pod, kills as u64));
        }
    }
    let killed: Vec<Finding> =
        killed.into_iter().map(|(container, kills)| of_kills(data, component, pods, container, &kills)).collect();
    if killed.is_empty() { Vec::from_iter(at_limit(data, component, pods)) } else { killed }
}

/// Kills of one container, in the affected pods.
fn of_kills(
    data: &RunData,
    component: &Component,
    pods: &[(&str, &PodReport)],
    container: &str,
    kills: &[(&str, u64)],
) -> Finding {
    let is_alone = is_alone(pods);
    let limit = component.container_memory_limit_bytes.get(container).copied();
    let limit = limit.map_or_else(|| format!("the limit of container {container}"), mebibytes);
    let who = match is_alone {
        true => component.name.clone(),
        false => format!("container {container} of {}", component.name),
    };
    let each: Vec<String> = kills.iter().map(|(pod, kills)| format!("{pod} {}", counted(*kills, "time"))).collect();
    let largest = component.replicas.iter().flat_map(|replica| samples(data, &replica.name)).max();
    // Samples miss memory that grows within a second; the claim must not look contradictory.
    let largest = largest.map_or(String::new(), |bytes| {
        let of = if is_alone { "" } else { " of a pod" };
        format!("; the largest sample{of} (one per second) is {}", mebibytes(bytes))
    });
    let first = kills.first().map_or("", |(pod, _)| pod);
    let proof = [super::pods::containers_with(pods, first, container), evidence::RESOURCES.to_owned()];
    Finding {
        claim: format!(
            "{who} used more than {limit} of memory and was killed for it ({OOM_KILLED}): {}{largest}",
            each.join(", ")
        ),
        evidence: proof.into_iter().chain(super::pods::log(data, first, container).0).collect(),
        fix: remedy(component, &format!("container {container}")),
        ..Finding::of(&component.name, Code::OomKilled, Severity::Error)
    }
}

/// Whether each pod has a single container with a limit.
fn is_alone(pods: &[(&str, &PodReport)]) -> bool {
    pods.iter().all(|(_, pod)| pod.init_containers.len() + pod.containers.len() == 1)
}

/// The share of the limit that counts as used up: Linux reclaims file pages long before.
const FULL: f64 = 0.95;
/// A single sample may precede a release of memory.
const FULL_SAMPLES: usize = 3;

/// A program at its limit may stall for long without a kill. Healthy programs with caches may stay there too.
fn at_limit(data: &RunData, component: &Component, pods: &[(&str, &PodReport)]) -> Option<Finding> {
    let limit = component.memory_limit_bytes?;
    let is_full = |bytes: &u64| *bytes as f64 >= FULL * limit as f64;
    let (pod, report, full, all) = pods
        .iter()
        .filter(|(_, report)| !report.ready || report.restarts > 0)
        .map(|(pod, report)| (*pod, *report, samples(data, pod).filter(is_full).count(), samples(data, pod).count()))
        .max_by_key(|(.., full, _)| *full)?;
    if full < FULL_SAMPLES {
        return None;
    }
    // Usage is known only for the whole pod.
    let whose = match report.containers.as_slice() {
        [only] => format!("container {}", only.name),
        _ => "the containers".to_owned(),
    };
    Some(Finding {
        claim: format!(
            "{} stayed at its memory limit of {} without being killed for it: {pod} used {:.0}% or more of it in \
             {full} of {}",
            component.name,
            mebibytes(limit),
            FULL * 100.0,
            counted(all, "sample")
        ),
        evidence: vec![evidence::RESOURCES.to_owned()],
        fix: remedy(component, &whose),
        ..Finding::of(&component.name, Code::MemoryAtLimit, Severity::Error)
    })
}

fn remedy(component: &Component, whose: &str) -> String {
    format!(
        "Raise resources.limits.memory of {whose} in {} {}, or find out what makes it grow; {} has its memory over \
         time.",
        component.kind,
        component.name,
        evidence::RESOURCES
    )
}

/// A pod's memory in each sample.
fn samples(data: &RunData, pod: &str) -> impl Iterator<Item = u64> {
    data.resources.of_pod(pod).map(|usage| usage.memory_bytes)
}
