//! Which pods a node takes, and for how long it has said nothing. Pure. Main functions: [`takes`], [`silences`].

use std::{collections::BTreeMap, time::Duration};

use e2e_plan::Object;
use jiff::Timestamp;
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Taint, Toleration},
};

use super::pod;

/// Whether it accepts pods: `Ready` and not cordoned.
pub(super) fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false);
    !cordoned && conditions.into_iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// Whether its kubelet runs pods at all: `allocatable.pods`, where it is told, is not 0.
pub(super) fn has_places(node: &Node) -> bool {
    let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
    allocatable.and_then(|allocatable| allocatable.get("pods")).is_none_or(|pods| pods.0 != "0")
}

/// Whether the scheduler may give it such a pod, its room left out of account.
pub(super) fn takes(node: &Node, pod: &PodSpec) -> bool {
    let tolerated = |taint: &Taint| pod.tolerations.iter().flatten().any(|toleration| tolerates(toleration, taint));
    is_ready(node) && taints(node).all(tolerated) && is_selected(node, pod)
}

/// The taints that keep pods away.
pub(super) fn taints(node: &Node) -> impl Iterator<Item = &Taint> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref()).into_iter().flatten();
    taints.filter(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"))
}

/// As people write it: `key=value:effect`.
pub(super) fn taint_text(taint: &Taint) -> String {
    let value = taint.value.as_deref().filter(|value| !value.is_empty());
    let value = value.map_or(String::new(), |value| format!("={value}"));
    format!("{}{value}:{}", taint.key, taint.effect)
}

/// `ToleratesTaint` in `k8s.io/api/core/v1/toleration.go`.
fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (effect, key) = (text(&toleration.effect), text(&toleration.key));
    let is_any = toleration.operator.as_deref() == Some("Exists");
    (effect.is_empty() || effect == taint.effect)
        && (key == taint.key || key.is_empty() && is_any)
        && (is_any || text(&toleration.value) == text(&taint.value))
}

fn is_selected(node: &Node, pod: &PodSpec) -> bool {
    let empty = BTreeMap::new();
    let labels = node.metadata.labels.as_ref().unwrap_or(&empty);
    let affinity = pod.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    let fields = BTreeMap::from([("metadata.name".to_owned(), node.metadata.name.clone().unwrap_or_default())]);
    let matches = |term: &NodeSelectorTerm| {
        let all = |list: &Option<Vec<NodeSelectorRequirement>>, of: &BTreeMap<String, String>| {
            list.iter().flatten().all(|requirement| is_met(requirement, of.get(&requirement.key)))
        };
        let is_empty = term.match_expressions.is_none() && term.match_fields.is_none();
        !is_empty && all(&term.match_expressions, labels) && all(&term.match_fields, &fields)
    };
    pod.node_selector.iter().flatten().all(|(key, value)| labels.get(key) == Some(value))
        && required.is_none_or(|required| required.node_selector_terms.iter().any(matches))
}

