//! Manifests to Kubernetes objects: which documents there are, of which kinds, and their fields checked against the
//! Kubernetes types. Main type: [`Object`].

use std::path::PathBuf;

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Secret, Service, ServiceAccount},
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
    rbac::v1::{Role as RbacRole, RoleBinding},
};

use super::{
    Source,
    error::{Cursor, Error, ErrorKind},
    node::Node,
    suggest::nearest,
    typed::from_node,
    yaml::documents,
};

/// A file of Kubernetes YAML, already read.
#[derive(Clone)]
pub struct Manifest {
    /// The file, as errors and warnings should name it.
    pub file: PathBuf,
    /// What it holds.
    pub text: String,
}

impl std::fmt::Debug for Manifest {
    /// Leaves the text out: it may hold a Secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manifest").field("file", &self.file).field("bytes", &self.text.len()).finish_non_exhaustive()
    }
}

/// One document as a tree.
#[derive(Clone)]
pub(crate) struct Object {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) source: Source,
    pub(crate) node: Node,
}

impl Object {
    /// `Kind/name`.
    pub(crate) fn label(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }

    pub(crate) fn is_workload(&self) -> bool {
        role(&self.kind) == Some(Role::Workload)
    }
}

/// An object as its Kubernetes type.
pub(crate) enum Typed {
    Deployment(Box<Deployment>),
    StatefulSet(Box<StatefulSet>),
    Service(Box<Service>),
    ConfigMap(Box<ConfigMap>),
    Secret(Box<Secret>),
    /// Kinds that have no part in a plan.
    Ignored,
}

/// What a kind means to a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Workload,
    Service,
    ConfigMap,
    Secret,
    Ignored,
}

/// The kinds that may stand in manifests, with the API versions that are read.
const KINDS: &[(&str, &[&str], Role)] = &[
    ("Deployment", &["apps/v1"], Role::Workload),
    ("StatefulSet", &["apps/v1"], Role::Workload),
    ("Service", &["v1"], Role::Service),
    ("ConfigMap", &["v1"], Role::ConfigMap),
    ("Secret", &["v1"], Role::Secret),
    ("ClusterRole", &[], Role::Ignored),
    ("ClusterRoleBinding", &[], Role::Ignored),
    ("HorizontalPodAutoscaler", &[], Role::Ignored),
    ("Ingress", &[], Role::Ignored),
    ("LimitRange", &[], Role::Ignored),
    ("Namespace", &[], Role::Ignored),
    ("NetworkPolicy", &[], Role::Ignored),
    ("PersistentVolumeClaim", &[], Role::Ignored),
    ("PodDisruptionBudget", &[], Role::Ignored),
    ("PriorityClass", &[], Role::Ignored),
    ("ResourceQuota", &[], Role::Ignored),
    ("Role", &[], Role::Ignored),
    ("RoleBinding", &[], Role::Ignored),
    ("ServiceAccount", &[], Role::Ignored),
];

/// The role of a kind that is known.
pub(crate) fn role(kind: &str) -> Option<Role> {
    KINDS.iter().find(|(known, ..)| *known == kind).map(|(.., role)| *role)
}

/// The objects of a file, in order. The items of a `List` count as objects of its document.
pub(crate) fn objects(manifest: &Manifest) -> Result<Vec<Object>, Error> {
    let mut objects = Vec::new();
    for node in documents(&manifest.file, &manifest.text)? {
        if node.get("kind").and_then(Node::text) == Some("List") {
            for item in node.get("items").map_or(&[][..], Node::items) {
                objects.push(object(item.clone())?);
            }
        } else {
            objects.push(object(node)?);
        }
    }
    Ok(objects)
}

fn object(node: Node) -> Result<Object, Error> {
    if !matches!(node.tree, super::node::Tree::Map(_)) {
        let message = format!("expected a Kubernetes object, found {}", node.type_name());
        let remedy = "start the document with apiVersion, kind and metadata";
        return Err(Error::new(ErrorKind::Object, message, remedy).at(&node.place));
    }
    let text = |keys: &[&str]| node.find(keys).and_then(Node::text).filter(|text| !text.is_empty()).map(str::to_owned);
    let missing = |field: &str, example: &str| {
        Error::new(ErrorKind::Object, format!("the document has no {field}"), format!("add `{field}: {example}`"))
            .at(&node.place)
    };
    let kind = text(&["kind"]).ok_or_else(|| missing("kind", "Deployment"))?;
    let name = text(&["metadata", "name"]).ok_or_else(|| missing("metadata.name", "backend").in_object(&kind))?;
    let source = Source { file: node.place.file.to_path_buf(), document: node.place.document };
    let object = Object { kind, name, source, node };
    check_kind(&object)?;
    if role(&object.kind) != Some(Role::Ignored) {
        // A Service's name is one label of a host's name; the others may have several.
        check_name(&Cursor::root(&object).keys(&["metadata", "name"]), &object.name, object.kind != "Service")?;
    }
    Ok(object)
}

