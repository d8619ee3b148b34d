//! Removes what is ours in a cluster: this run's namespace, and those that no living run owns. Main functions: [`remove`],
//! [`remove_orphans`], [`remove_of`].

use std::time::Duration;

use e2e_node::poll::{Look, until};
use futures_util::future::join_all;
use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Namespace, Node},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, Preconditions},
};

use super::{
    cluster::Cluster,
    cluster_scoped, cordon,
    error::{Error, reason},
    labels::{MANAGED_BY, MANAGER, labels},
};
use crate::provider::owner::{OWNER, RUN, is_left_behind};

/// How long a namespace may take to go: the longest grace period of a pod, and the cluster's own work after it.
const GONE_LIMIT: Duration = Duration::from_secs(120);
/// How long a namespace may take to be there after its creation was given up: the API server ends what it has begun.
const MADE_LIMIT: Duration = Duration::from_secs(5);
/// How often to look: the pods of a small system take two seconds to go.
const GONE_LOOK: Duration = Duration::from_millis(250);

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

/// Whether nobody ends the drain of a node any more. Another machine may watch over it.
fn is_abandoned(node: &Node, now: Timestamp) -> bool {
    is_left_behind(node.labels().get(OWNER).map(String::as_str), cordon::age(node, now))
}

/// Removes the namespaces of runs whose process is gone, and says how many. Nodes that such a run has drained take pods again.
pub(crate) async fn remove_orphans(cluster: &Cluster) -> Result<usize, Error> {
    let now = Timestamp::now();
    let removed = remove_all(cluster, RUN, |namespace| is_orphan(namespace, now)).await;
    let released = cordon::release(cluster, RUN, |node| is_abandoned(node, now)).await;
    removed.and_then(|count| released.map(|()| count))
}

/// The same for the run of a process that has ended.
pub(crate) async fn remove_of(cluster: &Cluster, owner: &str) -> Result<(), Error> {
    let of_owner = format!("{RUN}={},{OWNER}={owner}", cluster.run_id);
    let removed = remove_all(cluster, &format!("{of_owner},{MANAGED_BY}={MANAGER}"), |_| true).await;
    let released = cordon::release(cluster, &of_owner, |_| true).await;
    removed.and(released)
}

/// Removes the namespaces that have these labels and are `unwanted`, and says how many. Tries each, and returns the first error.
async fn remove_all(cluster: &Cluster, labels: &str, unwanted: impl Fn(&Namespace) -> bool) -> Result<usize, Error> {
    let api = cluster.all::<Namespace>();
    let labelled = ListParams::default().labels(labels);
    let list = api.list(&labelled).await;
    let list = list.map_err(|error| Error::failed("list the namespaces labelled", labels, &error))?;
    let unwanted = list.items.iter().filter(|namespace| unwanted(namespace));
    let removed = join_all(unwanted.map(|namespace| delete(cluster, &namespace.metadata))).await;
    let count = removed.len();
    removed.into_iter().collect::<Result<(), _>>().map(|()| count)
}

/// Removes the namespace that this run made, and with it everything of the run; nothing where it made none. The cluster goes on
/// with that in the background, unless the run is to wait for it.
pub(crate) async fn remove(cluster: &Cluster) -> Result<(), Error> {
    let Some(namespace) = cluster.made() else { return Ok(()) };
    delete(cluster, namespace).await?;
    if cluster.options.wait { wait_until_gone(cluster, namespace.uid.as_deref()).await } else { Ok(()) }
}

/// Deletes this very namespace, after what its run made outside of it. Another one of the same name has another uid.
async fn delete(cluster: &Cluster, namespace: &ObjectMeta) -> Result<(), Error> {
    let wide_removed = cluster_scoped::remove(cluster, namespace).await;
    let api = cluster.all::<Namespace>();
    let name = namespace.name.as_deref().unwrap_or_default();
    let only_this = Preconditions { uid: namespace.uid.clone(), ..Preconditions::default() };
    let removed = match api.delete(name, &DeleteParams::background().preconditions(only_this)).await {
        Ok(_) => Ok(()),
        // Gone or going already, or another one has its name by now.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(error) => Err(Error::failed("delete the namespace", name, &error)),
    };
    wide_removed.and(removed)
}

/// Finds the namespace of this run that the cluster made although its answer did not arrive.
pub(super) async fn find_made(cluster: &Cluster) {
    let api = cluster.all::<Namespace>();
    let labels = labels(&cluster.run_id).map(|(name, value)| format!("{name}={value}")).join(",");
    let ours = ListParams::default().labels(&labels);
    let found = until("the namespace", MADE_LIMIT, GONE_LOOK, || async {
        match api.list(&ours).await.map(|list| list.items.into_iter().next()) {
            Ok(Some(namespace)) => Look::Done(namespace),
            Ok(None) => Look::NotYet("there is none".to_owned()),
            Err(error) => Look::NotYet(reason(&error)),
        }
    });
    // None was made then, or the cluster has gone; its labels tell the next run.
    if let Ok(namespace) = found.await {
        cluster.note_made(namespace.metadata);
    }
}

