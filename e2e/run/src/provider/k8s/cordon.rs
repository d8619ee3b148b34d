//! Nodes that take no pods because of a run. Their labels say whose doing that is, so that they take pods again however the run ends. Main
//! functions: [`cordon`], [`uncordon`], [`release`].

use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::{
    ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Map, Value, json};

use super::{cluster::Cluster, error::Error};
use crate::provider::owner::{OWNER, RUN, owner_labels};

/// Label of such a node: since when, in seconds of Unix time by this machine's clock.
const SINCE: &str = "e2e.since";

/// Keeps a node from taking pods; `false` if somebody else does so already.
pub(super) async fn cordon(cluster: &Cluster, node: &str) -> Result<bool, Error> {
    let api = cluster.all::<Node>();
    let found = api.get(node).await.map_err(|error| Error::failed("read the node", node, &error))?;
    if found.spec.and_then(|spec| spec.unschedulable).unwrap_or_default() {
        return Ok(false);
    }
    let since = (SINCE.to_owned(), Timestamp::now().as_second().to_string());
    let labels = owner_labels(&cluster.run_id).into_iter().chain([since]);
    let labels = labels.map(|(name, value)| (name, Value::String(value)));
    set(cluster, node, &Value::Bool(true), &Map::from_iter(labels).into()).await?;
    Ok(true)
}

/// For how long a node has taken no pods because of a run; nothing of one that does not say.
pub(super) fn age(node: &Node, now: Timestamp) -> Duration {
    let since = node.labels().get(SINCE).and_then(|since| Timestamp::from_second(since.parse().ok()?).ok());
    since.and_then(|since| now.duration_since(since).try_into().ok()).unwrap_or_default()
}

/// Lets the nodes with these labels take pods again that are to be released: tries each, and returns the first error. Who may not list
/// nodes has drained none.
pub(super) async fn release(cluster: &Cluster, labels: &str, is_wanted: impl Fn(&Node) -> bool) -> Result<(), Error> {
    let api = cluster.all::<Node>();
    let nodes = match api.list(&ListParams::default().labels(labels)).await {
        Err(kube::Error::Api(status)) if status.code == 403 => return Ok(()),
        nodes => nodes.map_err(|error| Error::failed("list the nodes labelled", labels, &error))?,
    };
    let wanted = nodes.items.iter().filter(|node| is_wanted(node)).map(ResourceExt::name_any);
    let released = join_all(wanted.map(|node| async move { uncordon(cluster, &node).await })).await;
    released.into_iter().collect()
}

pub(super) async fn uncordon(cluster: &Cluster, node: &str) -> Result<(), Error> {
    set(cluster, node, &Value::Null, &json!({ RUN: null, OWNER: null, SINCE: null })).await
}

async fn set(cluster: &Cluster, node: &str, unschedulable: &Value, labels: &Value) -> Result<(), Error> {
    let api = cluster.all::<Node>();
    let patch = json!({ "metadata": { "labels": labels }, "spec": { "unschedulable": unschedulable } });
    let patched = api.patch(node, &PatchParams::default(), &Patch::Merge(patch)).await;
    patched.map(drop).map_err(|error| Error::failed("change the node", node, &error))
}
