//! YAML as a tree in which every node knows its place, so that an error can name it even after patches were merged in.
//! Main type: [`Node`].

use std::{fmt, path::Path, sync::Arc};

/// Where a node stands in the manifests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: Arc<Path>,
    pub(crate) document: usize,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A value and its place. It has no `Debug`, because it may hold the text of a Secret.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) tree: Tree,
}

/// The values of YAML's JSON schema.
#[derive(Clone)]
pub(crate) enum Tree {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One key of a map with its value.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) node: Node,
}

/// The way from an object's root to one of its fields, written as `spec.containers[app].image`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FieldPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Item { index: usize, name: Option<String> },
}

impl FieldPath {
    /// The field below several keys.
    pub(crate) fn of(keys: &[&str]) -> Self {
        Self(keys.iter().map(|key| Step::Key((*key).to_owned())).collect())
    }

    pub(crate) fn key(&self, key: &str) -> Self {
        self.with(Step::Key(key.to_owned()))
    }

    /// An element of a list, shown by its name if it has one.
    pub(crate) fn item(&self, index: usize, name: Option<&str>) -> Self {
        self.with(Step::Item { index, name: name.filter(|name| !name.is_empty()).map(str::to_owned) })
    }

    /// The path of what the field is in.
    pub(crate) fn parent(&self) -> Option<Self> {
        self.0.split_last().map(|(_, parent)| Self(parent.to_vec()))
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if key.contains(['.', '/']) => write!(f, "['{key}']")?,
                Step::Key(key) if position == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Item { name: Some(name), .. } => write!(f, "[{name}]")?,
                Step::Item { index, name: None } => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl Node {
    pub(crate) fn new(tree: Tree, place: &Place) -> Self {
        Self { place: place.clone(), tree }
    }

    /// Puts the whole tree at one place.
    pub(crate) fn set_place(&mut self, place: &Place) {
        self.place = place.clone();
        match &mut self.tree {
            Tree::List(items) => items.iter_mut().for_each(|item| item.set_place(place)),
            Tree::Map(entries) => entries.iter_mut().for_each(|entry| {
                entry.place = place.clone();
                entry.node.set_place(place);
            }),
            Tree::Null | Tree::Bool(_) | Tree::Int(_) | Tree::Float(_) | Tree::Text(_) => {}
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.tree {
            Tree::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.tree {
            Tree::Map(entries) => entries,
            _ => &[],
        }
    }

    pub(crate) fn items(&self) -> &[Node] {
        match &self.tree {
            Tree::List(items) => items,
            _ => &[],
        }
    }

    /// The value of a key; none for a null.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.node).filter(|node| !node.is_null())
    }

    /// The value of a key, to change it.
    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        match &mut self.tree {
            Tree::Map(entries) => entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.node),
            _ => None,
        }
    }

    /// The value below several keys.
    pub(crate) fn find(&self, keys: &[&str]) -> Option<&Node> {
        keys.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The value below several keys, to change it.
    pub(crate) fn find_mut(&mut self, keys: &[&str]) -> Option<&mut Node> {
        keys.iter().try_fold(self, |node, key| node.get_mut(key))
    }

    /// Takes the field below several keys out of the tree.
    pub(crate) fn remove_at(&mut self, keys: &[&str]) {
        self.remove(&FieldPath::of(keys));
    }

    /// The text below several keys.
    pub(crate) fn text_at(&self, keys: &[&str]) -> Option<&str> {
        self.find(keys)?.text()
    }

    /// The entries of the map below several keys; none where there is no map.
    pub(crate) fn entries_at(&self, keys: &[&str]) -> &[Entry] {
        self.find(keys).map_or(&[], Node::entries)
    }

    /// The items of the list below several keys; none where there is no list.
    pub(crate) fn items_at(&self, keys: &[&str]) -> &[Node] {
        self.find(keys).map_or(&[], Node::items)
    }

    /// Takes a field out of the tree; whether it was there.
    pub(crate) fn remove(&mut self, path: &FieldPath) -> bool {
        let Some((last, parents)) = path.0.split_last() else { return false };
        let mut node = self;
        for step in parents {
            let child = match (step, &mut node.tree) {
                (Step::Key(key), Tree::Map(entries)) => {
                    entries.iter_mut().find(|entry| entry.key == *key).map(|entry| &mut entry.node)
                }
                (Step::Item { index, .. }, Tree::List(items)) => items.get_mut(*index),
                _ => None,
            };
            let Some(child) = child else { return false };
            node = child;
        }
        match (last, &mut node.tree) {
            (Step::Key(key), Tree::Map(entries)) => {
                let count = entries.len();
                entries.retain(|entry| entry.key != *key);
                entries.len() < count
            }
            (Step::Item { index, .. }, Tree::List(items)) if *index < items.len() => {
                items.remove(*index);
                true
            }
            _ => false,
        }
    }

    /// The value of a key, made by `default` when there is none; none if this is no map.
    pub(crate) fn get_or_insert(&mut self, key: &str, default: Tree, place: &Place) -> Option<&mut Node> {
        let Tree::Map(entries) = &mut self.tree else { return None };
        let index = match entries.iter().position(|entry| entry.key == key) {
            Some(index) => index,
            None => {
                let node = Node::new(Tree::Null, place);
                entries.push(Entry { key: key.to_owned(), place: place.clone(), node });
                entries.len() - 1
            }
        };
        let node = &mut entries[index].node;
        if node.is_null() {
            *node = Node::new(default, place);
        }
        Some(node)
    }

    pub(crate) fn set(&mut self, key: &str, tree: Tree, place: &Place) {
        if let Some(node) = self.get_or_insert(key, Tree::Null, place) {
            *node = Node::new(tree, place);
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.tree, Tree::Null)
    }

    /// What the value is, for error messages; never the value itself.
    pub(crate) fn type_name(&self) -> &'static str {
        match self.tree {
            Tree::Null => "null",
            Tree::Bool(_) => "a boolean",
            Tree::Int(_) => "an integer",
            Tree::Float(_) => "a number",
            Tree::Text(_) => "a string",
            Tree::List(_) => "a list",
            Tree::Map(_) => "a map",
        }
    }

    /// The `name` of a list's element, by which paths show it.
    pub(crate) fn item_name(&self) -> Option<&str> {
        self.get("name").and_then(Node::text)
    }

    pub(crate) fn find_path(&self, path: &FieldPath) -> Option<&Node> {
        path.0.iter().try_fold(self, |node, step| match step {
            Step::Key(key) => node.get(key),
            Step::Item { index, .. } => node.items().get(*index),
        })
    }

    /// The place of a field, or of the nearest parent that exists. A key's place stands for its value.
    pub(crate) fn place_of(&self, path: &FieldPath) -> &Place {
        let mut node = self;
        let mut place = &self.place;
        for step in &path.0 {
            match step {
                Step::Key(key) => {
                    let Some(entry) = node.entries().iter().find(|entry| entry.key == *key) else { break };
                    (place, node) = (&entry.place, &entry.node);
                }
                Step::Item { index, .. } => {
                    let Some(item) = node.items().get(*index) else { break };
                    (place, node) = (&item.place, item);
                }
            }
        }
        place
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.tree {
            Tree::Null => serde_json::Value::Null,
            Tree::Bool(value) => (*value).into(),
            Tree::Int(value) => (*value).into(),
            Tree::Float(value) => (*value).into(),
            Tree::Text(value) => value.as_str().into(),
            Tree::List(items) => items.iter().map(Node::to_json).collect::<Vec<_>>().into(),
            Tree::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.node.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
}
