//! Patches of a kustomization: strategic merge and JSON 6902, for the object that they name or for all that a target selects.

use std::{collections::VecDeque, path::Path};

use regex::Regex;
use serde::de::IgnoredAny;

use super::{
    Builder, Element, Resource,
    file::{Kustomization, Patch, Target},
    json_patch,
    spelling::spell,
};
use crate::{
    Document, Error, ErrorKind, kinds,
    merge::{merge_object, repeated},
    nearest,
    node::{FieldPath, Node, Tree},
    read::document,
    words::listed,
    yaml::{Dialect, Documents, documents},
};

/// From this number on kustomize writes those of JSON patches with an exponent.
const EXPONENTS: i64 = 1_000_000;

impl Builder<'_> {
    /// Applies `patchesStrategicMerge` and then `patches`.
    pub(super) fn patches(&mut self, kustomization: &Kustomization, dir: &Path, resources: &mut Vec<Resource>) {
        for (index, text) in kustomization.file.patches_strategic_merge.iter().flatten().enumerate() {
            // A file's name, or the patch itself.
            let patch = match text.contains('\n') {
                true => Patch { patch: Some(text.clone()), ..Patch::default() },
                false => Patch { path: Some(text.clone()), ..Patch::default() },
            };
            let at = Element { kustomization, dir, key: "patchesStrategicMerge", index: Some(index) };
            self.patch(&at, &patch, resources);
        }
        for (index, patch) in kustomization.file.patches.iter().flatten().enumerate() {
            self.patch(&Element { kustomization, dir, key: "patches", index: Some(index) }, patch, resources);
        }
    }

    /// Applies `patchesJson6902`, which comes after the other changes.
    pub(super) fn json_patches(&mut self, kustomization: &Kustomization, dir: &Path, resources: &mut Vec<Resource>) {
        for (index, patch) in kustomization.file.patches_json6902.iter().flatten().enumerate() {
            self.patch(&Element { kustomization, dir, key: "patchesJson6902", index: Some(index) }, patch, resources);
        }
    }

    fn patch(&mut self, at: &Element<'_>, patch: &Patch, resources: &mut Vec<Resource>) {
        let Some(changes) = self.changes(at, patch) else { return };
        let selector = patch.target.as_ref().map(Selector::of).transpose();
        let selector = selector.map_err(|message| at.error(ErrorKind::Unsupported, message, ""));
        let Some(selector) = self.keep(selector) else { return };
        for change in changes {
            let applied = match (&change.tree, &selector) {
                (Tree::List(operations), Some(selector)) => {
                    with_json(operations, selector, at.key == "patches", resources)
                }
                (Tree::List(_), None) => {
                    let remedy = "write a `target` beside it in the kustomization";
                    Err(Error::new(ErrorKind::Overlay, "a JSON patch needs a target", remedy).at(&change.place))
                }
                _ if change.text_at(&["$patch"]) == Some("replace") => {
                    let message = "a patch that replaces a whole object is built by kustomize alone";
                    Err(Error::new(ErrorKind::Unsupported, message, "").at(&change.place))
                }
                (_, Some(selector)) => to_selected(&change, selector, resources),
                (_, None) => to_named(change, resources),
            };
            self.keep(applied);
        }
    }

    /// The documents of a patch; none of one that cannot be applied.
    fn changes(&mut self, at: &Element<'_>, patch: &Patch) -> Option<Vec<Node>> {
        if patch.options.iter().flatten().any(|(_, is_set)| *is_set) {
            let message = "a patch that may change names and kinds is built by kustomize alone";
            return self.keep(Err(at.error(ErrorKind::Unsupported, message, "")));
        }
        let (file, text) = match (&patch.path, &patch.patch) {
            (Some(path), None) => {
                let path = self.file(at, path)?;
                let text = self.text(at, &path)?;
                (self.shown(&path), text)
            }
            (None, Some(text)) => {
                let number = at.index.unwrap_or_default() + 1;
                let file = format!("{} (patch {number})", at.kustomization.node.place.file.display());
                // kustomize trims such a text, and with it the end of a block that stands last.
                let text = if at.key == "patches" { text.trim() } else { text };
                (file.into(), text.to_owned())
            }
            _ => {
                let message = "a patch has not exactly one of `path` and `patch`";
                return self.keep(Err(at.error(ErrorKind::Value, message, "write `- path: <file>`")));
            }
        };
        let Documents { nodes, errors, .. } = documents(&file, &text, Dialect::Kustomize);
        if nodes.is_empty() && errors.is_empty() {
            let remedy = "kustomize refuses it: write a patch there, or remove the element";
            self.faults.push(at.error(ErrorKind::Value, "the patch is empty", remedy));
        }
        self.faults.extend(errors);
        if nodes.iter().any(|node| matches!(node.tree, Tree::List(_))) {
            if text.trim_start().starts_with('[') && serde_json::from_str::<IgnoredAny>(&text).is_err() {
                let message = "the patch starts with `[` and is no JSON";
                return self.keep(Err(at.error(
                    ErrorKind::Syntax,
                    message,
                    "kustomize refuses it: write JSON, or `- op: ...`",
                )));
            }
            // The values of operations become JSON as kubectl reads them.
            return Some(documents(&file, &text, Dialect::Go).nodes);
        }
        let lines: Vec<&str> = text.lines().collect();
        let mut nodes = without_lists(nodes);
        nodes.iter().for_each(|node| self.note_spelling(node, &lines));
        if nodes.len() > 1 && patch.target.is_some() {
            let message = "several patches share a target, which kustomize refuses";
            return self.keep(Err(at.error(ErrorKind::Value, message, "give each of them its own element")));
        }
        let is_copied = patch.target.is_some() || at.key == "patchesStrategicMerge";
        nodes.iter_mut().for_each(|node| spell_maps(node, &lines, is_copied));
        self.keep(nodes.iter().try_for_each(check_names)).map(|()| nodes)
    }

    /// The value, or none for an error, which is kept: a fault, or what only kustomize can build.
    fn keep<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        match result {
            Err(error) if error.kind == ErrorKind::Unsupported => {
                self.beyond.push(error);
                None
            }
            result => self.faults.keep(result),
        }
    }
}

