//! Values that no cluster takes: choices, required keys, ranges, forms of texts, and fields that contradict each other.
//! Main function: [`check`]. The rules are data, in the tables of [`table`].

mod relations;
mod table;

use self::{
    relations::{Wrong, unlike},
    table::{FREELY_NAMED, METADATA, OWN, Rules, TABLES},
};
use super::{
    cursor::Cursor,
    document::Document,
    error::{ErrorKind, Faults},
    forms::{Form, QUALIFIED, SEGMENT, is_value},
    kinds::Role,
    node::{Entry, FieldPath, Node, Tree},
    read::check_name,
    suggest::placeholder,
    warnings::pattern,
};

/// What a cluster wants of a value that is there. An empty text counts as none.
enum Rule {
    /// The text is one of these.
    OneOf(&'static [&'static str]),
    /// The map has these keys, each with a value that is not empty.
    Has(&'static [&'static str]),
    /// The map has exactly one of these keys.
    One(&'static [&'static str]),
    /// The number is in this range.
    Within(i64, i64),
    /// The map's keys and values are labels.
    Labels,
    /// The text is the name of an object, or a label of DNS.
    Name { dots: bool },
    /// The text has this form.
    Is(Form),
    /// The map's keys have this form, in any case.
    Keys(Form),
    /// The map's values have this form, as far as they are texts or whole numbers.
    Values(Form),
    /// No two elements of the list have the same texts under these keys.
    Unique(&'static [&'static str]),
    /// The field is not there, or an empty list; with the message and the remedy where it is.
    Absent(&'static str, &'static str),
    /// Several fields agree.
    That(fn(&Node) -> Option<Wrong>),
}

/// Finds the values of an object that a cluster would refuse.
pub(crate) fn check(object: &Document, faults: &Faults) {
    let mut tables = vec![METADATA];
    // These had other fields before.
    let is_older = match object.kind.as_str() {
        "Ingress" => object.api_version() != "networking.k8s.io/v1",
        "HorizontalPodAutoscaler" => object.api_version() == "autoscaling/v2beta1",
        _ => false,
    };
    if object.is_own() && !is_older {
        let own = TABLES.iter().filter(|(kinds, _)| kinds.contains(&object.kind.as_str()));
        tables.extend([OWN].into_iter().chain(own.map(|(_, rules)| *rules)));
        check_object_name(object, faults);
    }
    Walk { object, tables, faults }.visit(&object.node, &FieldPath::default());
}

fn check_object_name(object: &Document, faults: &Faults) {
    let cursor = Cursor::root(object).keys(&["metadata", "name"]);
    match object.role {
        Role::Carried if FREELY_NAMED.contains(&object.kind.as_str()) => {
            faults.extend(unlike("", &SEGMENT, &object.name).map(|wrong| fail(&cursor, wrong)));
        }
        // The name of a Service or a Namespace is one label of a host's name; the others may have several.
        role => {
            let dots_allowed = role != Role::Service && object.kind != "Namespace";
            faults.keep(check_name(&cursor, &object.name, dots_allowed));
        }
    }
}

struct Walk<'a> {
    object: &'a Document,
    tables: Vec<Rules>,
    faults: &'a Faults,
}

impl Walk<'_> {
    fn visit(&self, node: &Node, path: &FieldPath) {
        let pattern = pattern(&self.object.kind, &path.to_string());
        let is_meant = |row: &str| row.strip_prefix('*').map_or(row == pattern, |end| pattern.ends_with(end));
        for (_, rule) in self.tables.iter().copied().flatten().filter(|(row, _)| is_meant(row)) {
            let cursor = Cursor { object: self.object, path: path.clone() };
            if let (Rule::Name { dots }, Some(name)) = (rule, node.text().filter(|name| !name.is_empty())) {
                self.faults.keep(check_name(&cursor, name, *dots));
            }
            self.faults.extend(broken(rule, node).into_iter().map(|wrong| fail(&cursor, wrong)));
        }
        for entry in node.entries().iter().filter(|entry| !pattern.is_empty() || self.reads(&entry.key)) {
            self.visit(&entry.node, &path.key(&entry.key));
        }
        for (index, item) in node.items().iter().enumerate() {
            self.visit(item, &path.item(index, item.item_name()));
        }
    }

    /// Whether there are rules for a key of the object: definitions are large, and have none.
    fn reads(&self, key: &str) -> bool {
        key == "metadata" || self.tables.len() > 1
    }
}

fn fail(cursor: &Cursor<'_>, Wrong { kind, field, message, remedy }: Wrong) -> super::Error {
    field.iter().fold(cursor.clone(), |cursor, key| cursor.key(key)).fail(kind, message, remedy)
}

