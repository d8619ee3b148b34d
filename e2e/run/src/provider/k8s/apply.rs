//! Gives objects to the cluster, in a namespace of the run's own, by server-side apply. Main functions: [`create_namespace`], [`apply`].

use std::time::Duration;

use e2e_node::poll::{Look, until};
use futures_util::future::try_join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    api::{Patch, PatchParams, PostParams},
    core::Status,
};

use super::{cluster::Cluster, cluster_scoped, error::Error, labels, leftovers, resolve::Resolved, security};

/// Makes the namespace, and notes that it is this run's; returns the moment of it by the cluster's clock, in whole seconds.
pub(super) async fn create_namespace(cluster: &Cluster, level: &str, objects: &[Resolved]) -> Result<Timestamp, Error> {
    let api = cluster.all::<Namespace>();
    let name = &cluster.namespace;
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some(name.clone());
    namespace.metadata.labels = Some(labels::labels(&cluster.run_id).into());
    // What the pods need, and no more: a cluster's stricter default must not refuse them, nor a looser one hide anything.
    let labels = namespace.metadata.labels.get_or_insert_default();
    let security = |what: &str, value: &str| (format!("pod-security.kubernetes.io/{what}"), value.to_owned());
    labels.extend([security("enforce", level), security("enforce-version", security::VERSION)]);
    cluster_scoped::note(&mut namespace.metadata, objects);
    let created = match api.create(&PostParams::default(), &namespace).await {
        Ok(created) => created,
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
            return Err(leftovers::taken(cluster).await);
        }
        Err(error) => {
            if !matches!(error, kube::Error::Api(_)) {
                leftovers::find_made(cluster).await;
            }
            return Err(Error::failed("create the namespace", name, &error));
        }
    };
    let created_at = created.metadata.creation_timestamp.as_ref().map_or_else(Timestamp::now, |time| time.0);
    cluster.note_made(created.metadata);
    Ok(created_at)
}

/// Applies objects side by side.
pub(super) async fn apply(cluster: &Cluster, objects: impl IntoIterator<Item = &Resolved>) -> Result<(), Error> {
    try_join_all(objects.into_iter().map(|object| apply_one(cluster, object))).await.map(drop)
}

async fn apply_one(cluster: &Cluster, object: &Resolved) -> Result<(), Error> {
    let api = cluster.dynamic(&object.resource, false);
    let parameters = PatchParams::apply(labels::MANAGER).force();
    let apply = async || api.patch(&object.name, &parameters, &Patch::Apply(&object.object)).await;
    let applied = until("the namespace", FURNISHED, AGAIN, || async {
        match apply().await {
            Err(kube::Error::Api(status)) if is_passing(&status, object) => Look::NotYet(status.message),
            applied => Look::Done(applied),
        }
    });
    // The last error is the one to tell.
    let applied = match applied.await {
        Ok(applied) => applied,
        Err(_) => apply().await,
    };
    let name = || format!("{}/{}", object.resource.kind, object.name);
    applied.map(drop).map_err(|error| Error::failed("apply", &name(), &error))
}

/// How long a cluster may take to give a new namespace its ServiceAccount, without which it refuses bare pods; it takes a moment.
const FURNISHED: Duration = Duration::from_secs(5);
/// Between two attempts.
const AGAIN: Duration = Duration::from_millis(100);

/// Whether a refusal may be over soon: the API server asks for another attempt, or a pod's ServiceAccount is not there yet.
fn is_passing(status: &Status, object: &Resolved) -> bool {
    status.reason == "ServerTimeout" || status.code == 403 && object.resource.kind == "Pod"
}
