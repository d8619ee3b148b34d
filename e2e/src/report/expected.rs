//! What an operation cost, and the throughput that machines carry at that cost. Pure. Main function: [`expected`].

use std::collections::{BTreeMap, BTreeSet};

use super::Expected;
use crate::{
    diagnose::RunData,
    environment::{LoadFrom, Replica},
    evidence::{Machine, Sample, cluster::Cluster},
    plan::quantity,
    provider::Usage,
    target::Target,
};

/// Between the first and the last figure of a window, where each is measured when it is asked for: the answer takes a tenth of a second
/// at worst, and a share of the processors is off by a twentieth.
const LEAST_SPAN_MS: u64 = 2_000;
/// The same where a cluster measures by itself, every ten seconds or so, and says when in whole seconds: it is off by an eighth at worst.
const LEAST_SPAN_OF_SECONDS_MS: u64 = 8_000;

/// What one look at a counter of processor time saw.
#[derive(Debug, Clone, Copy)]
struct Look {
    at_ms: u64,
    /// When that was measured, if not at the moment of the look.
    measured_ms: Option<u64>,
    seconds: f64,
}

impl Look {
    fn at_pod(sample: &Sample, pod: &str) -> Option<Self> {
        let Usage { cpu_seconds: seconds, measured_unix_ms: measured_ms, .. } = *sample.pods.get(pod)?;
        Some(Self { at_ms: sample.at_unix_ms, measured_ms, seconds })
    }

    fn at_machine(sample: &Sample, machine: &str) -> Option<Self> {
        let Machine { busy_seconds: seconds, measured_unix_ms: measured_ms, .. } = *sample.machines.get(machine)?;
        Some(Self { at_ms: sample.at_unix_ms, measured_ms, seconds })
    }
}

/// What each operation cost in the measured window. Absent when the window holds too few samples.
pub(super) fn expected(data: &RunData) -> Option<Expected> {
    let (throughput, _) = data.throughput()?;
    if throughput.acknowledged == 0 {
        return None;
    }
    let window = throughput.window_start_unix_ms..=throughput.window_start_unix_ms + throughput.duration_ms;
    let samples: Vec<_> = data.resources.samples.iter().filter(|sample| window.contains(&sample.at_unix_ms)).collect();
    // Some clusters and engines tell nothing.
    samples.iter().find(|sample| !sample.pods.is_empty())?;
    // Where others were seen, a replica that was not used nothing.
    let share = |replica: &Replica| {
        let looks: Vec<Look> = samples.iter().filter_map(|sample| Look::at_pod(sample, &replica.name)).collect();
        if looks.is_empty() { Some(0.0) } else { cpu_share(&looks) }
    };
    let per_operation = |processors: f64| processors * 1000.0 / throughput.operations_per_second;
    let mut cpu_ms_per_operation = BTreeMap::new();
    let mut replica_bound = BTreeMap::new();
    let mut not_measured = Vec::new();
    for component in &data.environment.components {
        let Some(demand_ms) = component.replicas.iter().map(share).sum::<Option<f64>>().map(per_operation) else {
            not_measured.push(component.name.clone());
            continue;
        };
        cpu_ms_per_operation.insert(component.name.clone(), demand_ms);
        if demand_ms > 0.0 {
            replica_bound.insert(component.name.clone(), f64::from(component.desired) * 1000.0 / demand_ms);
        }
    }
    if data.environment.target != Target::K8s || data.environment.load_from != LoadFrom::Host {
        cpu_ms_per_operation.insert("(load generator)".to_owned(), per_operation(throughput.generator.cpu_share));
    }
    let machines: BTreeSet<&String> = samples.iter().flat_map(|sample| sample.machines.keys()).collect();
    if machines.is_empty() && !not_measured.is_empty() {
        return None;
    }
    if !machines.is_empty() {
        let looks = |name: &str| samples.iter().filter_map(|sample| Look::at_machine(sample, name)).collect::<Vec<_>>();
        let busy = machines.iter().map(|name| cpu_share(&looks(name))).sum::<Option<f64>>()?;
        // The network's share of the kernel, the container engine, kubelets and neighbours.
        let known: f64 = cpu_ms_per_operation.values().sum();
        cpu_ms_per_operation.insert("(all else there)".to_owned(), (per_operation(busy) - known).max(0.0));
    }
    let total_ms: f64 = cpu_ms_per_operation.values().sum();
    let told = samples.iter().rev().find_map(|sample| sample.machines.values().next()?.cpus);
    let cpus = match &data.cluster {
        Some(cluster) => cpus_of_nodes(cluster),
        None => told.unwrap_or(data.request.host.cpus) as f64,
    };
    if cpus <= 0.0 {
        return None;
    }
    Some(Expected {
        cpus,
        host_bound: cpus * 1000.0 / total_ms,
        host_utilisation: total_ms * throughput.operations_per_second / (cpus * 1000.0),
        cpu_ms_per_operation,
        replica_bound,
        not_measured,
    })
}

