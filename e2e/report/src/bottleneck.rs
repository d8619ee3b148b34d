//! The bottleneck of a run, from the run's own evidence. Pure. Main type: [`Bottleneck`], made by [`name`].

use e2e_figures::scenario::{Activity, Part, ScenarioResult};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    environment::Component,
    evidence::Saturation,
    expected::Expected,
    finding::{Code, Finding},
    run_data::RunData,
};

/// The bottleneck of a scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bottleneck {
    /// Its name: `the host`, `a pool of backend`, or a component.
    pub name: String,
    /// The figures that show it.
    pub evidence: String,
}

/// The utilisation that counts as busy: at 0.85 a request already takes about seven times its service time (M/M/1: 1 / (1 - 0.85) =
/// 6.7).
pub(crate) const USED_UP: f64 = 0.85;
/// More than one processor, beyond the error of measurement.
pub(crate) const MORE_THAN_ONE: f64 = 1.1;
/// More than half: everything else together is less.
const MOST: f64 = 0.5;
/// Three quarters: without it, a request would take a quarter of its time.
const NEARLY_ALL: f64 = 0.75;
const CPU_LIMIT: &str = "the CPU limit";

/// Bottlenecks that invalidate other figures come first, then certain ones, then those inferred when no processor is used up.
/// `None` if too little was measured.
pub fn name(
    data: &RunData,
    load: &ScenarioResult,
    expected: Option<&Expected>,
    findings: &[Finding],
) -> Option<Bottleneck> {
    generator(load)
        .or_else(|| data.saturation.iter().find_map(|saturation| pool(load, saturation)))
        .or_else(|| found(findings, &[Code::OomKilled, Code::MemoryAtLimit], "memory"))
        .or_else(|| load.activity.iter().find_map(lock))
        .or_else(|| host(expected?))
        .or_else(|| processor(data, load, expected?))
        .or_else(|| throttled(data, expected, findings))
        .or_else(|| waiting(load, expected?))
}

fn named(name: impl Into<String>, evidence: String) -> Bottleneck {
    Bottleneck { name: name.into(), evidence }
}

fn generator(load: &ScenarioResult) -> Option<Bottleneck> {
    let generator = load.generator;
    generator.saturated.then(|| named("the load generator", format!("it {}", generator.described())))
}

/// A bounded resource with waiting callers during most of the measured window.
fn pool(load: &ScenarioResult, saturation: &Saturation) -> Option<Bottleneck> {
    let (used_up, samples) = saturation.used_up(load.window());
    (used_up > 0 && used_up as f64 >= MOST * samples as f64).then(|| {
        let Saturation { component, pod, resource, limit, .. } = saturation;
        let text = format!(
            "all {limit} of {resource} of {pod} were in use while callers waited in {used_up} of the {samples} samples of the \
             measured window"
        );
        named(format!("a pool of {component}"), text)
    })
}

/// Findings that name a bottleneck.
fn found<'a>(findings: impl IntoIterator<Item = &'a Finding>, codes: &[Code], what: &str) -> Option<Bottleneck> {
    let finding = findings.into_iter().find(|finding| codes.contains(&finding.code))?;
    let component = finding.component.as_deref().unwrap_or("the system");
    Some(named(format!("{what} of {component}"), finding.claim.clone()))
}

/// A throttled component without usage figures in the measured window, or one with a replica that the kernel stopped in most
/// periods. Such a replica may use less than its limit on average: threads on several processors share the quota of a period.
fn throttled(data: &RunData, expected: Option<&Expected>, findings: &[Finding]) -> Option<Bottleneck> {
    let is_measured = |name: &str| expected.is_some_and(|expected| expected.replica_bound.contains_key(name));
    let is_mostly_stopped = |name: &str| {
        let component = data.environment.component(name).ok();
        let pods = component.into_iter().flat_map(Component::pod_names);
        pods.filter_map(|pod| data.throttling.get(&pod)).any(|throttling| throttling.share() >= MOST)
    };
    let limits = |name: &str| !is_measured(name) || is_mostly_stopped(name);
    let of_limits = findings.iter().filter(|finding| finding.component.as_deref().is_none_or(limits));
    found(of_limits, &[Code::CpuThrottled], CPU_LIMIT)
}

