//! Overlays: which object a patch is for, and which documents are new objects. Main type: [`Overlay`].

use super::{
    error::{Cursor, Error, ErrorKind},
    merge::{merge_object, new_object},
    node::Node,
    read::{Manifest, Object, check_unique, objects as read_objects},
    suggest::nearest,
};

/// Changes to the manifests: a directory's files.
#[derive(Debug, Clone)]
pub struct Overlay {
    /// The directory, as the user named it.
    pub label: String,
    /// Its files, applied in order.
    pub parts: Vec<Part>,
}

/// One file of an overlay.
#[derive(Debug, Clone)]
pub struct Part {
    /// What its documents are.
    pub role: PartRole,
    /// The file.
    pub manifest: Manifest,
}

/// What the documents of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartRole {
    /// Patches of objects that exist, as under kustomize's `patches`.
    Patch,
    /// New objects, as under kustomize's `resources`.
    Resource,
    /// Patches of the objects that exist, new objects otherwise: the files of a directory without a kustomization.
    Either,
}

/// Applies an overlay to the objects.
pub(crate) fn apply(objects: &mut Vec<Object>, overlay: &Overlay) -> Result<(), Error> {
    for part in &overlay.parts {
        for change in read_objects(&part.manifest)? {
            let same = |object: &Object| object.kind == change.kind && object.name == change.name;
            match (objects.iter().position(same), part.role) {
                (Some(index), PartRole::Patch | PartRole::Either) => {
                    let object = &mut objects[index];
                    let merged = merge_object(&object.kind, &mut object.node, &change.node);
                    if !merged.map_err(|error| error.in_object(&change.label()))? {
                        objects.remove(index);
                    }
                }
                (None, PartRole::Patch) => return Err(unmatched(&change, objects, &overlay.label)),
                (None, PartRole::Either) if !is_complete(&change) => {
                    return Err(unmatched(&change, objects, &overlay.label));
                }
                // A resource that exists already is refused below as declared twice.
                (_, PartRole::Resource) | (None, PartRole::Either) => {
                    let node = new_object(&change.node).map_err(|error| error.in_object(&change.label()))?;
                    objects.extend(node.map(|node| Object { node, ..change }));
                }
            }
        }
    }
    check_unique(objects)
}

/// Whether a document can stand alone; a patch for a misspelt name cannot.
fn is_complete(object: &Object) -> bool {
    let has = |keys: &[&str]| object.node.find(keys).is_some();
    match object.kind.as_str() {
        "Deployment" | "StatefulSet" => {
            let images = object.node.find(&["spec", "template", "spec", "containers"]).map_or(&[][..], Node::items);
            has(&["spec", "selector"])
                && !images.is_empty()
                && images.iter().all(|container| container.get("image").is_some())
        }
        "Service" => has(&["spec", "ports"]) || has(&["spec", "clusterIP"]) || has(&["spec", "externalName"]),
        _ => !object.node.entries().iter().any(|entry| entry.key == "$patch"),
    }
}

fn unmatched(change: &Object, objects: &[Object], label: &str) -> Error {
    let names = || objects.iter().filter(|object| object.kind == change.kind).map(|object| object.name.as_str());
    let other_kind = objects.iter().find(|object| object.name == change.name);
    let remedy = match (nearest(&change.name, names()), other_kind) {
        (Some(name), _) => format!("did you mean `{name}`?"),
        (None, Some(object)) => format!("did you mean {}?", object.label()),
        (None, None) => {
            let all: Vec<&str> = names().collect();
            let all = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
            format!("names of kind {} in the manifests: {all}; a new object must be complete", change.kind)
        }
    };
    let message = format!("the patch of overlay {label} matches no object");
    Cursor::root(change).keys(&["metadata", "name"]).fail(ErrorKind::Overlay, message, remedy)
}
