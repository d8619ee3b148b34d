//! The cost of a request, and the rate that machines carry at that cost. Pure. Main type: [`Expected`], made by [`expected`].

use std::collections::{BTreeMap, BTreeSet};

use e2e_figures::scenario::ScenarioResult;
use e2e_plan::{quantity, target::Target};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    environment::{Component, LoadFrom, Replica},
    evidence::{Machine, Sample, Usage, cluster::Cluster},
    run_data::RunData,
};

/// Upper bounds of a rate, derived from the cost of a request.
///
/// Utilisation law (Denning and Buzen, The Operational Analysis of Queueing Network Models, 1978): with service demand D per
/// request, a resource of capacity c carries at most c / D.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Expected {
    /// Processors of the system's machine or nodes.
    #[serde(default)]
    pub cpus: f64,
    /// Processor time per request by component, including the load generator if it ran on the same machine, and the machine's other
    /// load if known.
    pub cpu_ms_per_request: BTreeMap<String, f64>,
    /// Requests per second that use up the machine's processors.
    pub host_bound: f64,
    /// Utilisation of the machine's processors during the measurement, 0 to 1.
    pub host_utilisation: f64,
    /// Requests per second that use up each replica's single thread, or its CPU limit if that is less, by component.
    pub replica_bound: BTreeMap<String, f64>,
    /// Components with too few measurements of processor time. Their use counts as the machine's other load.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_measured: Vec<String>,
}

impl Expected {
    /// Processor time per request of the components and the generator, as a share of what the machine did.
    pub(crate) fn own_share(&self) -> f64 {
        let all: f64 = self.cpu_ms_per_request.values().sum();
        (all - self.cpu_ms_per_request.get(ELSE).unwrap_or(&0.0)) / all
    }

    /// Processor time of a component, as a multiple of the load generator's for the same requests. Both take longer when the machine is
    /// slow, so this varies far less between runs than the time itself. `None` if either was not measured on the same machine.
    pub(crate) fn relative_to_generator(&self, component: &str) -> Option<f64> {
        let generator = self.cpu_ms_per_request.get(GENERATOR).filter(|ms| **ms > 0.0)?;
        Some(self.cpu_ms_per_request.get(component)? / generator)
    }
}

/// The minimum span of on-demand measurements: an answer takes at most a tenth of a second, an error of a twentieth.
const LEAST_SPAN_MS: u64 = 2_000;
/// The minimum span between two figures of a cluster, measured about every ten seconds and dated in whole seconds: an error of at
/// most an eighth for a pod of one container.
const LEAST_SPAN_OF_SECONDS_MS: u64 = 8_000;

/// What the machine did beyond the components and the generator: the kernel's work for them, and that of neighbours.
pub(crate) const ELSE: &str = "(all else there)";

/// What the load cost the machine, if it came from there.
const GENERATOR: &str = "(load generator)";

/// One reading of a counter of processor time.
#[derive(Debug, Clone, Copy)]
struct Look {
    /// The time of the measurement, if it differs from the time of the reading.
    measured_ms: Option<u64>,
    seconds: f64,
}

impl Look {
    fn at_pod(sample: &Sample, pod: &str) -> Option<Self> {
        let Usage { cpu_seconds: seconds, measured_unix_ms: measured_ms, .. } = *sample.pods.get(pod)?;
        Some(Self { measured_ms, seconds })
    }

    fn at_machine(sample: &Sample, machine: &str) -> Option<Self> {
        let Machine { busy_seconds: seconds, measured_unix_ms: measured_ms, .. } = *sample.machines.get(machine)?;
        Some(Self { measured_ms, seconds })
    }
}

