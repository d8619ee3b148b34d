//! YAML text to [`Node`]s, one for each document.

mod kubectl;
mod parts;

use std::{cell::RefCell, collections::HashMap, fmt, path::Path, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{Location, Spanned};

use self::parts::{json_parts, parts};
use super::{
    error::{Error, ErrorKind},
    node::{Entry, Node, Place, Tree},
    suggest::TEMPLATE,
};

/// Deeper than any definition of a custom resource goes, whose schema nests two levels for each of its fields.
const MAX_DEPTH: usize = 128;
/// A level takes up to 40 KiB of stack in an unoptimised build.
const STACK_BYTES: usize = 2 * MAX_DEPTH * 40 * 1024;
/// A bound on what aliases may expand to, far above what a system's manifests hold.
const MAX_NODES: usize = 4_000_000;

/// Up to here each whole number is a float of its own.
const EXACT: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;

/// Whose reading of YAML counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// kubectl's for manifests: that of YAML 1.1, in which `yes` and `off` are booleans.
    Kubectl,
    /// The same of other files that Go's programs read, such as a kustomization: each is one text of YAML.
    Go,
    /// kustomize's for resources and patches: that of YAML 1.2, in which they are texts.
    Kustomize,
}

/// What a text of YAML holds.
#[derive(Default)]
pub(crate) struct Documents {
    /// Its documents in order, without the empty ones.
    pub(crate) nodes: Vec<Node>,
    /// The faults of those that are not YAML.
    pub(crate) errors: Vec<Error>,
    /// The keys that are in one map twice, of which the last one counts.
    pub(crate) repeated: Vec<(Place, String)>,
}

pub(crate) fn documents(file: &Path, text: &str, dialect: Dialect) -> Documents {
    std::thread::scope(|scope| {
        // The reader recurses, and the caller may have little stack left.
        let reader = std::thread::Builder::new().stack_size(STACK_BYTES);
        let read = reader.spawn_scoped(scope, || read(file, text, dialect));
        match read.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(mut read)) => {
                if dialect == Dialect::Kustomize {
                    read.nodes.last_mut().into_iter().for_each(|last| without_added_break(text, last));
                }
                read
            }
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(error) => Documents {
                errors: vec![Error::of_file(file, error.to_string(), "free some memory")],
                ..Documents::default()
            },
        }
    })
}

fn read(file: &Path, text: &str, dialect: Dialect) -> Documents {
    let file: Arc<Path> = Arc::from(file);
    // Files that Windows joined have a byte order mark before each document.
    let text = &text.strip_prefix('\u{feff}').unwrap_or(text).replace("\n\u{feff}", "\n");
    if let Some(error) = kubectl::ytt(&file, text).filter(|_| dialect == Dialect::Kubectl) {
        return Documents { errors: vec![error], ..Documents::default() };
    }
    let whole = match parse(text, dialect) {
        Ok(documents) => {
            let mut read = nodes(&file, text, documents, dialect);
            if dialect == Dialect::Kubectl {
                read.errors.extend(kubectl::refused(&file, text));
            }
            return read;
        }
        Err(error) => error,
    };
    // What is wrong with one document says nothing of the others, which are read at the lines where they stand.
    let (mut documents, mut errors) = (Vec::new(), Vec::new());
    let json = Some(text).filter(|_| dialect == Dialect::Kubectl).and_then(|text| json_parts(text));
    let is_json = json.is_some();
    for (first_line, part) in json.unwrap_or_else(|| parts(text)) {
        match parse(&format!("{}{part}", "\n".repeat(first_line)), dialect) {
            Ok(more) => documents.extend(more),
            Err(error) => errors.push(syntax_error(&file, text, &error)),
        }
    }
    if errors.is_empty() && !is_json {
        errors.push(syntax_error(&file, text, &whole));
    }
    let mut read = nodes(&file, text, documents, dialect);
    read.errors.splice(0..0, errors);
    read
}

/// A block of text (`|`) that the end of the file ends, without a line break, has none at its end to kustomize: its parser (go-yaml)
/// clips no break that is not there, and the one used here adds it, as kubectl does, which reads line by line.
fn without_added_break(text: &str, node: &mut Node) {
    let last_line = text.rsplit('\n').next().map(str::trim_start).filter(|line| !line.is_empty());
    match &mut node.tree {
        Tree::Map(entries) => {
            entries.last_mut().into_iter().for_each(|entry| without_added_break(text, &mut entry.node));
        }
        Tree::List(items) => items.last_mut().into_iter().for_each(|item| without_added_break(text, item)),
        Tree::Text(block) => {
            if let (Some(body), Some(line)) = (block.strip_suffix('\n'), last_line)
                && body.ends_with(line)
            {
                block.pop();
            }
        }
        _ => {}
    }
}

