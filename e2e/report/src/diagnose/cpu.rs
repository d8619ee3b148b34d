//! Findings about CPU limits: components that the kernel held back, and those of which that is not known.

use e2e_plan::{target::Target, words::counted};

use super::{Code, RunData};
use crate::{
    environment::Component,
    evidence::{THROTTLING, Throttling},
    finding::{Finding, Severity},
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

/// A component with a limit, and running pods of which nobody told whether they were held back.
pub(super) fn not_known(data: &RunData, component: &Component) -> Option<Finding> {
    component.cpu_limit_millis.filter(|_| !data.tests.is_empty())?;
    let remedy = match data.environment.target {
        // Limits have no effect there, as the table of fields says.
        Target::Local => return None,
        Target::Docker => "Give the engine the kernel's CPU controller, which an engine without root may lack.",
        Target::K8s => {
            "Let this user read nodes/proxy, from where kubelets tell it, or look at container_cpu_cfs_throttled_periods_total."
        }
    };
    // The kernel forgets a container that has ended.
    let pods = data.pods_of(component).filter(|(_, pod)| pod.ready);
    let untold: Vec<&str> = pods.map(|(name, _)| name).filter(|name| !data.throttling.contains_key(*name)).collect();
    (!untold.is_empty()).then(|| Finding {
        code: Code::NotMeasured,
        severity: Severity::Warning,
        component: Some(component.name.clone()),
        claim: format!("nobody told how often the kernel held {} back at their CPU limits", untold.join(", ")),
        evidence: vec![THROTTLING.to_owned()],
        fix: remedy.to_owned(),
        excerpt: None,
    })
}

fn share(throttling: &Throttling) -> f64 {
    throttling.throttled as f64 / throttling.periods as f64
}
