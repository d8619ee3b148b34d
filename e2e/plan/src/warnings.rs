//! What a target cannot do that the manifests ask for: a table of fields, and the walk that finds them.
//! Main type: [`Warning`], made by [`Plan::warnings`].

mod table;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::table::{HONOURED, OWN_NAMESPACE, RULES, Rule};
use super::{
    FieldUse, Note, Plan, Source,
    cursor::Cursor,
    document::Document,
    kinds::{self, Role},
    node::{FieldPath, Node, Tree},
    release, stores,
    workload::pod_keys,
};
use crate::target::Target;

/// What is said on k8s of an object that belongs to the whole cluster, unless a run is asked to apply such ones.
pub(crate) const CLUSTER_SCOPED: &str =
    "it is cluster-scoped and is not applied; `cluster_scoped = true` in .config/e2e.toml applies it";

/// A field that a target does not honour.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Warning {
    /// Where the field is set.
    pub source: Source,
    /// The object, as `Kind/name`.
    pub object: String,
    /// The field's path in the object.
    pub path: String,
    /// What happens instead.
    pub reason: String,
}

impl Plan {
    /// The fields of the manifests that a target does not honour, in the order of the manifests.
    #[must_use]
    pub fn warnings(&self, target: Target) -> Vec<Warning> {
        self.warnings_of_run(target, false)
    }

    /// The same of a run that applies objects which belong to the whole cluster, or does not.
    #[must_use]
    pub fn warnings_of_run(&self, target: Target, cluster_scoped: bool) -> Vec<Warning> {
        let is_honoured = |note: &Note| target == Target::K8s && cluster_scoped && note.needs_scope;
        let warn = |field: &FieldUse| {
            Some(Warning {
                source: field.source.clone(),
                object: field.object.clone(),
                path: field.path.clone(),
                reason: field.note.on(target)?.clone(),
            })
        };
        self.fields.iter().filter(|field| !is_honoured(&field.note)).filter_map(warn).collect()
    }
}

impl Note {
    /// The same on every target.
    pub(crate) fn everywhere(text: impl Into<String>) -> Self {
        let text = Some(text.into());
        Self { docker: text.clone(), local: text.clone(), k8s: text, needs_scope: false }
    }

    /// The same on the targets without a cluster.
    pub(crate) fn without_cluster(text: impl Into<String>) -> Self {
        Self { k8s: None, ..Self::everywhere(text) }
    }

    /// In a cluster alone.
    pub(crate) fn in_cluster(text: impl Into<String>) -> Self {
        Self { k8s: Some(text.into()), ..Self::default() }
    }

    fn of_rule(rule: &Rule) -> Self {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Self { docker: text(rule.docker), local: text(rule.local), k8s: text(rule.k8s), needs_scope: false }
    }

    /// For a field in no table.
    fn unknown() -> Self {
        let text = |target: Target| Some(format!("has no effect on {target}"));
        Self { docker: text(Target::Docker), local: text(Target::Local), ..Self::default() }
    }

    fn on(&self, target: Target) -> Option<&String> {
        match target {
            Target::Docker => self.docker.as_ref(),
            Target::Local => self.local.as_ref(),
            Target::K8s => self.k8s.as_ref(),
        }
    }
}

impl FieldUse {
    pub(crate) fn new(cursor: &Cursor<'_>, note: Note) -> Self {
        let (object, path) = (cursor.object, cursor.path.to_string());
        let place = object.node.place_of(&cursor.path);
        // A place without a document is a flag's.
        let source = match place.document {
            0 => object.source.clone(),
            document => Source { file: place.file.to_path_buf(), document },
        };
        Self { source, object: object.label(), path, note }
    }
}

