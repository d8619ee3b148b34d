//! What limited the throughput of a run, by the run's own evidence: [`of`]. Without input or output.

use e2e::{
    diagnose::Code,
    record::Throughput,
    report::{Expected, Finding, Report},
};
use serde::Serialize;

/// What limited a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Bottleneck {
    /// In one or two words: `the host`, `the database pool`, `backend`.
    pub(super) name: String,
    /// The figures that say so.
    pub(super) evidence: String,
}

/// From this utilisation on, queues in front of a resource grow faster than its use: at 0.85 a request already waits about six times as
/// long as it is served (M/M/1: 1 / (1 - 0.85)).
const USED_UP: f64 = 0.85;

/// The bottleneck; nothing when no load was measured.
pub(super) fn of(report: &Report) -> Option<Bottleneck> {
    let throughput = report.throughput.as_ref()?;
    name(throughput, report.expected.as_ref(), &report.findings, report.request.host.cpus)
}

/// What makes other figures untrue comes first, then what is certain, and last what is left when no processor is used up.
fn name(throughput: &Throughput, expected: Option<&Expected>, findings: &[Finding], cpus: u64) -> Option<Bottleneck> {
    let rate = throughput.operations_per_second;
    let named = |name: &str, evidence: String| Some(Bottleneck { name: name.to_owned(), evidence });
    if throughput.generator.saturated {
        let share = throughput.generator.cpu_share * 100.0;
        return named("the load generator", format!("it used {share:.0}% of a core"));
    }
    for (code, name) in [
        (Code::PoolExhausted, "a pool"),
        (Code::OomKilled, "memory"),
        (Code::MemoryAtLimit, "memory"),
        (Code::CpuThrottled, "the CPU limit"),
    ] {
        if let Some(finding) = findings.iter().find(|finding| finding.code == code) {
            let component = finding.component.as_deref().unwrap_or("the system");
            return named(&format!("{name} of {component}"), finding.claim.clone());
        }
    }
    let expected = expected?;
    if expected.host_utilisation >= USED_UP {
        let (used, bound) = (expected.host_utilisation * 100.0, expected.host_bound);
        let evidence =
            format!("its {cpus} processors were {used:.0}% busy; at this cost they carry {bound:.0} operations/s");
        return named("the host", evidence);
    }
    let utilisation = |bound: &f64| rate / bound;
    let busiest = expected.replica_bound.iter().max_by(|(_, a), (_, b)| utilisation(a).total_cmp(&utilisation(b)));
    if let Some((component, bound)) = busiest.filter(|(_, bound)| utilisation(bound) >= USED_UP) {
        let used = utilisation(bound) * 100.0;
        return named(
            component,
            format!("the one thread of each replica was {used:.0}% busy; they carry {bound:.0} operations/s"),
        );
    }
    let used = expected.host_utilisation * 100.0;
    let median = throughput.latency_ms.map_or(0.0, |latency| latency.p50);
    let evidence = format!(
        "no processor was used up (host {used:.0}%): {} clients wait {median:.1} ms in the median for something that is not a processor",
        throughput.clients
    );
    named("waiting", evidence)
}

#[cfg(test)]
mod tests;