async fn wait_until_gone(cluster: &Cluster, uid: Option<&str>) -> Result<(), Error> {
    let api = cluster.all::<Namespace>();
    let gone = until("the end of the namespace", GONE_LIMIT, GONE_LOOK, || async {
        match api.get_metadata_opt(&cluster.namespace).await {
            Ok(Some(namespace)) if namespace.uid().as_deref() == uid => Look::NotYet("it is there".to_owned()),
            Ok(_) => Look::Done(()),
            Err(error) => Look::NotYet(reason(&error)),
        }
    });
    gone.await.map_err(|still_there| Error::of("remove the namespace", &cluster.namespace, still_there))
}

/// The error for a namespace that exists already.
pub(super) async fn taken(cluster: &Cluster) -> Error {
    let api = cluster.all::<Namespace>();
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
    use serde_json::{Value, json};

    use super::{
        super::testing::{cluster, cluster_role},
        *,
    };

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

    fn namespaces() -> Value {
        let namespace = |name: &str| {
            let mut metadata = json!({ "name": name, "uid": name, "labels": BTreeMap::from(labels("1")) });
            metadata["annotations"] =
                json!({ "e2e.cluster-scoped": "g.k8s.io v1 Hook hooks first\ng.k8s.io v1 Hook hooks second" });
            json!({ "metadata": metadata })
        };
        json!({ "items": [namespace("a"), namespace("b")] })
    }

    fn error(code: u16) -> Option<(u16, Value)> {
        let text = "not allowed";
        Some((code, json!({ "kind": "Status", "status": "Failure", "code": code, "reason": text, "message": text })))
    }

    #[tokio::test]
    async fn what_cannot_be_removed_keeps_nothing_else_from_being_removed() {
        let (cluster, asked) = cluster(|line| match line {
            "GET /api/v1/namespaces" => Some((200, namespaces())),
            "GET /api/v1/nodes" => {
                Some((200, json!({ "items": [{ "metadata": { "name": "n" } }, { "metadata": { "name": "m" } }] })))
            }
            _ if line.starts_with("GET /apis/g.k8s.io/v1/hooks/") => {
                let owner = json!({ "apiVersion": "v1", "kind": "Namespace", "name": "a", "uid": "a" });
                Some((200, json!({ "metadata": { "name": "x", "uid": "x", "ownerReferences": [owner] } })))
            }
            _ => error(403),
        });
        let said = remove_of(&cluster, "nobody").await.map_err(|error| error.to_string());
        assert_eq!(said, Err("the cluster could not delete Hook/second: not allowed".to_owned()));
        let asked = asked.lock().unwrap();
        let changes: Vec<&str> = asked.iter().map(String::as_str).filter(|line| !line.starts_with("GET")).collect();
        let hooks = changes.iter().filter(|line| line.contains("/hooks/"));
        assert_eq!(
            hooks.copied().collect::<Vec<_>>(),
            ["DELETE /apis/g.k8s.io/v1/hooks/second", "DELETE /apis/g.k8s.io/v1/hooks/first"],
            "the other namespace does not own them"
        );
        for line in [
            "DELETE /api/v1/namespaces/a",
            "DELETE /api/v1/namespaces/b",
            "PATCH /api/v1/nodes/n",
            "PATCH /api/v1/nodes/m",
        ] {
            assert!(changes.contains(&line), "{line}: {changes:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_whose_creation_was_not_answered_is_removed() {
        let (cluster, asked) = cluster(|line| match line {
            "POST /api/v1/namespaces" => None,
            "GET /api/v1/namespaces" => Some((200, namespaces())),
            _ => Some((200, json!({ "metadata": {} }))),
        });
        assert!(super::super::apply::create_namespace(&cluster, "baseline", &[cluster_role()]).await.is_err());
        remove(&cluster).await.unwrap();
        assert!(asked.lock().unwrap().contains(&"DELETE /api/v1/namespaces/a".to_owned()));
    }

    #[test]
    fn a_drain_is_left_behind_by_its_own_age() {
        let node = |seconds: Option<i64>| -> Node {
            let mut labels = BTreeMap::from(labels("1"));
            labels.entry(OWNER.to_owned()).and_modify(|owner| owner.push('0'));
            labels.extend(seconds.map(|seconds| ("e2e.since".to_owned(), seconds.to_string())));
            serde_json::from_value(json!({ "metadata": { "labels": labels } })).unwrap()
        };
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let is_abandoned = |since| is_abandoned(&node(since), now);
        assert!(is_abandoned(Some(1_800_000_000 - 24 * 3600)), "an earlier boot's");
        assert!(!is_abandoned(Some(1_800_000_000 - 3600)) && !is_abandoned(None));
    }
}
