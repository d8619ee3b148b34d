//! Findings about probes that fail, or nearly do, only because the application works. Main functions: [`starved`], [`margins`].

use e2e_figures::{
    margin::{AtLoad, MarginEnd, QUANTILE, margin_end},
    scenario::{ModelKind, ScenarioResult},
    stats::nearest_rank,
};
use e2e_kubelet::{
    diagnosis::Cause,
    exchange::Exchange,
    observation::{Kind, Verdict},
};
use e2e_plan::{ProbeKind, words::counted};

use super::{Code, RunData, cpu, load, memory};
use crate::{
    environment::{Component, ProbeSpec},
    evidence::{DOCTOR, DoctorEntry, PROBES, THROTTLING},
    finding::{Finding, Severity},
    probing::{at_rest, busy, exchanges, within},
    run_data::Source,
};

/// The chance at most with which so many failures fall into the load although it has nothing to do with them.
const CHANCE: f64 = 0.01;
/// Fewer probes at rest, or within a load, say nothing about what is usual then.
const FEWEST: usize = 5;
/// Requests that take at least this share of a probe's budget wait as it does.
const AS_LATE: f64 = 0.5;
/// From this share of what is left at rest on a load has used up the margin of a probe.
const USED_UP: f64 = 0.5;

/// A probe that the work of its application keeps from being answered in time. The doctor has seen the right answer come late while a
/// scenario ran; at rest no probe failed; and what holds it back is known: the requests themselves are as late, or the kernel held the
/// component back at its CPU limit. Memory is not short and no pool is used up, either of which would explain it as well.
pub(super) fn starved(data: &RunData) -> Vec<Finding> {
    data.environment.components.iter().filter_map(|component| starved_component(data, component)).collect()
}

fn starved_component(data: &RunData, component: &Component) -> Option<Finding> {
    let pods: Vec<_> = data.pods_of(component).collect();
    if !memory::of_component(data, component, &pods).is_empty() || load::is_pool_used_up(data, component) {
        return None;
    }
    let entries = data.doctor.iter().enumerate();
    let late =
        entries.filter(|(_, entry)| entry.component == component.name && entry.diagnosis.cause == Some(Cause::TooSlow));
    late.filter_map(|(index, entry)| starved_probe(data, component, index, entry)).next()
}

fn starved_probe(data: &RunData, component: &Component, index: usize, entry: &DoctorEntry) -> Option<Finding> {
    let spec = component.probe(&entry.container, entry.which)?;
    let (figures, source) = data.scenarios().find(|(figures, _)| busy(data, figures).contains(&entry.at_unix_ms))?;
    let all = exchanges(data, component, spec);
    let (rest, loaded) = (at_rest(data, &all), within(&all, &busy(data, figures)));
    let late = loaded.iter().filter(|exchange| exchange.kind == Kind::Timeout).count();
    // What failed at once, as an application does that is not ready yet, was not late.
    let is_calm = rest.iter().all(|exchange| exchange.kind != Kind::Timeout);
    if !is_calm || chance(late, loaded.len(), rest.len()) > CHANCE {
        return None;
    }
    let Component { name, kind, .. } = component;
    let (which, budget_ms) = (spec.which, budget_ms(spec));
    let limited =
        component.enforced_cpu_limit(data.environment.target).filter(|_| cpu::held_back(data, component).is_some());
    let requests = figures.latency_ms.filter(|latency| latency.p50 >= AS_LATE * budget_ms);
    let (why, fix) = match (limited, requests) {
        (Some(limit), _) => (
            format!("the kernel holds it back at its limit of {limit} processors"),
            format!("Raise resources.limits.cpu in {kind} {name}, or remove it and keep requests.cpu."),
        ),
        (None, Some(latency)) => (
            format!("it waits behind the requests, which take {:.0} ms themselves (median)", latency.p50),
            format!(
                "Serve the {which} probe of {name} from its own thread, process or port, and keep blocking calls off the threads that serve \
                 requests; a longer timeoutSeconds or a higher failureThreshold only moves the load at which it fails."
            ),
        ),
        (None, None) => return None,
    };
    let usual = quantile(&rest, 0.5).map_or(String::new(), |ms| format!(" (median {ms:.1} ms)"));
    let throttling = limited.map(|_| THROTTLING.to_owned());
    Some(Finding {
        claim: format!(
            "the {which} probe of {name} is late only under load, because {why}: none of {} at rest was late{usual}; with {} of the \
             scenario {}, {late} of {} took longer than {budget_ms:.0} ms and then got the right answer{}",
            counted(rest.len(), "probe"),
            load_of(figures),
            figures.name,
            loaded.len(),
            killed(data, component, spec)
        ),
        evidence: [Some(format!("{DOCTOR}#/{index}")), Some(PROBES.to_owned()), Some(source.figure("")), throttling]
            .into_iter()
            .flatten()
            .collect(),
        fix,
        ..Finding::of(name, Code::ProbeStarved, Severity::Error)
    })
}