fn parse(text: &str, dialect: Dialect) -> Result<Vec<Spanned<Raw>>, serde_saphyr::Error> {
    let options = serde_saphyr::options! {
        // kubectl reads YAML 1.1, in which `defaultMode: 0644` is octal.
        legacy_octal_numbers: true,
        strict_booleans: dialect == Dialect::Kustomize,
        // kubectl takes the last one, as the JSON that it makes of the text has no other. kustomize refuses it.
        duplicate_keys: match dialect {
            Dialect::Kubectl | Dialect::Go => serde_saphyr::options::DuplicateKeyPolicy::PassThrough,
            Dialect::Kustomize => serde_saphyr::options::DuplicateKeyPolicy::Error,
        },
        merge_keys: match dialect {
            Dialect::Kubectl => serde_saphyr::options::MergeKeyPolicy::AsOrdinary,
            Dialect::Go | Dialect::Kustomize => serde_saphyr::options::MergeKeyPolicy::Merge,
        },
        // Files with many comments are more than the reader can look ahead over.
        emit_comments: false,
        // Those that are too large are texts.
        non_finite_float_policy: serde_saphyr::options::NonFiniteFloatPolicy::PassThrough,
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH, max_nodes: MAX_NODES, max_events: 2 * MAX_NODES },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_NODES },
    };
    serde_saphyr::from_multiple_with_options(text, options)
}

fn nodes(file: &Arc<Path>, text: &str, documents: Vec<Spanned<Raw>>, dialect: Dialect) -> Documents {
    let mut read = Documents::default();
    let lines: Vec<&str> = text.lines().collect();
    for raw in documents.into_iter().filter(|raw| !matches!(raw.value, Raw::Null)) {
        let (repeated, odd) = (RefCell::default(), RefCell::default());
        let document = read.nodes.len() + 1;
        let origin = Origin { file: Arc::clone(file), lines: &lines, document, dialect, repeated, odd };
        read.nodes.push(origin.node(raw));
        read.repeated.extend(origin.repeated.into_inner());
        read.errors.extend(origin.odd.into_inner());
    }
    read
}

fn syntax_error(file: &Arc<Path>, text: &str, error: &serde_saphyr::Error) -> Error {
    let location = error.location().unwrap_or(Location::UNKNOWN);
    let place = Place { file: Arc::clone(file), document: 0, line: line(location), column: column(location) };
    if let serde_saphyr::Error::Budget { .. } = error.without_snippet() {
        let message = format!("nested more than {MAX_DEPTH} levels deep, or far too large");
        return Error::new(ErrorKind::Syntax, message, "check that this is a Kubernetes manifest").at(&place);
    }
    // Those of helm, Jinja and the like.
    let is_template = |line: &str| line.contains("{{") || line.contains("{%");
    if text.lines().nth(place.line.saturating_sub(1)).is_some_and(is_template) {
        return Error::new(ErrorKind::Syntax, "the line is a template, not YAML", TEMPLATE).at(&place);
    }
    let text = error.without_snippet().to_string();
    // The place stands at the front already.
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
    let message = message.split(", set DuplicateKeyPolicy").next().unwrap_or(message);
    let message = message.lines().next().unwrap_or_default();
    Error::new(ErrorKind::Syntax, format!("not valid YAML: {message}"), "correct the line, or the one before it")
        .at(&place)
}

struct Origin<'a> {
    file: Arc<Path>,
    lines: &'a [&'a str],
    document: usize,
    dialect: Dialect,
    repeated: RefCell<Vec<(Place, String)>>,
    /// The faults of keys that are no texts where they must be, and of numbers that JSON does not have.
    odd: RefCell<Vec<Error>>,
}

