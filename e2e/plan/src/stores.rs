//! The texts of ConfigMaps and Secrets, and what may be said about them. Main type: [`Stores`].

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::Serialize;

use super::{
    FieldUse, Note, Source,
    cursor::Cursor,
    document::Document,
    error::{ErrorKind, Faults},
    forms::is_data_key,
    kinds::Role,
    node::{Node, Tree},
    pod::{Binary, Secret, Value},
    read::Typed,
    sort_out::Equal,
    suggest::nearest,
    words::counted,
};

/// The annotation of a Secret that names the keys to make up when they have no value.
pub(crate) const GENERATE: &str = "e2e/generate";
/// The annotation of a workload that names lint rules to leave out. See `e2e_kubelet::lint`.
pub const LINT_IGNORE: &str = "e2e/lint-ignore";
/// What every annotation of this program starts with.
pub(crate) const OWN_PREFIX: &str = "e2e/";

/// All ConfigMaps and Secrets by name and namespace, and those that are named and not there.
pub(crate) struct Stores {
    all: BTreeMap<(StoreKind, String, String), Store>,
    missing: RefCell<Vec<Missing>>,
    notes: RefCell<Vec<FieldUse>>,
    /// Those with faults of their own, which may be why a key is not there.
    faulty: BTreeSet<(StoreKind, String)>,
}

/// The keys of one ConfigMap or Secret.
type Store = BTreeMap<String, Entry>;

#[derive(Clone)]
struct Entry {
    bytes: Vec<u8>,
    /// Whether variables may come from it: a kubelet takes none from a ConfigMap's `binaryData`.
    gives_variables: bool,
}

/// What a value is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Variable,
    File,
}

impl Entry {
    fn is_for(&self, purpose: Purpose) -> bool {
        purpose == Purpose::File || self.gives_variables
    }
}

/// A ConfigMap or Secret that pods want and the manifests do not hold, or one of its keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// `ConfigMap` or `Secret`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The key that is wanted; none where all of them are.
    pub key: Option<String>,
    /// Whether the manifests hold it, without the key.
    pub lacks_key_only: bool,
    /// Where it is wanted.
    pub source: Source,
    /// The object that wants it, as `Kind/name`.
    pub object: String,
    /// The field that wants it.
    pub path: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Self::line(&[self]))
    }
}

impl Missing {
    /// What is missing, one line for each ConfigMap and Secret.
    pub fn lines<'a>(missing: impl IntoIterator<Item = &'a Self>) -> Vec<String> {
        let mut groups: Vec<Vec<&Self>> = Vec::new();
        for one in missing {
            let is_same = |other: &Self| {
                (other.kind, &other.name, other.lacks_key_only) == (one.kind, &one.name, one.lacks_key_only)
            };
            match groups.iter_mut().find(|group| is_same(group[0])) {
                Some(group) => group.push(one),
                None => groups.push(vec![one]),
            }
        }
        groups.iter().map(|group| Self::line(group)).collect()
    }

    /// The same of one of them. The first reference to it stands for the others.
    fn line(alike: &[&Self]) -> String {
        let Self { kind, name, source, object, path, remedy, lacks_key_only, .. } = alike[0];
        let users = alike.iter().map(|missing| &missing.object).collect::<BTreeSet<_>>().len();
        let others = match (alike.len() - 1, users) {
            (0, _) => String::new(),
            (others, 1) => format!(" (and {})", counted(others, "more field")),
            (others, users) => format!(" (and {}; {users} workloads use it)", counted(others, "more field")),
        };
        let keys: BTreeSet<String> =
            alike.iter().filter_map(|missing| Some(format!("`{}`", missing.key.as_ref()?))).collect();
        let named = if keys.len() > 1 { "keys" } else { "key" };
        let keys = Vec::from_iter(keys).join(", ");
        let what = match (lacks_key_only, named) {
            (true, _) => format!("{kind} `{name}` has no {named} {keys}"),
            (false, "keys") => {
                format!("there is no {kind} `{name}` in the manifests, of which pods want the keys {keys}")
            }
            (false, _) => format!("there is no {kind} `{name}` in the manifests"),
        };
        format!("{source}: {object}: {path}{others}: {what}; {remedy}")
    }
}

/// The ConfigMap that every namespace of a cluster has.
const MADE_BY_CLUSTER: &str = "kube-root-ca.crt";

/// Which of the two a reference is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum StoreKind {
    ConfigMap,
    Secret,
}

impl StoreKind {
    fn of(kind: &str) -> Self {
        if kind == "Secret" { Self::Secret } else { Self::ConfigMap }
    }

    fn name(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }

