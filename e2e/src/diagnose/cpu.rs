//! Findings about CPU limits: components that the kernel held back.

use super::{Code, RunData, counted};
use crate::{
    environment::Component,
    evidence::{THROTTLING, Throttling},
    report::{Finding, Severity},
};

/// From this share of the periods on, as the alert `CPUThrottlingHigh` of
/// <https://github.com/kubernetes-monitoring/kubernetes-mixin> has it.
const HELD_BACK: f64 = 0.25;
/// Two seconds of running: a start alone may use up a limit.
const FEWEST_PERIODS: u64 = 20;

/// A component with a replica that was held back. Whoever set the limit may want that, so it is a warning.
pub(super) fn finding(data: &RunData, component: &Component) -> Option<Finding> {
    let throttling = |name: String| data.throttling.get(&name).map(|throttling| (name, *throttling));
    let mut held_back: Vec<(String, Throttling)> = component.pod_names().filter_map(throttling).collect();
    held_back.retain(|(_, throttling)| throttling.periods >= FEWEST_PERIODS && share(throttling) >= HELD_BACK);
    let each: Vec<String> = held_back
        .iter()
        .map(|(pod, throttling)| {
            let (share, periods) = (share(throttling) * 100.0, counted(throttling.periods, "period"));
            format!("{pod} in {} of {periods} of 100 ms ({share:.0}%)", throttling.throttled)
        })
        .collect();
    (!held_back.is_empty()).then(|| Finding {
        code: Code::CpuThrottled,
        severity: Severity::Warning,
        component: Some(component.name.clone()),
        claim: format!("the kernel held {} back at its CPU limit: {}", component.name, each.join(", ")),
        evidence: held_back.iter().map(|(pod, _)| format!("{THROTTLING}#/{pod}")).collect(),
        fix: format!(
            "Raise resources.limits.cpu in {} {}, or leave it away and keep requests.cpu: a probe that comes while the limit is used \
             up waits for the next period too.",
            component.kind, component.name
        ),
        excerpt: None,
    })
}

fn share(throttling: &Throttling) -> f64 {
    throttling.throttled as f64 / throttling.periods as f64
}