impl Origin<'_> {
    fn place(&self, location: Location) -> Place {
        Place { file: Arc::clone(&self.file), document: self.document, line: line(location), column: column(location) }
    }

    fn node(&self, raw: Spanned<Raw>) -> Node {
        let tree = match raw.value {
            Raw::Null => Tree::Null,
            Raw::Bool(value) => {
                self.mixed_word(raw.defined).map_or(Tree::Bool(value), |word| Tree::Text(word.to_owned()))
            }
            Raw::Int(value) => Tree::Int(value),
            Raw::Float(value) if value.is_finite() => Tree::Float(value),
            Raw::Float(_) => self.infinite(raw.defined),
            Raw::Text(value) => Tree::Text(value),
            Raw::List(items) => Tree::List(items.into_iter().map(|item| self.node(item)).collect()),
            Raw::Map(entries) => Tree::Map(self.entries(entries)),
        };
        Node { place: self.place(raw.referenced), tree }
    }

    /// A word or number without quotes as it is spelt.
    fn spelt(&self, location: Location) -> &str {
        let line = self.lines.get(line(location).saturating_sub(1)).copied().unwrap_or_default();
        let start = line.char_indices().nth(column(location).saturating_sub(1)).map_or(line.len(), |(start, _)| start);
        let is_end = |c: char| !c.is_ascii_alphanumeric() && !"+-._".contains(c);
        line[start..].split(is_end).next().unwrap_or_default()
    }

    /// A word that is none for a boolean, since Go reads `on`, `On` and `ON` as one, and `oN` as a text.
    fn mixed_word(&self, location: Location) -> Option<&str> {
        let word = self.spelt(location);
        let rest = word.get(1..).unwrap_or_default();
        let is_one = rest == rest.to_lowercase() || word == word.to_uppercase();
        (!is_one).then_some(word)
    }

    /// A number beyond all others, which is a text to Go, such as the commit `12e4567`; infinity itself has no JSON.
    fn infinite(&self, location: Location) -> Tree {
        let number = self.spelt(location);
        if !number.contains(|c: char| c.is_ascii_digit()) {
            let error =
                Error::new(ErrorKind::Syntax, "JSON has no such number", "kubectl refuses it: put it in quotes");
            self.odd.borrow_mut().push(error.at(&self.place(location)));
        }
        Tree::Text(number.to_owned())
    }

    /// Each key once, with its last value. kubectl takes a merge (`<<`) where it stands: over what is before it, under what follows.
    fn entries(&self, entries: Vec<(Spanned<Key>, Spanned<Raw>)>) -> Vec<Entry> {
        let mut known: HashMap<String, usize> = HashMap::with_capacity(entries.len());
        let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
        for entry in entries.into_iter().map(|(key, value)| self.entry(key, value)) {
            let is_merge = entry.key == "<<" && self.dialect == Dialect::Kubectl;
            let entries = if is_merge { self.merged(entry.node) } else { vec![entry] };
            for entry in entries {
                match known.get(&entry.key) {
                    None => {
                        known.insert(entry.key.clone(), kept.len());
                        kept.push(entry);
                    }
                    Some(index) => {
                        if !is_merge {
                            self.repeated.borrow_mut().push((entry.place.clone(), entry.key.clone()));
                        }
                        kept[*index] = entry;
                    }
                }
            }
        }
        kept
    }

    /// What a merge adds; of a list of maps the first one counts most.
    fn merged(&self, node: Node) -> Vec<Entry> {
        match node.tree {
            Tree::Map(entries) => entries,
            Tree::List(items) => items.into_iter().rev().flat_map(|item| self.merged(item)).collect(),
            _ => {
                let error = Error::new(ErrorKind::Syntax, "`<<` takes a map, or a list of maps", "correct its value");
                self.odd.borrow_mut().push(error.at(&node.place));
                Vec::new()
            }
        }
    }

    fn entry(&self, key: Spanned<Key>, value: Spanned<Raw>) -> Entry {
        let place = self.place(key.referenced);
        let (text, is_text) = match key.value {
            Key::Text(text) => (text, true),
            Key::Boolean(value) => match self.mixed_word(key.defined) {
                Some(word) => (word.to_owned(), true),
                None => (value.to_string(), false),
            },
            Key::Other(text) => (text, false),
        };
        if !is_text && self.dialect == Dialect::Kustomize {
            let message = format!("the key `{}` is not text", text.escape_debug());
            let error = Error::new(ErrorKind::Syntax, message, "kustomize refuses it: put the key in quotes");
            self.odd.borrow_mut().push(error.at(&place));
        }
        Entry { place, key: text, node: self.node(value) }
    }
}

fn line(location: Location) -> usize {
    usize::try_from(location.line()).unwrap_or(0)
}

fn column(location: Location) -> usize {
    usize::try_from(location.column()).unwrap_or(0)
}

/// The key of a map.
enum Key {
    Text(String),
    /// kubectl makes a text of it, since JSON has no such keys: `on` is `true`.
    Boolean(bool),
    /// The same of a number: `1.10` is `1.1`.
    Other(String),
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeyVisitor)
    }
}

struct KeyVisitor;

impl Visitor<'_> for KeyVisitor {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Key, E> {
        Ok(Key::Boolean(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Key, E> {
        Ok(Key::Other(value.to_string()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Key, E> {
        Ok(Key::Other(value.to_string()))
    }

    /// kubectl writes as many digits as tell a float of 32 bits from its neighbours.
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Key, E> {
        Ok(Key::Other(match value {
            f64::INFINITY => ".inf".to_owned(),
            f64::NEG_INFINITY => "-.inf".to_owned(),
            _ if value.is_nan() => ".nan".to_owned(),
            _ => (value as f32).to_string(),
        }))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Key, E> {
        Ok(Key::Text(value.to_owned()))
    }
}

enum Raw {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Key>, Spanned<Raw>)>),
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

    /// The JSON that kubectl makes of `1e+06`, as helm writes a million, is `1000000`.
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw, E> {
        let is_whole = value.fract() == 0.0 && value.abs() < EXACT;
        Ok(if is_whole { Raw::Int(value as i64) } else { Raw::Float(value) })
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
