//! What a cluster wants of several fields together. Each function looks at the map that holds them.

mod carried;
mod jobs;
mod limits;

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

pub(super) use self::{carried::*, jobs::*, limits::*};
use crate::{
    error::ErrorKind,
    forms::{Form, PERCENTAGE, PORT_NAME, QUALIFIED, QUANTITY},
    node::{Entry, Node, Tree},
    quantity,
    suggest::placeholder,
};

/// What is wrong, and with which field of the map, by the keys to it; none name the map itself.
pub(super) struct Wrong {
    pub(super) kind: ErrorKind,
    pub(super) field: Vec<String>,
    pub(super) message: String,
    pub(super) remedy: String,
}

fn wrong(field: &str, message: impl Into<String>, remedy: impl Into<String>) -> Option<Wrong> {
    let field = Some(field.to_owned()).filter(|field| !field.is_empty()).into_iter().collect();
    Some(Wrong { kind: ErrorKind::Value, field, message: message.into(), remedy: remedy.into() })
}

/// A text in the field that has not a form.
pub(super) fn unlike(field: &str, form: &Form, text: &str) -> Option<Wrong> {
    if (form.has)(text) {
        return None;
    }
    wrong(field, format!("`{}` is not {}", text.escape_debug(), form.what), placeholder(text).unwrap_or(form.remedy))
}

fn text<'a>(node: &'a Node, key: &str) -> &'a str {
    node.text_at(&[key]).unwrap_or_default()
}

fn number(node: &Node, key: &str) -> Option<i64> {
    match node.get(key)?.tree {
        Tree::Int(number) => Some(number),
        _ => None,
    }
}

fn is_true(node: &Node, key: &str) -> bool {
    matches!(node.get(key).map(|node| &node.tree), Some(Tree::Bool(true)))
}

fn items<'a>(node: &'a Node, key: &str) -> &'a [Node] {
    node.items_at(&[key])
}

/// A number of pods, or a share of them: whether it is zero; `default` where it is not set.
fn is_zero(node: &Node, key: &str, default: bool) -> bool {
    match node.get(key).map(|node| &node.tree) {
        Some(Tree::Int(number)) => *number == 0,
        Some(Tree::Text(text)) => text.strip_suffix('%').is_some_and(|share| share.parse() == Ok(0)),
        _ => default,
    }
}

/// `strategy` of a Deployment, `updateStrategy` of a StatefulSet: only a rolling update has details.
pub(super) fn rollout(node: &Node) -> Option<Wrong> {
    let kind = text(node, "type");
    if !matches!(kind, "" | "RollingUpdate") && node.get("rollingUpdate").is_some() {
        return wrong("rollingUpdate", format!("type {kind} has no rollingUpdate"), "remove it, or change the type");
    }
    None
}

/// `rollingUpdate` of a Deployment.
pub(super) fn steps(node: &Node) -> Option<Wrong> {
    if is_zero(node, "maxSurge", false) && is_zero(node, "maxUnavailable", false) {
        let message = "maxUnavailable and maxSurge are both 0, so that no pod can be replaced";
        return wrong("maxUnavailable", message, "raise one of the two");
    }
    None
}

/// `rollingUpdate` of a DaemonSet, which does one of the two.
pub(super) fn node_steps(node: &Node) -> Option<Wrong> {
    match (is_zero(node, "maxSurge", true), is_zero(node, "maxUnavailable", node.get("maxSurge").is_some())) {
        (true, true) if node.get("maxUnavailable").is_some() => {
            let message = "maxUnavailable and maxSurge are both 0, so that no pod can be replaced";
            wrong("maxUnavailable", message, "raise one of the two")
        }
        (false, false) => wrong("maxSurge", "maxSurge and maxUnavailable are both given", "set one of them to 0"),
        _ => None,
    }
}

/// `spec` of a Deployment.
pub(super) fn progress(node: &Node) -> Option<Wrong> {
    const DEFAULT_DEADLINE: i64 = 600;
    let deadline = number(node, "progressDeadlineSeconds");
    let ready = number(node, "minReadySeconds").unwrap_or(0);
    if deadline.unwrap_or(DEFAULT_DEADLINE) <= ready {
        let field = if deadline.is_some() { "progressDeadlineSeconds" } else { "minReadySeconds" };
        let message = "progressDeadlineSeconds (600 by default) is not above minReadySeconds";
        return wrong(field, message, "raise progressDeadlineSeconds, or lower minReadySeconds");
    }
    None
}

