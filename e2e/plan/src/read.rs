//! Manifests to Kubernetes objects: which documents there are, of which kinds, and their fields checked against the
//! Kubernetes types. Main type: [`Objects`].

use std::{
    borrow::Cow,
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{
    Engine as _, alphabet,
    engine::{GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
    autoscaling::{v1::HorizontalPodAutoscaler as OlderAutoscaler, v2::HorizontalPodAutoscaler},
    batch::v1::{CronJob, Job},
    core::v1::{
        ConfigMap, Endpoints, LimitRange, Namespace, PersistentVolume, PersistentVolumeClaim, Pod,
        ReplicationController, ResourceQuota, Secret, Service, ServiceAccount,
    },
    discovery::v1::EndpointSlice,
    networking::v1::{Ingress, IngressClass, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
    rbac::v1::{ClusterRole, ClusterRoleBinding, Role as RbacRole, RoleBinding},
    scheduling::v1::PriorityClass,
    storage::v1::StorageClass,
};
use serde::Deserialize;

use super::{
    FieldUse, Note, Source,
    cursor::Cursor,
    document::Document,
    error::{Error, ErrorKind, Errors, Faults, Location},
    forms::{is_domain, is_label},
    kinds::{self, NoKind, Role},
    node::{FieldPath, Node, Place, Tree},
    suggest::placeholder,
    typed::from_node,
    workload::Workload,
    yaml::{Dialect, Documents, documents},
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

/// The objects of an input, in order, and what is wrong with the rest of it.
#[derive(Default)]
pub struct Objects {
    pub(crate) objects: Vec<Document>,
    pub(crate) faults: Faults,
    pub(crate) notes: Vec<FieldUse>,
}

impl std::fmt::Debug for Objects {
    /// Names the objects only: they may hold the texts of Secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.objects.iter().map(Document::label)).finish()
    }
}

impl Objects {
    /// The objects of files, in order.
    #[must_use]
    pub fn read(manifests: &[Manifest]) -> Self {
        let mut objects = Self::default();
        manifests.iter().for_each(|manifest| objects.add(manifest, Dialect::Kubectl));
        objects
    }

    /// The objects of what a program made of templates, each in the file of its template, where no line is its own. `templates` are the
    /// lines at which documents of a template begin; what stands before the first one is in the manifest's own file.
    pub(crate) fn read_templates(manifest: &Manifest, templates: &[(usize, PathBuf)]) -> Self {
        let mut read = documents(&manifest.file, &manifest.text, Dialect::Kubectl);
        let template = |line: usize| templates.iter().rev().find(|(first, _)| *first <= line).map(|(_, file)| file);
        let mut counts: HashMap<&Path, usize> = HashMap::new();
        for node in &mut read.nodes {
            let Some(file) = template(node.place.line) else { continue };
            let document = counts.entry(file.as_path()).and_modify(|count| *count += 1).or_insert(1);
            let place = Place { file: Arc::from(file.as_path()), document: *document, line: 0, column: 0 };
            let in_output = node.place.document;
            for (repeated, _) in read.repeated.iter_mut().filter(|(place, _)| place.document == in_output) {
                *repeated = place.clone();
            }
            node.set_place(&place);
        }
        for error in &mut read.errors {
            if let Some(file) = template(error.location.line) {
                *error.location = Location { file: file.clone(), ..Location::default() };
            }
        }
        let mut objects = Self::default();
        objects.add_documents(read, Dialect::Kubectl);
        objects
    }

    /// The objects of a file as kustomize reads it.
    pub(crate) fn read_as_kustomize(manifest: &Manifest) -> Self {
        let mut objects = Self::default();
        objects.add(manifest, Dialect::Kustomize);
        objects
    }

    pub(crate) fn of(objects: Vec<Document>, faults: Faults, notes: Vec<FieldUse>) -> Self {
        Self { objects, faults, notes }
    }

    /// Adds the objects of a file. The items of a `List` count as objects of its document.
    fn add(&mut self, manifest: &Manifest, dialect: Dialect) {
        self.add_documents(documents(&manifest.file, &manifest.text, dialect), dialect);
    }

    fn add_documents(&mut self, Documents { nodes, errors, repeated }: Documents, dialect: Dialect) {
        self.faults.extend(errors);
        let label = |place: &Place| {
            let node = nodes.iter().find(|node| node.place == *place).filter(|_| place.line == 0);
            let text = |keys: &[&str]| node?.text_at(keys);
            match (text(&["kind"]), text(&["metadata", "name"])) {
                (Some(kind), Some(name)) => format!("{kind}/{name}"),
                _ => format!("line {}", place.line),
            }
        };
        self.notes.extend(repeated.iter().map(|(place, key)| FieldUse {
            source: Source { file: place.file.to_path_buf(), document: place.document },
            object: label(place),
            path: key.clone(),
            note: Note::everywhere("the map has this key twice; the last value wins"),
        }));
        for node in nodes {
            self.add_document(node, dialect);
        }
    }

    fn add_document(&mut self, node: Node, dialect: Dialect) {
        // `List`, `ConfigMapList` and the like, as `kubectl get -o yaml` writes them.
        let is_list = node.text_at(&["kind"]).is_some_and(|kind| kind.ends_with("List"));
        match (is_list, node.get("items")) {
            (true, Some(Node { tree: Tree::List(items), .. })) => {
                let item = |item: &Node| match dialect {
                    Dialect::Kubectl => item_of(&node, item),
                    Dialect::Kustomize | Dialect::Go => item.clone(),
                };
                items.iter().for_each(|one| self.add_document(item(one), dialect));
            }
            (true, None) if node.find(&["metadata", "name"]).is_none() => {}
            _ if dialect == Dialect::Kustomize && is_named_by_cluster(&node) => {
                let remedy = "kustomize wants `metadata.name`: add it, or move the object out of the kustomization";
                self.faults
                    .push(Error::new(ErrorKind::Object, "the object has a generateName alone", remedy).at(&node.place));
            }
            _ => self.objects.extend(self.faults.keep(document(node))),
        }
    }

    /// The objects as JSON.
    ///
    /// # Errors
    /// All faults.
    pub fn documents(self) -> Result<Vec<serde_json::Value>, Errors> {
        self.faults.into_result()?;
        Ok(self.objects.iter().map(|object| object.node.to_json()).collect())
    }
}

/// An object as its Kubernetes type.
pub(crate) enum Typed {
    Workload(Box<Workload>),
    Service(Box<Service>),
    ConfigMap(Box<ConfigMap>),
    Secret(Box<Secret>),
    /// What a Job of a CronJob is.
    CronJob(Box<Workload>),
    /// Kinds that have no part in a plan.
    Carried,
}

/// An item of a list as kubectl reads it: one that has neither kind nor apiVersion takes those of the list (`decodeToList`).
pub(crate) fn item_of(list: &Node, item: &Node) -> Node {
    let mut item = item.clone();
    let kind = text_at(list, &["kind"]).and_then(|kind| Some(kind.strip_suffix("List")?.to_owned()));
    let has = |key: &str| text_at(&item, &[key]).is_some();
    if let Some(kind) = kind.filter(|kind| !kind.is_empty() && !has("kind") && !has("apiVersion")) {
        let place = item.place.clone();
        item.set("apiVersion", Tree::Text(text_at(list, &["apiVersion"]).unwrap_or_default()), &place);
        item.set("kind", Tree::Text(kind), &place);
    }
    item
}

/// Whether a cluster makes up the name of an object.
fn is_named_by_cluster(node: &Node) -> bool {
    node.find(&["metadata", "name"]).is_none() && node.find(&["metadata", "generateName"]).is_some()
}

/// A text that is given; an empty one counts as none.
pub(crate) fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// Reads one document, whose form alone is checked.
pub(crate) fn document(mut node: Node) -> Result<Document, Error> {
    if !matches!(node.tree, Tree::Map(_)) {
        let message = format!("expected a Kubernetes object, found {}", node.type_name());
        let remedy = "start the document with apiVersion, kind and metadata";
        return Err(Error::new(ErrorKind::Object, message, remedy).at(&node.place));
    }
    if let Some(entry) = node.entries().iter().find(|entry| entry.key.starts_with("---")) {
        let message = format!("`{}` is read as a key", entry.key);
        return Err(Error::new(ErrorKind::Object, message, "let `---` stand alone on its line").at(&entry.place));
    }
    let text = |keys: &[&str]| text_at(&node, keys);
    if text(&["kind"]).is_none() && text(&["apiVersion"]).is_none() {
        let message = "the document has neither apiVersion nor kind, so it is not a Kubernetes object";
        let remedy = "move the file out of the manifests, or name those beside it one by one";
        return Err(Error::new(ErrorKind::Object, message, remedy).at(&node.place));
    }
    let is_own = || kinds::is_own_group(kinds::group(node.text_at(&["apiVersion"]).unwrap_or_default()));
    if let Some(sops) = node.get("sops").filter(|_| is_own()) {
        return Err(encrypted(&node, &sops.place));
    }
    let kind = text(&["kind"]).ok_or_else(|| missing(&node, "kind", "Deployment"))?;
    if let Some((message, remedy)) = kinds::unrendered(&text(&["apiVersion"]).unwrap_or_default(), &kind) {
        return Err(Error::new(ErrorKind::Object, message, remedy).at(&node.place).in_object(&kind));
    }
    let name = take_name(&mut node).map_err(|error| error.in_object(&kind))?;
    let source = Source { file: node.place.file.to_path_buf(), document: node.place.document };
    let mut object = Document { kind, name, role: Role::Carried, source, node };
    object.role = role(&object)?;
    Ok(object)
}

/// What is said of an object that SOPS encrypted, whose kind and name may be encrypted too.
fn encrypted(node: &Node, place: &Place) -> Error {
    let plain = |keys: &[&str]| text_at(node, keys).filter(|text| !text.starts_with("ENC["));
    let (kind, name) = (plain(&["kind"]), plain(&["metadata", "name"]));
    let remedy = format!(
        "decrypt it in `render`, such as `render = [\"sops\", \"--decrypt\", \"FILE\"]`, or leave it out and give the values in \
         .config/e2e.toml: `[secret.\"{}\"]`",
        name.as_deref().unwrap_or("NAME")
    );
    let error = Error::new(ErrorKind::Object, "the object is encrypted with SOPS", remedy).at(place);
    match kind.zip(name) {
        Some((kind, name)) => error.in_object(&format!("{kind}/{name}")),
        None => error,
    }
}

/// A text that is there and not empty.
fn text_at(node: &Node, keys: &[&str]) -> Option<String> {
    node.text_at(keys).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn missing(node: &Node, field: &str, example: &str) -> Error {
    Error::new(ErrorKind::Object, format!("the document has no {field}"), format!("add `{field}: {example}`"))
        .at(&node.place)
}

/// The name of an object. Where a cluster would make it up, the prefix is the name from here on.
fn take_name(node: &mut Node) -> Result<String, Error> {
    match (text_at(node, &["metadata", "name"]), text_at(node, &["metadata", "generateName"])) {
        (Some(name), _) => Ok(name),
        // A run makes the object once, so that the prefix alone tells it from others.
        (None, Some(prefix)) => {
            let name = prefix.trim_end_matches(['-', '.']).to_owned();
            let place = node.place.clone();
            if let Some(metadata) = node.get_mut("metadata") {
                metadata.remove_at(&["generateName"]);
                metadata.set("name", Tree::Text(name.clone()), &place);
            }
            Ok(name)
        }
        (None, None) if node.get("metadata").is_none() => {
            let remedy = "add `metadata.name`, or move the file out of the manifests if it belongs to another program";
            let message = "the document has no metadata, so it is not a Kubernetes object";
            Err(Error::new(ErrorKind::Object, message, remedy).at(&node.place))
        }
        (None, None) => {
            let wrong = node.find(&["metadata", "name"]).filter(|name| !name.is_null() && name.text().is_none());
            let error = wrong.map(|name| {
                let message = format!("expected a string, found {}", name.type_name());
                let path = FieldPath::of(&["metadata", "name"]);
                Error::new(ErrorKind::Type, message, "put the value in quotes").at(&name.place).in_field(&path)
            });
            Err(error.unwrap_or_else(|| missing(node, "metadata.name", "<name>")))
        }
    }
}

/// Kubernetes's rule for names (RFC 1123), which become parts of host names, paths and containers' names.
pub(crate) fn check_name(cursor: &Cursor<'_>, name: &str, dots_allowed: bool) -> Result<(), Error> {
    let limit = if dots_allowed { 253 } else { 63 };
    let is_name = if dots_allowed { is_domain(name) } else { is_label(name) };
    if is_name && name.len() <= limit {
        return Ok(());
    }
    let message = format!("`{}` is not a valid name", name.escape_debug());
    let dots = if dots_allowed { ", `.`" } else { "" };
    let form = || format!("use lower-case letters, digits{dots} and `-` between them, at most {limit} characters");
    Err(cursor.fail(ErrorKind::Value, message, placeholder(name).map_or_else(form, str::to_owned)))
}

fn role(object: &Document) -> Result<Role, Error> {
    let cursor = Cursor::root(object);
    if object.api_version().is_empty() {
        let remedy = format!("add `apiVersion: {}`", kinds::version_of(&object.kind));
        return Err(cursor.key("apiVersion").fail(ErrorKind::Object, "the document has no apiVersion", remedy));
    }
    kinds::role(object.api_version(), &object.kind)
        .map_err(|NoKind { field, message, remedy }| cursor.key(field).fail(ErrorKind::Object, message, remedy))
}

/// Reads an object as its Kubernetes type; a field that the type does not have is a fault.
pub(crate) fn typed(object: &Document, faults: &Faults) -> Option<Typed> {
    let read = Read { object, faults };
    match (object.role, object.kind.as_str()) {
        (Role::Workload, "Deployment") => read.workload::<Deployment>(),
        (Role::Workload, "StatefulSet") => read.workload::<StatefulSet>(),
        (Role::Workload, "DaemonSet") => read.workload::<DaemonSet>(),
        (Role::Workload, "ReplicaSet") => read.workload::<ReplicaSet>(),
        (Role::Workload, "ReplicationController") => read.workload::<ReplicationController>(),
        (Role::Workload, "Job") => read.workload::<Job>(),
        (Role::Workload, _) => read.workload::<Pod>(),
        (Role::Service, _) => read.kind().map(Typed::Service),
        (Role::ConfigMap, _) => read.kind().map(Typed::ConfigMap),
        (Role::Secret, _) => read.kind().map(Typed::Secret),
        (Role::Carried, "CronJob") if object.is_own() => read.cron_job(),
        (Role::Carried, _) => {
            read.carried();
            Some(Typed::Carried)
        }
    }
}

struct Read<'a> {
    object: &'a Document,
    faults: &'a Faults,
}

impl Read<'_> {
    fn kind<T: for<'de> Deserialize<'de>>(&self) -> Option<T> {
        let node = in_base64(self.object);
        let (value, errors) = from_node(&node);
        self.faults.extend(errors.into_iter().map(|error| not_base64(&node, error).in_object(&self.object.label())));
        value
    }

    fn workload<T: for<'de> Deserialize<'de> + Into<Workload>>(&self) -> Option<Typed> {
        self.kind::<T>().map(|workload| Typed::Workload(Box::new(workload.into())))
    }

    /// A CronJob, which before 1.21 was the same one of `batch/v1beta1`.
    fn cron_job(&self) -> Option<Typed> {
        let mut node = self.object.node.clone();
        let place = node.place.clone();
        node.set("apiVersion", Tree::Text("batch/v1".to_owned()), &place);
        let object = Document { node, ..self.object.clone() };
        let read = Read { object: &object, faults: self.faults };
        read.kind::<CronJob>().map(|workload| Typed::CronJob(Box::new(workload.into())))
    }

    /// Looks for misspelt fields in the kinds that only a cluster uses. Older API versions and rare kinds are left to the cluster.
    fn carried(&self) {
        match (self.object.api_version(), self.object.kind.as_str()) {
            ("v1", "Namespace") => drop(self.kind::<Namespace>()),
            ("v1", "PersistentVolume") => drop(self.kind::<PersistentVolume>()),
            ("v1", "PersistentVolumeClaim") => drop(self.kind::<PersistentVolumeClaim>()),
            ("v1", "ServiceAccount") => drop(self.kind::<ServiceAccount>()),
            ("v1", "Endpoints") => drop(self.kind::<Endpoints>()),
            ("v1", "LimitRange") => drop(self.kind::<LimitRange>()),
            ("v1", "ResourceQuota") => drop(self.kind::<ResourceQuota>()),
            ("autoscaling/v1", "HorizontalPodAutoscaler") => drop(self.kind::<OlderAutoscaler>()),
            ("autoscaling/v2", "HorizontalPodAutoscaler") => drop(self.kind::<HorizontalPodAutoscaler>()),
            ("discovery.k8s.io/v1", "EndpointSlice") => drop(self.kind::<EndpointSlice>()),
            ("networking.k8s.io/v1", "IngressClass") => drop(self.kind::<IngressClass>()),
            ("networking.k8s.io/v1", "Ingress") => drop(self.kind::<Ingress>()),
            ("networking.k8s.io/v1", "NetworkPolicy") => drop(self.kind::<NetworkPolicy>()),
            ("policy/v1", "PodDisruptionBudget") => drop(self.kind::<PodDisruptionBudget>()),
            ("rbac.authorization.k8s.io/v1", "ClusterRole") => drop(self.kind::<ClusterRole>()),
            ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding") => drop(self.kind::<ClusterRoleBinding>()),
            ("rbac.authorization.k8s.io/v1", "Role") => drop(self.kind::<RbacRole>()),
            ("rbac.authorization.k8s.io/v1", "RoleBinding") => drop(self.kind::<RoleBinding>()),
            ("scheduling.k8s.io/v1", "PriorityClass") => drop(self.kind::<PriorityClass>()),
            ("storage.k8s.io/v1", "StorageClass") => drop(self.kind::<StorageClass>()),
            _ => {}
        }
    }
}

/// The object with its base64 as the type reads it: Go passes over the ends of lines in it, and over the bits behind its last byte.
fn in_base64(object: &Document) -> Cow<'_, Node> {
    let field = match object.role {
        Role::Secret => "data",
        Role::ConfigMap => "binaryData",
        Role::Workload | Role::Service | Role::Carried => return Cow::Borrowed(&object.node),
    };
    let entries = object.node.entries_at(&[field]).iter();
    let lines = entries.map(|entry| entry.node.text().and_then(rewritten)).collect::<Vec<_>>();
    if lines.iter().all(Option::is_none) {
        return Cow::Borrowed(&object.node);
    }
    let mut node = object.node.clone();
    if let Some(Node { tree: Tree::Map(entries), .. }) = node.get_mut(field) {
        for (entry, text) in entries.iter_mut().zip(lines) {
            if let Some(text) = text {
                entry.node.tree = Tree::Text(text);
            }
        }
    }
    Cow::Owned(node)
}

/// Base64 that Go reads, in the one form that there is for its bytes; none if it has that form, or is no base64.
fn rewritten(text: &str) -> Option<String> {
    const AS_GO: GeneralPurpose =
        GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));
    let line: String = text.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
    let canonical = STANDARD.encode(AS_GO.decode(line).ok()?);
    (canonical != text).then_some(canonical)
}

/// Says what the only texts with a form of their own in ConfigMaps and Secrets should be.
fn not_base64(node: &Node, mut error: Error) -> Error {
    let is_text_of = |field: &str| {
        let path = |key: &str| FieldPath::of(&[field, key]).to_string();
        let texts = node.entries_at(&[field]).iter().filter(|entry| entry.node.text().is_some());
        texts.map(|entry| path(&entry.key)).any(|path| path == error.location.path)
    };
    if error.kind == ErrorKind::Type && (is_text_of("data") || is_text_of("binaryData")) {
        error.message = "the value is not base64".into();
        error.remedy = "encode it with `base64 -w0`, or put the plain text under `stringData`".into();
    }
    error
}