/// The objects of patches, of which a `List` holds several.
fn without_lists(nodes: Vec<Node>) -> Vec<Node> {
    let (mut objects, mut queue) = (Vec::new(), VecDeque::from(nodes));
    while let Some(node) = queue.pop_front() {
        let is_list = node.get("kind").and_then(Node::text).is_some_and(|kind| kind.ends_with("List"));
        match node.get("items") {
            Some(Node { tree: Tree::List(items), .. }) if is_list => queue.extend(items.iter().cloned()),
            _ => objects.push(node),
        }
    }
    objects
}

/// Spells a patch's labels and annotations as kustomize does it. It copies a patch that is for a target, and one of
/// `patchesStrategicMerge`: the copy has texts alone, `null` among them, and no map without keys, so that it removes nothing.
fn spell_maps(patch: &mut Node, lines: &[&str], is_copied: bool) {
    spell(patch, "annotations", lines, is_copied);
    if !is_copied {
        return;
    }
    spell(patch, "labels", lines, true);
    let Some(metadata) = patch.get_mut("metadata") else { return };
    let is_empty = |map: &&str| metadata.get(map).is_none_or(|map| map.entries().is_empty());
    for map in ["annotations", "labels"].into_iter().filter(is_empty).collect::<Vec<_>>() {
        metadata.remove_at(&[map]);
    }
}

/// Whether a patch has the fields without which kustomize takes it for none, even if a target says what it is for.
fn check_names(patch: &Node) -> Result<(), Error> {
    let has = |keys: &[&str]| patch.find(keys).and_then(Node::text).is_some_and(|text| !text.is_empty());
    let missing = [&["kind"][..], &["metadata", "name"]].into_iter().find(|keys| !has(keys));
    missing.map_or(Ok(()), |keys| {
        let field = keys.join(".");
        let remedy = format!("kustomize refuses it: add `{field}`, which may be anything if there is a target");
        Err(Error::new(ErrorKind::Overlay, format!("the patch has no {field}"), remedy).at(&patch.place))
    })
}

