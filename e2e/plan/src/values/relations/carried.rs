//! Relations of fields of the kinds that only a cluster uses.

use std::net::IpAddr;

use super::{Wrong, items, number, text, wrong};
use crate::{
    forms::{is_domain, is_network},
    node::{Node, Tree},
    quantity,
};

/// An element of `paths` of an Ingress.
pub(in crate::values) fn path(node: &Node) -> Option<Wrong> {
    let (path, kind) = (text(node, "path"), text(node, "pathType"));
    let is_needed = matches!(kind, "Exact" | "Prefix") || !path.is_empty();
    if is_needed && !path.starts_with('/') {
        return wrong("path", format!("`{}` is not an absolute path", path.escape_debug()), "start it with `/`");
    }
    let bad = ["//", "/./", "/../", "%2f", "%2F"].into_iter().find(|part| path.contains(part));
    match bad.filter(|_| matches!(kind, "Exact" | "Prefix")) {
        Some(part) => wrong("path", format!("a path of type {kind} has no `{part}`"), "write the path without it"),
        None => None,
    }
}

/// An Ingress as a whole: its class stands in one place, or is the same in both.
pub(in crate::values) fn class(node: &Node) -> Option<Wrong> {
    const ANNOTATION: &str = "kubernetes.io/ingress.class";
    let older = node.find(&["metadata", "annotations", ANNOTATION])?.text()?;
    let class = node.find(&["spec", "ingressClassName"])?.text()?;
    if older != class {
        let message = format!("ingressClassName differs from the annotation {ANNOTATION}");
        return wrong("spec", message, "remove the annotation");
    }
    None
}

/// `spec` of an Ingress.
pub(in crate::values) fn ingress(node: &Node) -> Option<Wrong> {
    if node.get("defaultBackend").is_none() && items(node, "rules").is_empty() {
        return wrong("", "the Ingress leads nowhere", "add `rules` or `defaultBackend`");
    }
    None
}

/// `spec` of a HorizontalPodAutoscaler.
pub(in crate::values) fn autoscaler(node: &Node) -> Option<Wrong> {
    let (min, max) = (number(node, "minReplicas").unwrap_or(1), number(node, "maxReplicas")?);
    if min > max {
        return wrong("maxReplicas", format!("maxReplicas {max} is below minReplicas {min}"), "raise it");
    }
    None
}

/// An element of `metrics`: its source stands under the name of its type.
pub(in crate::values) fn metric(node: &Node) -> Option<Wrong> {
    let kind = text(node, "type");
    let mut letters = kind.chars();
    let field: String = letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect();
    if !field.is_empty() && node.get(&field).is_none() {
        return wrong("", format!("a metric of type {kind} has no {field}"), format!("add `{field}`"));
    }
    None
}

/// `spec` of a PodDisruptionBudget.
pub(in crate::values) fn budget(node: &Node) -> Option<Wrong> {
    if node.get("minAvailable").is_some() && node.get("maxUnavailable").is_some() {
        return wrong("maxUnavailable", "minAvailable and maxUnavailable exclude each other", "remove one of the two");
    }
    None
}

/// An element of `from` or `to` of a NetworkPolicy.
pub(in crate::values) fn peer(node: &Node) -> Option<Wrong> {
    let is_block = node.get("ipBlock").is_some();
    let selects = ["podSelector", "namespaceSelector"].iter().any(|key| node.get(key).is_some());
    match (is_block, selects) {
        (false, false) => wrong("", "it names no peer", "add podSelector, namespaceSelector or ipBlock"),
        (true, true) => wrong("ipBlock", "an ipBlock excludes the other fields", "write a separate element for it"),
        _ => None,
    }
}

/// An element of `ports` of a NetworkPolicy.
pub(in crate::values) fn range(node: &Node) -> Option<Wrong> {
    let last = number(node, "endPort")?;
    match number(node, "port") {
        None => wrong("endPort", "an endPort needs a port that is a number", "write the first port of the range"),
        Some(first) if last < first => wrong("endPort", format!("{last} is below the port {first}"), "raise it"),
        Some(_) => None,
    }
}

/// `ipBlock`.
pub(in crate::values) fn block(node: &Node) -> Option<Wrong> {
    let bad = items(node, "except").iter().filter_map(Node::text).find(|text| !is_network(text))?;
    wrong("except", format!("`{}` is not a range of addresses", bad.escape_debug()), "write one, such as `10.1.0.0/16`")
}