    /// The table of the configuration that gives such a one from outside.
    fn table(self) -> &'static str {
        match self {
            Self::ConfigMap => "config_map",
            Self::Secret => "secret",
        }
    }
}

/// Gives the keys that [`GENERATE`] names a value, where they have none.
pub(crate) fn generate(objects: &mut [Document], make: &mut dyn FnMut(&str, &str) -> String, faults: &Faults) {
    for object in objects {
        check_annotations(object, faults);
        let Some(keys) = annotation(object).filter(|_| object.role == Role::Secret) else { continue };
        for key in keys.text().unwrap_or_default().split(',').map(str::trim) {
            if key.is_empty() {
                let cursor = Cursor::root(object).keys(&["metadata", "annotations", GENERATE]);
                let remedy = "write the keys as \"key1,key2\"";
                faults.push(cursor.fail(ErrorKind::Value, "a key to generate has no name", remedy));
                continue;
            }
            let has = |field| object.node.text_at(&[field, key]).is_some_and(|text| !text.is_empty());
            if has("data") || has("stringData") {
                continue;
            }
            let place = keys.place.clone();
            let text = make(&object.name, key);
            if let Some(data) = object.node.get_or_insert("stringData", Tree::Map(Vec::new()), &place) {
                data.set(key, Tree::Text(text), &place);
            }
        }
    }
}

fn annotation(object: &Document) -> Option<Node> {
    object.node.find(&["metadata", "annotations", GENERATE]).cloned()
}

/// A misspelt annotation of this program would be ignored silently otherwise.
fn check_annotations(object: &Document, faults: &Faults) {
    let annotations = object.node.entries_at(&["metadata", "annotations"]);
    for entry in annotations.iter().filter(|entry| entry.key.starts_with(OWN_PREFIX)) {
        let cursor = Cursor::root(object).keys(&["metadata", "annotations", &entry.key]);
        if entry.key == LINT_IGNORE && object.is_workload() {
            continue;
        }
        if entry.key != GENERATE {
            let remedy = format!("there are `{GENERATE}` for Secrets and `{LINT_IGNORE}` for workloads");
            faults.push(cursor.fail(ErrorKind::UnknownField, "unknown annotation", remedy));
        } else if object.role != Role::Secret {
            let message = "only the keys of a Secret can be generated";
            faults.push(cursor.fail(ErrorKind::Value, message, "move it to a Secret"));
        }
    }
}

impl Stores {
    /// Those of objects, and of the namespaces in which equal ones stood.
    pub(crate) fn new(objects: &[(&Document, Typed)], equal: &[Equal], faults: &Faults) -> Self {
        let (mut all, mut faulty) = (BTreeMap::new(), BTreeSet::new());
        let entry = |bytes, gives_variables| Entry { bytes, gives_variables };
        let bytes = |(key, data): (String, k8s_openapi::ByteString)| (key, entry(data.0, true));
        let text = |(key, text): (String, String)| (key, entry(text.into_bytes(), true));
        for (object, typed) in objects {
            let mut store = Store::new();
            match typed {
                Typed::ConfigMap(map) => {
                    store.extend(map.data.clone().into_iter().flatten().map(text));
                    let binary = map.binary_data.clone().into_iter().flatten();
                    store.extend(binary.map(|(key, data)| (key, entry(data.0, false))));
                }
                Typed::Secret(secret) => {
                    store.extend(secret.data.clone().into_iter().flatten().map(bytes));
                    // As the API server does, the plain texts win.
                    store.extend(secret.string_data.clone().into_iter().flatten().map(text));
                }
                Typed::Workload(_) | Typed::CronJob(_) | Typed::Service(_) | Typed::Carried => continue,
            }
            store.retain(|key, _| {
                let is_key = is_data_key(key);
                if !is_key {
                    let message = format!("`{key}` is not a valid key");
                    let remedy = "use letters, digits, `-`, `_` and `.`";
                    faults.push(Cursor::root(object).fail(ErrorKind::Value, message, remedy));
                }
                is_key
            });
            let kind = StoreKind::of(&object.kind);
            if faults.concern(&object.label()) {
                faulty.insert((kind, object.name.clone()));
            }
            all.insert((kind, object.name.clone(), object.home().to_owned()), store);
        }
        for Equal { kind, name, namespace, instead } in equal {
            let kind = StoreKind::of(kind);
            if let Some(store) = all.get(&(kind, name.clone(), instead.clone())).cloned() {
                all.insert((kind, name.clone(), namespace.clone()), store);
            }
        }
        Self { all, missing: RefCell::default(), notes: RefCell::default(), faulty }
    }