/// Applies operations, which may change kind and name too. Kustomize notes in annotations what an object was called before: with `patches`
/// now, and with `patchesJson6902` where something else changed its name earlier. An operation may add to them then. References follow
/// no name that `patchesJson6902` changes.
fn with_json(
    operations: &[Node],
    selector: &Selector,
    notes_names: bool,
    resources: &mut [Resource],
) -> Result<(), Error> {
    for resource in resources.iter_mut().filter(|resource| selector.selects(resource)) {
        let before = resource.id();
        let Document { source, node, .. } = &resource.object;
        let (source, mut node) = (source.clone(), node.clone());
        let place = node.place.clone();
        if let Some(metadata) = node.get_mut("metadata").filter(|_| notes_names || !resource.before.is_empty()) {
            metadata.get_or_insert("annotations", Tree::Map(Vec::new()), &place);
        }
        // What nothing follows is null from here on, also to a merge.
        std::mem::take(&mut resource.blank).fill_in(&mut node);
        let applied = json_patch::apply(&mut node, operations).and_then(|()| spell_values(&mut node));
        applied.map_err(|error| error.in_object(&resource.object.label()))?;
        resource.object = Document { source, ..document(node)? };
        if notes_names && resource.id() != before {
            resource.before.push(before);
        }
    }
    Ok(())
}

/// Turns the values of annotations that operations have set into texts.
fn spell_values(object: &mut Node) -> Result<(), Error> {
    let Some(annotations) = object.find_mut(&["metadata", "annotations"]) else { return Ok(()) };
    let Tree::Map(entries) = &mut annotations.tree else { return Ok(()) };
    for node in entries.iter_mut().map(|entry| &mut entry.node) {
        let text = match node.tree {
            Tree::Text(_) | Tree::List(_) | Tree::Map(_) => continue,
            Tree::Null => "null".to_owned(),
            Tree::Bool(value) => value.to_string(),
            Tree::Int(value) if value.abs() < EXPONENTS => value.to_string(),
            Tree::Int(_) | Tree::Float(_) => {
                let message = "only kustomize itself can build an annotation whose value is a number";
                return Err(Error::new(ErrorKind::Unsupported, message, "").at(&node.place));
            }
        };
        node.tree = Tree::Text(text);
    }
    Ok(())
}

fn to_selected(change: &Node, selector: &Selector, resources: &mut Vec<Resource>) -> Result<(), Error> {
    // The target says what is meant, whatever the patch is called.
    let mut change = change.clone();
    for keys in [&["apiVersion"][..], &["kind"], &["metadata", "name"], &["metadata", "namespace"]] {
        change.remove_at(keys);
    }
    let mut kept = Vec::new();
    for mut resource in resources.drain(..) {
        if !selector.selects(&resource) || merged(&mut resource, &change)? {
            kept.push(resource);
        }
    }
    *resources = kept;
    Ok(())
}

fn to_named(change: Node, resources: &mut Vec<Resource>) -> Result<(), Error> {
    let mut change = document(change)?;
    let namespace = super::namespace(&change).to_owned();
    let is_kind = |resource: &Resource| {
        resource.object.kind == change.kind && resource.object.api_version() == change.api_version()
    };
    let is_meant = |resource: &&Resource| {
        is_kind(resource) && resource.ids().any(|(name, place)| name == change.name && place == namespace)
    };
    let found = resources.iter().filter(is_meant).count();
    let (1, Some(index)) = (found, resources.iter().position(|resource| is_meant(&resource))) else {
        return Err(unmatched(&change, found, resources));
    };
    for key in ["name", "namespace"] {
        change.node.remove_at(&["metadata", key]);
    }
    let label = change.label();
    if !merged(&mut resources[index], &change.node).map_err(|error| error.in_object(&label))? {
        resources.remove(index);
    }
    Ok(())
}

/// Merges a patch into a resource; whether that is still there then.
fn merged(resource: &mut Resource, change: &Node) -> Result<bool, Error> {
    let is_own = resource.object.is_own();
    let Document { kind, node, .. } = &mut resource.object;
    std::mem::take(&mut resource.blank).remove_from(node);
    if let Some(item) = repeated(kind, node).filter(|_| is_own) {
        let message = "only kustomize itself can patch a list that has an element twice";
        return Err(Error::new(ErrorKind::Unsupported, message, "").at(&item.place));
    }
    merge_object(kind, is_own, node, change)
}

