//! ConfigMaps and Secrets that are given from outside the manifests, as objects like any other. Main type: [`OutsideObject`].

use std::{fmt, path::PathBuf, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    Source,
    document::Document,
    kinds::Role,
    node::{Entry, Node, Place, Tree},
};

/// The key of a Secret by which images are pulled.
const LOGIN: &str = ".dockerconfigjson";

/// A ConfigMap or Secret from outside the manifests, with the values that it has in this run.
#[derive(Clone, PartialEq, Eq)]
pub struct OutsideObject {
    /// `ConfigMap` or `Secret`.
    pub kind: &'static str,
    /// `metadata.name`.
    pub name: String,
    /// What gives it, for errors.
    pub file: PathBuf,
    /// Its keys with their values.
    pub values: Vec<(String, Vec<u8>)>,
}

impl fmt::Debug for OutsideObject {
    /// Leaves the values out: they may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutsideObject({}/{})", self.kind, self.name)
    }
}

/// Adds what is given from outside; an object of the manifests is completed by the keys that it does not have.
pub(crate) fn add(objects: &mut Vec<Document>, given: &[OutsideObject]) {
    for given in given {
        let place = Place { file: Arc::from(given.file.as_path()), document: 0, line: 0, column: 0 };
        let is_meant = |object: &Document| object.kind == given.kind && object.name == given.name;
        if !objects.iter().any(is_meant) {
            objects.push(empty(given, &place));
        }
        // Several namespaces may have one of that name.
        objects.iter_mut().filter(|object| is_meant(object)).for_each(|object| complete(object, given, &place));
    }
}

/// Gives an object the keys that it does not have.
fn complete(object: &mut Document, given: &OutsideObject, place: &Place) {
    for (key, bytes) in &given.values {
        let has = |field: &&str| object.node.find(&[field, key]).is_some();
        if ["data", "stringData", "binaryData"].iter().any(has) {
            continue;
        }
        let (field, text) = match (std::str::from_utf8(bytes), given.kind) {
            (Ok(text), "Secret") => ("stringData", text.to_owned()),
            (Ok(text), _) => ("data", text.to_owned()),
            (Err(_), "Secret") => ("data", STANDARD.encode(bytes)),
            (Err(_), _) => ("binaryData", STANDARD.encode(bytes)),
        };
        if let Some(data) = object.node.get_or_insert(field, Tree::Map(Vec::new()), place) {
            data.set(key, Tree::Text(text), place);
        }
    }
}

fn empty(given: &OutsideObject, place: &Place) -> Document {
    let text = |text: &str| Node::new(Tree::Text(text.to_owned()), place);
    let entry = |key: &str, node: Node| Entry { key: key.to_owned(), place: place.clone(), node };
    let metadata = Node::new(Tree::Map(vec![entry("name", text(&given.name))]), place);
    let mut entries =
        vec![entry("apiVersion", text("v1")), entry("kind", text(given.kind)), entry("metadata", metadata)];
    // Kubelets log in with Secrets of this type alone.
    if given.kind == "Secret" && given.values.iter().any(|(key, _)| key == LOGIN) {
        entries.push(entry("type", text("kubernetes.io/dockerconfigjson")));
    }
    Document {
        kind: given.kind.to_owned(),
        name: given.name.clone(),
        role: if given.kind == "Secret" { Role::Secret } else { Role::ConfigMap },
        source: Source { file: given.file.clone(), document: 1 },
        node: Node::new(Tree::Map(entries), place),
    }
}