/// All that is wrong with a value, each with the remedy. A value of another type is an error of its own.
fn broken(rule: &Rule, node: &Node) -> Vec<Wrong> {
    let entries = node.entries().iter();
    match rule {
        Rule::Labels => entries.filter_map(unlike_label).collect(),
        Rule::Keys(form) => {
            let bad = entries.filter(|entry| !(form.has)(&entry.key.to_lowercase()));
            bad.filter_map(|entry| unlike("", form, &entry.key)).collect()
        }
        Rule::Values(form) => entries
            .filter_map(|entry| match &entry.node.tree {
                Tree::Text(text) => unlike(&entry.key, form, text),
                Tree::Int(number) => unlike(&entry.key, form, &number.to_string()),
                _ => None,
            })
            .collect(),
        _ => broken_whole(rule, node).into_iter().collect(),
    }
}

fn unlike_label(entry: &Entry) -> Option<Wrong> {
    let value = entry.node.text().unwrap_or_default();
    let is_key = (QUALIFIED.has)(&entry.key);
    let bad = if is_key { Some(value).filter(|value| !is_value(value))? } else { &entry.key };
    let remedy = "use letters, digits and `-`, `_`, `.` between them, at most 63 characters";
    wrong(
        ErrorKind::Value,
        format!("`{}` is not valid in a label", bad.escape_debug()),
        placeholder(bad).unwrap_or(remedy),
    )
}

/// What is wrong with a value as a whole.
fn broken_whole(rule: &Rule, node: &Node) -> Option<Wrong> {
    match (rule, &node.tree) {
        (Rule::OneOf(choices), Tree::Text(text)) if !text.is_empty() && !choices.contains(&text.as_str()) => wrong(
            ErrorKind::Value,
            format!("`{}` is none of its values", text.escape_debug()),
            format!("write {}", choice(choices)),
        ),
        (Rule::Has(keys), Tree::Map(_)) => {
            let key = keys.iter().find(|key| is_missing(node, key))?;
            let example = match *key {
                "pathType" => ": Prefix".to_owned(),
                // A map or a list.
                key if key.ends_with('s') || key.contains(char::is_uppercase) => String::new(),
                key => format!(": <{key}>"),
            };
            wrong(ErrorKind::Missing, format!("it has no {key}"), format!("add `{key}{example}`"))
        }
        (Rule::One(keys), Tree::Map(_)) if keys.iter().filter(|key| !is_missing(node, key)).count() != 1 => {
            let kind = if keys.iter().all(|key| is_missing(node, key)) { ErrorKind::Missing } else { ErrorKind::Value };
            wrong(kind, format!("it has not exactly one of {}", keys.join(", ")), "write one of them")
        }
        (Rule::Within(min, max), Tree::Int(number)) if !(*min..=*max).contains(number) => {
            wrong(ErrorKind::Value, format!("{number} is out of range"), format!("write a number from {min} to {max}"))
        }
        (Rule::Is(form), Tree::Text(text)) if !text.is_empty() => unlike("", form, text),
        (Rule::Unique(keys), Tree::List(items)) => {
            let texts =
                |item: &Node| keys.iter().map(|key| item.text_at(&[key]).map(str::to_owned)).collect::<Vec<_>>();
            let is_again = |index: &usize| items[..*index].iter().any(|before| texts(before) == texts(&items[*index]));
            (0..items.len()).find(is_again)?;
            let message = format!("two elements have the same {}", keys.join(" and "));
            wrong(ErrorKind::Duplicate, message, "remove one of the two")
        }
        (Rule::Absent(message, remedy), tree)
            if !node.is_null() && !matches!(tree, Tree::List(items) if items.is_empty()) =>
        {
            wrong(ErrorKind::Value, (*message).to_owned(), *remedy)
        }
        (Rule::That(relation), Tree::Map(_) | Tree::Int(_) | Tree::Text(_)) => relation(node),
        _ => None,
    }
}

fn wrong(kind: ErrorKind, message: String, remedy: impl Into<String>) -> Option<Wrong> {
    Some(Wrong { kind, field: Vec::new(), message, remedy: remedy.into() })
}

fn is_missing(node: &Node, key: &str) -> bool {
    node.get(key).is_none_or(|value| match &value.tree {
        Tree::Text(text) => text.is_empty(),
        Tree::List(items) => items.is_empty(),
        _ => false,
    })
}

/// `a, b or c`.
fn choice(choices: &[&str]) -> String {
    match choices.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => choices.concat(),
    }
}
