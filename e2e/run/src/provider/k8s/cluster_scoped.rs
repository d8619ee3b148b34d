//! Objects that belong to the whole cluster, for a run that is asked to apply them: made anew, owned by the run's namespace so that the
//! cluster removes them with it, and removed by the run itself before that. Main functions: [`apply`], [`remove`].

use std::time::Duration;

use e2e_node::poll::{Look, until};
use e2e_plan::{Object, Warning};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    ResourceExt,
    api::{DeleteParams, PostParams, Preconditions},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::json;

use super::{
    cluster::Cluster,
    error::Error,
    rehome::is_wanted,
    resolve::{Resolved, resolve},
};

/// How long a cluster may take until it serves a kind that was defined; it takes a second.
const SERVED_LIMIT: Duration = Duration::from_secs(30);
/// How often to look.
const LOOK: Duration = Duration::from_millis(200);

/// Makes the objects that belong to the whole cluster. Kinds that they define are looked up anew.
///
/// # Errors
///
/// The cluster does not take one, or has one of this name already.
pub(super) async fn apply(
    cluster: &Cluster,
    objects: &[Object],
    (mut resolved, mut left_out): (Vec<Resolved>, Vec<Warning>),
) -> Result<(Vec<Resolved>, Vec<Warning>), Error> {
    create(cluster, &resolved, &[]).await?;
    let defined: Vec<&str> = objects.iter().filter_map(|object| defined_kind(cluster, object)).collect();
    if !defined.is_empty() {
        let is_defined = |kind: &String| defined.contains(&kind.as_str());
        let wanted = objects.iter().filter(|object| is_defined(&object.kind)).count();
        let served = |all: &[Resolved]| all.iter().filter(|object| is_defined(&object.resource.kind)).count();
        let resolving = until("the definitions", SERVED_LIMIT, LOOK, || async {
            match resolve(cluster, objects).await {
                Ok((resolved, _)) if served(&resolved) < wanted => Look::NotYet("a kind is not served".to_owned()),
                resolved => Look::Done(resolved),
            }
        });
        let name = defined.join(", ");
        let before = resolved;
        (resolved, left_out) = resolving.await.map_err(|timed_out| Error::of("serve", &name, timed_out))??;
        create(cluster, &resolved, &before).await?;
    }
    Ok((resolved, left_out))
}

/// The kind that a definition among the objects brings.
fn defined_kind<'a>(cluster: &Cluster, object: &'a Object) -> Option<&'a str> {
    let is_definition = object.kind == "CustomResourceDefinition" && is_wanted(cluster, object);
    object.json.pointer("/spec/names/kind").filter(|_| is_definition)?.as_str()
}

/// Makes those that were not made before.
async fn create(cluster: &Cluster, objects: &[Resolved], before: &[Resolved]) -> Result<(), Error> {
    let uid = cluster.made().and_then(|namespace| namespace.uid.as_ref());
    let owner = json!({ "apiVersion": "v1", "kind": "Namespace", "name": cluster.namespace, "uid": uid });
    let is_known =
        |object: &&Resolved| before.iter().any(|made| made.name == object.name && made.resource == object.resource);
    for object in objects.iter().filter(|object| object.is_wide && !is_known(object)) {
        let api = cluster.dynamic(&object.resource, true);
        let name = format!("{}/{}", object.resource.kind, object.name);
        let mut json = object.object.clone();
        json["metadata"]["ownerReferences"] = json!([owner]);
        let json: DynamicObject = serde_json::from_value(json).map_err(|error| Error::of("read", &name, error))?;
        api.create(&PostParams::default(), &json).await.map_err(|error| match error {
            kube::Error::Api(status) if status.reason == "AlreadyExists" => {
                let reason = "it already exists and is not this run's; remove it, or do without `cluster_scoped`";
                Error::of("create", &name, reason)
            }
            error => Error::failed("create", &name, &error),
        })?;
    }
    Ok(())
}

/// Annotation of a run's namespace: the objects outside of it that the run may make, one a line, for whoever removes them.
const WIDE: &str = "e2e.cluster-scoped";

/// Notes the objects outside of the namespace on it, before there are any. What is of a kind that these define goes with the definition.
pub(super) fn note(namespace: &mut ObjectMeta, objects: &[Resolved]) {
    let lines = objects.iter().filter(|object| object.is_wide).map(|Resolved { resource, name, .. }| {
        let ApiResource { group, version, kind, plural, .. } = resource;
        format!("{group} {version} {kind} {plural} {name}")
    });
    let lines: Vec<String> = lines.collect();
    if !lines.is_empty() {
        namespace.annotations.get_or_insert_default().insert(WIDE.to_owned(), lines.join("\n"));
    }
}

/// What a namespace has noted, the last one first: webhooks without their pods would keep a namespace from going.
fn noted(namespace: &ObjectMeta) -> Vec<(ApiResource, &str)> {
    let text = namespace.annotations.as_ref().and_then(|all| all.get(WIDE)).map_or("", String::as_str);
    let noted = text.lines().rev().filter_map(|line| {
        let [group, version, kind, plural, name] = line.split(' ').collect::<Vec<_>>().try_into().ok()?;
        Some((ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural), name))
    });
    noted.collect()
}

/// Removes the objects outside of a namespace that its run made; those that it owns. Tries each, and returns the first error.
pub(super) async fn remove(cluster: &Cluster, namespace: &ObjectMeta) -> Result<(), Error> {
    let mut removed = Ok(());
    for (resource, name) in noted(namespace) {
        removed = removed.and(remove_one(cluster, namespace, &resource, name).await);
    }
    removed
}

async fn remove_one(
    cluster: &Cluster,
    namespace: &ObjectMeta,
    resource: &ApiResource,
    name: &str,
) -> Result<(), Error> {
    let api = cluster.dynamic(resource, true);
    let deleted = async {
        let Some(found) = api.get_opt(name).await? else { return Ok(()) };
        // Another one of this name is somebody else's.
        if !found.owner_references().iter().any(|owner| Some(&owner.uid) == namespace.uid.as_ref()) {
            return Ok(());
        }
        let preconditions = Some(Preconditions { uid: found.metadata.uid, resource_version: None });
        api.delete(name, &DeleteParams { preconditions, ..DeleteParams::default() }).await.map(drop)
    };
    match deleted.await {
        // Gone by now, or another one of this name.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        deleted => deleted.map_err(|error| Error::failed("delete", &format!("{}/{name}", resource.kind), &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::cluster_role, *};

    #[test]
    fn a_namespace_says_what_its_run_may_make_outside_of_it() {
        let mut namespace = ObjectMeta::default();
        note(&mut namespace, &[]);
        assert_eq!(namespace, ObjectMeta::default());
        let (first, second) = (cluster_role(), Resolved { name: "b".to_owned(), ..cluster_role() });
        let own = Resolved { is_wide: false, ..cluster_role() };
        note(&mut namespace, &[first, second, own]);
        let noted = noted(&namespace);
        assert_eq!(noted.iter().map(|(_, name)| *name).collect::<Vec<_>>(), ["b", "a"]);
        assert!(noted.iter().all(|(resource, _)| *resource == cluster_role().resource));
    }
}