/// An element of `matchExpressions`.
pub(super) fn expression(node: &Node) -> Option<Wrong> {
    let count = items(node, "values").len();
    match text(node, "operator") {
        "In" | "NotIn" if count == 0 => wrong("values", "the operator needs values", "add them"),
        "Exists" | "DoesNotExist" if count > 0 => wrong("values", "the operator has no values", "remove them"),
        "Gt" | "Lt" if count != 1 => wrong("values", "the operator needs one value", "write one number in quotes"),
        _ => None,
    }
}

/// The spec of a pod.
pub(super) fn pod(node: &Node) -> Option<Wrong> {
    if text(node, "dnsPolicy") == "None"
        && node.find(&["dnsConfig", "nameservers"]).is_none_or(|n| n.items().is_empty())
    {
        let remedy = "add `dnsConfig.nameservers`, or remove dnsPolicy";
        return wrong("dnsPolicy", "dnsPolicy None leaves the pod without a nameserver", remedy);
    }
    if is_true(node, "hostPID") && is_true(node, "shareProcessNamespace") {
        let message = "hostPID and shareProcessNamespace exclude each other";
        return wrong("shareProcessNamespace", message, "remove one of the two");
    }
    let ports = || items(node, "containers").iter().flat_map(|container| items(container, "ports"));
    let is_on_host = is_true(node, "hostNetwork");
    let (host, own) = (|port: &Node| number(port, "hostPort"), |port: &Node| number(port, "containerPort"));
    if is_on_host && ports().any(|port| host(port).is_some_and(|number| number != 0 && Some(number) != own(port))) {
        let message = "with hostNetwork a hostPort differs from its containerPort";
        return wrong("hostNetwork", message, "remove the hostPort");
    }
    let mut taken = BTreeSet::new();
    for port in ports().filter(|port| host(port).is_some_and(|number| number != 0)) {
        let protocol = Some(text(port, "protocol")).filter(|text| !text.is_empty()).unwrap_or("TCP");
        if !taken.insert((host(port), protocol, text(port, "hostIP"))) {
            let message = format!("two ports take hostPort {}", host(port).unwrap_or_default());
            return wrong("containers", message, "remove one of the two");
        }
    }
    None
}

/// An element of `tolerations`.
pub(super) fn toleration(node: &Node) -> Option<Wrong> {
    let is_exists = text(node, "operator") == "Exists";
    if text(node, "key").is_empty() && !is_exists {
        return wrong("operator", "without a key the operator is Exists", "add the key, or write `operator: Exists`");
    }
    if is_exists && !text(node, "value").is_empty() {
        return wrong("value", "operator Exists has no value", "remove it, or write `operator: Equal`");
    }
    if node.get("tolerationSeconds").is_some() && text(node, "effect") != "NoExecute" {
        let message = "only effect NoExecute has tolerationSeconds";
        return wrong("tolerationSeconds", message, "remove it, or write `effect: NoExecute`");
    }
    None
}

/// `securityContext` of a container.
pub(super) fn security(node: &Node) -> Option<Wrong> {
    let refuses = matches!(node.get("allowPrivilegeEscalation").map(|node| &node.tree), Some(Tree::Bool(false)));
    let added = node.items_at(&["capabilities", "add"]);
    let is_admin = added.iter().any(|capability| capability.text() == Some("CAP_SYS_ADMIN"));
    if refuses && (is_true(node, "privileged") || is_admin) {
        let message = "`allowPrivilegeEscalation: false` contradicts privileged and CAP_SYS_ADMIN";
        return wrong("allowPrivilegeEscalation", message, "remove it, or the privilege");
    }
    None
}

/// `seccompProfile`.
pub(super) fn seccomp(node: &Node) -> Option<Wrong> {
    let is_local = text(node, "type") == "Localhost";
    match (is_local, node.get("localhostProfile").is_some()) {
        (true, false) => wrong("", "type Localhost needs a profile", "add `localhostProfile: <path>`"),
        (false, true) => wrong("localhostProfile", "only type Localhost has a localhostProfile", "remove it"),
        _ => None,
    }
}