/// Kubernetes's rule for names (RFC 1123), which become parts of host names, paths and containers' names.
pub(crate) fn check_name(cursor: &Cursor<'_>, name: &str, dots_allowed: bool) -> Result<(), Error> {
    let is_label = |label: &str| {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !label.is_empty() && label.chars().all(allowed) && !label.starts_with('-') && !label.ends_with('-')
    };
    let limit = if dots_allowed { 253 } else { 63 };
    let is_name = if dots_allowed { name.split('.').all(is_label) } else { is_label(name) };
    if is_name && name.len() <= limit {
        return Ok(());
    }
    let message = format!("`{}` is not a valid name", name.escape_debug());
    let dots = if dots_allowed { ", `.`" } else { "" };
    let remedy = format!("use lower-case letters, digits{dots} and `-` between them, at most {limit} characters");
    Err(cursor.fail(ErrorKind::Value, message, remedy))
}

fn check_kind(object: &Object) -> Result<(), Error> {
    let cursor = Cursor::root(object);
    let Some((_, versions, _)) = KINDS.iter().find(|(kind, ..)| *kind == object.kind) else {
        let names = || KINDS.iter().map(|(kind, ..)| *kind);
        let remedy = match nearest(&object.kind, names()) {
            Some(kind) => format!("did you mean `{kind}`?"),
            None => format!(
                "move it to a directory of its own; the kinds read here are {}",
                names().collect::<Vec<_>>().join(", ")
            ),
        };
        return Err(cursor.key("kind").fail(
            ErrorKind::Object,
            format!("kind `{}` is not supported", object.kind),
            remedy,
        ));
    };
    let cursor = cursor.key("apiVersion");
    let Some(version) = object.node.get("apiVersion").and_then(Node::text) else {
        let example = versions.first().copied().unwrap_or("v1");
        return Err(cursor.fail(
            ErrorKind::Object,
            "the document has no apiVersion",
            format!("add `apiVersion: {example}`"),
        ));
    };
    if versions.is_empty() || versions.contains(&version) {
        return Ok(());
    }
    let message = format!("apiVersion `{version}` is not read for a {}", object.kind);
    Err(cursor.fail(ErrorKind::Object, message, format!("write `apiVersion: {}`", versions.join("` or `"))))
}

/// Refuses two objects of the same kind and name.
pub(crate) fn check_unique(objects: &[Object]) -> Result<(), Error> {
    for (index, object) in objects.iter().enumerate() {
        // Components are told apart by name alone, so a Deployment and a StatefulSet may not share one either.
        let same = |other: &&Object| {
            other.name == object.name && (other.kind == object.kind || (other.is_workload() && object.is_workload()))
        };
        if let Some(first) = objects[..index].iter().find(same) {
            let message = format!("{} is declared already in {}", first.label(), first.source);
            let cursor = Cursor::root(object).keys(&["metadata", "name"]);
            return Err(cursor.fail(ErrorKind::Duplicate, message, "rename or remove one of the two"));
        }
    }
    Ok(())
}

/// Reads an object as its Kubernetes type; a field that the type does not have is an error.
pub(crate) fn typed(object: &Object) -> Result<Typed, Error> {
    let node = &object.node;
    let result = match (role(&object.kind), object.kind.as_str()) {
        (Some(Role::Workload), "Deployment") => from_node(node).map(Typed::Deployment),
        (Some(Role::Workload), _) => from_node(node).map(Typed::StatefulSet),
        (Some(Role::Service), _) => from_node(node).map(Typed::Service),
        (Some(Role::ConfigMap), _) => from_node(node).map(Typed::ConfigMap),
        (Some(Role::Secret), _) => from_node(node).map(Typed::Secret),
        (Some(Role::Ignored) | None, _) => check_ignored(object).map(|()| Typed::Ignored),
    };
    result.map_err(|error| not_base64(error).in_object(&object.label()))
}

/// Looks for misspelt fields in the kinds that only a cluster uses. Older API versions and rare kinds are left to the cluster.
fn check_ignored(object: &Object) -> Result<(), Error> {
    let node = &object.node;
    let version = node.get("apiVersion").and_then(Node::text).unwrap_or_default();
    match (version, object.kind.as_str()) {
        ("v1", "Namespace") => from_node::<Namespace>(node).map(drop),
        ("v1", "PersistentVolumeClaim") => from_node::<PersistentVolumeClaim>(node).map(drop),
        ("v1", "ServiceAccount") => from_node::<ServiceAccount>(node).map(drop),
        ("autoscaling/v2", "HorizontalPodAutoscaler") => from_node::<HorizontalPodAutoscaler>(node).map(drop),
        ("networking.k8s.io/v1", "Ingress") => from_node::<Ingress>(node).map(drop),
        ("networking.k8s.io/v1", "NetworkPolicy") => from_node::<NetworkPolicy>(node).map(drop),
        ("policy/v1", "PodDisruptionBudget") => from_node::<PodDisruptionBudget>(node).map(drop),
        ("rbac.authorization.k8s.io/v1", "Role") => from_node::<RbacRole>(node).map(drop),
        ("rbac.authorization.k8s.io/v1", "RoleBinding") => from_node::<RoleBinding>(node).map(drop),
        _ => Ok(()),
    }
}

/// Says what the only values with a form of their own in ConfigMaps and Secrets should be.
fn not_base64(mut error: Error) -> Error {
    let path = &error.location.path;
    let encoded = path.starts_with("data") || path.starts_with("binaryData");
    if encoded && error.message == "the value has the wrong form" {
        error.message = "the value is not base64".into();
        error.remedy = "encode it with `base64 -w0`, or put the plain text under `stringData`".into();
    }
    error
}
