//! What is ours in a cluster, and the removal of what no living run owns. Main functions: [`labels`], [`remove_orphans`].

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};

use super::{cluster::Cluster, error::Error};
use crate::provider::{
    docker::engine::RUN,
    owner::{Owner, is_left_behind},
};

/// Label that names the process which owns the run.
const OWNER: &str = "e2e.owner";

/// Labels of everything that a run makes.
pub(super) fn labels(run_id: &str) -> [(String, String); 3] {
    [
        ("app.kubernetes.io/managed-by".to_owned(), "e2e".to_owned()),
        (RUN.to_owned(), run_id.to_owned()),
        (OWNER.to_owned(), Owner::this_process().to_string()),
    ]
}

/// Whether nobody will use a namespace any more.
fn is_orphan(namespace: &Namespace, now: Timestamp) -> bool {
    let label = |name: &str| namespace.labels().get(name).map(String::as_str).unwrap_or_default();
    if label(RUN).is_empty() || namespace.metadata.deletion_timestamp.is_some() {
        return false;
    }
    let created = namespace.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
    let age = Duration::try_from(now.duration_since(created)).unwrap_or_default();
    is_left_behind(Some(label(OWNER)), age)
}

/// Removes the namespaces of runs whose process is gone, and says how many.
pub(crate) async fn remove_orphans(cluster: &Cluster) -> Result<usize, Error> {
    let api: Api<Namespace> = Api::all(cluster.client.clone());
    let ours = ListParams::default().labels(RUN);
    let list = api.list(&ours).await.map_err(|error| cluster.failed("list the namespaces labelled", RUN, &error))?;
    let orphans = list.items.iter().filter(|namespace| is_orphan(namespace, Timestamp::now()));
    let names: Vec<String> = orphans.map(ResourceExt::name_any).collect();
    for name in &names {
        match api.delete(name, &DeleteParams::background()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(error) => return Err(cluster.failed("delete the namespace", name, &error)),
        }
    }
    Ok(names.len())
}

/// The error for a namespace that exists already.
pub(super) async fn taken(cluster: &Cluster) -> Error {
    let api: Api<Namespace> = Api::all(cluster.client.clone());
    let whose = match api.get(&cluster.namespace).await {
        Ok(namespace) if namespace.metadata.deletion_timestamp.is_some() => "is still being removed".to_owned(),
        Ok(namespace) => match namespace.labels().get(RUN) {
            Some(run) => format!("belongs to the run {run}"),
            None => "is not ours".to_owned(),
        },
        Err(_) => "may not be ours".to_owned(),
    };
    Error::NamespaceTaken { namespace: cluster.namespace.clone(), whose }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

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
        let mut nobodys = own.clone();
        nobodys[2].1 = "nobody".to_owned();
        assert!(orphan(&nobodys, Duration::ZERO));
        let mut foreign = own;
        // The owner's boot stands last in it.
        foreign[2].1.push('0');
        assert!(!orphan(&foreign, Duration::from_secs(3600)) && orphan(&foreign, day));
    }
}