fn unmatched(change: &Document, found: usize, resources: &[Resource]) -> Error {
    let cursor_path = FieldPath::of(&["metadata", "name"]);
    let names = || resources.iter().filter(|one| one.object.kind == change.kind).map(|one| one.object.name.as_str());
    let other = resources.iter().find(|resource| resource.object.name == change.name);
    let message = if found > 0 { "the patch matches several objects" } else { "the patch matches no object" };
    let remedy = match (found, nearest(&change.name, names()), other) {
        (1.., ..) => "name the namespace of the one that is meant".to_owned(),
        (_, Some(name), _) if name != change.name => format!("did you mean `{name}`?"),
        (_, _, Some(resource)) => {
            let (version, place) = (resource.object.api_version(), resource.object.namespace());
            let place = if place.is_empty() { String::new() } else { format!(", namespace {place}") };
            format!("there is {} of apiVersion {version}{place}", resource.object.label())
        }
        _ => format!("names of kind {} in the manifests: {}", change.kind, listed(names())),
    };
    Error::new(ErrorKind::Overlay, message, remedy)
        .at(change.node.place_of(&cursor_path))
        .in_field(&cursor_path)
        .in_object(&change.label())
}

/// What a patch is for.
struct Selector {
    group: Regex,
    version: Regex,
    kind: Regex,
    name: Regex,
    namespace: Regex,
    labels: Vec<Requirement>,
    annotations: Vec<Requirement>,
}

/// A label or annotation that is wanted: with a value, with any, or with another one than this.
enum Requirement {
    Is(String, String),
    IsNot(String, String),
    Exists(String),
}

impl Selector {
    /// Reads one, or says what of it only kustomize knows.
    fn of(target: &Target) -> Result<Self, String> {
        let pattern = |text: &Option<String>| {
            let text = text.as_deref().unwrap_or_default();
            let pattern = if text.is_empty() { ".*".to_owned() } else { format!("^(?:{text})$") };
            Regex::new(&pattern).map_err(|_| format!("the target `{text}` is a pattern that kustomize alone may know"))
        };
        Ok(Self {
            group: pattern(&target.group)?,
            version: pattern(&target.version)?,
            kind: pattern(&target.kind)?,
            name: pattern(&target.name)?,
            namespace: pattern(&target.namespace)?,
            labels: requirements(target.label_selector.as_deref())?,
            annotations: requirements(target.annotation_selector.as_deref())?,
        })
    }

    fn selects(&self, resource: &Resource) -> bool {
        let object = &resource.object;
        let version = object.api_version().rsplit('/').next().unwrap_or_default();
        // The first name and the last one count, and none between.
        let ends = || resource.before.first().cloned().into_iter().chain([resource.id()]);
        self.group.is_match(kinds::group(object.api_version()))
            && self.version.is_match(version)
            && self.kind.is_match(&object.kind)
            && ends().any(|(name, _)| self.name.is_match(&name))
            && ends().any(|(_, namespace)| self.namespace.is_match(&namespace))
            && self.labels.iter().all(|wanted| wanted.holds(object, "labels"))
            && self.annotations.iter().all(|wanted| wanted.holds(object, "annotations"))
    }
}

impl Requirement {
    fn holds(&self, object: &Document, map: &str) -> bool {
        let value = |key: &str| object.node.text_at(&["metadata", map, key]);
        match self {
            Self::Is(key, wanted) => value(key) == Some(wanted),
            Self::IsNot(key, other) => value(key) != Some(other),
            Self::Exists(key) => value(key).is_some(),
        }
    }
}

fn requirements(selector: Option<&str>) -> Result<Vec<Requirement>, String> {
    let parts = selector.unwrap_or_default().split(',').map(str::trim).filter(|part| !part.is_empty());
    let read = |part: &str| {
        let is_name =
            |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/'));
        let (key, value, requirement): (_, _, fn(String, String) -> Requirement) = match part.split_once("!=") {
            Some((key, value)) => (key, Some(value), Requirement::IsNot),
            None => match part.split_once('=') {
                Some((key, value)) => (key, Some(value.trim_start_matches('=')), Requirement::Is),
                None => (part, None, Requirement::Is),
            },
        };
        let (key, value) = (key.trim(), value.map(str::trim));
        if !is_name(key) || !value.is_none_or(is_name) {
            return Err(format!("the selector `{part}` is one that only kustomize knows"));
        }
        Ok(match value {
            Some(value) => requirement(key.to_owned(), value.to_owned()),
            None => Requirement::Exists(key.to_owned()),
        })
    };
    parts.map(read).collect()
}