/// Processors of the nodes on which the run's pods are: all of them, since all that keeps them busy is counted.
fn cpus_of_nodes(cluster: &Cluster) -> f64 {
    let is_used = |name: &str| cluster.placement.iter().any(|place| place.node.as_deref() == Some(name));
    let used = cluster.nodes.iter().filter(|node| is_used(&node.name));
    let millis = used.filter_map(|node| quantity::millis(node.capacity.get("cpu")?).ok());
    millis.sum::<u64>() as f64 / 1000.0
}

/// Processors in use between the first and the last figure; nothing where too little time is between them.
fn cpu_share(looks: &[Look]) -> Option<f64> {
    let is_told = looks.iter().any(|look| look.measured_ms.is_some());
    let (figures, least) = match is_told {
        true => (told_anew(looks), LEAST_SPAN_OF_SECONDS_MS),
        false => (looks.iter().map(|look| (look.at_ms, look.seconds)).collect(), LEAST_SPAN_MS),
    };
    let (first, last) = (figures.first()?, figures.last()?);
    let span = last.0.checked_sub(first.0).filter(|span| *span >= least)? as f64 / 1000.0;
    let used: f64 = figures.windows(2).map(|pair| grown(pair[0].1, pair[1].1)).sum();
    Some(used / span)
}

/// The figures that were measured since the first look, each once and with the time at which it was measured: the clock of who measures
/// may differ from this one.
fn told_anew(looks: &[Look]) -> Vec<(u64, f64)> {
    let anew = looks.windows(2).filter(|pair| pair[0].measured_ms != pair[1].measured_ms);
    anew.filter_map(|pair| Some((pair[1].measured_ms?, pair[1].seconds))).collect()
}

/// How far a counter went on, which a restart lets begin at 0 again.
pub(super) fn grown(before: f64, after: f64) -> f64 {
    if after >= before { after - before } else { after }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::cluster::{Node, Placement};

    #[test]
    fn processors_in_use_are_those_between_two_figures() {
        let looks = |looks: &[(u64, f64)]| -> Vec<Look> {
            looks.iter().map(|&(at_ms, seconds)| Look { at_ms, measured_ms: None, seconds }).collect()
        };
        assert_eq!(cpu_share(&looks(&[(0, 4.0), (1_000, 5.0), (2_000, 6.0)])), Some(1.0));
        // A restart begins to count at 0 again.
        assert_eq!(cpu_share(&looks(&[(0, 4.0), (1_000, 5.0), (2_000, 0.5), (3_000, 1.0)])), Some(2.0 / 3.0));
        assert_eq!(cpu_share(&looks(&[(0, 1.0), (2_000, 1.0)])), Some(0.0));
        assert_eq!(cpu_share(&looks(&[(0, 1.0), (1_000, 2.0)])), None, "too short");
        assert_eq!(cpu_share(&[]), None);
    }

    #[test]
    fn figures_of_a_cluster_count_from_the_times_at_which_they_were_measured() {
        // Its clock is an hour ahead; the first figure is from before, and nobody knows how busy it was until then.
        let clock = 3_600_000;
        let look =
            |at_ms: u64, measured_ms: u64, seconds| Look { at_ms, measured_ms: Some(clock + measured_ms), seconds };
        let looks = [
            look(10_000, 1_000, 3.0),
            look(11_000, 11_000, 10.0),
            look(12_000, 11_000, 10.0),
            look(23_000, 22_000, 21.0),
            look(24_000, 22_000, 21.0),
        ];
        assert_eq!(cpu_share(&looks), Some(1.0));
        assert_eq!(cpu_share(&looks[..3]), None, "one figure has no span");
        assert_eq!(cpu_share(&[look(0, 0, 1.0), look(1_000, 1_000, 2.0), look(8_000, 8_000, 9.0)]), None, "7 s");
    }

    #[test]
    fn only_nodes_that_run_something_carry_it() {
        let node = |name: &str, cpu: &str| Node {
            name: name.to_owned(),
            capacity: BTreeMap::from([("cpu".to_owned(), cpu.to_owned())]),
            ..Node::default()
        };
        let on = |name: &str| Placement { node: Some(name.to_owned()), ..Placement::default() };
        let cluster = Cluster {
            nodes: vec![node("a", "2"), node("b", "1930m"), node("idle", "64")],
            placement: vec![on("a"), on("b"), on("b")],
            ..Cluster::default()
        };
        assert_eq!(cpus_of_nodes(&cluster), 3.93);
    }
}
