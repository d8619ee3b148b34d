//! Values that no cluster takes, whatever stands around them: choices, required keys, ranges, labels.
//! Table: [`RULES`]; main function: [`check`].

use super::{
    cursor::Cursor,
    error::{ErrorKind, Faults},
    kinds::Role,
    node::{FieldPath, Node, Tree},
    object::Object,
    read::check_name,
    warnings::pattern,
};

/// What a cluster wants of a value that is there. An empty text counts as none.
enum Rule {
    /// The text is one of these.
    OneOf(&'static [&'static str]),
    /// The map has this key, with a text.
    Has(&'static str),
    /// The number is in this range.
    Within(i64, i64),
    /// The map's keys and values are labels.
    Labels,
    /// The text is the name of an object, or a label of DNS.
    Name { dots: bool },
}

use Rule::{Has, Labels, Name, OneOf, Within};

const PROTOCOLS: Rule = OneOf(&["TCP", "UDP", "SCTP"]);
const NOT_NEGATIVE: Rule = Within(0, i32::MAX as i64);
const POSITIVE: Rule = Within(1, i32::MAX as i64);

/// The rules of `pkg/apis/{core,apps,batch}/validation` for what a plan is made from, by paths as in the table of warnings.
const RULES: &[(&str, Rule)] = &[
    ("metadata.labels", Labels),
    ("spec.template.metadata.labels", Labels),
    ("spec.jobTemplate.spec.template.metadata.labels", Labels),
    ("spec.selector", Labels),
    ("spec.selector.matchLabels", Labels),
    ("spec.selector.matchExpressions[].operator", OneOf(&["In", "NotIn", "Exists", "DoesNotExist"])),
    // Workloads.
    ("spec.completionMode", OneOf(&["Indexed", "NonIndexed"])),
    ("spec.concurrencyPolicy", OneOf(&["Allow", "Forbid", "Replace"])),
    ("spec.minReadySeconds", NOT_NEGATIVE),
    ("spec.podManagementPolicy", OneOf(&["OrderedReady", "Parallel"])),
    ("spec.revisionHistoryLimit", NOT_NEGATIVE),
    ("spec.strategy.type", OneOf(&["RollingUpdate", "Recreate"])),
    ("spec.updateStrategy.type", OneOf(&["RollingUpdate", "OnDelete"])),
    // Pods.
    ("pod.activeDeadlineSeconds", POSITIVE),
    ("pod.dnsPolicy", OneOf(&["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"])),
    ("pod.hostname", Name { dots: false }),
    ("pod.nodeName", Name { dots: true }),
    ("pod.nodeSelector", Labels),
    ("pod.preemptionPolicy", OneOf(&["PreemptLowerPriority", "Never"])),
    ("pod.priorityClassName", Name { dots: true }),
    ("pod.runtimeClassName", Name { dots: true }),
    ("pod.securityContext.fsGroup", NOT_NEGATIVE),
    ("pod.serviceAccountName", Name { dots: true }),
    ("pod.subdomain", Name { dots: false }),
    ("pod.tolerations[].effect", OneOf(&["NoSchedule", "PreferNoSchedule", "NoExecute"])),
    ("pod.tolerations[].operator", OneOf(&["Exists", "Equal", "Lt", "Gt"])),
    ("pod.topologySpreadConstraints[].maxSkew", POSITIVE),
    ("pod.topologySpreadConstraints[].whenUnsatisfiable", OneOf(&["DoNotSchedule", "ScheduleAnyway"])),
    ("pod.volumes[].configMap", Has("name")),
    ("pod.volumes[].hostPath", Has("path")),
    ("pod.volumes[].persistentVolumeClaim", Has("claimName")),
    ("pod.volumes[].secret", Has("secretName")),
    // Containers.
    ("pod.containers[].env[].valueFrom.configMapKeyRef", Has("key")),
    ("pod.containers[].env[].valueFrom.secretKeyRef", Has("key")),
    ("pod.containers[].envFrom[].configMapRef", Has("name")),
    ("pod.containers[].envFrom[].secretRef", Has("name")),
    ("pod.containers[].imagePullPolicy", OneOf(&["Always", "IfNotPresent", "Never"])),
    ("pod.containers[].ports[].hostPort", Within(0, 65535)),
    ("pod.containers[].ports[].protocol", PROTOCOLS),
    ("pod.containers[].terminationMessagePolicy", OneOf(&["File", "FallbackToLogsOnError"])),
    ("pod.containers[].volumeMounts[].mountPropagation", OneOf(&["None", "HostToContainer", "Bidirectional"])),
    // Services.
    ("spec.externalTrafficPolicy", OneOf(&["Cluster", "Local"])),
    ("spec.internalTrafficPolicy", OneOf(&["Cluster", "Local"])),
    ("spec.ipFamilyPolicy", OneOf(&["SingleStack", "PreferDualStack", "RequireDualStack"])),
    ("spec.ports[].protocol", PROTOCOLS),
    ("spec.sessionAffinity", OneOf(&["None", "ClientIP"])),
    ("spec.type", OneOf(&["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"])),
];

