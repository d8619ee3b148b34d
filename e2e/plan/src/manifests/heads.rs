//! What the objects of a file are, whatever is wrong with the rest of it. Main function: [`heads`].

use std::{fs, path::Path};

use super::text_of;
use crate::{
    kinds,
    read::item_of,
    yaml::{Dialect, Documents, documents},
};

/// What the head of an object says; what it lacks is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// Such as `apps/v1`.
    pub api_version: String,
    /// Such as `Deployment`.
    pub kind: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
}

impl Head {
    /// Whether its kind is none of Kubernetes' own.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        !self.is_own() || kinds::role(&self.api_version, &self.kind).is_err()
    }

    /// Whether its group is one of Kubernetes' own.
    #[must_use]
    pub fn is_own(&self) -> bool {
        kinds::is_own_group(kinds::group(&self.api_version))
    }

    /// Whether two objects with a name are the same one to a cluster, as far as their files tell.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let Self { kind, name, namespace, .. } = other;
        !name.is_empty() && (&self.kind, &self.name, &self.namespace) == (kind, name, namespace)
    }

    /// Whether it runs pods.
    #[must_use]
    pub fn is_workload(&self) -> bool {
        self.is_own() && kinds::WITH_PODS.contains(&self.kind.as_str())
    }
}

/// The heads of a file's objects, those in Lists too. Where its text is no YAML, as in a template, the lines tell their kinds.
#[must_use]
pub fn heads(path: &Path) -> Vec<Head> {
    let bytes = fs::read(path).unwrap_or_default();
    let text = text_of(bytes.clone()).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned());
    // Files without objects may be large.
    if !text.split("kind").skip(1).any(|rest| rest.starts_with([':', ' ', '"', '\''])) {
        return Vec::new();
    }
    let Documents { nodes: mut open, errors, .. } = documents(path, &text, Dialect::Kubectl);
    let mut heads = Vec::new();
    while let Some(node) = open.pop() {
        let text = |keys: &[&str]| node.text_at(keys).unwrap_or_default().to_owned();
        let (name, namespace) = (text(&["metadata", "name"]), text(&["metadata", "namespace"]));
        heads.push(Head { api_version: text(&["apiVersion"]), kind: text(&["kind"]), name, namespace });
        open.extend(node.items().iter().cloned());
        open.extend(node.items_at(&["items"]).iter().map(|item| item_of(&node, item)));
    }
    if !errors.is_empty() {
        let kinds = text.lines().filter_map(|line| line.strip_prefix("kind:")?.split_whitespace().next());
        heads.extend(kinds.map(|kind| Head { kind: kind.to_owned(), ..Head::default() }));
    }
    heads.retain(|head| !head.kind.is_empty());
    heads
}
