//! What a target cannot do that the manifests ask for: a table of fields, and the walk that finds them.
//! Main type: [`Warning`], made by [`Plan::warnings`].

mod table;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::table::{HONOURED, RULES, Rule};
use super::{
    FieldUse, Plan, Service, Source,
    node::{FieldPath, Node, Tree},
    read::{Object, Role, role},
};
use crate::target::Target;

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
        let warn = |field: &FieldUse| {
            Some(Warning {
                source: field.source.clone(),
                object: field.object.clone(),
                path: field.path.clone(),
                reason: reason(field, target)?,
            })
        };
        self.fields.iter().filter_map(warn).collect()
    }
}

fn reason(field: &FieldUse, target: Target) -> Option<String> {
    if let Some(note) = &field.note {
        return (target != Target::K8s).then(|| note.clone());
    }
    let pattern = pattern(&field.path);
    let Some(rule) = RULES.iter().find(|rule| rule.path == pattern) else {
        return (target != Target::K8s).then(|| format!("has no effect on {target}"));
    };
    let reason = match target {
        Target::Docker => rule.docker,
        Target::Local => rule.local,
        Target::K8s => rule.k8s,
    };
    reason.map(str::to_owned)
}

/// A path in the form of the table: `pod` for the pod template's spec, init containers as containers, elements without names.
fn pattern(path: &str) -> String {
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
    match pattern.strip_prefix("spec.template.spec") {
        Some(rest) => format!("pod{rest}"),
        None => pattern,
    }
}

/// The fields that some target does not honour, in the order of the objects.
pub(crate) fn fields(objects: &[Object], services: &[Service]) -> Vec<FieldUse> {
    let mut fields = Vec::new();
    for object in objects {
        if role(&object.kind) == Some(Role::Ignored) {
            let note = Some(format!("objects of kind {} exist in a cluster only", object.kind));
            let (source, object) = (object.source.clone(), object.label());
            fields.push(FieldUse { source, object, path: "kind".into(), note });
            continue;
        }
        Walk { object, fields: &mut fields }.visit(&object.node, &FieldPath::default());
        let service = services.iter().find(|service| service.source == object.source && service.name == object.name);
        fields.extend(service.into_iter().flat_map(|service| translated_ports(object, service)));
    }
    fields
}

/// The ports of a Service that its pods listen on under another number. A Service without an address leads to the pods themselves, in
/// a cluster too.
fn translated_ports<'a>(object: &'a Object, service: &'a Service) -> impl Iterator<Item = FieldUse> + 'a {
    let is_headless = object.node.find(&["spec", "clusterIP"]).and_then(Node::text) == Some("None");
    let ports = service.ports.iter().enumerate().filter(move |(_, port)| !is_headless && port.port != port.target_port);
    ports.map(|(index, port)| {
        let list = FieldPath::default().key("spec").key("ports");
        let path = list.item(index, port.name.as_deref()).key("targetPort").to_string();
        FieldUse { source: object.source.clone(), object: object.label(), path, note: None }
    })
}

struct Walk<'a> {
    object: &'a Object,
    fields: &'a mut Vec<FieldUse>,
}

impl Walk<'_> {
    fn visit(&mut self, node: &Node, path: &FieldPath) {
        let shown = path.to_string();
        let pattern = pattern(&shown);
        let is_empty = match &node.tree {
            Tree::Null => true,
            Tree::Map(entries) => entries.is_empty(),
            Tree::List(items) => items.is_empty(),
            _ => false,
        };
        if is_empty || HONOURED.contains(&pattern.as_str()) {
            return;
        }
        let rule = RULES.iter().find(|rule| rule.path == pattern);
        if let Some(rule) = rule {
            if self.applies(rule, node) {
                self.push(node, shown);
            }
            return;
        }
        if !pattern.is_empty() && !is_prefix(&pattern) {
            self.push(node, shown);
            return;
        }
        for entry in node.entries() {
            self.visit(&entry.node, &path.key(&entry.key));
        }
        for (index, item) in node.items().iter().enumerate() {
            self.visit(item, &path.item(index, item.item_name()));
        }
    }

    fn applies(&self, rule: &Rule, node: &Node) -> bool {
        match rule.unless {
            table::Unless::Never => true,
            table::Unless::Text(values) => !node.text().is_some_and(|text| values.contains(&text)),
            table::Unless::TextIsNot(values) => node.text().is_some_and(|text| values.contains(&text)),
            table::Unless::PortsAgree => false,
            table::Unless::Bool(value) => !matches!(node.tree, Tree::Bool(own) if own == value),
            table::Unless::UserIsSet => matches!(node.tree, Tree::Bool(true)) && !user_is_set(self.object),
        }
    }

    fn push(&mut self, node: &Node, path: String) {
        let place = &node.place;
        let source = if place.document == 0 {
            self.object.source.clone()
        } else {
            Source { file: place.file.to_path_buf(), document: place.document }
        };
        self.fields.push(FieldUse { source, object: self.object.label(), path, note: None });
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

/// Whether every container has a `runAsUser`, its own or the pod's: then `runAsNonRoot` says nothing more.
fn user_is_set(object: &Object) -> bool {
    let user = ["securityContext", "runAsUser"];
    let Some(spec) = object.node.find(&["spec", "template", "spec"]) else { return false };
    let containers = |field| spec.get(field).map_or(&[][..], Node::items);
    spec.find(&user).is_some()
        || containers("containers")
            .iter()
            .chain(containers("initContainers"))
            .all(|container| container.find(&user).is_some())
}