/// The cost of a request in the measured window; `None` if it has too few samples.
pub fn expected(data: &RunData, load: &ScenarioResult) -> Option<Expected> {
    let rate = load.rate_per_second.filter(|_| load.succeeded > 0)?;
    let window = load.window();
    let samples: Vec<_> = data.resources.samples.iter().filter(|sample| window.contains(&sample.at_unix_ms)).collect();
    // Some clusters and engines do not report it.
    if samples.iter().all(|sample| sample.pods.is_empty()) {
        return None;
    }
    let is_cluster = data.environment.target == Target::K8s;
    let (first, last) = (samples.first()?.at_unix_ms, samples.last()?.at_unix_ms);
    let span = last.checked_sub(first).filter(|span| *span >= LEAST_SPAN_MS);
    let cpu_share =
        |looks: &[Look]| if is_cluster { told_share(looks) } else { Some(used(looks) / (span? as f64 / 1000.0)) };
    let share = |replica: &Replica| {
        cpu_share(&samples.iter().filter_map(|sample| Look::at_pod(sample, &replica.name)).collect::<Vec<_>>())
    };
    let per_request = |processors: f64| processors * 1000.0 / rate;
    let mut cpu_ms_per_request = BTreeMap::new();
    let mut replica_bound = BTreeMap::new();
    let mut not_measured = Vec::new();
    for component in &data.environment.components {
        let Some(demand_ms) = component.replicas.iter().map(share).sum::<Option<f64>>().map(per_request) else {
            not_measured.push(component.name.clone());
            continue;
        };
        cpu_ms_per_request.insert(component.name.clone(), demand_ms);
        if demand_ms > 0.0 {
            let processors = f64::from(component.desired) * processors_of_replica(data.environment.target, component);
            replica_bound.insert(component.name.clone(), processors * 1000.0 / demand_ms);
        }
    }
    if data.environment.target != Target::K8s || data.environment.load_from != LoadFrom::Host {
        cpu_ms_per_request.insert(GENERATOR.to_owned(), per_request(load.generator.cpu_share));
    }
    // All nodes in use must report, because all their processors count.
    let seen = samples.iter().flat_map(|sample| sample.machines.keys().map(String::as_str));
    let machines: BTreeSet<&str> = seen.chain(data.cluster.iter().flat_map(used_nodes)).collect();
    if machines.is_empty() && !not_measured.is_empty() {
        return None;
    }
    if !machines.is_empty() {
        let looks = |name: &str| samples.iter().filter_map(|sample| Look::at_machine(sample, name)).collect::<Vec<_>>();
        let counters =
            machines.iter().map(|name| Some(Counter { name, share: cpu_share(&looks(name))?, looks: looks(name) }));
        let counters: Vec<Counter<'_>> = counters.collect::<Option<_>>()?;
        let busy: f64 = distinct(&counters, data.cluster.as_ref()).map(|counter| counter.share).sum();
        // The kernel's network work, the container engine, kubelets and neighbours.
        let known: f64 = cpu_ms_per_request.values().sum();
        cpu_ms_per_request.insert(ELSE.to_owned(), (per_request(busy) - known).max(0.0));
    }
    let total_ms: f64 = cpu_ms_per_request.values().sum();
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
        host_utilisation: total_ms * rate / (cpus * 1000.0),
        cpu_ms_per_request,
        replica_bound,
        not_measured,
    })
}

/// The processors available to a replica: one for a single-threaded program, or its limit if that is less.
fn processors_of_replica(target: Target, component: &Component) -> f64 {
    component.enforced_cpu_limit(target).map_or(1.0, |limit| limit.min(1.0))
}

/// The nodes of the run's pods.
fn used_nodes(cluster: &Cluster) -> BTreeSet<&str> {
    cluster.placement.iter().filter_map(|place| place.node.as_deref()).collect()
}

/// All processors of the nodes of the run's pods, because all their load counts. Nodes on one machine, for example containers,
/// share its processors.
fn cpus_of_nodes(cluster: &Cluster) -> f64 {
    let used = used_nodes(cluster);
    let mut millis: BTreeMap<&str, u64> = BTreeMap::new();
    for node in cluster.nodes.iter().filter(|node| used.contains(node.name.as_str())) {
        let own = node.capacity.get("cpu").and_then(|cpu| quantity::millis(cpu).ok()).unwrap_or(0);
        let machine = millis.entry(machine_of(cluster, &node.name)).or_default();
        *machine = own.max(*machine);
    }
    millis.values().sum::<u64>() as f64 / 1000.0
}

/// The machine of a node, or the node itself if unknown.
fn machine_of<'a>(cluster: &'a Cluster, node: &'a str) -> &'a str {
    let known = cluster.nodes.iter().find(|candidate| candidate.name == node);
    known.and_then(|node| node.machine.as_deref()).unwrap_or(node)
}

/// The readings of a machine's or node's counter of processor time.
struct Counter<'a> {
    name: &'a str,
    /// Processors in use.
    share: f64,
    looks: Vec<Look>,
}

/// The maximum time between two readings of one counter: kubelets measure every ten seconds.
const LOOKS_APART_SECONDS: f64 = 20.0;
/// The maximum difference between two shares of one counter, for the same reason.
const SHARES_APART: f64 = 0.15;

/// Removes duplicates. Nodes on one machine may each report the whole machine or their own part, depending on their containers:
/// equal values and rates mean the same counter.
fn distinct<'a>(all: &'a [Counter<'a>], cluster: Option<&'a Cluster>) -> impl Iterator<Item = &'a Counter<'a>> {
    let machine =
        move |counter: &Counter<'a>| cluster.map_or(counter.name, |cluster| machine_of(cluster, counter.name));
    let is_same = move |a: &Counter<'a>, b: &Counter<'a>| {
        let (Some(at_a), Some(at_b)) = (a.looks.last(), b.looks.last()) else { return false };
        let fastest = a.share.max(b.share);
        machine(a) == machine(b)
            && (at_a.seconds - at_b.seconds).abs() <= fastest * LOOKS_APART_SECONDS
            && (a.share - b.share).abs() <= fastest * SHARES_APART
    };
    all.iter()
        .enumerate()
        .filter(move |(index, counter)| !all[..*index].iter().any(|other| is_same(other, counter)))
        .map(|(_, it)| it)
}