/// Finds the values of an object that a cluster would refuse.
pub(crate) fn check(object: &Object, faults: &Faults) {
    if object.role != Role::Carried || object.kind == "CronJob" && object.is_own() {
        visit(object, &object.node, &FieldPath::default(), faults);
    }
}

fn visit(object: &Object, node: &Node, path: &FieldPath, faults: &Faults) {
    let pattern = pattern(&object.kind, &path.to_string());
    for (_, rule) in RULES.iter().filter(|(path, _)| *path == pattern) {
        let cursor = Cursor { object, path: path.clone() };
        faults.extend(broken(rule, node).map(|(kind, message, remedy)| cursor.fail(kind, message, remedy)));
        if let (Name { dots }, Some(name)) = (rule, node.text().filter(|name| !name.is_empty())) {
            faults.keep(check_name(&cursor, name, *dots));
        }
    }
    for entry in node.entries() {
        visit(object, &entry.node, &path.key(&entry.key), faults);
    }
    for (index, item) in node.items().iter().enumerate() {
        visit(object, item, &path.item(index, item.item_name()), faults);
    }
}

/// What is wrong with a value, and the remedy. A value of another type is an error of its own.
fn broken(rule: &Rule, node: &Node) -> Option<(ErrorKind, String, String)> {
    let wrong = |message: String, remedy: String| Some((ErrorKind::Value, message, remedy));
    match (rule, &node.tree) {
        (OneOf(choices), Tree::Text(text)) if !text.is_empty() && !choices.contains(&text.as_str()) => {
            wrong(format!("`{}` is none of its values", text.escape_debug()), format!("write {}", choice(choices)))
        }
        (Has(key), Tree::Map(_)) if node.get(key).and_then(Node::text).is_none_or(str::is_empty) => {
            Some((ErrorKind::Missing, format!("it has no {key}"), format!("add `{key}: <{}>`", key.to_lowercase())))
        }
        (Within(min, max), Tree::Int(number)) if !(*min..=*max).contains(number) => {
            wrong(format!("{number} is out of range"), format!("write a number from {min} to {max}"))
        }
        (Labels, Tree::Map(entries)) => entries.iter().find_map(|entry| {
            let value = entry.node.text().unwrap_or_default();
            let bad = if is_key(&entry.key) { Some(value).filter(|value| !is_value(value))? } else { &entry.key };
            let remedy = "use letters, digits and `-`, `_`, `.` between them, at most 63 characters";
            wrong(format!("`{}` is not valid in a label", bad.escape_debug()), remedy.to_owned())
        }),
        _ => None,
    }
}

/// `a, b or c`.
fn choice(choices: &[&str]) -> String {
    match choices.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => choices.concat(),
    }
}

fn is_value(text: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_outer = |c: char| c.is_ascii_alphanumeric();
    text.is_empty()
        || text.len() <= 63 && text.chars().all(is_inner) && text.starts_with(is_outer) && text.ends_with(is_outer)
}

/// A label's key may have a domain before it.
fn is_key(text: &str) -> bool {
    let (domain, name) = text.split_once('/').map_or((None, text), |(domain, name)| (Some(domain), name));
    let is_domain = |domain: &str| {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
        !domain.is_empty() && domain.len() <= 253 && domain.chars().all(allowed)
    };
    !name.is_empty() && is_value(name) && domain.is_none_or(is_domain)
}