/// A path in the form of the table: `pod` for the spec of the pods, init containers as containers, elements without names.
pub(crate) fn pattern(kind: &str, path: &str) -> String {
    let mut pattern = String::new();
    let mut in_brackets = false;
    let quoted = path.replace("['", ".").replace("']", "");
    for c in quoted.chars() {
        match c {
            '[' => in_brackets = true,
            ']' => {
                in_brackets = false;
                pattern.push_str("[]");
            }
            c if !in_brackets => pattern.push(c),
            _ => {}
        }
    }
    let pattern = pattern.replace("initContainers", "containers");
    match pattern.strip_prefix(&pod_keys(kind).join(".")) {
        Some(rest) if rest.is_empty() || rest.starts_with('.') => format!("pod{rest}"),
        _ => pattern,
    }
}

/// The fields that some target does not honour, in the order of the objects.
pub(crate) fn fields(objects: &[Document]) -> Vec<FieldUse> {
    let mut fields = Vec::new();
    for object in objects {
        if object.role == Role::Carried {
            let removal = kinds::removal(object.api_version(), &object.kind);
            let cursor = Cursor::root(object).key("apiVersion");
            fields.extend(removal.map(|text| FieldUse::new(&cursor, Note::everywhere(text))));
            fields.push(FieldUse::new(&Cursor::root(object).key("kind"), carried(object, objects)));
            continue;
        }
        Walk { object, fields: &mut fields }.visit(&object.node, &FieldPath::default());
    }
    fields
}

/// What is said of an object that no part of a plan is made from.
fn carried(object: &Document, objects: &[Document]) -> Note {
    let text = match object.kind.as_str() {
        "CronJob" => "its schedule is ignored outside a cluster; `trigger` runs its Job once".to_owned(),
        kind if object.is_own() => format!("objects of kind {kind} exist in a cluster only"),
        // Such as a Service of Knative, which is none of Kubernetes.
        kind => format!("objects of kind {kind} ({}) exist in a cluster only", object.api_version()),
    };
    let note = Note::without_cluster(text);
    let is_cluster_scoped =
        object.is_cluster_scoped() || objects.iter().any(|other| defines_for_cluster(other, object));
    match is_cluster_scoped {
        // A run's own namespace stands for it.
        true if object.kind == "Namespace" => Note { k8s: Some(OWN_NAMESPACE.to_owned()), ..note },
        true => Note { k8s: Some(CLUSTER_SCOPED.to_owned()), needs_scope: true, ..note },
        false => note,
    }
}

/// Whether an object is the definition of another one's kind, and puts it into no namespace.
fn defines_for_cluster(definition: &Document, object: &Document) -> bool {
    let spec = |keys: &[&str]| definition.node.find(&["spec"])?.find(keys)?.text();
    definition.kind == "CustomResourceDefinition"
        && spec(&["scope"]) == Some("Cluster")
        && spec(&["names", "kind"]) == Some(&object.kind)
        && spec(&["group"]) == Some(kinds::group(object.api_version()))
}

struct Walk<'a> {
    object: &'a Document,
    fields: &'a mut Vec<FieldUse>,
}

