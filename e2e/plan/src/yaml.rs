//! YAML text to [`Node`]s, one for each document.

use std::{fmt, path::Path, rc::Rc};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{Location, Spanned};

use super::{
    error::{Error, ErrorKind},
    node::{Entry, Node, Place, Tree},
};

/// Twice as deep as the fields of a pod go. A level takes up to 40 KiB of stack in an unoptimised build, and a thread has 2 MiB.
const MAX_DEPTH: usize = 24;
/// A bound on what aliases may expand to, far above what a system's manifests hold.
const MAX_NODES: usize = 250_000;

/// The documents of a file in order, without the empty ones.
pub(crate) fn documents(file: &Path, text: &str) -> Result<Vec<Node>, Error> {
    let options = serde_saphyr::options! {
        // kubectl reads YAML 1.1, in which `defaultMode: 0644` is octal.
        legacy_octal_numbers: true,
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH, max_nodes: MAX_NODES, max_events: 2 * MAX_NODES },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_NODES },
    };
    let file: Rc<Path> = Rc::from(file);
    let documents = serde_saphyr::from_multiple_with_options::<Spanned<Raw>>(text, options)
        .map_err(|error| syntax_error(&file, &error))?;
    let place = |number: usize| Origin { file: Rc::clone(&file), document: number };
    let mut nodes = Vec::new();
    for raw in documents {
        if !matches!(raw.value, Raw::Null) {
            nodes.push(place(nodes.len() + 1).node(raw));
        }
    }
    Ok(nodes)
}

fn syntax_error(file: &Rc<Path>, error: &serde_saphyr::Error) -> Error {
    let location = error.location().unwrap_or(Location::UNKNOWN);
    let place = Place { file: Rc::clone(file), document: 0, line: line(location), column: column(location) };
    if let serde_saphyr::Error::Budget { .. } = error.without_snippet() {
        let message = format!("nested more than {MAX_DEPTH} levels deep, or far too large");
        return Error::new(ErrorKind::Syntax, message, "check that this is a Kubernetes manifest").at(&place);
    }
    let text = error.without_snippet().to_string();
    // The place stands at the front already.
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
    let message = message.split(", set DuplicateKeyPolicy").next().unwrap_or(message);
    let message = message.lines().next().unwrap_or_default();
    Error::new(ErrorKind::Syntax, format!("not valid YAML: {message}"), "correct the line, or the one before it")
        .at(&place)
}

struct Origin {
    file: Rc<Path>,
    document: usize,
}

impl Origin {
    fn place(&self, location: Location) -> Place {
        Place { file: Rc::clone(&self.file), document: self.document, line: line(location), column: column(location) }
    }

    fn node(&self, raw: Spanned<Raw>) -> Node {
        let tree = match raw.value {
            Raw::Null => Tree::Null,
            Raw::Bool(value) => Tree::Bool(value),
            Raw::Int(value) => Tree::Int(value),
            Raw::Float(value) => Tree::Float(value),
            Raw::Text(value) => Tree::Text(value),
            Raw::List(items) => Tree::List(items.into_iter().map(|item| self.node(item)).collect()),
            Raw::Map(entries) => Tree::Map(entries.into_iter().map(|(key, value)| self.entry(key, value)).collect()),
        };
        Node { place: self.place(raw.referenced), tree }
    }

    fn entry(&self, key: Spanned<String>, value: Spanned<Raw>) -> Entry {
        Entry { place: self.place(key.referenced), key: key.value, node: self.node(value) }
    }
}

fn line(location: Location) -> usize {
    usize::try_from(location.line()).unwrap_or(0)
}

fn column(location: Location) -> usize {
    usize::try_from(location.column()).unwrap_or(0)
}

enum Raw {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Int(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Raw, E> {
        // Past i64 only a quantity makes sense, and a float holds that closely enough.
        Ok(i64::try_from(value).map_or(Raw::Float(value as f64), Raw::Int))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}
