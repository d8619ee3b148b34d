//! Objects that belong to the whole cluster, for a run that is asked to apply them: made anew, owned by the run's namespace so that the
//! cluster removes them with it, and removed by the run itself before that. Main functions: [`apply`], [`remove`].

use std::time::Duration;

use e2e_node::poll::{Look, until};
use e2e_plan::{Object, Warning};
use kube::{
    Api,
    api::{DeleteParams, PostParams, Preconditions},
    core::{ApiResource, DynamicObject},
};
use serde_json::json;

use super::{
    apply::{Resolved, resolve},
    cluster::Cluster,
    error::Error,
    rehome::is_wanted,
};

/// How long a cluster may take until it serves a kind that was defined; it takes a second.
const SERVED: Duration = Duration::from_secs(30);
/// How often to look.
const LOOK: Duration = Duration::from_millis(200);

/// An object that was made.
#[derive(Debug)]
pub(super) struct Made {
    resource: ApiResource,
    name: String,
    uid: Option<String>,
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