/// Sessions that wait for each other's locks: at least one on average.
fn lock(activity: &Activity) -> Option<Bottleneck> {
    let Activity { component, samples, sessions, .. } = activity;
    let all: f64 = sessions.values().sum();
    let locked: f64 =
        sessions.iter().filter(|(event, _)| event.starts_with("Lock:")).map(|(_, sessions)| sessions).sum();
    (locked >= 1.0 && locked >= MOST * all).then(|| {
        let evidence = format!(
            "of {all:.1} active sessions on average, {locked:.1} waited for a lock ({samples} samples: {})",
            activity.described()
        );
        named(format!("a lock in {component}"), evidence)
    })
}

fn host(expected: &Expected) -> Option<Bottleneck> {
    let Expected { cpus, host_utilisation, host_bound, .. } = expected;
    let used = host_utilisation * 100.0;
    (*host_utilisation >= USED_UP).then(|| {
        let text = format!(
            "its {cpus} processors were {used:.0}% busy; at this cost per request they can carry \
            {host_bound:.0} requests/s"
        );
        named("the host", text)
    })
}

/// A component whose replicas use all available CPU: their limit, or one processor for a single-threaded program. A component that
/// uses more than one processor has several threads and no such bound.
fn processor(data: &RunData, load: &ScenarioResult, expected: &Expected) -> Option<Bottleneck> {
    let used = |bound: f64| load.rate_per_second.unwrap_or_default() / bound;
    let target = data.environment.target;
    let limit =
        |name: &str| data.environment.component(name).ok()?.enforced_cpu_limit(target).filter(|limit| *limit <= 1.0);
    let bounded = expected.replica_bound.iter().map(|(name, bound)| (name, *bound, limit(name)));
    let bounded = bounded.filter(|(_, bound, limit)| limit.is_some() || used(*bound) <= MORE_THAN_ONE);
    let (component, bound, limit) = bounded.max_by(|(_, a, _), (_, b, _)| used(*a).total_cmp(&used(*b)))?;
    let share = used(bound) * 100.0;
    (used(bound) >= USED_UP).then(|| match limit {
        Some(limit) => {
            let text = format!(
                "each replica used {share:.0}% of its limit of {limit} processors; they can carry {bound:.0} requests/s"
            );
            named(format!("{CPU_LIMIT} of {component}"), text)
        }
        None => {
            let text = format!(
                "each replica used {share:.0}% of one processor, the maximum for one thread; they can carry \
                 {bound:.0} requests/s"
            );
            named(component, text)
        }
    })
}

/// The component that takes most of a request's time although no processor is used up. If several share it, there are many waits
/// and no bottleneck. `None` if an unmeasured component could be used up.
fn waiting(load: &ScenarioResult, expected: &Expected) -> Option<Bottleneck> {
    if !expected.not_measured.is_empty() {
        return None;
    }
    let used = expected.host_utilisation * 100.0;
    let all: f64 = load.parts.iter().map(|part| part.mean_ms).sum();
    let longest = load.parts.iter().max_by(|a, b| a.mean_ms.total_cmp(&b.mean_ms));
    let most = longest
        .map(|Part { name, mean_ms, .. }| format!("{name} takes {mean_ms:.1} ms of the {all:.1} ms of a request"));
    let idle = format!("no processor was used up (host {used:.0}%)");
    Some(match longest.zip(most) {
        Some((part, most)) if part.mean_ms >= NEARLY_ALL * all => named(&part.name, format!("{most}, and {idle}")),
        Some((_, most)) => named("waiting", format!("{idle}, and no component dominates the time: {most}")),
        None => {
            let median = load.latency_ms.map_or(0.0, |latency| latency.p50);
            named("waiting", format!("{idle}, and {} clients wait {median:.1} ms (median)", load.clients))
        }
    })
}

#[cfg(test)]
mod tests;
