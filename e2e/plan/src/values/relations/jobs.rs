//! Relations of fields of Jobs and CronJobs.

use super::{Wrong, is_true, number, text, wrong};
use crate::node::Node;

/// `spec` of a CronJob's Jobs, whose selectors a cluster generates.
pub(in crate::values) fn made_job(node: &Node) -> Option<Wrong> {
    if node.get("selector").is_some() {
        return wrong("selector", GENERATED_SELECTOR, "remove it");
    }
    if is_true(node, "manualSelector") {
        return wrong("manualSelector", "the Jobs of a CronJob have no selector of their own", "remove it");
    }
    None
}

const GENERATED_SELECTOR: &str = "a cluster generates the selector of a Job";

/// `spec` of a Job, and of a CronJob's Jobs.
pub(in crate::values) fn job(node: &Node) -> Option<Wrong> {
    if text(node, "completionMode") == "Indexed" && number(node, "completions").is_none() {
        return wrong("completionMode", "an Indexed Job has no completions", "add `completions: <number>`");
    }
    None
}

/// A Job as a whole: its name is a label of its pods, unless it has a selector of its own, and begins the host names of numbered ones.
pub(in crate::values) fn job_name(node: &Node) -> Option<Wrong> {
    let (name, spec) = (node.find(&["metadata", "name"])?, node.get("spec")?);
    let of_name = |wrong: Wrong| Wrong { field: vec!["metadata".to_owned(), "name".to_owned()], ..wrong };
    let long = (!is_true(spec, "manualSelector")).then(|| at_most(name, 63, "a Job's name")).flatten();
    long.or_else(|| host_name(name.text()?, spec)).map(of_name)
}

/// The pods of an Indexed Job have the Job's name and their number as host name.
fn host_name(name: &str, spec: &Node) -> Option<Wrong> {
    let last = number(spec, "completions").filter(|count| *count > 0)? - 1;
    let host = format!("{name}-{last}");
    if text(spec, "completionMode") != "Indexed" || host.len() <= 63 && !host.contains('.') {
        return None;
    }
    let remedy = "use lower-case letters, digits and `-` alone, at most 63 characters with the number";
    wrong("", format!("`{host}` cannot be the host name of a pod"), remedy)
}

/// The name of a CronJob, to which those of its Jobs and their pods are added.
pub(in crate::values) fn cron_job_name(node: &Node) -> Option<Wrong> {
    at_most(node, 52, "a CronJob's name")
}

fn at_most(node: &Node, longest: usize, what: &str) -> Option<Wrong> {
    if node.text()?.len() > longest {
        return wrong("", format!("{what} has at most {longest} characters"), "shorten it");
    }
    None
}

/// A Job as a whole: its selector, and the labels that a cluster gives its pods, which stand in one that was read from a cluster.
pub(in crate::values) fn job_selector(node: &Node) -> Option<Wrong> {
    let spec = node.get("spec")?;
    let labels = spec.find(&["template", "metadata", "labels"]);
    let of_pod = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Node::text);
    let wanted = spec.entries_at(&["selector", "matchLabels"]);
    let expressions = spec.items_at(&["selector", "matchExpressions"]);
    if is_true(spec, "manualSelector") {
        if spec.get("selector").is_none() {
            let remedy = "add `selector` with the labels of its pods, or remove manualSelector";
            return wrong("spec", "manualSelector is set, and there is no selector", remedy);
        }
        let unlike = wanted.iter().find(|entry| of_pod(&entry.key) != entry.node.text())?;
        let value = unlike.node.text().unwrap_or_default();
        let message = format!("the selector wants {}={value}, which the pods' labels do not have", unlike.key);
        return wrong("spec", message, "write the same labels in spec.template.metadata.labels");
    }
    let name = node.text_at(&["metadata", "name"]);
    let is_name = |key: &str, value: Option<&str>| key.ends_with("job-name") && is_made_label(key) && value == name;
    let is_of_made_label = |node: &Node| node.text_at(&["key"]).is_some_and(is_made_label);
    if !expressions.iter().all(is_of_made_label) || wanted.iter().any(|entry| !is_name(&entry.key, entry.node.text())) {
        return wrong("spec", GENERATED_SELECTOR, "remove `selector`");
    }
    let own = labels.map_or(&[][..], Node::entries).iter();
    let made = own.map(|entry| &entry.key).find(|key| is_made_label(key) && !is_name(key, of_pod(key)))?;
    wrong("spec", format!("a cluster sets the label {made} on a Job's pods"), "remove it")
}

/// Whether a cluster gives the pods of a Job a label with this key.
fn is_made_label(key: &str) -> bool {
    matches!(key.strip_prefix("batch.kubernetes.io/").unwrap_or(key), "controller-uid" | "job-name")
}