/// `resources` of a container: names of resources, and what holds of those that cannot be overcommitted.
pub(super) fn resources(node: &Node) -> Option<Wrong> {
    const STANDARD: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
    for (field, name) in ["limits", "requests"]
        .into_iter()
        .flat_map(|field| node.entries_at(&[field]).iter().map(move |entry| (field, entry.key.as_str())))
    {
        let is_standard = STANDARD.contains(&name) || name.starts_with("hugepages-");
        if !is_standard && (!name.contains('/') || !(QUALIFIED.has)(name)) {
            let remedy = "write cpu, memory, ephemeral-storage, or a name with its domain, such as `example.org/gpu`";
            return wrong(field, format!("`{}` is not a resource of a container", name.escape_debug()), remedy);
        }
        // Those of CPU and memory are read elsewhere.
        let bad = node.text_at(&[field, name]).filter(|_| !matches!(name, "cpu" | "memory"));
        if let Some(wrong) = bad.and_then(|amount| unlike(field, &QUANTITY, amount)) {
            return Some(wrong);
        }
        let amount = |field| match &node.find(&[field, name])?.tree {
            Tree::Int(number) => u64::try_from(*number).ok(),
            Tree::Text(text) => quantity::millis(text).ok().map(|millis| millis.div_ceil(1000)),
            _ => None,
        };
        let is_shared =
            STANDARD.contains(&name) || name.split('/').next().is_some_and(|domain| domain.ends_with("kubernetes.io"));
        match (amount("requests"), amount("limits")) {
            (Some(request), Some(limit)) if name == "ephemeral-storage" && request > limit => {
                return wrong("requests", format!("the {name} request is above the limit"), "lower the request");
            }
            (Some(request), Some(limit)) if !is_shared && request != limit => {
                return wrong("requests", format!("request and limit of {name} differ"), "write the same for both");
            }
            (Some(_), None) if !is_shared => {
                return wrong("requests", format!("{name} has a request and no limit"), "write it under limits");
            }
            _ => {}
        }
    }
    None
}

/// `spec` of a Service.
pub(super) fn service(node: &Node) -> Option<Wrong> {
    let kind = Some(text(node, "type")).filter(|kind| !kind.is_empty()).unwrap_or("ClusterIP");
    let is_external = kind == "ExternalName";
    if is_external && text(node, "externalName").is_empty() {
        return wrong("", "it has no externalName", "add `externalName: <host>`");
    }
    if is_external && !text(node, "clusterIP").is_empty() {
        return wrong("clusterIP", "a Service of type ExternalName has no address", "remove it");
    }
    let mut taken = BTreeSet::new();
    let node_port = |port: &Node| {
        Some((number(port, "nodePort").filter(|number| *number != 0)?, text(port, "protocol").to_owned()))
    };
    if let Some((twice, _)) = items(node, "ports").iter().filter_map(node_port).find(|port| !taken.insert(port.clone()))
    {
        return wrong("ports", format!("two ports take nodePort {twice}"), "change one of the two");
    }
    let has_outside = matches!(kind, "NodePort" | "LoadBalancer") || !items(node, "externalIPs").is_empty();
    if !has_outside && !text(node, "externalTrafficPolicy").is_empty() {
        let message = format!("a Service of type {kind} has no traffic from outside");
        return wrong("externalTrafficPolicy", message, "remove it, or write `type: NodePort`");
    }
    let is_checked_by_balancers = kind == "LoadBalancer" && text(node, "externalTrafficPolicy") == "Local";
    if number(node, "healthCheckNodePort").is_some_and(|port| port != 0) && !is_checked_by_balancers {
        let message = "only a LoadBalancer with `externalTrafficPolicy: Local` has a healthCheckNodePort";
        return wrong("healthCheckNodePort", message, "remove it");
    }
    let of_balancers = ["loadBalancerSourceRanges", "loadBalancerClass", "allocateLoadBalancerNodePorts"];
    let is_set =
        |field: &&str| node.get(field).is_some_and(|value| !value.items().is_empty() || value.text().is_some());
    match of_balancers.into_iter().find(|field| kind != "LoadBalancer" && is_set(field)) {
        Some(field) => {
            wrong(field, format!("a Service of type {kind} has no {field}"), "remove it, or change the type")
        }
        None => None,
    }
}

/// `targetPort`, which is a number or a name.
pub(super) fn target_port(node: &Node) -> Option<Wrong> {
    let name = node.text().filter(|name| !name.is_empty())?;
    if name.parse::<u16>().is_ok() {
        let message = format!("`{name}` in quotes is the name of a port, and no port has a name without a letter");
        return wrong("", message, "remove the quotes");
    }
    unlike("", &PORT_NAME, name)
}

