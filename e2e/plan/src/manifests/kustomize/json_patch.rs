//! JSON patches (RFC 6902) on trees. Main function: [`apply`].

use crate::{
    Error, ErrorKind,
    node::{Entry, Node, Tree},
};

/// Applies operations in order.
pub(super) fn apply(target: &mut Node, operations: &[Node]) -> Result<(), Error> {
    operations.iter().try_for_each(|operation| one(target, operation))
}

fn one(target: &mut Node, operation: &Node) -> Result<(), Error> {
    let fail = |message: String| {
        Error::new(ErrorKind::Overlay, message, "correct the operation: its path starts at the object's root")
            .at(&operation.place)
    };
    let text = |key: &str| operation.text_at(&[key]);
    let op = text("op").ok_or_else(|| fail("the operation has no `op`".to_owned()))?;
    let path = pointer(text("path").ok_or_else(|| fail("the operation has no `path`".to_owned()))?);
    let missing = |path: &[String]| fail(format!("there is nothing at `/{}`", path.join("/")));
    // As kustomize has it, one that is not written is null.
    let value = || operation.get("value").cloned().unwrap_or_else(|| Node::new(Tree::Null, &operation.place));
    let from = || pointer(text("from").unwrap_or_default());
    match op {
        "add" => add(target, &path, value()).ok_or_else(|| missing(&path)),
        "replace" => replace(target, &path, value()).ok_or_else(|| missing(&path)),
        "remove" => remove(target, &path).map(drop).ok_or_else(|| missing(&path)),
        "copy" => {
            let copied = get(target, &from()).cloned().ok_or_else(|| missing(&from()))?;
            add(target, &path, copied).ok_or_else(|| missing(&path))
        }
        "move" => {
            let moved = remove(target, &from()).ok_or_else(|| missing(&from()))?;
            add(target, &path, moved).ok_or_else(|| missing(&path))
        }
        "test" => {
            let wanted = value().to_json();
            let found = get(target, &path).map_or(serde_json::Value::Null, Node::to_json);
            let differs = || fail(format!("the test of `/{}` fails: another value is there", path.join("/")));
            (found == wanted).then_some(()).ok_or_else(differs)
        }
        other => Err(fail(format!("`{other}` is not an operation: add, remove, replace, move, copy and test are"))),
    }
}

/// The steps of a pointer (RFC 6901).
fn pointer(text: &str) -> Vec<String> {
    text.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~")).collect()
}

/// The index that a step stands for; a negative one counts from the end.
fn index(step: &str, length: usize) -> Option<usize> {
    let index: isize = step.parse().ok()?;
    let index = usize::try_from(index).ok().or_else(|| length.checked_sub(index.unsigned_abs()))?;
    (index < length).then_some(index)
}

fn get<'a>(node: &'a Node, path: &[String]) -> Option<&'a Node> {
    path.iter().try_fold(node, |node, step| match &node.tree {
        Tree::Map(entries) => entries.iter().find(|entry| entry.key == *step).map(|entry| &entry.node),
        Tree::List(items) => items.get(index(step, items.len())?),
        _ => None,
    })
}

fn parent<'a, 'p>(node: &'a mut Node, path: &'p [String]) -> Option<(&'a mut Node, &'p String)> {
    let (last, steps) = path.split_last()?;
    let parent = steps.iter().try_fold(node, |node, step| match &mut node.tree {
        Tree::Map(entries) => entries.iter_mut().find(|entry| entry.key == *step).map(|entry| &mut entry.node),
        Tree::List(items) => {
            let index = index(step, items.len())?;
            items.get_mut(index)
        }
        _ => None,
    })?;
    Some((parent, last))
}

fn set(entries: &mut Vec<Entry>, key: &str, value: Node) {
    match entries.iter_mut().find(|entry| entry.key == key) {
        Some(entry) => entry.node = value,
        None => entries.push(Entry { key: key.to_owned(), place: value.place.clone(), node: value }),
    }
}

fn add(target: &mut Node, path: &[String], value: Node) -> Option<()> {
    let (parent, last) = parent(target, path)?;
    match &mut parent.tree {
        Tree::Map(entries) => set(entries, last, value),
        Tree::List(items) if last == "-" => items.push(value),
        Tree::List(items) => {
            let index = index(last, items.len() + 1)?;
            items.insert(index, value);
        }
        _ => return None,
    }
    Some(())
}

/// As the tool does it, a field that is not there yet is made.
fn replace(target: &mut Node, path: &[String], value: Node) -> Option<()> {
    if path.is_empty() {
        *target = value;
        return Some(());
    }
    let (parent, last) = parent(target, path)?;
    match &mut parent.tree {
        Tree::Map(entries) => set(entries, last, value),
        Tree::List(items) => {
            let index = index(last, items.len())?;
            items[index] = value;
        }
        _ => return None,
    }
    Some(())
}

fn remove(target: &mut Node, path: &[String]) -> Option<Node> {
    let (parent, last) = parent(target, path)?;
    match &mut parent.tree {
        Tree::Map(entries) => {
            let index = entries.iter().position(|entry| entry.key == *last)?;
            Some(entries.remove(index).node)
        }
        Tree::List(items) => {
            let index = index(last, items.len())?;
            Some(items.remove(index))
        }
        _ => None,
    }
}
