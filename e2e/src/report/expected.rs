//! What an operation cost, and the throughput that machines carry at that cost. Pure. Main function: [`expected`].

use std::collections::{BTreeMap, BTreeSet};

use super::Expected;
use crate::{
    diagnose::RunData,
    environment::LoadFrom,
    evidence::{Sample, cluster::Cluster},
    plan::quantity,
    target::Target,
};

/// Two changes have one span between them, whose length is off by as much as a sample is old; with three it is off by half.
const FEWEST_CHANGES: usize = 3;

/// What each operation cost in the measured window. Absent when the window holds too few samples.
pub(super) fn expected(data: &RunData) -> Option<Expected> {
    let (throughput, _) = data.throughput()?;
    if throughput.acknowledged == 0 {
        return None;
    }
    let window = throughput.window_start_unix_ms..=throughput.window_start_unix_ms + throughput.duration_ms;
    let samples: Vec<_> = data.resources.samples.iter().filter(|sample| window.contains(&sample.at_unix_ms)).collect();
    let curve = |replica: &str| -> Vec<(u64, f64)> {
        samples.iter().filter_map(|sample| Some((sample.at_unix_ms, sample.pods.get(replica)?.cpu_seconds))).collect()
    };
    let curves: BTreeMap<&str, Vec<(u64, f64)>> = data
        .environment
        .components
        .iter()
        .flat_map(|component| &component.replicas)
        .map(|replica| (replica.name.as_str(), curve(&replica.name)))
        .collect();
    // A cluster measures every ten seconds or so: a window that sees too few of its figures tells nothing.
    if curves.values().map(|curve| changes(curve).len()).max()? < FEWEST_CHANGES {
        return None;
    }
    let per_operation = |processors: f64| processors * 1000.0 / throughput.operations_per_second;
    let mut cpu_ms_per_operation = BTreeMap::new();
    let mut replica_bound = BTreeMap::new();
    for component in &data.environment.components {
        let shares = component.replicas.iter().filter_map(|replica| cpu_share(curves.get(replica.name.as_str())?));
        let demand_ms = per_operation(shares.sum::<f64>());
        cpu_ms_per_operation.insert(component.name.clone(), demand_ms);
        if demand_ms > 0.0 {
            replica_bound.insert(component.name.clone(), f64::from(component.desired) * 1000.0 / demand_ms);
        }
    }
    if data.environment.target != Target::K8s || data.environment.load_from != LoadFrom::Host {
        cpu_ms_per_operation.insert("(load generator)".to_owned(), per_operation(throughput.generator.cpu_share));
    }
    let machines: BTreeSet<&String> = samples.iter().flat_map(|sample| sample.machines.keys()).collect();
    let busy = machines.iter().map(|name| busy_processors(&samples, name)).sum::<Option<f64>>();
    if let Some(busy) = busy.filter(|_| !machines.is_empty()) {
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
    })
}

/// How many processors of a machine were busy; nothing with too few figures of it.
fn busy_processors(samples: &[&Sample], machine: &str) -> Option<f64> {
    let figure = |sample: &&Sample| Some((sample.at_unix_ms, sample.machines.get(machine)?.busy_seconds));
    let curve: Vec<(u64, f64)> = samples.iter().filter_map(figure).collect();
    cpu_share(&curve).filter(|_| changes(&curve).len() >= FEWEST_CHANGES)
}

/// Processors of the nodes on which the run's pods are: all of them, since all that keeps them busy is counted.
fn cpus_of_nodes(cluster: &Cluster) -> f64 {
    let is_used = |name: &str| cluster.placement.iter().any(|place| place.node.as_deref() == Some(name));
    let used = cluster.nodes.iter().filter(|node| is_used(&node.name));
    let millis = used.filter_map(|node| quantity::millis(node.capacity.get("cpu")?).ok());
    millis.sum::<u64>() as f64 / 1000.0
}

/// The samples that show another figure than the one before: the moments at which it was measured anew.
fn changes(curve: &[(u64, f64)]) -> Vec<(u64, f64)> {
    curve.windows(2).filter(|pair| pair[0].1 != pair[1].1).map(|pair| pair[1]).collect()
}

/// Processors in use over a curve of (milliseconds since 1970, processor seconds), from its first change to its last where it
/// has two.
fn cpu_share(curve: &[(u64, f64)]) -> Option<f64> {
    let changes = changes(curve);
    let curve = if changes.len() < 2 { curve } else { &changes };
    let (first, last) = (curve.first()?, curve.last()?);
    let seconds = last.0.checked_sub(first.0).filter(|span| *span > 0)? as f64 / 1000.0;
    let used: f64 = curve.windows(2).map(|pair| grown(pair[0].1, pair[1].1)).sum();
    Some(used / seconds)
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
    fn processors_in_use_are_those_between_two_measurements() {
        // Measured anew every ten seconds, looked at every five: one processor in use.
        let coarse =
            [(0, 3.0), (5_000, 10.0), (10_000, 10.0), (15_000, 20.0), (20_000, 20.0), (25_000, 30.0), (30_000, 30.0)];
        assert_eq!(cpu_share(&coarse), Some(1.0));
        assert_eq!(changes(&coarse).len(), 3);
        // A restart begins to count at 0 again.
        assert_eq!(cpu_share(&[(0, 4.0), (1_000, 5.0), (2_000, 0.5), (3_000, 1.0)]), Some(0.5));
        assert_eq!(cpu_share(&[(0, 1.0), (1_000, 1.0)]), Some(0.0));
        assert_eq!(cpu_share(&[(0, 1.0)]), None);
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