/// An element of `rules` of a Role.
pub(in crate::values) fn rights(node: &Node) -> Option<Wrong> {
    let is_empty = |key: &str| items(node, key).is_empty();
    if !is_empty("nonResourceURLs") {
        return None;
    }
    let missing = ["apiGroups", "resources"].into_iter().find(|key| is_empty(key))?;
    wrong("", format!("the rule has no {missing}"), format!("add `{missing}`"))
}

/// An element of `subjects` of a binding.
pub(in crate::values) fn subject(node: &Node) -> Option<Wrong> {
    const GROUP: &str = "rbac.authorization.k8s.io";
    let (name, group) = (text(node, "name"), text(node, "apiGroup"));
    match text(node, "kind") {
        "ServiceAccount" if !group.is_empty() => wrong("apiGroup", "a ServiceAccount has no apiGroup", "remove it"),
        "ServiceAccount" if !name.is_empty() && !is_domain(name) => {
            let remedy = "use lower-case letters, digits, `.` and `-` between them, at most 253 characters";
            wrong("name", format!("`{}` is not the name of a ServiceAccount", name.escape_debug()), remedy)
        }
        "User" | "Group" if !matches!(group, "" | GROUP) => {
            wrong("apiGroup", format!("`{}` has no such subject", group.escape_debug()), format!("write {GROUP}"))
        }
        _ => None,
    }
}

/// An element of `subjects` of a ClusterRoleBinding, which has no namespace to share with a ServiceAccount.
pub(in crate::values) fn subject_of_cluster(node: &Node) -> Option<Wrong> {
    if text(node, "kind") != "ServiceAccount" || !text(node, "namespace").is_empty() {
        return None;
    }
    wrong("", "the ServiceAccount has no namespace", "add `namespace: <namespace>`")
}

/// An element of `subsets` of Endpoints.
pub(in crate::values) fn subset(node: &Node) -> Option<Wrong> {
    if items(node, "addresses").is_empty() && items(node, "notReadyAddresses").is_empty() {
        return wrong("", "it has neither addresses nor notReadyAddresses", "add one of the two");
    }
    let ports = items(node, "ports");
    if ports.len() > 1 && ports.iter().any(|port| text(port, "name").is_empty()) {
        return wrong("ports", "one of several ports has no name", "add a name to each, such as `name: http`");
    }
    None
}

/// An address of Endpoints, which other machines reach.
pub(in crate::values) fn endpoint(node: &Node) -> Option<Wrong> {
    let address: IpAddr = node.text()?.parse().ok()?;
    let is_of_link = match address {
        IpAddr::V4(address) => address.is_link_local() || address.octets()[..3] == [224, 0, 0],
        IpAddr::V6(address) => address.is_unicast_link_local() || address.segments()[0] == 0xff02,
    };
    if !address.is_loopback() && !address.is_unspecified() && !is_of_link {
        return None;
    }
    wrong("", format!("{address} is not an address that other machines reach"), "write the machine's own address")
}

/// A quantity of which none at all makes no sense.
pub(in crate::values) fn above_zero(node: &Node) -> Option<Wrong> {
    let is_zero = match &node.tree {
        Tree::Int(number) => *number == 0,
        Tree::Text(text) => quantity::bytes(text) == Ok(0),
        _ => false,
    };
    if is_zero { wrong("", "it is not above zero", "raise it") } else { None }
}

/// `spec` of a PersistentVolume.
pub(in crate::values) fn volume(node: &Node) -> Option<Wrong> {
    const OTHERS: [&str; 9] = [
        "accessModes",
        "capacity",
        "claimRef",
        "mountOptions",
        "nodeAffinity",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeAttributesClassName",
        "volumeMode",
    ];
    let is_source = |key: &str| !OTHERS.contains(&key) && node.get(key).is_some();
    let sources: Vec<&str> =
        node.entries().iter().map(|entry| entry.key.as_str()).filter(|key| is_source(key)).collect();
    match sources[..] {
        ["local"] if node.get("nodeAffinity").is_none() => {
            wrong("local", "a local volume needs its node", "add `nodeAffinity`")
        }
        [] => wrong("", "the volume has no source", "add one, such as `hostPath` or `csi`"),
        [_] => None,
        _ => wrong("", format!("the volume has several sources: {}", sources.join(", ")), "keep one of them"),
    }
}
