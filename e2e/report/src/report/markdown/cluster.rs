//! The sections about a cluster (nodes, placement, bring-up) and about the network.

use std::{collections::BTreeMap, fmt::Write};

use e2e_plan::duration::human_ms;

use super::mark;
use crate::{
    evidence::{
        CLUSTER,
        cluster::{Cluster, ServiceEndpoints},
    },
    record::Outcome,
    report::{Report, table::Table},
};

/// Nodes and their pods.
pub(super) fn nodes(report: &Report) -> String {
    let Some(cluster) = &report.cluster else { return String::new() };
    let mut text = format!(
        "## Cluster\n\nKubernetes {}, context {}, namespace {}. (evidence/cluster.json)\n\n",
        cluster.version, cluster.context, cluster.namespace
    );
    let mut nodes =
        Table::new(["Node", "Ready", "CPUs", "Memory", "Kubelet", "Runtime", "Taints", "Pods of this run", "Troubles"]);
    for node in &cluster.nodes {
        let of = |name: &str| node.allocatable.get(name).cloned().unwrap_or_default();
        let pods = cluster.placement.iter().filter(|place| place.node.as_ref() == Some(&node.name));
        nodes.row([
            node.name.clone(),
            mark(node.ready).to_owned(),
            of("cpu"),
            of("memory"),
            node.kubelet.clone(),
            node.runtime.clone(),
            node.taints.join(", "),
            pods.map(|place| place.pod.as_str()).collect::<Vec<_>>().join(", "),
            node.troubles.join("; "),
        ]);
    }
    text += &nodes.markdown();
    text += &shared_machines(cluster);
    let mut workloads = Table::new(["Workload", "Desired", "Up to date", "Ready", "Pods in the cluster"]);
    for rollout in &cluster.rollouts {
        let component = rollout.object.split_once('/').map_or(rollout.object.as_str(), |(_, name)| name);
        let objects = cluster.placement.iter().filter(|place| place.component == component);
        workloads.row([
            rollout.object.clone(),
            rollout.desired.to_string(),
            rollout.updated.to_string(),
            rollout.ready.to_string(),
            objects.map(|place| place.object.as_str()).collect::<Vec<_>>().join(", "),
        ]);
    }
    text += &workloads.markdown();
    if let Some(up) = &cluster.bring_up {
        let _ = writeln!(
            text,
            "The last pod to become ready was {}: {} until it existed, {} until it had a node, {} until its containers \
             ran, {} until its probes found it ready.\n",
            up.slowest,
            human_ms(up.api_ms),
            human_ms(up.schedule_ms),
            human_ms(up.start_ms),
            human_ms(up.probe_ms)
        );
    }
    for missing in &cluster.missing {
        let _ = writeln!(text, "Unknown: {missing}\n");
    }
    text
}

/// Nodes that share processors.
fn shared_machines(cluster: &Cluster) -> String {
    let mut machines: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in &cluster.nodes {
        if let Some(machine) = &node.machine {
            machines.entry(machine).or_default().push(&node.name);
        }
    }
    let shared = machines.into_values().filter(|nodes| nodes.len() > 1);
    shared
        .map(|nodes| format!("Nodes on one machine, whose processors count once: {}.\n\n", nodes.join(", ")))
        .collect()
}

/// Each connection tried by the suites and, in a cluster, by the run itself.
pub(super) fn network(report: &Report) -> String {
    let mut rows = Table::new(["", "What", "Path", "Result", "Evidence"]);
    for case in report.suites.iter().filter(|suite| suite.name == "network").flat_map(|suite| &suite.cases) {
        let passed = mark(case.outcome == Outcome::Passed).to_owned();
        rows.row([passed, case.name.clone(), "between components".to_owned(), case.found(), case.evidence.clone()]);
    }
    if let Some(cluster) = &report.cluster {
        for (index, check) in cluster.network.iter().enumerate() {
            rows.row([
                mark(check.passed).to_owned(),
                check.what.clone(),
                check.path.clone(),
                format!("{} ({:.0} ms)", check.detail, check.took_ms),
                format!("{CLUSTER}#/network/{index}"),
            ]);
        }
        let mut endpoints: Vec<&ServiceEndpoints> = cluster.endpoints.iter().collect();
        endpoints.sort_by_key(|of| &of.service);
        for ServiceEndpoints { service, ready, not_ready } in endpoints {
            let unready = match not_ready.is_empty() {
                true => String::new(),
                false => format!("; not ready: {}", not_ready.join(", ")),
            };
            rows.row([
                mark(!ready.is_empty()).to_owned(),
                "Service endpoints".to_owned(),
                format!("{service} -> pods"),
                format!("{}{unready}", ready.join(", ")),
                format!("{CLUSTER}#/endpoints"),
            ]);
        }
    }
    let table = rows.markdown();
    if table.is_empty() { table } else { format!("## Network\n\n{table}") }
}
