//! Findings about CPU limits: components that the kernel held back, and those of which that is not known.

use super::{Code, RunData, counted};
use crate::{
    environment::Component,
    evidence::{THROTTLING, Throttling},
    report::{Finding, Severity},
    target::Target,
};

/// From this share of the periods on, as the alert `CPUThrottlingHigh` of
/// <https://github.com/kubernetes-monitoring/kubernetes-mixin> has it.
const HELD_BACK: f64 = 0.25;
/// Two seconds of running: a start alone may use up a limit.
const FEWEST_PERIODS: u64 = 20;

/// A component with a replica that was held back. Whoever set the limit may want that, so it is a warning.
pub(super) fn held_back(data: &RunData, component: &Component) -> Option<Finding> {
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

/// A component with a limit of which nobody told whether it was held back.
pub(super) fn not_known(data: &RunData, component: &Component) -> Option<Finding> {
    component.cpu_limit_millis.filter(|_| component.desired > 0 && !data.tests.is_empty())?;
    // Limits have no effect on plain processes, as the table of fields says.
    let is_told = component.pod_names().any(|pod| data.throttling.contains_key(&pod));
    (data.environment.target != Target::Local && !is_told).then(|| Finding {
        code: Code::NotMeasured,
        severity: Severity::Warning,
        component: Some(component.name.clone()),
        claim: format!("nobody told how often the kernel held {} back at its CPU limit", component.name),
        evidence: vec![THROTTLING.to_owned()],
        fix: "Let this user read nodes/proxy, from where kubelets tell it, or look at container_cpu_cfs_throttled_periods_total."
            .to_owned(),
        excerpt: None,
    })
}

fn share(throttling: &Throttling) -> f64 {
    throttling.throttled as f64 / throttling.periods as f64
}
