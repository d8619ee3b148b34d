//! Findings about CPU limits: throttled components, and unknown throttling.

use e2e_plan::{target::Target, words::counted};

use super::{Code, RunData};
use crate::{
    environment::Component,
    evidence::{PROCESSES, THROTTLING, Throttling, processes::ContainerProcesses},
    finding::{Finding, Severity},
};

/// The minimum share of throttled periods, from the alert `CPUThrottlingHigh` of
/// <https://github.com/kubernetes-monitoring/kubernetes-mixin>.
const HELD_BACK: f64 = 0.25;
/// Two seconds of running: a start may use up a limit.
const FEWEST_PERIODS: u64 = 20;

/// A throttled component. The limit may be intended, so it is a warning.
pub(super) fn held_back(data: &RunData, component: &Component) -> Option<Finding> {
    let throttling = |name: String| data.throttling.get(&name).map(|throttling| (name, *throttling));
    let mut held_back: Vec<(String, Throttling)> = component.pod_names().filter_map(throttling).collect();
    held_back.retain(|(_, throttling)| throttling.periods >= FEWEST_PERIODS && throttling.share() >= HELD_BACK);
    let each: Vec<String> = held_back
        .iter()
        .map(|(pod, throttling)| {
            let (share, periods) = (throttling.share() * 100.0, counted(throttling.periods, "period"));
            format!("{pod} in {} of {periods} of 100 ms ({share:.0}%)", throttling.throttled)
        })
        .collect();
    let crowd = held_back.iter().find_map(|(pod, _)| crowd(data, pod));
    let mut evidence: Vec<String> = held_back.iter().map(|(pod, _)| format!("{THROTTLING}#/{pod}")).collect();
    evidence.extend(crowd.as_ref().map(|crowd| format!("{PROCESSES}#/{}", crowd.index)));
    let (claim, fix) = crowd.map(|crowd| (crowd.claim, crowd.fix)).unwrap_or_default();
    (!held_back.is_empty()).then(|| Finding {
        claim: format!("the kernel throttled {} at its CPU limit: {}{claim}", component.name, each.join(", ")),
        evidence,
        fix: format!(
            "Raise resources.limits.cpu in {} {}, or remove it and keep requests.cpu: a probe that arrives while the limit is used up \
             waits for the next period, too.{fix}",
            component.kind, component.name
        ),
        ..Finding::of(&component.name, Code::CpuThrottled, Severity::Warning)
    })
}

/// Many processes of one program that share a small limit.
struct Crowd {
    /// Its place in the evidence.
    index: usize,
    claim: String,
    fix: &'static str,
}

/// Below this many processors a number of processes that equals theirs is as likely to be someone's choice.
const CPUS_MIN: u64 = 3;

/// Processes that are more than twice what the limit has processors for. That their number follows the machine's is not proved by its being
/// the same, so it is only said.
fn crowd(data: &RunData, pod: &str) -> Option<Crowd> {
    let mut containers = data.processes.iter().enumerate().filter(|(_, container)| container.pod == pod);
    containers.find_map(|(index, container)| {
        let ContainerProcesses { cpu_limit_millis, cpus, .. } = *container;
        let (name, count) = container.workers()?;
        if count * 1000 <= cpu_limit_millis.saturating_mul(2) {
            return None;
        }
        let (same, fix) = match (count, cpus) {
            (_, ..CPUS_MIN) => (String::new(), ""),
            (count, cpus) if count == cpus => (format!(", one for each of the {cpus} that they see"), OF_THE_MACHINE),
            (count, cpus) if count == 2 * cpus + 1 => {
                (format!(", two for each of the {cpus} that they see and one more"), OF_THE_MACHINE)
            }
            _ => (String::new(), ""),
        };
        let limit = cpu_limit_millis as f64 / 1000.0;
        let claim = format!("; in {pod} {count} {name} processes share {limit} processors{same}");
        Some(Crowd { index, claim, fix })
    })
}

const OF_THE_MACHINE: &str = " If the number of processes follows the machine (nginx `worker_processes auto`, gunicorn 2n + 1), set it to suit \
                              the limit, which the program does not see.";

/// A component with a limit and running pods whose throttling is unknown.
pub(super) fn not_known(data: &RunData, component: &Component) -> Option<Finding> {
    component.cpu_limit_millis.filter(|_| !data.tests.is_empty())?;
    let remedy = match data.environment.target {
        // Limits have no effect there; the table of fields says so.
        Target::Local => return None,
        Target::Docker => "Give the engine the kernel's CPU controller, which a rootless engine may lack.",
        Target::K8s => {
            "Grant this user nodes/proxy to read it from kubelets, or check container_cpu_cfs_throttled_periods_total."
        }
    };
    // The kernel drops the counters of an ended container.
    let pods = data.pods_of(component).filter(|(_, pod)| pod.ready);
    let untold: Vec<&str> = pods.map(|(name, _)| name).filter(|name| !data.throttling.contains_key(*name)).collect();
    (!untold.is_empty()).then(|| Finding {
        claim: format!("CPU throttling of {} is unknown", untold.join(", ")),
        evidence: vec![THROTTLING.to_owned()],
        fix: remedy.to_owned(),
        ..Finding::of(&component.name, Code::NotMeasured, Severity::Warning)
    })
}