impl Walk<'_> {
    fn visit(&mut self, node: &Node, path: &FieldPath) {
        let shown = path.to_string();
        let pattern = pattern(&self.object.kind, &shown);
        let is_empty = match &node.tree {
            Tree::Null => true,
            Tree::Map(entries) => entries.is_empty(),
            Tree::List(items) => items.is_empty(),
            _ => false,
        };
        if is_empty || HONOURED.contains(&pattern.as_str()) {
            return;
        }
        if pattern == "metadata.annotations" {
            return self.annotations(node, path);
        }
        let rule = RULES.iter().find(|rule| rule.path == pattern);
        if let Some(rule) = rule {
            if self.applies(rule, node, path) {
                self.push(path, Note::of_rule(rule));
            }
            return;
        }
        if !pattern.is_empty() && !is_prefix(&pattern) {
            let is_volume = pattern.strip_prefix("pod.volumes[].").is_some_and(|kind| !kind.contains(['.', '[']));
            self.push(path, if is_volume { Note::without_cluster(table::EMPTY) } else { Note::unknown() });
            return;
        }
        for entry in node.entries() {
            self.visit(&entry.node, &path.key(&entry.key));
        }
        for (index, item) in node.items().iter().enumerate() {
            self.visit(item, &path.item(index, item.item_name()));
        }
    }

    /// Says once of an object which of its annotations something of a cluster may read.
    fn annotations(&mut self, node: &Node, path: &FieldPath) {
        let (own, others): (Vec<_>, Vec<_>) =
            node.entries().iter().partition(|entry| entry.key.starts_with(stores::OWN_PREFIX));
        let orders = |key: &str| key == release::ARGO_HOOK && release::is_pre_sync(self.object);
        let is_read =
            |key: &&str| !table::DESCRIBING.contains(key) && !key.starts_with(release::PREFIX) && !orders(key);
        let keys: Vec<&str> = others.iter().map(|entry| entry.key.as_str()).filter(is_read).collect();
        if !keys.is_empty() {
            let text = format!("only a cluster reads them: {}", keys.join(", "));
            self.push(path, Note::without_cluster(text));
        }
        for entry in own.iter().filter(|entry| entry.key != stores::LINT_IGNORE) {
            self.visit(&entry.node, &path.key(&entry.key));
        }
    }

    fn applies(&self, rule: &Rule, node: &Node, path: &FieldPath) -> bool {
        match rule.unless {
            table::Unless::Never => true,
            table::Unless::Text(values) => !node.text().is_some_and(|text| values.contains(&text)),
            table::Unless::TextIsNot(values) => node.text().is_some_and(|text| values.contains(&text)),
            table::Unless::Bool(value) => !matches!(node.tree, Tree::Bool(own) if own == value),
            table::Unless::UserIsSet => matches!(node.tree, Tree::Bool(true)) && !user_is_set(self.object),
            table::Unless::InMemory => !is_in_memory(self.object, path),
            table::Unless::AllAtOnce => !is_all_at_once(self.object, path, node),
        }
    }

    fn push(&mut self, path: &FieldPath, note: Note) {
        let cursor = Cursor { object: self.object, path: path.clone() };
        self.fields.push(FieldUse::new(&cursor, note));
    }
}

/// Whether some pattern of the tables lies below this one.
fn is_prefix(pattern: &str) -> bool {
    let below = |other: &str| other.strip_prefix(pattern).is_some_and(|rest| rest.starts_with(['.', '[']));
    // `pod` itself lies below two keys that the tables do not name.
    matches!(pattern, "spec" | "spec.template")
        || HONOURED.iter().any(|other| below(other))
        || RULES.iter().any(|rule| below(rule.path))
}

/// Whether a Job's parallelism leaves none of its pods for later.
fn is_all_at_once(job: &Document, path: &FieldPath, parallelism: &Node) -> bool {
    let spec = path.parent().and_then(|parent| job.node.find_path(&parent));
    let number = |node: &Node| match node.tree {
        Tree::Int(number) => Some(number),
        _ => None,
    };
    spec.and_then(|spec| number(spec.get("completions")?)) <= number(parallelism)
}

/// Whether a field of an emptyDir stands beside `medium: Memory`.
fn is_in_memory(object: &Document, path: &FieldPath) -> bool {
    let volume = path.parent().and_then(|parent| object.node.find_path(&parent));
    volume.and_then(|volume| volume.get("medium")?.text()) == Some("Memory")
}

/// Whether every container has a `runAsUser`, its own or the pod's: then `runAsNonRoot` says nothing more.
fn user_is_set(object: &Document) -> bool {
    let user = ["securityContext", "runAsUser"];
    let Some(spec) = object.pod_node() else { return false };
    let containers = |field| spec.items_at(&[field]);
    spec.find(&user).is_some()
        || containers("containers")
            .iter()
            .chain(containers("initContainers"))
            .all(|container| container.find(&user).is_some())
}
