//! Strategic merge on trees, as kustomize does it for the kinds that are read here
//! (`sigs.k8s.io/kustomize/kyaml/yaml/merge2`): maps merge, null deletes, lists with a merge key merge by it with the
//! patch's elements first, other lists are replaced as they are written, and `$patch` says otherwise.

use super::{
    error::{Error, ErrorKind},
    node::{Entry, FieldPath, Node, Tree},
};

/// The directive that changes what a patch does to a map or to a list's element.
const DIRECTIVE: &str = "$patch";

/// The lists whose elements are told apart by a key, with that key.
const MERGE_KEYS: &[(&str, &str)] = &[
    ("containers", "name"),
    ("env", "name"),
    ("ephemeralContainers", "name"),
    ("hostAliases", "ip"),
    ("imagePullSecrets", "name"),
    ("initContainers", "name"),
    ("secrets", "name"),
    ("topologySpreadConstraints", "topologyKey"),
    ("volumeDevices", "devicePath"),
    ("volumeMounts", "mountPath"),
    ("volumes", "name"),
];

/// The lists whose elements a second key tells apart as well.
const SECOND_KEYS: &[(&str, &str)] = &[("ports", "protocol"), ("topologySpreadConstraints", "whenUnsatisfiable")];

/// The lists that kustomize merges in ways of their own.
const BEYOND: [&str; 3] = ["finalizers", "ownerReferences", "webhooks"];

/// What remains of a value after a patch.
enum Outcome {
    Keep,
    Delete,
}

/// Applies a patch to an object. False means that the patch deletes the object. Of kinds that are not Kubernetes' own nothing says
/// how their lists merge, so that these are replaced.
pub(crate) fn merge_object(kind: &str, is_own: bool, base: &mut Node, patch: &Node) -> Result<bool, Error> {
    let merge = Merge { kind, is_own };
    // A patch that fails leaves nothing half done.
    let mut merged = base.clone();
    let outcome = merge.merge(&mut merged, patch, "", &FieldPath::default())?;
    *base = merged;
    Ok(matches!(outcome, Outcome::Keep))
}

/// The first element of a list that is merged by a key where another one has its key: a merge by kustomize leaves one of them.
pub(crate) fn repeated<'a>(kind: &str, object: &'a Node) -> Option<&'a Node> {
    let merge = Merge { kind, is_own: true };
    merge.repeated(object)
}

/// An object that is new as a whole, without nulls and directives. None if it says to delete itself.
pub(crate) fn new_object(kind: &str, is_own: bool, patch: &Node) -> Result<Option<Node>, Error> {
    Merge { kind, is_own }.new_value(patch, "", &FieldPath::default())
}

struct Merge<'a> {
    kind: &'a str,
    is_own: bool,
}