/// Processor seconds between the first and the last reading.
fn used(looks: &[Look]) -> f64 {
    looks.windows(2).map(|pair| grown(pair[0].seconds, pair[1].seconds)).sum()
}

/// Processors in use between the first and the last figure measured since the first reading, by their own timestamps: clocks may
/// differ. `None` if too little time lies between them.
fn told_share(looks: &[Look]) -> Option<f64> {
    let anew = looks.windows(2).filter(|pair| pair[0].measured_ms != pair[1].measured_ms).map(|pair| pair[1]);
    let anew: Vec<Look> = anew.collect();
    let span = anew.last()?.measured_ms?.checked_sub(anew.first()?.measured_ms?);
    let span = span.filter(|span| *span >= LEAST_SPAN_OF_SECONDS_MS)? as f64 / 1000.0;
    Some(used(&anew) / span)
}

/// The increase of a counter, which restarts at 0 with its container.
pub(crate) fn grown(before: f64, after: f64) -> f64 {
    if after >= before { after - before } else { after }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::cluster::{Node, Placement};

    #[test]
    fn a_restart_begins_to_count_at_0_again() {
        let looks = [4.0, 5.0, 0.5, 1.0].map(|seconds| Look { measured_ms: None, seconds });
        assert_eq!(used(&looks), 2.0);
    }

    #[test]
    fn figures_of_a_cluster_count_from_the_times_at_which_they_were_measured() {
        // Its clock is an hour ahead; the first figure predates the window.
        let clock = 3_600_000;
        let look = |measured_ms: u64, seconds| Look { measured_ms: Some(clock + measured_ms), seconds };
        let looks = [look(1_000, 3.0), look(11_000, 10.0), look(11_000, 10.0), look(22_000, 21.0), look(22_000, 21.0)];
        assert_eq!(told_share(&looks), Some(1.0));
        assert_eq!(told_share(&looks[..3]), None, "one figure has no span");
        assert_eq!(told_share(&[look(0, 1.0), look(1_000, 2.0), look(8_000, 9.0)]), None, "7 s");
        assert_eq!(told_share(&[1.0, 2.0, 3.0].map(|seconds| Look { measured_ms: None, seconds })), None);
    }

    #[test]
    fn a_component_costs_a_multiple_of_what_the_generator_costs() {
        let cost = |generator_ms| {
            let cpu_ms_per_request = [("a", 0.25), (GENERATOR, generator_ms)].map(|(name, ms)| (name.to_owned(), ms));
            Expected { cpu_ms_per_request: cpu_ms_per_request.into(), ..Expected::default() }
        };
        assert_eq!(cost(0.125).relative_to_generator("a"), Some(2.0));
        assert_eq!(cost(0.125).relative_to_generator("b"), None);
        assert_eq!(cost(0.0).relative_to_generator("a"), None);
    }

    fn node(name: &str, cpu: &str, machine: Option<&str>) -> Node {
        let capacity = BTreeMap::from([("cpu".to_owned(), cpu.to_owned())]);
        Node { name: name.to_owned(), capacity, machine: machine.map(str::to_owned), ..Node::default() }
    }

    /// A pod on a node.
    fn on(name: &str) -> Placement {
        Placement { node: Some(name.to_owned()), ..Placement::default() }
    }

    #[test]
    fn only_nodes_that_run_something_carry_it() {
        let cluster = Cluster {
            nodes: vec![node("a", "2", None), node("b", "1930m", None), node("idle", "64", None)],
            placement: vec![on("a"), on("b"), on("b")],
            ..Cluster::default()
        };
        assert_eq!(cpus_of_nodes(&cluster), 3.93);
    }

    /// As kind makes them: a control plane and a worker that are containers of one machine.
    #[test]
    fn nodes_of_one_machine_share_its_processors() {
        let cluster = Cluster {
            nodes: vec![node("kind-a", "2", Some("m")), node("kind-b", "2", Some("m")), node("far", "2", Some("n"))],
            placement: vec![on("kind-a"), on("kind-b")],
            ..Cluster::default()
        };
        assert_eq!(cpus_of_nodes(&cluster), 2.0);

        let counter = |name, share, seconds| Counter { name, share, looks: vec![Look { measured_ms: None, seconds }] };
        let busy = |all: &[Counter<'_>]| distinct(all, Some(&cluster)).map(|counter| counter.share).sum::<f64>();
        assert_eq!(
            busy(&[counter("kind-a", 1.8, 500.0), counter("kind-b", 1.75, 510.0)]),
            1.8,
            "one counter, told twice"
        );
        assert_eq!(busy(&[counter("kind-a", 1.5, 900.0), counter("kind-b", 0.25, 100.0)]), 1.75, "each its own part");
        assert_eq!(busy(&[counter("kind-a", 1.5, 500.0), counter("far", 1.5, 500.0)]), 3.0, "two machines");
    }
}