    /// What was asked for and is not there, and what is to be said of fields.
    pub(crate) fn into_notes(self) -> (Vec<Missing>, Vec<FieldUse>) {
        (self.missing.into_inner(), self.notes.into_inner())
    }

    /// The value of one key; none if the reference is optional and there is no such key. An empty text stands for what comes from
    /// outside the manifests.
    pub(crate) fn value(
        &self,
        cursor: &Cursor<'_>,
        kind: StoreKind,
        (name, key): (&str, &str),
        optional: bool,
        purpose: Purpose,
    ) -> Option<Value> {
        let store = self.store(cursor, kind, (name, Some(key)), optional);
        let entry = store.and_then(|store| store.get(key));
        if let Some(entry) = entry.filter(|entry| entry.is_for(purpose)) {
            return Some(value(kind, name, key, &entry.bytes));
        }
        if optional {
            return None;
        }
        // Who deploys may complete a ConfigMap or a Secret before its pods start, as a cluster allows.
        if let Some(store) = store.filter(|_| !self.faulty.contains(&(kind, name.to_owned()))) {
            let others = store.iter().filter(|(_, entry)| entry.is_for(purpose)).map(|(key, _)| key.as_str());
            let hint = match entry {
                Some(_) => {
                    Some("it is under `binaryData`, and variables come from `data` alone: move it, or ".to_owned())
                }
                None => nearest(key, others).map(meant),
            };
            self.note_missing(cursor, kind, (name, Some(key)), hint, true);
        }
        Some(value(kind, name, key, &[]))
    }

    /// Every key with its value; none of an object that is not there.
    pub(crate) fn values(
        &self,
        cursor: &Cursor<'_>,
        kind: StoreKind,
        name: &str,
        optional: bool,
        purpose: Purpose,
    ) -> Vec<(String, Value)> {
        let store = self.store(cursor, kind, (name, None), optional).into_iter().flatten();
        let entries = store.filter(|(_, entry)| entry.is_for(purpose));
        entries.map(|(key, entry)| (key.clone(), value(kind, name, key, &entry.bytes))).collect()
    }

    /// Notes what is to be said of a field.
    pub(crate) fn note(&self, cursor: &Cursor<'_>, note: Note) {
        self.notes.borrow_mut().push(FieldUse::new(cursor, note));
    }

    fn store(
        &self,
        cursor: &Cursor<'_>,
        kind: StoreKind,
        (name, key): (&str, Option<&str>),
        optional: bool,
    ) -> Option<&Store> {
        let alike = || self.all.iter().filter(move |((other, ..), _)| *other == kind);
        // That of the own namespace, or else the one of that name.
        let own = self.all.get(&(kind, name.to_owned(), cursor.object.home().to_owned()));
        let found = own.or_else(|| alike().find_map(|((_, other, _), store)| (other == name).then_some(store)));
        if found.is_none() && !optional && name != MADE_BY_CLUSTER {
            let hint = nearest(name, alike().map(|((_, name, _), _)| name.as_str())).map(meant);
            self.note_missing(cursor, kind, (name, key), hint, false);
        }
        found
    }

    fn note_missing(
        &self,
        cursor: &Cursor<'_>,
        kind: StoreKind,
        (name, key): (&str, Option<&str>),
        hint: Option<String>,
        lacks_key_only: bool,
    ) {
        let table = format!("[{}.\"{name}\"]", kind.table());
        let example = match key {
            Some(key) => format!("`{table}` with `\"{key}\" = {{ env = \"...\" }}`"),
            None => format!("its keys under `{table}`"),
        };
        let remedy = format!("{}give it in .config/e2e.toml: {example}", hint.unwrap_or_default());
        self.missing.borrow_mut().push(Missing {
            kind: kind.name(),
            name: name.to_owned(),
            key: key.map(str::to_owned),
            lacks_key_only,
            source: cursor.object.source.clone(),
            object: cursor.object.label(),
            path: cursor.path.to_string(),
            remedy,
        });
    }
}

fn meant(near: &str) -> String {
    format!("did you mean `{near}`? Otherwise ")
}

fn value(kind: StoreKind, name: &str, key: &str, bytes: &[u8]) -> Value {
    let (name, key) = (name.to_owned(), key.to_owned());
    match (String::from_utf8(bytes.to_vec()), kind) {
        (Ok(text), StoreKind::ConfigMap) => Value::Plain(text),
        (Ok(text), StoreKind::Secret) => Value::Secret(Secret { name, key, text }),
        (Err(error), _) => Value::Binary(Binary { name, key, bytes: error.into_bytes() }),
    }
}