impl Merge<'_> {
    /// Merges a patch into a value that exists under the key `field`.
    fn merge(&self, base: &mut Node, patch: &Node, field: &str, path: &FieldPath) -> Result<Outcome, Error> {
        match (&mut base.tree, &patch.tree) {
            (_, Tree::Null) => return Ok(Outcome::Delete),
            (_, Tree::Map(entries)) => match directive(patch, path)? {
                Directive::Delete => return Ok(Outcome::Delete),
                Directive::Merge if matches!(base.tree, Tree::Map(_)) => self.merge_maps(base, entries, path)?,
                Directive::Merge | Directive::Replace => return self.replace(base, patch, field, path),
            },
            (Tree::List(_), Tree::List(_)) if self.is_own && BEYOND.contains(&field) => {
                let message = "kustomize merges this list in a special way";
                let error = Error::new(ErrorKind::Unsupported, message, "write the whole list in the manifest");
                return Err(error.at(&patch.place).in_field(path));
            }
            (Tree::List(items), Tree::List(changes)) => match self.merge_key(field) {
                Some(key) => {
                    let keys = Keys { first: key, second: second_key(field) };
                    keys.check(items, changes).map_err(|error| error.in_field(path))?;
                    match self.merge_lists(std::mem::take(items), changes, keys, path)? {
                        Some(merged) => *items = merged,
                        None => return Ok(Outcome::Delete),
                    }
                }
                None => return self.replace(base, patch, field, path),
            },
            _ => return self.replace(base, patch, field, path),
        }
        Ok(Outcome::Keep)
    }

    fn merge_maps(&self, base: &mut Node, changes: &[Entry], path: &FieldPath) -> Result<(), Error> {
        let Tree::Map(entries) = &mut base.tree else { return Ok(()) };
        for change in changes.iter().filter(|change| change.key != DIRECTIVE) {
            let path = path.key(&change.key);
            check_key(change, &path)?;
            match entries.iter().position(|entry| entry.key == change.key) {
                Some(index) => {
                    if let Outcome::Delete = self.merge(&mut entries[index].node, &change.node, &change.key, &path)? {
                        entries.remove(index);
                    }
                }
                None => {
                    let node = self.new_value(&change.node, &change.key, &path)?;
                    entries.extend(node.map(|node| Entry { node, ..change.clone() }));
                }
            }
        }
        Ok(())
    }

    /// The patch's elements first, in its order, then the others: kustomize prepends. In a list with two keys only those that are new
    /// go to the front. None if the patch deletes the list.
    fn merge_lists(
        &self,
        mut base: Vec<Node>,
        changes: &[Node],
        keys: Keys,
        path: &FieldPath,
    ) -> Result<Option<Vec<Node>>, Error> {
        if let Some(marker) = changes.iter().find(|item| is_marker(item)) {
            match directive(marker, path)? {
                Directive::Replace => base.clear(),
                Directive::Delete => return Ok(None),
                Directive::Merge => {}
            }
        }
        let has = |item: &Node, key: &str| item.get(key).is_some_and(|value| !value.is_null());
        let keeps_order = keys.second.is_some_and(|second| base.iter().chain(changes).any(|item| has(item, second)));
        let mut merged = Vec::new();
        for (index, change) in changes.iter().enumerate().filter(|(_, item)| !is_marker(item)) {
            let path = path.item(index, change.item_name());
            if let Directive::Replace = directive(change, &path)? {
                // kustomize ignores such an element, and Kubernetes drops the others: neither can be meant.
                let error = Error::new(
                    ErrorKind::Unsupported,
                    "`$patch: replace` together with other fields of a list element",
                    "write `- $patch: replace` as a separate element",
                );
                return Err(error.at(&change.place).in_field(&path));
            }
            if change.get(keys.first).is_none() {
                let key = keys.first;
                let message = format!("the element has no `{key}`, by which this list is merged");
                let error = Error::new(ErrorKind::Unsupported, message, format!("add `{key}`"));
                return Err(error.at(&change.place).in_field(&path));
            }
            let found = base.iter().position(|item| keys.are_same(item, change));
            match found {
                None => merged.extend(self.new_value(change, "", &path)?),
                Some(position) => match self.merge(&mut base[position], change, "", &path)? {
                    Outcome::Keep if keeps_order => {}
                    Outcome::Keep => merged.push(base.remove(position)),
                    Outcome::Delete => drop(base.remove(position)),
                },
            }
        }
        merged.append(&mut base);
        Ok(Some(merged))
    }

    fn replace(&self, base: &mut Node, patch: &Node, field: &str, path: &FieldPath) -> Result<Outcome, Error> {
        // Whatever stood here, a value that replaces itself by nothing deletes the field.
        let Some(node) = self.new_value(patch, field, path)? else { return Ok(Outcome::Delete) };
        *base = node;
        Ok(Outcome::Keep)
    }

    /// A value that the patch adds under the key `field`: without nulls, without directives. None if it is null or says to delete
    /// itself.
    fn new_value(&self, patch: &Node, field: &str, path: &FieldPath) -> Result<Option<Node>, Error> {
        let tree = match &patch.tree {
            Tree::Null => return Ok(None),
            Tree::Map(entries) => {
                if let Directive::Delete = directive(patch, path)? {
                    return Ok(None);
                }
                let mut kept = Vec::new();
                for entry in entries.iter().filter(|entry| entry.key != DIRECTIVE) {
                    let path = path.key(&entry.key);
                    check_key(entry, &path)?;
                    let node = self.new_value(&entry.node, &entry.key, &path)?;
                    kept.extend(node.map(|node| Entry { node, ..entry.clone() }));
                }
                Tree::Map(kept)
            }
            Tree::List(items) if self.merge_key(field).is_some() => {
                let mut kept = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    let path = path.item(index, item.item_name());
                    match (is_marker(item), directive(item, &path)?) {
                        (true, Directive::Delete) => return Ok(None),
                        (true, _) => {}
                        (false, _) => kept.extend(self.new_value(item, "", &path)?),
                    }
                }
                Tree::List(kept)
            }
            // Other lists are taken as they are, with every null and directive.
            other => other.clone(),
        };
        Ok(Some(Node::new(tree, &patch.place)))
    }

    fn repeated<'a>(&self, node: &'a Node) -> Option<&'a Node> {
        let of_entry = |entry: &'a Entry| {
            let items = entry.node.items();
            let keys = self.merge_key(&entry.key).map(|first| Keys { first, second: second_key(&entry.key) });
            let is_repeated = |index: &usize| {
                keys.is_some_and(|keys| items[..*index].iter().any(|other| keys.are_same(other, &items[*index])))
            };
            (1..items.len()).find(is_repeated).map(|index| &items[index]).or_else(|| self.repeated(&entry.node))
        };
        node.entries().iter().find_map(of_entry).or_else(|| node.items().iter().find_map(|item| self.repeated(item)))
    }

    fn merge_key(&self, field: &str) -> Option<&'static str> {
        if !self.is_own {
            return None;
        }
        if field == "ports" {
            return Some(if self.kind == "Service" { "port" } else { "containerPort" });
        }
        // A pod's are merged, and those of an account are not.
        if field == "imagePullSecrets" && self.kind == "ServiceAccount" {
            return None;
        }
        MERGE_KEYS.iter().find(|(list, _)| *list == field).map(|(_, key)| *key)
    }
}

