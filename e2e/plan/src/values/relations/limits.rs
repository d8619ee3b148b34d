//! Relations of fields of what limits a namespace, and of PriorityClasses.

use super::{Wrong, items, number, text, wrong};
use crate::{
    forms::QUALIFIED,
    node::{Node, Tree},
    quantity,
};

/// The resources that a quota counts under names of their own.
const COUNTED: [&str; 17] = [
    "configmaps",
    "cpu",
    "ephemeral-storage",
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "memory",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
    "requests.storage",
    "resourcequotas",
    "secrets",
    "services",
];

/// `hard` of a ResourceQuota.
pub(in crate::values) fn quota(node: &Node) -> Option<Wrong> {
    let is_counted = |name: &str| {
        COUNTED.contains(&name)
            || matches!(name, "services.loadbalancers" | "services.nodeports")
            || name.strip_prefix("requests.").unwrap_or(name).starts_with("hugepages-")
            || name.contains('/') && (QUALIFIED.has)(name)
    };
    let bad = node.entries().iter().find(|entry| !is_counted(&entry.key))?;
    let message = format!("`{}` is not a resource that a quota counts", bad.key.escape_debug());
    wrong("", message, "write one such as `pods`, `limits.memory`, or `count/deployments.apps` for objects of a kind")
}

/// `spec` of a ResourceQuota.
pub(in crate::values) fn scopes(node: &Node) -> Option<Wrong> {
    let has = |scope: &str| items(node, "scopes").iter().any(|item| item.text() == Some(scope));
    let pairs = [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")];
    let (one, other) = pairs.into_iter().find(|(one, other)| has(one) && has(other))?;
    wrong("scopes", format!("{one} and {other} exclude each other"), "remove one of the two")
}

/// An element of `limits` of a LimitRange.
pub(in crate::values) fn limit(node: &Node) -> Option<Wrong> {
    const ASCENDING: [(&str, &str); 6] = [
        ("min", "max"),
        ("min", "defaultRequest"),
        ("min", "default"),
        ("defaultRequest", "default"),
        ("defaultRequest", "max"),
        ("default", "max"),
    ];
    let kind = text(node, "type");
    let is_known = matches!(kind, "" | "Pod" | "Container" | "PersistentVolumeClaim");
    if !is_known && (!kind.contains('/') || !(QUALIFIED.has)(kind)) {
        let message = format!("`{}` is none of its values", kind.escape_debug());
        return wrong("type", message, "write Pod, Container or PersistentVolumeClaim");
    }
    if let Some(field) = ["default", "defaultRequest"].into_iter().find(|key| kind == "Pod" && node.get(key).is_some())
    {
        return wrong(field, "a limit of type Pod gives containers no value", "remove it, or write `type: Container`");
    }
    let has_storage = |key: &&str| node.find(&[key, "storage"]).is_some();
    if kind == "PersistentVolumeClaim" && !["min", "max"].iter().any(has_storage) {
        return wrong("", "a limit of claims has neither min nor max of storage", "add `max: {storage: <amount>}`");
    }
    for (lower, higher) in ASCENDING {
        for entry in node.entries_at(&[lower]) {
            let (low, high) = (amount(&entry.node), node.find(&[higher, &entry.key]).and_then(amount));
            if let (Some(low), Some(high)) = (low, high)
                && low > high
            {
                let message = format!("{lower} of {} is above its {higher}", entry.key.escape_debug());
                return wrong(lower, message, "lower it, or raise the other");
            }
        }
    }
    None
}

/// A quantity in thousandths.
fn amount(node: &Node) -> Option<u128> {
    match &node.tree {
        Tree::Int(number) => Some(u128::try_from(*number).ok()? * 1000),
        Tree::Text(text) => match quantity::millis(text) {
            Ok(millis) => Some(millis.into()),
            // Too large for thousandths.
            Err(_) => Some(u128::from(quantity::bytes(text).ok()?) * 1000),
        },
        _ => None,
    }
}

/// A PriorityClass: only those of Kubernetes itself are above a billion.
pub(in crate::values) fn priority(node: &Node) -> Option<Wrong> {
    const HIGHEST: i64 = 1_000_000_000;
    let name = node.text_at(&["metadata", "name"]).unwrap_or_default();
    let is_own = matches!(name, "system-cluster-critical" | "system-node-critical");
    if name.starts_with("system-") && !is_own {
        let message = "names that start with `system-` are Kubernetes' own";
        let field = vec!["metadata".to_owned(), "name".to_owned()];
        return wrong("", message, "choose another name").map(|wrong| Wrong { field, ..wrong });
    }
    match number(node, "value").filter(|value| !is_own && *value > HIGHEST) {
        Some(value) => wrong("value", format!("{value} is above {HIGHEST}"), "lower it"),
        None => None,
    }
}
