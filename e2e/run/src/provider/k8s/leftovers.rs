//! Removes what is ours in a cluster: this run's namespace, and those that no living run owns. Main functions: [`remove`],
//! [`remove_orphans`], [`remove_of`].

use std::time::Duration;

use e2e_node::poll::{Look, until};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Preconditions},
};

use super::{
    cluster::Cluster,
    cordon,
    error::{Error, reason},
    labels::{MANAGED_BY, MANAGER, OWNER},
};
use crate::provider::{docker::engine::RUN, owner::is_left_behind};

/// How long a namespace may take to go: the longest grace period of a pod, and the cluster's own work after it.
const GONE_LIMIT: Duration = Duration::from_secs(120);
/// How often to look: the pods of a small system take two seconds to go.
const GONE_LOOK: Duration = Duration::from_millis(250);

/// Whether a namespace is a leftover.
fn is_orphan(namespace: &Namespace, now: Timestamp) -> bool {
    let label = |name: &str| namespace.labels().get(name).map(String::as_str).unwrap_or_default();
    let is_ours = label(MANAGED_BY) == MANAGER && !label(RUN).is_empty();
    if !is_ours || namespace.metadata.deletion_timestamp.is_some() {
        return false;
    }
    let created = namespace.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
    let age = Duration::try_from(now.duration_since(created)).unwrap_or_default();
    is_left_behind(Some(label(OWNER)), age)
}

/// Whether nobody ends the drain of a node any more. A node is older than its drain, which another machine may watch over.
fn is_abandoned(node: &Node) -> bool {
    is_left_behind(node.labels().get(OWNER).map(String::as_str), Duration::ZERO)
}

/// Removes the namespaces of runs whose process is gone, and says how many. Nodes that such a run has drained take pods again.
pub(crate) async fn remove_orphans(cluster: &Cluster) -> Result<usize, Error> {
    let removed = remove_all(cluster, RUN, |namespace| is_orphan(namespace, Timestamp::now())).await?;
    cordon::release(cluster, RUN, is_abandoned).await?;
    Ok(removed)
}

/// The same for the run of a process that has ended.
pub(crate) async fn remove_of(cluster: &Cluster, owner: &str) -> Result<(), Error> {
    let of_owner = format!("{RUN}={},{OWNER}={owner}", cluster.run_id);
    remove_all(cluster, &format!("{of_owner},{MANAGED_BY}={MANAGER}"), |_| true).await?;
    cordon::release(cluster, &of_owner, |_| true).await
}

/// Removes the namespaces that have these labels and are `unwanted`, and says how many.
async fn remove_all(cluster: &Cluster, labels: &str, unwanted: impl Fn(&Namespace) -> bool) -> Result<usize, Error> {
    let api: Api<Namespace> = Api::all(cluster.client.clone());
    let labelled = ListParams::default().labels(labels);
    let list = api.list(&labelled).await;
    let list = list.map_err(|error| cluster.failed("list the namespaces labelled", labels, &error))?;
    let unwanted = list.items.iter().filter(|namespace| unwanted(namespace));
    let unwanted: Vec<(String, String)> =
        unwanted.filter_map(|namespace| Some((namespace.name_any(), namespace.uid()?))).collect();
    for (name, uid) in &unwanted {
        delete(cluster, name, uid).await?;
    }
    Ok(unwanted.len())
}

/// Removes the namespace that this run made, and with it everything of the run; nothing where it made none. The cluster goes on
/// with that in the background, unless the run is to wait for it.
pub(crate) async fn remove(cluster: &Cluster) -> Result<(), Error> {
    let Some(uid) = cluster.made() else { return Ok(()) };
    delete(cluster, &cluster.namespace, uid).await?;
    if cluster.wait { wait_until_gone(cluster, uid).await } else { Ok(()) }
}

/// Deletes the namespace that has this name and this uid. Another one of the same name has another uid.
async fn delete(cluster: &Cluster, name: &str, uid: &str) -> Result<(), Error> {
    let api: Api<Namespace> = Api::all(cluster.client.clone());
    let only_this = Preconditions { uid: Some(uid.to_owned()), ..Preconditions::default() };
    match api.delete(name, &DeleteParams::background().preconditions(only_this)).await {
        Ok(_) => Ok(()),
        // Gone or going already, or another one has its name by now.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(error) => Err(cluster.failed("delete the namespace", name, &error)),
    }
}

async fn wait_until_gone(cluster: &Cluster, uid: &str) -> Result<(), Error> {
    let api: Api<Namespace> = Api::all(cluster.client.clone());
    let gone = until("the end of the namespace", GONE_LIMIT, GONE_LOOK, || async {
        match api.get_metadata_opt(&cluster.namespace).await {
            Ok(Some(namespace)) if namespace.uid().as_deref() == Some(uid) => Look::NotYet("it is there".to_owned()),
            Ok(_) => Look::Done(()),
            Err(error) => Look::NotYet(reason(&error)),
        }
    });
    gone.await.map_err(|still_there| Error::Request {
        action: "remove the namespace",
        name: cluster.namespace.clone(),
        reason: still_there.to_string(),
    })
}

/// The error for a namespace that exists already.
pub(super) async fn taken(cluster: &Cluster) -> Error {
    let api: Api<Namespace> = Api::all(cluster.client.clone());
    let whose = match api.get(&cluster.namespace).await {
        Ok(namespace) if namespace.metadata.deletion_timestamp.is_some() => "is still being removed".to_owned(),
        Ok(namespace) => match namespace.labels().get(RUN) {
            Some(run) => format!("belongs to the run {run}"),
            None => "does not belong to a run".to_owned(),
        },
        Err(_) => "may not belong to a run".to_owned(),
    };
    Error::NamespaceTaken { namespace: cluster.namespace.clone(), whose }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::{super::labels::labels, *};

    fn namespace(labels: &[(String, String)], age: Duration) -> (Namespace, Timestamp) {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let mut namespace = Namespace::default();
        namespace.metadata.labels = Some(labels.iter().cloned().collect::<BTreeMap<_, _>>());
        namespace.metadata.creation_timestamp = Some(Time(now - age));
        (namespace, now)
    }

    #[test]
    fn only_what_is_ours_and_dead_is_removed() {
        let day = Duration::from_secs(24 * 3600);
        let orphan = |labels: &[(String, String)], age| {
            let (namespace, now) = namespace(labels, age);
            is_orphan(&namespace, now)
        };
        let own = labels("a");
        assert!(!orphan(&own, day), "this process lives, however old its namespace is");
        assert!(!orphan(&[], day), "what has no label is not ours");
        let of_somebody = [(RUN.to_owned(), "a".to_owned()), (OWNER.to_owned(), "nobody".to_owned())];
        assert!(!orphan(&of_somebody, day), "a label alone that somebody else may use does not make it ours");
        let mut nobodys = own.clone();
        nobodys[2].1 = "nobody".to_owned();
        assert!(orphan(&nobodys, Duration::ZERO));
        let mut foreign = own;
        // The owner's boot stands last in it.
        foreign[2].1.push('0');
        assert!(!orphan(&foreign, Duration::from_secs(3600)) && orphan(&foreign, day));
    }
}
