//! Findings specific to a cluster: pods that cannot start, were replaced, or share a node; nodes in trouble; failed connections.

use std::collections::BTreeSet;

use e2e_plan::{duration::human_ms, words::counted};

use super::{Code, RunData, stuck};
use crate::{
    environment::Component,
    evidence::{
        CLUSTER, PODS,
        cluster::{Cluster, Node},
    },
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
        claim: format!("{} of {} cannot start: {}", counted(stuck.len(), "pod"), component.name, first.words.trim()),
        evidence: vec![format!("{PODS}#/pods/{pod}")],
        fix: stuck::fix(first.code, &first.words, &component.kind, &component.name),
        ..Finding::of(&component.name, first.code, Severity::Error)
    })
}

fn replaced(data: &RunData, component: &Component) -> Option<Finding> {
    let replaced = data.pods_of(component).filter_map(|(name, pod)| Some((name, &pod.object.as_ref()?.replaced)));
    let gone: Vec<(&str, &Vec<String>)> = replaced.filter(|(_, names)| !names.is_empty()).collect();
    let (first, _) = gone.first()?;
    let names: Vec<&str> = gone.iter().flat_map(|(_, names)| names.iter().map(String::as_str)).collect();
    Some(Finding {
        claim: format!(
            "{} of {} disappeared during the run and were replaced: {}; the content of their emptyDir volumes is lost",
            counted(names.len(), "pod"),
            component.name,
            names.join(", ")
        ),
        evidence: vec![format!("{PODS}#/pods/{first}/object/replaced"), CLUSTER.to_owned()],
        fix: format!(
            "Find out why the pods of {} were deleted or evicted; keep data that must outlive a pod in a \
             PersistentVolumeClaim.",
            component.name
        ),
        ..Finding::of(&component.name, Code::PodReplaced, Severity::Error)
    })
}

/// Only if there was a choice.
fn share_node(cluster: &Cluster, component: &Component) -> Option<Finding> {
    let placed = || cluster.placement.iter().filter(|place| place.component == component.name);
    let nodes: BTreeSet<&String> = placed().filter_map(|place| place.node.as_ref()).collect();
    let choices = placed().map(|place| place.choices).max().unwrap_or(0);
    if placed().count() < 2 || nodes.len() != 1 || choices < 2 {
        return None;
    }
    Some(Finding {
        claim: format!(
            "all {} replicas of {} run on the node {}, although {choices} nodes accept them: losing the node \
             would stop them all",
            placed().count(),
            component.name,
            nodes.first().map_or("", |name| name.as_str())
        ),
        evidence: vec![format!("{CLUSTER}#/placement")],
        fix: format!(
            "Give {} {} topologySpreadConstraints over kubernetes.io/hostname.",
            component.kind, component.name
        ),
        ..Finding::of(&component.name, Code::ReplicasShareNode, Severity::Warning)
    })
}

fn nodes(cluster: &Cluster) -> Vec<Finding> {
    let is_troubled = |node: &Node| !node.ready || !node.troubles.is_empty() || node.silent_ms.is_some();
    let troubled = cluster.nodes.iter().enumerate().filter(|(_, node)| is_troubled(node));
    troubled.map(|(index, node)| troubled_node(cluster, index, node)).collect()
}

/// A silent node fails with its pods; other trouble may not affect them.
fn troubled_node(cluster: &Cluster, index: usize, node: &Node) -> Finding {
    let placed = cluster.placement.iter().filter(|place| place.node.as_ref() == Some(&node.name));
    let pods: Vec<&str> = placed.map(|place| place.pod.as_str()).collect();
    let silence = node.silent_ms.map(|ms| format!("had been silent for {} at the end of the run", human_ms(ms)));
    let is_silent = silence.is_some() || node.unheard;
    let state = silence.unwrap_or_else(|| {
        let takes = if node.ready { "accepts pods but reports trouble" } else { "accepts no pods" };
        takes.to_owned()
    });
    let carries = match pods.is_empty() {
        true => String::new(),
        false => format!(", which runs {},", pods.join(" and ")),
    };
    let troubles = match node.troubles.is_empty() {
        true => String::new(),
        false => format!(": {}", node.troubles.join("; ")),
    };
    let severity = if is_silent && !pods.is_empty() { Severity::Error } else { Severity::Warning };
    Finding {
        claim: format!("the node {}{carries} {state}{troubles}", node.name),
        evidence: vec![format!("{CLUSTER}#/nodes/{index}")],
        fix: format!("See `kubectl describe node {}`.", node.name),
        ..Finding::new(Code::NodeTrouble, severity)
    }
}

fn network(cluster: &Cluster) -> Vec<Finding> {
    let failed = cluster.network.iter().enumerate().filter(|(_, check)| !check.passed);
    failed
        .map(|(index, check)| Finding {
            claim: format!("{} does not work ({}): {}", check.what, check.path, check.detail.trim()),
            evidence: vec![format!("{CLUSTER}#/network/{index}")],
            fix: "Check the cluster's network plugin, kube-proxy and network policies.".to_owned(),
            ..Finding::new(Code::NetworkCheckFailed, Severity::Warning)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{evidence::cluster::Placement, testing::quiet};

    fn placed(pod: &str, node: &str, choices: u64) -> Placement {
        let (component, pod, node) = ("app".to_owned(), pod.to_owned(), Some(node.to_owned()));
        Placement { component, pod, node, choices, ..Placement::default() }
    }

    fn of(cluster: Cluster, code: Code) -> Vec<(Severity, String)> {
        let mut data = quiet();
        data.cluster = Some(cluster);
        let found = findings(&data).into_iter().filter(|finding| finding.code == code);
        found.map(|finding| (finding.severity, finding.claim)).collect()
    }

    #[test]
    fn replicas_share_a_node_only_where_there_was_a_choice() {
        let shared = |choices| {
            let placement = vec![placed("app-0", "a", choices), placed("app-1", "a", choices)];
            of(Cluster { placement, ..Cluster::default() }, Code::ReplicasShareNode)
        };
        assert_eq!(shared(1), [], "the control plane beside it has a taint");
        let claim = "all 2 replicas of app run on the node a, although 2 nodes accept them: losing the node would stop \
             them all";
        assert_eq!(shared(2), [(Severity::Warning, claim.to_owned())]);
    }

    #[test]
    fn a_node_that_falls_silent_is_named_with_the_pods_that_it_runs() {
        let node = |name: &str| Node { name: name.to_owned(), ready: true, silent_ms: Some(31_000), ..Node::default() };
        let unknown = Node {
            ready: false,
            silent_ms: None,
            unheard: true,
            troubles: vec!["Ready=Unknown: Kubelet stopped posting node status.".to_owned()],
            ..node("c")
        };
        let cluster = Cluster {
            nodes: vec![node("a"), node("b"), unknown],
            placement: vec![placed("app-0", "a", 1), placed("app-1", "c", 1)],
            ..Cluster::default()
        };
        let silent = "had been silent for 31.0 s at the end of the run";
        let posted = "Ready=Unknown: Kubelet stopped posting node status.";
        assert_eq!(
            of(cluster, Code::NodeTrouble),
            [
                (Severity::Error, format!("the node a, which runs app-0, {silent}")),
                (Severity::Warning, format!("the node b {silent}")),
                (Severity::Error, format!("the node c, which runs app-1, accepts no pods: {posted}")),
            ]
        );
    }
}
