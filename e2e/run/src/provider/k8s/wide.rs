//! Objects that belong to the whole cluster, for a run that is asked to apply them: made anew, owned by the run's namespace so that the
//! cluster removes them with it, and removed by the run itself before that. Main functions: [`apply`], [`remove`].

use std::{collections::BTreeSet, time::Duration};

use e2e_node::poll::{Look, until};
use e2e_plan::{Object, Warning};
use kube::{
    Api,
    api::{DeleteParams, PostParams, Preconditions},
    core::{ApiResource, DynamicObject},
};
use serde_json::{Value, json};

use super::{
    apply::{Resolved, resolve},
    cluster::Cluster,
    error::Error,
};

/// How long a cluster may take until it serves a kind that was defined; it takes a second.
const SERVED: Duration = Duration::from_secs(30);
/// How often to look.
const LOOK: Duration = Duration::from_millis(200);
/// What every namespaced object without a namespace is in.
const DEFAULT_NAMESPACE: &str = "default";

/// An object that was made.
#[derive(Debug)]
pub(super) struct Made {
    resource: ApiResource,
    name: String,
    uid: Option<String>,
}

/// Whether an object is to be applied although it belongs to no namespace. The run's own namespace stands for those of the manifests.
pub(super) fn is_wanted(cluster: &Cluster, object: &Object) -> bool {
    cluster.cluster_scoped && object.kind != "Namespace"
}

/// Makes the objects that belong to the whole cluster. Kinds that they define are looked up anew.
///
/// # Errors
///
/// The cluster does not take one, or has one of this name already.
pub(super) async fn apply(
    cluster: &Cluster,
    objects: &[Object],
    (mut resolved, mut left_out): (Vec<Resolved>, Vec<Warning>),
) -> Result<(Vec<Made>, Vec<Resolved>, Vec<Warning>), Error> {
    let mut made = create(cluster, &resolved, &[]).await?;
    let defined: Vec<&str> = objects.iter().filter_map(|object| defined_kind(cluster, object)).collect();
    if !defined.is_empty() {
        let is_open = |warning: &Warning| {
            defined.iter().any(|kind| warning.object.strip_prefix(kind).is_some_and(|rest| rest.starts_with('/')))
        };
        let served = until("the definitions", SERVED, LOOK, || async {
            match resolve(cluster, objects).await {
                Ok((_, left_out)) if left_out.iter().any(is_open) => Look::NotYet("a kind is not served".to_owned()),
                resolved => Look::Done(resolved),
            }
        });
        let name = defined.join(", ");
        let failed = |error: e2e_node::poll::TimedOut| Error::Request {
            action: "serve",
            name: name.clone(),
            reason: error.to_string(),
        };
        (resolved, left_out) = served.await.map_err(failed)??;
        made.extend(create(cluster, &resolved, &made).await?);
    }
    Ok((made, resolved, left_out))
}

/// The kind that a definition among the objects brings.
fn defined_kind<'a>(cluster: &Cluster, object: &'a Object) -> Option<&'a str> {
    let is_definition = object.kind == "CustomResourceDefinition" && is_wanted(cluster, object);
    object.json.pointer("/spec/names/kind").filter(|_| is_definition)?.as_str()
}

/// Makes those that were not made before.
async fn create(cluster: &Cluster, objects: &[Resolved], before: &[Made]) -> Result<Vec<Made>, Error> {
    let owner = json!({ "apiVersion": "v1", "kind": "Namespace", "name": cluster.namespace, "uid": cluster.made() });
    let mut made = Vec::new();
    let is_known =
        |object: &&Resolved| before.iter().any(|made| made.name == object.name && made.resource == object.resource);
    for object in objects.iter().filter(|object| object.is_wide && !is_known(object)) {
        let api: Api<DynamicObject> = Api::all_with(cluster.client.clone(), &object.resource);
        let name = format!("{}/{}", object.resource.kind, object.name);
        let mut json = object.object.clone();
        json["metadata"]["ownerReferences"] = json!([owner]);
        let unreadable =
            |error: serde_json::Error| Error::Request { action: "read", name: name.clone(), reason: error.to_string() };
        let json: DynamicObject = serde_json::from_value(json).map_err(unreadable)?;
        let created = api.create(&PostParams::default(), &json).await.map_err(|error| match error {
            kube::Error::Api(status) if status.reason == "AlreadyExists" => Error::Request {
                action: "create",
                name: name.clone(),
                reason: "it exists already and is not this run's; remove it, or do without `cluster_scoped`".to_owned(),
            },
            error => cluster.failed("create", &name, &error),
        })?;
        made.push(Made { resource: object.resource.clone(), name: object.name.clone(), uid: created.metadata.uid });
    }
    Ok(made)
}

/// Removes what was made, the last one first: webhooks without their pods would keep a namespace from going.
pub(super) async fn remove(cluster: &Cluster, made: &[Made]) -> Result<(), Error> {
    for Made { resource, name, uid } in made.iter().rev() {
        let api: Api<DynamicObject> = Api::all_with(cluster.client.clone(), resource);
        let preconditions = Some(Preconditions { uid: uid.clone(), resource_version: None });
        match api.delete(name, &DeleteParams { preconditions, ..DeleteParams::default() }).await {
            Ok(_) => {}
            // Gone, or another one of this name.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(error) => return Err(cluster.failed("delete", &format!("{}/{name}", resource.kind), &error)),
        }
    }
    Ok(())
}

/// An object outside of namespaces that means the run's namespace wherever it names one of the manifests'.
pub(super) fn moved(mut json: Value, objects: &[Object], namespace: &str) -> Value {
    if let Some(metadata) = json["metadata"].as_object_mut() {
        metadata.remove("namespace");
    }
    let homes = objects
        .iter()
        .filter(|object| !object.cluster_scoped)
        .map(|object| object.json.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or(DEFAULT_NAMESPACE));
    rename(&mut json, &homes.collect(), namespace);
    json
}

fn rename(value: &mut Value, homes: &BTreeSet<&str>, namespace: &str) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str() {
                    Some(home) if key == "namespace" && homes.contains(home) => *value = namespace.into(),
                    _ => rename(value, homes, namespace),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, homes, namespace)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use e2e_plan::{Manifest, Objects, Plan};

    use super::*;

    #[test]
    fn names_of_namespaces_become_the_runs() {
        let text = "{apiVersion: v1, kind: ServiceAccount, metadata: {name: a, namespace: shop}}\n---\n\
                    {apiVersion: v1, kind: ServiceAccount, metadata: {name: b}}\n";
        let plan =
            Plan::of(Objects::read(&[Manifest { file: "a.yaml".into(), text: text.to_owned() }])).expect("a plan");
        let subject = |namespace: &str| json!({ "kind": "ServiceAccount", "name": "a", "namespace": namespace });
        let binding = json!({
            "kind": "ClusterRoleBinding",
            "metadata": { "name": "x", "namespace": "e2e-1" },
            "subjects": [subject("shop"), subject("default"), subject("kube-system")],
        });
        let expected = json!({
            "kind": "ClusterRoleBinding",
            "metadata": { "name": "x" },
            "subjects": [subject("e2e-1"), subject("e2e-1"), subject("kube-system")],
        });
        assert_eq!(moved(binding, &plan.objects, "e2e-1"), expected);
    }
}
