//! Changes to objects by files that are no kustomization: a document is a patch where its object exists, and a new object
//! otherwise. Main type: [`Overlay`].

use super::{
    cursor::Cursor,
    document::Document,
    error::{Error, ErrorKind},
    kinds::Role,
    merge::{merge_object, new_object},
    read::{Manifest, Objects},
    suggest::{nearest, placeholder},
    words::listed,
    workload::NEED_SELECTOR,
};

/// Changes to the manifests: files of patches and new objects.
#[derive(Debug, Clone)]
pub struct Overlay {
    /// The directory, as the user named it.
    pub label: String,
    /// Its files, applied in order.
    pub manifests: Vec<Manifest>,
}

impl Objects {
    /// Applies an overlay.
    pub fn patch(&mut self, overlay: &Overlay) {
        let Objects { objects: changes, faults, notes } = Objects::read(&overlay.manifests);
        self.notes.extend(notes);
        // A file that could not be read is why an object is missing.
        let is_whole = self.faults.is_empty();
        self.faults.append(faults);
        for change in changes {
            let index = self.objects.iter().position(|object| is_meant(object, &change));
            if index.is_some() || is_complete(&change) {
                self.faults.keep(apply(&mut self.objects, index, change));
            } else if is_whole {
                self.faults.push(unmatched(&change, &self.objects, &overlay.label));
            }
        }
    }
}

/// Patches the object at an index, or adds a new one.
fn apply(objects: &mut Vec<Document>, index: Option<usize>, change: Document) -> Result<(), Error> {
    match index {
        Some(index) => {
            let object = &mut objects[index];
            let merged = merge_object(&object.kind, object.is_own(), &mut object.node, &change.node);
            if !merged.map_err(|error| error.in_object(&change.label()))? {
                objects.remove(index);
            }
        }
        None => {
            let node = new_object(&change.kind, change.is_own(), &change.node);
            let node = node.map_err(|error| error.in_object(&change.label()))?;
            objects.extend(node.map(|node| Document { node, ..change }));
        }
    }
    Ok(())
}

/// Whether a patch is for an object: one without a namespace is for that of any.
fn is_meant(object: &Document, change: &Document) -> bool {
    object.shares_name(change) && (change.namespace().is_empty() || change.home() == object.home())
}

/// Whether a document can stand alone; a patch for a misspelt name cannot.
fn is_complete(object: &Document) -> bool {
    let has = |keys: &[&str]| object.node.find(keys).is_some();
    match object.role {
        Role::Workload => {
            let images = object.pod_node().map_or(&[][..], |pod| pod.items_at(&["containers"]));
            (has(&["spec", "selector"]) || !NEED_SELECTOR.contains(&object.kind.as_str()))
                && !images.is_empty()
                && images.iter().all(|container| container.get("image").is_some())
        }
        Role::Service => has(&["spec", "ports"]) || has(&["spec", "clusterIP"]) || has(&["spec", "externalName"]),
        _ => !object.node.entries().iter().any(|entry| entry.key == "$patch"),
    }
}

fn unmatched(change: &Document, objects: &[Document], label: &str) -> Error {
    let names = || objects.iter().filter(|object| object.kind == change.kind).map(|object| object.name.as_str());
    let other_kind = objects.iter().find(|object| object.name == change.name);
    let remedy = match (placeholder(&change.name), nearest(&change.name, names()), other_kind) {
        (Some(remedy), ..) => remedy.to_owned(),
        (None, Some(name), _) => format!("did you mean `{name}`?"),
        (None, None, Some(object)) => format!("did you mean {}?", object.label()),
        (None, None, None) => {
            let all = listed(names());
            format!("names of kind {} in the manifests: {all}; a new object must be complete", change.kind)
        }
    };
    let message = format!("the patch of overlay {label} matches no object");
    Cursor::root(change).keys(&["metadata", "name"]).fail(ErrorKind::Overlay, message, remedy)
}