/// What a liveness probe did to a container that was short of nothing but time.
fn killed(data: &RunData, component: &Component, spec: &ProbeSpec) -> String {
    let containers = data.pods_of(component).filter_map(|(_, pod)| pod.container(&spec.container));
    match containers.map(|container| container.kills_by(ProbeKind::Liveness)).sum::<u64>() {
        0 => String::new(),
        kills => {
            format!("; the liveness probe got it killed {}, although memory was not short", counted(kills, "time"))
        }
    }
}

/// Fisher's exact test, one-sided (R. A. Fisher, "On the interpretation of χ² from contingency tables", Journal of the Royal Statistical
/// Society 85, 1922): the chance that all of `failures` fall among `loaded` of `loaded + rest` probes, none of which fails more readily.
fn chance(failures: usize, loaded: usize, rest: usize) -> f64 {
    let each = (0..failures).map(|index| (loaded - index) as f64 / (loaded + rest - index) as f64);
    if failures == 0 { 1.0 } else { each.product() }
}

/// Probes that no load of the run makes fail, and of which one has used up half of the margin.
pub(super) fn margins(data: &RunData) -> Vec<Finding> {
    let probes = data.environment.components.iter().flat_map(|component| {
        component.probes.iter().filter(|spec| spec.which != ProbeKind::Startup).map(move |spec| (component, spec))
    });
    let tightest = |(component, spec): (&Component, &ProbeSpec)| {
        let all = data.scenarios().filter_map(|(figures, source)| margin(data, component, spec, figures, &source));
        all.max_by(|(one, _), (two, _)| one.total_cmp(two)).map(|(_, finding)| finding)
    };
    probes.filter_map(tightest).collect()
}

/// The share of the margin that a scenario uses up, with the finding about it.
fn margin(
    data: &RunData,
    component: &Component,
    spec: &ProbeSpec,
    figures: &ScenarioResult,
    source: &Source,
) -> Option<(f64, Finding)> {
    let all = exchanges(data, component, spec);
    let (rest, loaded) = (at_rest(data, &all), within(&all, &figures.window()));
    let has_failed = loaded.iter().any(|exchange| exchange.verdict != Verdict::Success);
    if has_failed || rest.len() < FEWEST || loaded.len() < FEWEST {
        return None;
    }
    let (usual, slow, budget) = (quantile(&rest, 0.5)?, quantile(&loaded, QUANTILE)?, budget_ms(spec));
    let share = (slow - usual) / (budget - usual);
    if share < USED_UP {
        return None;
    }
    let load = match figures.model {
        ModelKind::Closed => figures.clients.saturating_sub(figures.clients_lost) as f64,
        ModelKind::Open => figures.rate_per_second?,
    };
    let groups = [AtLoad { load: 0.0, latencies: took(&rest) }, AtLoad { load, latencies: took(&loaded) }];
    let MarginEnd { load: end, low, high } = margin_end(figures.model, &groups, budget)?;
    let unit = if figures.model == ModelKind::Closed { "clients" } else { "requests/s" };
    let interval = match high {
        Some(high) => format!("{low:.0} to {high:.0}"),
        None => format!("{low:.0} or more"),
    };
    let (name, which) = (&component.name, spec.which);
    let finding = Finding {
        claim: format!(
            "the {which} probe of {name} comes close to its timeout of {budget:.0} ms: the median is {usual:.1} ms at rest, and one in ten \
             takes {slow:.0} ms or more with {} of the scenario {}; extrapolated, it reaches the timeout at {end:.0} {unit} (95% interval \
             {interval})",
            load_of(figures),
            figures.name
        ),
        evidence: vec![PROBES.to_owned(), source.figure("")],
        fix: format!(
            "Serve the {which} probe of {name} from its own thread, process or port, or raise its timeoutSeconds; `doctor --under-load` \
             measures the rate at which it fails."
        ),
        ..Finding::of(name, Code::ProbeMargin, Severity::Warning)
    };
    Some((share, finding))
}

/// `40 clients`, or the rate.
fn load_of(figures: &ScenarioResult) -> String {
    match (figures.model, figures.asked_rate) {
        (ModelKind::Open, Some(rate)) => format!("{rate} requests/s"),
        _ => counted(figures.clients, "client"),
    }
}

fn budget_ms(spec: &ProbeSpec) -> f64 {
    spec.probe.timeout.as_secs_f64() * 1000.0
}

fn took(exchanges: &[&Exchange]) -> Vec<f64> {
    exchanges.iter().map(|exchange| exchange.total_ms).collect()
}

fn quantile(exchanges: &[&Exchange], quantile: f64) -> Option<f64> {
    nearest_rank(&mut took(exchanges), quantile)
}

#[cfg(test)]
mod tests;
