//! Names that change on the way, and the fields by which other objects follow them, as kustomize has them
//! (`builtinpluginconsts/namereference.go`). Main functions: [`rename`], [`follow`].

use super::Resource;
use crate::{
    Document, Error, ErrorKind,
    kinds::{WITH_PODS, group},
    node::{Node, Tree},
    pod_keys,
};

/// Groups of kinds that refer to others by name and namespace.
const RBAC: &str = "rbac.authorization.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";
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
    ("PriorityClass", &["priorityClassName"]),
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
    ("HorizontalPodAutoscaler", "", ("ReplicationController", &["spec", "scaleTargetRef", "name"])),
    ("HorizontalPodAutoscaler", "", ("ReplicaSet", &["spec", "scaleTargetRef", "name"])),
    ("HorizontalPodAutoscaler", "", ("StatefulSet", &["spec", "scaleTargetRef", "name"])),
    ("Role", "", ("ConfigMap", &["rules", "resourceNames"])),
    ("Role", "", ("Secret", &["rules", "resourceNames"])),
    ("ClusterRole", "", ("ConfigMap", &["rules", "resourceNames"])),
    ("ClusterRole", "", ("Secret", &["rules", "resourceNames"])),
    ("ClusterRole", "", ("PersistentVolume", &["rules", "resourceNames"])),
    ("PersistentVolumeClaim", "", ("PersistentVolume", &["spec", "volumeName"])),
    ("PersistentVolumeClaim", "", ("StorageClass", &["spec", "storageClassName"])),
    ("PersistentVolume", "", ("StorageClass", &["spec", "storageClassName"])),
    ("StatefulSet", "", ("StorageClass", &["spec", "volumeClaimTemplates", "spec", "storageClassName"])),
    ("APIService", "apiregistration.k8s.io", ("Service", &["spec", "service", "name"])),
    ("ValidatingAdmissionPolicyBinding", ADMISSION, ("ValidatingAdmissionPolicy", &["spec", "policyName"])),
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

/// Fields with both the name and the namespace of an object, as in [`OTHERS`].
const WITH_NAMESPACE: &[(&str, &str, Reference)] = &[
    ("ClusterRoleBinding", RBAC, ("ServiceAccount", &["subjects"])),
    ("RoleBinding", RBAC, ("ServiceAccount", &["subjects"])),
    ("MutatingWebhookConfiguration", ADMISSION, ("Service", &["webhooks", "clientConfig", "service"])),
    ("ValidatingWebhookConfiguration", ADMISSION, ("Service", &["webhooks", "clientConfig", "service"])),
];

/// The kinds that are only meant in one API group.
const IN_GROUP: &[(&str, &str)] = &[
    ("ClusterRole", RBAC),
    ("Role", RBAC),
    ("PriorityClass", "scheduling.k8s.io"),
    ("StorageClass", "storage.k8s.io"),
    ("ValidatingAdmissionPolicy", ADMISSION),
];

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
    let known = Known::of(resources);
    for resource in resources {
        let from = From::of(&resource.object);
        each_reference(&mut resource.object, &mut |kind, reference| {
            if let [target] = known.meant(kind, reference, &from)[..] {
                target.write(reference);
            }
        });
    }
}

/// A reference that several objects had the name of.
pub(super) fn ambiguous(resources: &[Resource]) -> Option<String> {
    let known = Known::of(resources);
    let mut found = None;
    for resource in resources {
        let from = From::of(&resource.object);
        each_reference(&mut resource.object.clone(), &mut |kind, reference| {
            if known.meant(kind, reference, &from).len() > 1 {
                let name = reference.text().or_else(|| reference.get("name")?.text()).unwrap_or_default();
                found = Some(format!("{} refers to {kind} `{name}`, which is several", resource.object.label()));
            }
        });
    }
    found
}

/// The ServiceAccounts of RoleBindings that have a namespace which is none.
pub(super) fn blank_subjects(resources: &[Resource]) -> Vec<Error> {
    let bindings = resources.iter().filter(|resource| resource.object.kind == "RoleBinding");
    let blank = |Resource { object, .. }: &Resource| {
        let subjects = object.node.items_at(&["subjects"]).iter();
        let entries = subjects
            .filter(|subject| subject.text_at(&["kind"]) == Some("ServiceAccount"))
            .flat_map(Node::entries)
            .filter(|entry| entry.key == "namespace" && entry.node.text().is_none());
        let remedy = "kustomize refuses it: write the namespace, or remove the key";
        let message = "the namespace of a ServiceAccount is not text";
        let error = |place| Error::new(ErrorKind::Value, message, remedy).at(place).in_object(&object.label());
        entries.map(|entry| error(&entry.place)).collect::<Vec<_>>()
    };
    bindings.flat_map(blank).collect()
}

/// What tells to which objects the references of another one lead.
struct From {
    /// Its namespace; none for one that belongs to none, whose references lead to all.
    namespace: Option<String>,
    /// The other namespaces whose ServiceAccounts a RoleBinding names.
    others: Vec<String>,
}

impl From {
    fn of(object: &Document) -> Self {
        let subjects = object.node.get("subjects").filter(|_| object.kind == "RoleBinding");
        let account = |subject: &Node| {
            let is_account = subject.text_at(&["kind"]) == Some("ServiceAccount");
            Some(subject.get("namespace")?.text()?.to_owned()).filter(|_| is_account)
        };
        let others = subjects.map_or(&[][..], Node::items).iter().filter_map(account).collect();
        Self { namespace: (!object.is_cluster_scoped()).then(|| object.home().to_owned()), others }
    }
}

