//! What a run gives to a cluster: each object as the cluster serves its kind, labelled as the run's. Main function: [`resolve`].

use std::collections::{BTreeMap, BTreeSet};

use e2e_plan::{Object, Warning, kinds::is_own_group};
use kube::{
    core::{ApiResource, GroupVersionKind},
    discovery::{self, Discovery, Scope},
};
use serde_json::{Value, json};

use super::{cluster::Cluster, error::Error, labels, pod, rehome, slots::COMPONENT};

/// An object, ready to be applied.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) resource: ApiResource,
    pub(super) object: Value,
    pub(super) name: String,
    /// The component of the plan that a workload is.
    pub(super) component: Option<String>,
    /// Whether it belongs to the whole cluster.
    pub(super) is_wide: bool,
}

/// Finds out how the cluster serves each kind, before anything is made. What is left out is told, each with the reason: a run makes
/// nothing outside of its namespace.
///
/// # Errors
///
/// It does not serve a kind in the version that the manifest has, as `kubectl apply` would find.
pub(super) async fn resolve(cluster: &Cluster, objects: &[Object]) -> Result<(Vec<Resolved>, Vec<Warning>), Error> {
    let mut served: BTreeMap<(String, String), Option<(ApiResource, Scope)>> = BTreeMap::new();
    let mut left_out = Vec::new();
    let mut resolved = Vec::new();
    // What the plan knows to belong to no namespace stands in its warnings.
    for object in objects.iter().filter(|object| !object.cluster_scoped || rehome::is_wanted(cluster, object)) {
        let api_version = object.json["apiVersion"].as_str().unwrap_or_default().to_owned();
        let key = (api_version.clone(), object.kind.clone());
        if !served.contains_key(&key) {
            served.insert(key.clone(), look_up(cluster, &api_version, object).await?);
        }
        let mut leave_out = |why: &str| {
            left_out.push(Warning {
                source: object.source.clone(),
                object: format!("{}/{}", object.kind, object.name),
                path: "kind".to_owned(),
                reason: format!("{why}: it is not applied"),
            });
        };
        let (resource, is_wide) = match served.get(&key).and_then(Option::as_ref) {
            Some((resource, Scope::Namespaced)) => (resource, false),
            Some((resource, Scope::Cluster)) if cluster.options.cluster_scoped => (resource, true),
            Some((_, Scope::Cluster)) => {
                leave_out("it belongs to the whole cluster");
                continue;
            }
            None => {
                leave_out(&format!("no matches for kind \"{}\" in version \"{api_version}\"", object.kind));
                continue;
            }
        };
        resolved.push(Resolved {
            object: match is_wide {
                true => rehome::moved(labelled(object, cluster), objects, &cluster.namespace),
                false => labelled(object, cluster),
            },
            resource: resource.clone(),
            name: object.name.clone(),
            component: object.component.clone(),
            is_wide,
        });
    }
    Ok((resolved, left_out))
}

/// How the cluster serves a kind; nothing of one that a definition would have to bring, and that is not there.
async fn look_up(cluster: &Cluster, api_version: &str, object: &Object) -> Result<Option<(ApiResource, Scope)>, Error> {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let gvk = GroupVersionKind::gvk(group, version, &object.kind);
    let failed =
        |error: kube::Error| Error::failed("say how it serves", &format!("{api_version} {}", object.kind), &error);
    let found = known(discovery::pinned_kind(&cluster.client, &gvk).await).map_err(failed)?;
    if let Some((resource, capabilities)) = found {
        return Ok(Some((resource, capabilities.scope)));
    }
    let everything = Discovery::new(cluster.client.clone()).run().await.map_err(failed)?;
    // Its definition may have been made a moment ago.
    if let Some((resource, capabilities)) = everything.resolve_gvk(&gvk) {
        return Ok(Some((resource, capabilities.scope)));
    }
    let versions = versions_of(&everything, &object.kind);
    if versions.is_empty() && !is_own_group(group) {
        return Ok(None);
    }
    Err(Error::UnknownKind {
        place: object.source.clone(),
        api_version: api_version.to_owned(),
        kind: object.kind.clone(),
        remedy: match versions.is_empty() {
            true => format!("leave {} out", object.name),
            false => format!("the cluster serves it as {}; write that as apiVersion", versions.join(" and as ")),
        },
    })
}

/// The API versions in which the cluster serves a kind.
fn versions_of(served: &Discovery, kind: &str) -> Vec<String> {
    let groups = served.groups().flat_map(|group| group.versions().map(move |version| (group, version)));
    let resources = groups.flat_map(|(group, version)| group.versioned_resources(version));
    let versions = resources.filter(|(resource, _)| resource.kind == kind).map(|(resource, _)| resource.api_version);
    versions.collect::<BTreeSet<_>>().into_iter().collect()
}