/// The keys that a type of Secret needs.
pub(super) fn secret(node: &Node) -> Option<Wrong> {
    const ACCOUNT: &str = "kubernetes.io/service-account.name";
    let has = |key: &str| ["data", "stringData"].iter().any(|field| node.find(&[field, key]).is_some());
    let needs: &[&str] = match text(node, "type") {
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        "kubernetes.io/basic-auth" if has("username") || has("password") => &[],
        "kubernetes.io/basic-auth" => &["username"],
        _ => &[],
    };
    // What a run makes up is not there yet.
    let is_made = node
        .find(&["metadata", "annotations"])
        .is_some_and(|all| all.entries().iter().any(|entry| entry.key.starts_with(crate::stores::OWN_PREFIX)));
    if let Some(missing) = needs.iter().find(|key| !is_made && !has(key)) {
        let message = format!("a Secret of type {} needs the key {missing}", text(node, "type"));
        return wrong("type", message, "add it, or remove the type");
    }
    let is_token = text(node, "type") == "kubernetes.io/service-account-token";
    if is_token && node.find(&["metadata", "annotations", ACCOUNT]).is_none() {
        return wrong(
            "metadata",
            format!("a Secret of this type needs the annotation {ACCOUNT}"),
            "add it with the account's name",
        );
    }
    let registries = match text(node, "type") {
        "kubernetes.io/dockerconfigjson" if !is_made => ".dockerconfigjson",
        "kubernetes.io/dockercfg" if !is_made => ".dockercfg",
        _ => "",
    };
    // Null is an empty object to an API server.
    let is_object = |bytes: Vec<u8>| serde_json::from_slice::<Option<Map<String, Value>>>(&bytes).is_ok();
    if decoded(node, registries).is_some_and(|bytes| !is_object(bytes)) {
        let remedy = "write what `kubectl create secret docker-registry` makes, or remove the type";
        return wrong("type", format!("{registries} is not a JSON object"), remedy);
    }
    let plain = node.entries_at(&["stringData"]);
    let encoded = node.entries_at(&["data"]);
    let encoded = encoded.iter().filter(|entry| plain.iter().all(|other| other.key != entry.key));
    too_large(plain.iter().map(plain_bytes).sum::<usize>() + encoded.map(encoded_bytes).sum::<usize>())
}

/// `data` and `binaryData` of a ConfigMap.
pub(super) fn config_map(node: &Node) -> Option<Wrong> {
    let (plain, binary) = (node.entries_at(&["data"]), node.entries_at(&["binaryData"]));
    if let Some(entry) = binary.iter().find(|entry| node.find(&["data", &entry.key]).is_some()) {
        let message = format!("`{}` is in data, too", entry.key.escape_debug());
        return wrong("binaryData", message, "remove one of the two");
    }
    too_large(plain.iter().map(plain_bytes).sum::<usize>() + binary.iter().map(encoded_bytes).sum::<usize>())
}

/// The value of a key of a Secret; none where it is not there or is not base64, which is a fault of its own.
fn decoded(node: &Node, key: &str) -> Option<Vec<u8>> {
    if let Some(plain) = node.find(&["stringData", key]) {
        return plain.text().map(|text| text.as_bytes().to_vec());
    }
    let text = node.find(&["data", key])?.text()?;
    STANDARD.decode(text.replace(['\n', '\r'], "")).ok()
}

fn plain_bytes(entry: &Entry) -> usize {
    entry.node.text().map_or(0, str::len)
}

/// The bytes that a text in base64 stands for.
fn encoded_bytes(entry: &Entry) -> usize {
    let text = entry.node.text().unwrap_or_default();
    text.bytes().filter(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')).count() * 3 / 4
}

/// The data of a ConfigMap or Secret, which etcd could not hold beyond this size.
fn too_large(bytes: usize) -> Option<Wrong> {
    const MOST: usize = 1 << 20;
    let message = format!("its data has {bytes} bytes, and a cluster takes at most {MOST}");
    if bytes > MOST { wrong("", message, "divide it, or put it into an image or a volume") } else { None }
}

/// The mode of a file.
pub(super) fn mode(node: &Node) -> Option<Wrong> {
    let is_mode = !matches!(node.tree, Tree::Int(mode) if !(0..=0o777).contains(&mode));
    if is_mode { None } else { wrong("", "the file mode is not allowed", "write an octal number up to 0777") }
}

/// A number of pods, or a percentage of all.
pub(super) fn part(node: &Node) -> Option<Wrong> {
    let share = node.text().and_then(|text| text.strip_suffix('%')?.parse().ok()).unwrap_or(0);
    if share > 100 {
        return wrong("", format!("{share}% is more than all"), "write at most `100%`");
    }
    amount(node)
}

/// A number of pods or a percentage.
pub(super) fn amount(node: &Node) -> Option<Wrong> {
    match &node.tree {
        Tree::Int(number) if *number < 0 => wrong("", format!("{number} is negative"), "write 0 or more"),
        Tree::Text(text) => unlike("", &PERCENTAGE, text),
        _ => None,
    }
}