/// A list's element that is nothing but a directive for the list.
fn is_marker(item: &Node) -> bool {
    matches!(item.entries(), [entry] if entry.key == DIRECTIVE)
}

enum Directive {
    Merge,
    Replace,
    Delete,
}

fn directive(patch: &Node, path: &FieldPath) -> Result<Directive, Error> {
    let Some(entry) = patch.entries().iter().find(|entry| entry.key == DIRECTIVE) else { return Ok(Directive::Merge) };
    match entry.node.text() {
        Some("merge") => Ok(Directive::Merge),
        Some("replace") => Ok(Directive::Replace),
        Some("delete") => Ok(Directive::Delete),
        _ => {
            let error = Error::new(ErrorKind::Overlay, "unknown $patch directive", "write merge, replace or delete");
            Err(error.at(&entry.place).in_field(&path.key(DIRECTIVE)))
        }
    }
}

/// Refuses the directives that tools write for themselves.
fn check_key(entry: &Entry, path: &FieldPath) -> Result<(), Error> {
    if entry.key.starts_with('$') {
        let message = format!("the directive `{}` is not supported", entry.key);
        let error = Error::new(ErrorKind::Unsupported, message, "use `$patch`, or `null` to delete a field");
        return Err(error.at(&entry.place).in_field(path));
    }
    Ok(())
}

fn same(left: &Node, right: &Node) -> bool {
    match (&left.tree, &right.tree) {
        (Tree::Text(left), Tree::Text(right)) => left == right,
        (Tree::Int(left), Tree::Int(right)) => left == right,
        _ => false,
    }
}

/// The keys that tell the elements of a list apart.
#[derive(Clone, Copy)]
struct Keys {
    first: &'static str,
    second: Option<&'static str>,
}

fn second_key(field: &str) -> Option<&'static str> {
    SECOND_KEYS.iter().find(|(list, _)| *list == field).map(|(_, key)| *key)
}

impl Keys {
    fn are_same(self, left: &Node, right: &Node) -> bool {
        let agree = |key: &str| match (left.get(key), right.get(key)) {
            (Some(left), Some(right)) => same(left, right),
            (None, None) => true,
            _ => false,
        };
        left.get(self.first).is_some() && agree(self.first) && self.second.is_none_or(agree)
    }

    /// Rejects cases in which kustomize has surprising results: duplicate elements, and elements of which some omit the second key
    /// out.
    fn check(self, base: &[Node], changes: &[Node]) -> Result<(), Error> {
        for change in changes.iter().filter(|item| !is_marker(item)) {
            let fail = |message: String, remedy: String| {
                Err(Error::new(ErrorKind::Unsupported, message, remedy).at(&change.place))
            };
            let key = self.first;
            // With a second key kustomize also takes elements for one that agree in the first alone.
            let alone = Self { second: None, ..self };
            let alike = |items: &[Node]| items.iter().filter(|item| alone.are_same(item, change)).count();
            if alike(base) > 1 || (self.second.is_some() && alike(changes) > 1) {
                return fail(format!("a `{key}` is in the list twice"), format!("give each `{key}` once"));
            }
            let Some(second) = self.second else { continue };
            let other = base.iter().find(|item| alone.are_same(item, change));
            if other.is_some_and(|other| other.get(second).is_some() != change.get(second).is_some()) {
                let message = format!("this list also merges by `{second}`, which one of two elements omits");
                return fail(message, format!("write `{second}` in both of them, in the manifest and in the patch"));
            }
        }
        Ok(())
    }
}