/// What the cluster says of a kind; nothing of one that it does not know.
fn known<T>(answer: kube::Result<T>) -> kube::Result<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(kube::Error::Discovery(_)) => Ok(None),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

/// The object in the run's namespace, with the run's labels; pods also with their component's.
pub(super) fn labelled(object: &Object, cluster: &Cluster) -> Value {
    let mut json = object.json.clone();
    let declared = json["metadata"]["namespace"].as_str().map(str::to_owned);
    json["metadata"]["namespace"] = cluster.namespace.clone().into();
    label(&mut json["metadata"], &labels::labels(&cluster.run_id));
    if let Some(component) = &object.component {
        let pod = if object.kind == "Pod" { &mut json["metadata"] } else { &mut json["spec"]["template"]["metadata"] };
        label(pod, &labels::labels(&cluster.run_id));
        label(pod, &[(COMPONENT.to_owned(), component.clone())]);
    }
    name_protocols(&mut json);
    cluster.hosts.move_to(&cluster.namespace, &mut json);
    for container in pod::containers_mut(&mut json) {
        if let Some(image) = container["image"].as_str() {
            container["image"] = cluster.image(image).into();
        }
    }
    // A binding that means its own namespace goes on doing so.
    for subject in json.get_mut("subjects").and_then(Value::as_array_mut).into_iter().flatten() {
        if subject["kind"] == "ServiceAccount" && subject["namespace"].as_str().map(str::to_owned) == declared {
            subject["namespace"] = cluster.namespace.clone().into();
        }
    }
    json
}

/// Says `TCP` where a port leaves its protocol out: it is a key of the list, and clusters before 1.21 do not know its default
/// when they merge lists.
fn name_protocols(json: &mut Value) {
    let api_version = json["apiVersion"].as_str().unwrap_or_default();
    // What the ports of another group's kinds are is that group's own.
    if !is_own_group(api_version.rsplit_once('/').map_or("", |(group, _)| group)) {
        return;
    }
    let lists = match json["kind"].as_str() {
        Some("Service") => json.pointer_mut("/spec/ports").into_iter().collect(),
        _ => pod::containers_mut(json).filter_map(|container| container.get_mut("ports")).collect::<Vec<_>>(),
    };
    for port in lists.into_iter().flat_map(|list| list.as_array_mut().into_iter().flatten()) {
        if let Some(port) = port.as_object_mut() {
            port.entry("protocol").or_insert_with(|| "TCP".into());
        }
    }
}

fn label(metadata: &mut Value, labels: &[(String, String)]) {
    if !metadata["labels"].is_object() {
        metadata["labels"] = json!({});
    }
    for (name, value) in labels {
        metadata["labels"][name] = value.clone().into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_says_its_protocol() {
        let mut service =
            json!({ "kind": "Service", "spec": { "ports": [{ "port": 80 }, { "port": 53, "protocol": "UDP" }] } });
        name_protocols(&mut service);
        assert_eq!(
            service["spec"]["ports"],
            json!([{ "port": 80, "protocol": "TCP" }, { "port": 53, "protocol": "UDP" }])
        );
        let mut pod = json!({ "kind": "Pod", "spec": {
            "initContainers": [{ "ports": [{ "containerPort": 1 }] }], "containers": [{ "ports": [{ "containerPort": 2 }] }],
        }});
        let job = json!({ "spec": { "template": pod } });
        let mut workload = json!({ "kind": "Deployment", "spec": { "template": pod } });
        let mut cron_job = json!({ "kind": "CronJob", "spec": { "jobTemplate": job } });
        for (object, at) in [
            (&mut pod, "/spec"),
            (&mut workload, "/spec/template/spec"),
            (&mut cron_job, "/spec/jobTemplate/spec/template/spec"),
        ] {
            name_protocols(object);
            for list in ["initContainers", "containers"] {
                let protocol = object.pointer(&format!("{at}/{list}/0/ports/0/protocol"));
                assert_eq!(protocol, Some(&json!("TCP")), "{at}/{list}");
            }
        }
    }

    #[test]
    fn ports_of_other_groups_stay_as_they_are() {
        let gateway =
            json!({ "apiVersion": "example.com/v1", "kind": "Gateway", "spec": { "ports": [{ "port": 80 }] } });
        let mut named = gateway.clone();
        name_protocols(&mut named);
        assert_eq!(named, gateway);
    }
}