fn is_met(requirement: &NodeSelectorRequirement, value: Option<&String>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let is_among = || value.is_some_and(|value| values.contains(value));
    let number = |text: Option<&String>| text.and_then(|text| text.parse::<i64>().ok());
    let compared = || number(value).zip(number(values.first())).map(|(value, than)| value.cmp(&than));
    match requirement.operator.as_str() {
        "In" => is_among(),
        "NotIn" => !is_among(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compared() == Some(std::cmp::Ordering::Greater),
        "Lt" => compared() == Some(std::cmp::Ordering::Less),
        // A newer cluster's: it decides.
        _ => true,
    }
}

/// The nodes that take at least one of the pods that the objects make.
pub(super) fn usable(nodes: &[Node], objects: &[Object]) -> Vec<Node> {
    let pods = objects.iter().filter_map(|object| pod::of(&object.json));
    // What cannot be read here is the cluster's to refuse.
    let pods: Vec<PodSpec> = pods.map(|it| serde_json::from_value(it["spec"].clone()).unwrap_or_default()).collect();
    nodes.iter().filter(|node| has_places(node) && pods.iter().any(|pod| takes(node, pod))).cloned().collect()
}

/// The machine that a node runs on, told by its kernel: nodes that are containers share one.
pub(super) fn machine(node: &Node) -> Option<&str> {
    let info = node.status.as_ref()?.node_info.as_ref()?;
    Some(info.boot_id.as_str()).filter(|id| !id.is_empty())
}

/// Nodes renew their leases every ten seconds; who has missed two is not heard any more. The cluster itself waits for forty.
const SILENT_AFTER: Duration = Duration::from_secs(25);

/// For how long nodes have not renewed their leases, of those that should have. The newest lease tells the cluster's time.
pub(super) fn silences(leases: &[Lease]) -> BTreeMap<String, Duration> {
    let renewed = |lease: &Lease| Some((lease.metadata.name.clone()?, lease.spec.as_ref()?.renew_time.as_ref()?.0));
    let renewed: Vec<(String, Timestamp)> = leases.iter().filter_map(renewed).collect();
    let Some(now) = renewed.iter().map(|(_, at)| *at).max() else { return BTreeMap::new() };
    let silence = |(name, at)| Some((name, Duration::try_from(now.duration_since(at)).ok()?));
    renewed.into_iter().filter_map(silence).filter(|(_, silence)| *silence >= SILENT_AFTER).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::{super::testing::object, *};

    fn node(spec: Value) -> Node {
        serde_json::from_value(json!({
            "metadata": { "name": "a", "labels": { "disk": "ssd", "cores": "8" } }, "spec": spec,
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
        }))
        .unwrap()
    }

    /// The taint of every kind cluster's control plane that has workers beside it.
    const CONTROL_PLANE: &str =
        r#"{ "taints": [{ "key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule" }] }"#;

    fn pod(mut pod: Value) -> PodSpec {
        pod["containers"] = json!([]);
        serde_json::from_value(pod).unwrap()
    }

    #[rstest]
    #[case::nothing(json!([]), false)]
    #[case::key(json!([{ "key": "node-role.kubernetes.io/control-plane", "operator": "Exists" }]), true)]
    #[case::everything(json!([{ "operator": "Exists" }]), true)]
    #[case::another_effect(json!([{ "operator": "Exists", "effect": "NoExecute" }]), false)]
    #[case::another_value(json!([{ "key": "node-role.kubernetes.io/control-plane", "value": "x" }]), false)]
    #[case::no_value(json!([{ "key": "node-role.kubernetes.io/control-plane" }]), true)]
    fn a_taint_keeps_pods_away_that_do_not_tolerate_it(#[case] tolerations: Value, #[case] taken: bool) {
        let tainted = node(serde_json::from_str(CONTROL_PLANE).unwrap());
        assert_eq!(takes(&tainted, &pod(json!({ "tolerations": tolerations }))), taken);
        assert!(takes(&node(json!({})), &pod(json!({ "tolerations": tolerations }))));
        assert!(!takes(&node(json!({ "unschedulable": true })), &pod(json!({}))));
    }

    #[rstest]
    #[case::label(json!({ "nodeSelector": { "disk": "ssd" } }), true)]
    #[case::another_label(json!({ "nodeSelector": { "disk": "hdd" } }), false)]
    #[case::one_of(affinity(json!({ "key": "disk", "operator": "In", "values": ["ssd", "nvme"] })), true)]
    #[case::none_of(affinity(json!({ "key": "disk", "operator": "NotIn", "values": ["ssd"] })), false)]
    #[case::there(affinity(json!({ "key": "gpu", "operator": "Exists" })), false)]
    #[case::not_there(affinity(json!({ "key": "gpu", "operator": "DoesNotExist" })), true)]
    #[case::more(affinity(json!({ "key": "cores", "operator": "Gt", "values": ["4"] })), true)]
    #[case::less(affinity(json!({ "key": "cores", "operator": "Lt", "values": ["4"] })), false)]
    fn a_pod_may_choose_its_nodes(#[case] spec: Value, #[case] taken: bool) {
        assert_eq!(takes(&node(json!({})), &pod(spec)), taken);
    }

    fn affinity(requirement: Value) -> Value {
        let terms = json!([{ "matchExpressions": [requirement] }]);
        let required = json!({ "nodeSelectorTerms": terms });
        json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": required } } })
    }

    #[test]
    fn only_nodes_that_take_one_of_the_pods_are_usable() {
        let tainted = node(serde_json::from_str(CONTROL_PLANE).unwrap());
        let object = object(json!({ "spec": { "template": { "spec": { "containers": [] } } } }));
        let mut without_places = node(json!({}));
        let allocatable = json!({ "cpu": "4", "pods": "0" });
        without_places.status.as_mut().unwrap().allocatable = serde_json::from_value(allocatable).unwrap();
        assert_eq!(usable(&[tainted, without_places, node(json!({}))], &[object]), [node(json!({}))]);
        assert_eq!(
            taint_text(taints(&node(serde_json::from_str(CONTROL_PLANE).unwrap())).next().unwrap()),
            "node-role.kubernetes.io/control-plane:NoSchedule"
        );
    }

    #[test]
    fn a_node_whose_lease_is_old_has_fallen_silent() {
        let lease = |name: &str, second: u32| -> Lease {
            let renewed = format!("2026-01-01T00:00:{second:02}.000000Z");
            serde_json::from_value(json!({ "metadata": { "name": name }, "spec": { "renewTime": renewed } })).unwrap()
        };
        let silent = silences(&[lease("a", 50), lease("b", 41), lease("gone", 12)]);
        assert_eq!(silent, BTreeMap::from([("gone".to_owned(), Duration::from_secs(38))]));
        assert!(silences(&[lease("alone", 1)]).is_empty(), "nothing tells the time");
    }
}
