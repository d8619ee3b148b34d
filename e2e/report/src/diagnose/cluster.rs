//! Findings that only a cluster gives cause for: pods that cannot start, were replaced, or share a node; nodes in trouble;
//! connections that did not come about.

use std::collections::BTreeSet;

use e2e_plan::words::counted;

use super::{Code, RunData, stuck};
use crate::{
    environment::Component,
    evidence::{CLUSTER, PODS, cluster::Cluster},
    finding::{Finding, Severity},
};

pub(super) fn findings(data: &RunData) -> Vec<Finding> {
    let components = &data.environment.components;
    let mut findings: Vec<Finding> = components.iter().filter_map(|component| cannot_start(data, component)).collect();
    findings.extend(components.iter().filter_map(|component| replaced(data, component)));
    if let Some(cluster) = &data.cluster {
        findings.extend(components.iter().filter_map(|component| share_node(cluster, component)));
        findings.extend(nodes(cluster));
        findings.extend(network(cluster));
    }
    findings
}

fn cannot_start(data: &RunData, component: &Component) -> Option<Finding> {
    let stuck: Vec<_> = data.pods_of(component).filter_map(|(name, pod)| Some((name, stuck::of_pod(pod)?))).collect();
    let (pod, first) = stuck.first()?;
    Some(Finding {
        code: first.code,
        severity: Severity::Error,
        component: Some(component.name.clone()),
        claim: format!(
            "{} of {} cannot start: {}",
            counted(stuck.len() as u64, "pod"),
            component.name,
            first.words.trim()
        ),
        evidence: vec![format!("{PODS}#/pods/{pod}")],
        fix: stuck::fix(first.code, &component.kind, &component.name),
        excerpt: None,
    })
}

fn replaced(data: &RunData, component: &Component) -> Option<Finding> {
    let gone = |(name, pod): (&str, &e2e_kubelet::snapshot::PodReport)| {
        let replaced = pod.object.as_ref()?.replaced.clone();
        (!replaced.is_empty()).then(|| (name.to_owned(), replaced))
    };
    let gone: Vec<(String, Vec<String>)> = data.pods_of(component).filter_map(gone).collect();
    let (first, _) = gone.first()?;
    let names: Vec<&str> = gone.iter().flat_map(|(_, names)| names.iter().map(String::as_str)).collect();
    Some(Finding {
        code: Code::PodReplaced,
        severity: Severity::Error,
        component: Some(component.name.clone()),
        claim: format!(
            "{} of {} went away during the run and the cluster made others: {}; what stood in an emptyDir went with them",
            counted(names.len() as u64, "pod"),
            component.name,
            names.join(", ")
        ),
        evidence: vec![format!("{PODS}#/pods/{first}/object/replaced"), CLUSTER.to_owned()],
        fix: format!(
            "Find out who deleted or evicted the pods of {}; keep data that must outlive a pod in a PersistentVolumeClaim.",
            component.name
        ),
        excerpt: None,
    })
}

/// Only where there was a choice.
fn share_node(cluster: &Cluster, component: &Component) -> Option<Finding> {
    let placed = || cluster.placement.iter().filter(|place| place.component == component.name);
    let nodes: BTreeSet<&String> = placed().filter_map(|place| place.node.as_ref()).collect();
    let ready = cluster.nodes.iter().filter(|node| node.ready).count();
    if placed().count() < 2 || nodes.len() != 1 || ready < 2 {
        return None;
    }
    Some(Finding {
        code: Code::ReplicasShareNode,
        severity: Severity::Warning,
        component: Some(component.name.clone()),
        claim: format!(
            "all {} replicas of {} run on the node {}, although {ready} nodes are ready: its loss would end all of them",
            placed().count(),
            component.name,
            nodes.first().map_or("", |name| name.as_str())
        ),
        evidence: vec![format!("{CLUSTER}#/placement")],
        fix: format!(
            "Give {} {} topologySpreadConstraints over kubernetes.io/hostname.",
            component.kind, component.name
        ),
        excerpt: None,
    })
}

fn nodes(cluster: &Cluster) -> Vec<Finding> {
    let troubled = cluster.nodes.iter().enumerate().filter(|(_, node)| !node.ready || !node.troubles.is_empty());
    troubled
        .map(|(index, node)| Finding {
            code: Code::NodeTrouble,
            severity: Severity::Warning,
            component: None,
            claim: format!(
                "the node {} {}: {}",
                node.name,
                if node.ready { "takes pods and is in trouble" } else { "takes no pods" },
                node.troubles.join("; ")
            ),
            evidence: vec![format!("{CLUSTER}#/nodes/{index}")],
            fix: format!("`kubectl describe node {}` says more.", node.name),
            excerpt: None,
        })
        .collect()
}

fn network(cluster: &Cluster) -> Vec<Finding> {
    let failed = cluster.network.iter().enumerate().filter(|(_, check)| !check.passed);
    failed
        .map(|(index, check)| Finding {
            code: Code::NetworkCheckFailed,
            severity: Severity::Warning,
            component: None,
            claim: format!("{} does not work ({}): {}", check.what, check.path, check.detail.trim()),
            evidence: vec![format!("{CLUSTER}#/network/{index}")],
            fix: "Check the cluster's network plugin, kube-proxy and network policies.".to_owned(),
            excerpt: None,
        })
        .collect()
}
