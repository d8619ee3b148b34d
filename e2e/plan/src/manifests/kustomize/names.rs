//! Names that change on the way, and the fields by which other objects follow them, as kustomize has them
//! (`builtinpluginconsts/namereference.go`). Main functions: [`rename`], [`follow`].

use super::{Resource, namespace};
use crate::{
    Document,
    kinds::{group, is_own_group},
    node::{Node, Tree},
    pod_keys,
};

/// The kinds whose names and references are known here.
const FOLLOWED: [&str; 16] = [
    "ConfigMap",
    "CronJob",
    "DaemonSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "Ingress",
    "Job",
    "NetworkPolicy",
    "PersistentVolumeClaim",
    "Pod",
    "PodDisruptionBudget",
    "ReplicaSet",
    "Secret",
    "Service",
    "ServiceAccount",
    "StatefulSet",
];

/// The kinds that have pods whose fields are followed.
const WITH_PODS: [&str; 8] =
    ["CronJob", "DaemonSet", "Deployment", "Job", "Pod", "PodTemplate", "ReplicaSet", "StatefulSet"];
/// Those of whose pods kustomize follows ConfigMaps and Secrets alone.
const OF_STORES_ALONE: [&str; 2] = ["PodTemplate", "ReplicaSet"];

/// A field that names an object of a kind: the keys to it, through lists.
type Reference = (&'static str, &'static [&'static str]);

const OF_PODS: &[Reference] = &[
    ("ConfigMap", &["volumes", "configMap", "name"]),
    ("ConfigMap", &["volumes", "projected", "sources", "configMap", "name"]),
    ("Secret", &["volumes", "secret", "secretName"]),
    ("Secret", &["volumes", "projected", "sources", "secret", "name"]),
    ("Secret", &["imagePullSecrets", "name"]),
    ("PersistentVolumeClaim", &["volumes", "persistentVolumeClaim", "claimName"]),
    ("ServiceAccount", &["serviceAccountName"]),
];

const OF_CONTAINERS: &[Reference] = &[
    ("ConfigMap", &["env", "valueFrom", "configMapKeyRef", "name"]),
    ("ConfigMap", &["envFrom", "configMapRef", "name"]),
    ("Secret", &["env", "valueFrom", "secretKeyRef", "name"]),
    ("Secret", &["envFrom", "secretRef", "name"]),
];

/// Those of other kinds, with the kind that has the field, and its group where only that one's kind has it.
const OTHERS: &[(&str, &str, Reference)] = &[
    ("StatefulSet", "apps", ("Service", &["spec", "serviceName"])),
    ("ServiceAccount", "", ("Secret", &["imagePullSecrets", "name"])),
    ("Ingress", "", ("Service", &["spec", "backend", "serviceName"])),
    ("Ingress", "", ("Service", &["spec", "defaultBackend", "service", "name"])),
    ("Ingress", "", ("Service", &["spec", "rules", "http", "paths", "backend", "serviceName"])),
    ("Ingress", "", ("Service", &["spec", "rules", "http", "paths", "backend", "service", "name"])),
    ("Ingress", "", ("Secret", &["spec", "tls", "secretName"])),
    ("Ingress", "", ("Secret", &["metadata", "annotations", "ingress.kubernetes.io/auth-secret"])),
    ("Ingress", "", ("Secret", &["metadata", "annotations", "nginx.ingress.kubernetes.io/auth-secret"])),
    ("Ingress", "", ("Secret", &["metadata", "annotations", "nginx.ingress.kubernetes.io/auth-tls-secret"])),
    (
        "Ingress",
        "",
        ("ConfigMap", &["metadata", "annotations", "nginx.ingress.kubernetes.io/fastcgi-params-configmap"]),
    ),
    ("HorizontalPodAutoscaler", "", ("Deployment", &["spec", "scaleTargetRef", "name"])),
    ("HorizontalPodAutoscaler", "", ("ReplicaSet", &["spec", "scaleTargetRef", "name"])),
    ("HorizontalPodAutoscaler", "", ("StatefulSet", &["spec", "scaleTargetRef", "name"])),
    ("Role", "", ("ConfigMap", &["rules", "resourceNames"])),
    ("Role", "", ("Secret", &["rules", "resourceNames"])),
    ("ClusterRole", "", ("ConfigMap", &["rules", "resourceNames"])),
    ("ClusterRole", "", ("Secret", &["rules", "resourceNames"])),
    ("PersistentVolume", "", ("Secret", &["spec", "azureFile", "secretName"])),
    ("StorageClass", "", ("Secret", &["parameters", "secretName"])),
    ("StorageClass", "", ("Secret", &["parameters", "adminSecretName"])),
    ("StorageClass", "", ("Secret", &["parameters", "userSecretName"])),
    ("StorageClass", "", ("Secret", &["parameters", "secretRef"])),
    (
        "Service",
        "serving.knative.dev",
        ("Secret", &["spec", "template", "spec", "containers", "env", "valueFrom", "secretKeyRef", "name"]),
    ),
];

/// Whether all that refers to an object of this kind, and all that it refers to, is known here.
pub(super) fn is_followed(object: &Document) -> bool {
    is_own_group(group(object.api_version())) && FOLLOWED.contains(&object.kind.as_str())
}

/// Gives a resource another name.
pub(super) fn rename(resource: &mut Resource, name: String) {
    resource.before.push(resource.id());
    set_metadata(&mut resource.object, "name", &name);
    resource.object.name = name;
}

/// Puts a resource into another namespace.
pub(super) fn renamespace(resource: &mut Resource, namespace: &str) {
    resource.before.push(resource.id());
    set_metadata(&mut resource.object, "namespace", namespace);
}

pub(super) fn set_metadata(object: &mut Document, key: &str, value: &str) {
    let place = object.node.place.clone();
    if let Some(metadata) = object.node.get_or_insert("metadata", Tree::Map(Vec::new()), &place) {
        metadata.set(key, Tree::Text(value.to_owned()), &place);
    }
}

/// Lets every reference name what it meant before names changed.
pub(super) fn follow(resources: &mut [Resource]) {
    let renamed = Renamed::of(resources);
    for resource in resources {
        let namespace = reach(&resource.object);
        each_reference(&mut resource.object, &mut |kind, text| {
            if let [name] = renamed.names(kind, text, namespace.as_deref())[..] {
                name.clone_into(text);
            }
        });
    }
}

/// A reference that several objects had the name of.
pub(super) fn ambiguous(resources: &[Resource]) -> Option<String> {
    let renamed = Renamed::of(resources);
    let mut found = None;
    for resource in resources {
        let namespace = reach(&resource.object);
        each_reference(&mut resource.object.clone(), &mut |kind, text| {
            if renamed.names(kind, text, namespace.as_deref()).len() > 1 {
                found = Some(format!("{} refers to {kind} `{text}`, which is several", resource.object.label()));
            }
        });
    }
    found
}

/// The namespace to which references of an object lead; none for one that has no namespace, whose references lead to all.
fn reach(object: &Document) -> Option<String> {
    (!object.is_cluster_scoped()).then(|| namespace(object).to_owned())
}

/// The objects whose names have changed.
struct Renamed(Vec<(String, String, Vec<String>, String)>);

impl Renamed {
    fn of(resources: &[Resource]) -> Self {
        let renamed = resources.iter().filter(|resource| !resource.before.is_empty());
        let entry = |resource: &Resource| {
            let before = resource.before.iter().map(|(name, _)| name.clone()).collect();
            let object = &resource.object;
            (object.kind.clone(), namespace(object).to_owned(), before, object.name.clone())
        };
        Self(renamed.map(entry).collect())
    }

    /// The names of the objects that a text in a namespace, or in none, means.
    fn names(&self, kind: &str, text: &str, namespace: Option<&str>) -> Vec<&str> {
        let is_meant = |(of, place, before, _): &&(String, String, Vec<String>, String)| {
            of == kind && namespace.is_none_or(|namespace| place == namespace) && before.iter().any(|name| name == text)
        };
        self.0.iter().filter(is_meant).map(|(.., name)| name.as_str()).collect()
    }
}

/// Visits every field of an object that names another one, with the kind of that.
fn each_reference(object: &mut Document, visit: &mut impl FnMut(&str, &mut String)) {
    let kind = object.kind.clone();
    let own_group = group(object.api_version()).to_owned();
    let has_it = |holder: &str, group: &str| holder == kind && (group.is_empty() || group == own_group);
    for (.., (of, keys)) in OTHERS.iter().filter(|(holder, group, _)| has_it(holder, group)) {
        each_text(&mut object.node, keys, &mut |text| visit(of, text));
    }
    if !WITH_PODS.contains(&kind.as_str()) {
        return;
    }
    let pod = pod_keys(&kind).iter().try_fold(&mut object.node, |node, key| node.get_mut(key));
    let Some(pod) = pod else { return };
    let is_followed = |of: &str| matches!(of, "ConfigMap" | "Secret") || !OF_STORES_ALONE.contains(&kind.as_str());
    for (of, keys) in OF_PODS.iter().filter(|(of, _)| is_followed(of)) {
        each_text(pod, keys, &mut |text| visit(of, text));
    }
    for list in ["initContainers", "containers"] {
        for (of, keys) in OF_CONTAINERS {
            if let Some(containers) = pod.get_mut(list) {
                each_text(containers, keys, &mut |text| visit(of, text));
            }
        }
    }
}

fn each_text(node: &mut Node, keys: &[&str], visit: &mut impl FnMut(&mut String)) {
    match (&mut node.tree, keys.split_first()) {
        (Tree::List(items), _) => items.iter_mut().for_each(|item| each_text(item, keys, visit)),
        (Tree::Text(text), None) => visit(text),
        (Tree::Map(_), Some((key, rest))) => {
            if let Some(child) = node.get_mut(key) {
                each_text(child, rest, visit);
            }
        }
        _ => {}
    }
}
