//! Findings about CPU limits: throttled components, and unknown throttling.

use e2e_plan::{target::Target, words::counted};

use super::{Code, RunData};
use crate::{
    environment::Component,
    evidence::{THROTTLING, Throttling},
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
    (!held_back.is_empty()).then(|| Finding {
        code: Code::CpuThrottled,
        severity: Severity::Warning,
        component: Some(component.name.clone()),
        claim: format!("the kernel throttled {} at its CPU limit: {}", component.name, each.join(", ")),
        evidence: held_back.iter().map(|(pod, _)| format!("{THROTTLING}#/{pod}")).collect(),
        fix: format!(
            "Raise resources.limits.cpu in {} {}, or remove it and keep requests.cpu: a probe that comes while \
             the limit is used \
             up waits for the next period too.",
            component.kind, component.name
        ),
        excerpt: None,
    })
}

/// A component with a limit and running pods whose throttling is unknown.
pub(super) fn not_known(data: &RunData, component: &Component) -> Option<Finding> {
    component.cpu_limit_millis.filter(|_| !data.tests.is_empty())?;
    let remedy = match data.environment.target {
        // Limits have no effect there; the table of fields says so.
        Target::Local => return None,
        Target::Docker => "Give the engine the kernel's CPU controller; a rootless engine may lack it.",
        Target::K8s => {
            "Grant this user nodes/proxy to read it from kubelets, or check container_cpu_cfs_throttled_periods_total."
        }
    };
    // The kernel drops the counters of an ended container.
    let pods = data.pods_of(component).filter(|(_, pod)| pod.ready);
    let untold: Vec<&str> = pods.map(|(name, _)| name).filter(|name| !data.throttling.contains_key(*name)).collect();
    (!untold.is_empty()).then(|| Finding {
        code: Code::NotMeasured,
        severity: Severity::Warning,
        component: Some(component.name.clone()),
        claim: format!("CPU throttling of {} is unknown", untold.join(", ")),
        evidence: vec![THROTTLING.to_owned()],
        fix: remedy.to_owned(),
        excerpt: None,
    })
}