/// An object of a build, as references see it.
struct Target {
    kind: String,
    group: String,
    /// The names that it had; none for one that never changed.
    before: Vec<String>,
    /// The namespace in which it was first, and that in which it is; empty for one that belongs to none.
    first: String,
    home: String,
    name: String,
    /// As it is written; empty where it says nothing.
    namespace: String,
}

impl Target {
    fn of(resource: &Resource) -> Self {
        let object = &resource.object;
        let home = object.home().to_owned();
        Self {
            kind: object.kind.clone(),
            group: group(object.api_version()).to_owned(),
            before: resource.before.iter().map(|(name, _)| name.clone()).collect(),
            first: resource
                .before
                .first()
                .filter(|_| !home.is_empty())
                .map_or(home.clone(), |(_, first)| first.clone()),
            home,
            name: object.name.clone(),
            namespace: object.namespace().to_owned(),
        }
    }

    /// Whether it is of the kind that a reference is for, and had the name.
    fn is(&self, kind: &str, name: &str) -> bool {
        let is_group = IN_GROUP.iter().all(|(of, group)| *of != kind || *group == self.group);
        self.kind == kind && is_group && self.before.iter().any(|before| before == name)
    }

    fn write(&self, reference: &mut Node) {
        let place = reference.place.clone();
        match &mut reference.tree {
            Tree::Text(text) => text.clone_from(&self.name),
            _ => {
                reference.set("name", Tree::Text(self.name.clone()), &place);
                if !self.namespace.is_empty() {
                    reference.set("namespace", Tree::Text(self.namespace.clone()), &place);
                }
            }
        }
    }
}

/// All objects of a build.
struct Known(Vec<Target>);

impl Known {
    fn of(resources: &[Resource]) -> Self {
        Self(resources.iter().map(Target::of).collect())
    }

    /// The objects that a reference, a text or a map, may mean.
    fn meant(&self, kind: &str, reference: &Node, from: &From) -> Vec<&Target> {
        let is_near = |target: &&Target| {
            let Some(namespace) = &from.namespace else { return true };
            target.home.is_empty()
                || target.home == *namespace
                || reference.text().is_none() && from.others.contains(&target.namespace)
        };
        let near: Vec<&Target> = self.0.iter().filter(is_near).collect();
        if let Some(name) = reference.text() {
            return near.into_iter().filter(|target| target.is(kind, name)).collect();
        }
        let text = |key: &str| reference.text_at(&[key]);
        let name = text("name").unwrap_or_default();
        // The namespace that it names is the first one of some object, or else the present one.
        let is_in = |target: &&Target, of: fn(&Target) -> &str| {
            !target.home.is_empty() && text("namespace").is_none_or(|namespace| of(target) == namespace)
        };
        let first: fn(&Target) -> &str = |target| &target.first;
        let home: fn(&Target) -> &str = |target| &target.home;
        let of = if near.iter().any(|target| is_in(target, first)) { first } else { home };
        near.into_iter().filter(|target| is_in(target, of) && target.is(kind, name)).collect()
    }
}

/// Visits every field of an object that names another one, with the kind of that.
fn each_reference(object: &mut Document, visit: &mut impl FnMut(&str, &mut Node)) {
    let kind = object.kind.clone();
    let own_group = group(object.api_version()).to_owned();
    let has_it = |holder: &str, group: &str| holder == kind && (group.is_empty() || group == own_group);
    for (.., (of, keys)) in OTHERS.iter().filter(|(holder, group, _)| has_it(holder, group)) {
        each_field(&mut object.node, keys, &mut |node| visit_text(node, of, visit));
    }
    for (.., (of, keys)) in WITH_NAMESPACE.iter().filter(|(holder, group, _)| has_it(holder, group)) {
        each_field(&mut object.node, keys, &mut |node| {
            if matches!(node.tree, Tree::Map(_)) {
                visit(of, node);
            }
        });
    }
    if has_it("RoleBinding", RBAC) || has_it("ClusterRoleBinding", RBAC) {
        let of = object.node.text_at(&["roleRef", "kind"]).unwrap_or_default().to_owned();
        if of == "ClusterRole" || of == "Role" && kind == "RoleBinding" {
            each_field(&mut object.node, &["roleRef", "name"], &mut |node| visit_text(node, &of, visit));
        }
    }
    if !WITH_PODS.contains(&kind.as_str()) && kind != "PodTemplate" {
        return;
    }
    let Some(pod) = object.node.find_mut(pod_keys(&kind)) else { return };
    let is_followed = |of: &str| match of {
        "ConfigMap" | "Secret" => kind != "ReplicationController",
        _ => !OF_STORES_ALONE.contains(&kind.as_str()),
    };
    for (of, keys) in OF_PODS.iter().filter(|(of, _)| is_followed(of)) {
        each_field(pod, keys, &mut |node| visit_text(node, of, visit));
    }
    for list in ["initContainers", "containers"] {
        for (of, keys) in OF_CONTAINERS.iter().filter(|(of, _)| is_followed(of)) {
            if let Some(containers) = pod.get_mut(list) {
                each_field(containers, keys, &mut |node| visit_text(node, of, visit));
            }
        }
    }
}

fn visit_text(node: &mut Node, of: &str, visit: &mut impl FnMut(&str, &mut Node)) {
    if node.text().is_some() {
        visit(of, node);
    }
}

/// Visits the fields under some keys, each element of a list.
fn each_field(node: &mut Node, keys: &[&str], visit: &mut impl FnMut(&mut Node)) {
    match (&mut node.tree, keys.split_first()) {
        (Tree::List(items), _) => items.iter_mut().for_each(|item| each_field(item, keys, visit)),
        (Tree::Map(_), Some((key, rest))) => {
            if let Some(child) = node.get_mut(key) {
                each_field(child, rest, visit);
            }
        }
        (_, None) => visit(node),
        _ => {}
    }
}
