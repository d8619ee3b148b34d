//! The texts of ConfigMaps and Secrets, and what may be said about them. Main type: [`Stores`].

use std::collections::BTreeMap;

use super::{
    error::{Cursor, Error, ErrorKind},
    node::{Node, Tree},
    pod::{Secret, Value},
    read::{Object, Role, Typed, role},
    suggest::hint,
};

/// The annotation of a Secret that names the keys to make up when they have no value.
pub(crate) const GENERATE: &str = "e2e/generate";
/// The annotation of a workload that names lint rules to leave out. See `e2e_kubelet::lint`.
pub const LINT_IGNORE: &str = "e2e/lint-ignore";
/// What every annotation of this program starts with.
const OWN_PREFIX: &str = "e2e/";

/// All ConfigMaps and Secrets by name.
pub(crate) struct Stores {
    config_maps: BTreeMap<String, Store>,
    secrets: BTreeMap<String, Store>,
}

/// The keys of one ConfigMap or Secret; no text stands for bytes that are not UTF-8.
type Store = BTreeMap<String, Option<String>>;

/// Which of the two a reference is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreKind {
    ConfigMap,
    Secret,
}

impl StoreKind {
    fn name(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }
}

/// Gives the keys that [`GENERATE`] names a value, where they have none.
pub(crate) fn generate(objects: &mut [Object], make: &mut dyn FnMut(&str, &str) -> String) -> Result<(), Error> {
    for object in objects {
        check_annotations(object)?;
        let Some(keys) = annotation(object) else { continue };
        for key in keys.text().unwrap_or_default().split(',').map(str::trim) {
            if key.is_empty() {
                let cursor = Cursor::root(object).keys(&["metadata", "annotations", GENERATE]);
                return Err(cursor.fail(
                    ErrorKind::Value,
                    "a key to generate has no name",
                    "write the keys as \"key1,key2\"",
                ));
            }
            let has = |field| object.node.find(&[field, key]).and_then(Node::text).is_some_and(|text| !text.is_empty());
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
    Ok(())
}

fn annotation(object: &Object) -> Option<Node> {
    object.node.find(&["metadata", "annotations", GENERATE]).cloned()
}

/// A misspelt annotation of this program would be ignored silently otherwise.
fn check_annotations(object: &Object) -> Result<(), Error> {
    let annotations = object.node.find(&["metadata", "annotations"]).map_or(&[][..], Node::entries);
    for entry in annotations.iter().filter(|entry| entry.key.starts_with(OWN_PREFIX)) {
        let cursor = Cursor::root(object).keys(&["metadata", "annotations", &entry.key]);
        if entry.key == LINT_IGNORE && role(&object.kind) == Some(Role::Workload) {
            continue;
        }
        if entry.key != GENERATE {
            let remedy = format!("there are `{GENERATE}` for Secrets and `{LINT_IGNORE}` for workloads");
            return Err(cursor.fail(ErrorKind::UnknownField, "unknown annotation", remedy));
        }
        if role(&object.kind) != Some(Role::Secret) {
            return Err(cursor.fail(
                ErrorKind::Value,
                "only the keys of a Secret can be generated",
                "move it to a Secret",
            ));
        }
    }
    Ok(())
}

impl Stores {
    pub(crate) fn new(objects: &[(&Object, Typed)]) -> Result<Self, Error> {
        let mut stores = Self { config_maps: BTreeMap::new(), secrets: BTreeMap::new() };
        let utf8 = |bytes: k8s_openapi::ByteString| String::from_utf8(bytes.0).ok();
        for (object, typed) in objects {
            let mut store = Store::new();
            match typed {
                Typed::ConfigMap(map) => {
                    store.extend(map.data.clone().unwrap_or_default().into_iter().map(|(key, text)| (key, Some(text))));
                    store.extend(
                        map.binary_data.clone().unwrap_or_default().into_iter().map(|(key, data)| (key, utf8(data))),
                    );
                }
                Typed::Secret(secret) => {
                    store.extend(
                        secret.data.clone().unwrap_or_default().into_iter().map(|(key, data)| (key, utf8(data))),
                    );
                    // As the API server does, the plain texts win.
                    store.extend(
                        secret.string_data.clone().unwrap_or_default().into_iter().map(|(key, text)| (key, Some(text))),
                    );
                }
                _ => continue,
            }
            if let Some(key) = store.keys().find(|key| !is_key(key)) {
                let message = format!("`{key}` is not a valid key");
                return Err(Cursor::root(object).fail(
                    ErrorKind::Value,
                    message,
                    "use letters, digits, `-`, `_` and `.`",
                ));
            }
            let all = if matches!(typed, Typed::Secret(_)) { &mut stores.secrets } else { &mut stores.config_maps };
            all.insert(object.name.clone(), store);
        }
        Ok(stores)
    }

    /// The text of one key; none if the reference is optional and there is no such key.
    pub(crate) fn value(
        &self,
        cursor: &Cursor<'_>,
        kind: StoreKind,
        (name, key): (&str, &str),
        optional: bool,
    ) -> Result<Option<Value>, Error> {
        let Some(store) = self.store(cursor, kind, name, optional)? else { return Ok(None) };
        let kind_name = kind.name();
        match store.get(key) {
            Some(Some(text)) => Ok(Some(value(kind, name, key, text))),
            Some(None) => Err(cursor.fail(
                ErrorKind::Unsupported,
                format!("key `{key}` of {kind_name} `{name}` is not UTF-8 text"),
                "keep binary files in the image",
            )),
            None if optional => Ok(None),
            None => Err(cursor.fail(
                ErrorKind::Missing,
                format!("{kind_name} `{name}` has no key `{key}`"),
                hint(key, store.keys().map(String::as_str), &format!("keys of `{name}`")),
            )),
        }
    }

    /// Every key with its text; none if the reference is optional and there is no such object.
    pub(crate) fn values(
        &self,
        cursor: &Cursor<'_>,
        kind: StoreKind,
        name: &str,
        optional: bool,
    ) -> Result<Option<Vec<(String, Value)>>, Error> {
        let Some(store) = self.store(cursor, kind, name, optional)? else { return Ok(None) };
        let mut values = Vec::new();
        for key in store.keys() {
            if let Some(value) = self.value(cursor, kind, (name, key), optional)? {
                values.push((key.clone(), value));
            }
        }
        Ok(Some(values))
    }

    fn store(&self, cursor: &Cursor<'_>, kind: StoreKind, name: &str, optional: bool) -> Result<Option<&Store>, Error> {
        let all = match kind {
            StoreKind::ConfigMap => &self.config_maps,
            StoreKind::Secret => &self.secrets,
        };
        let kind = kind.name();
        match all.get(name) {
            Some(store) => Ok(Some(store)),
            None if optional => Ok(None),
            None => Err(cursor.fail(
                ErrorKind::Missing,
                format!("there is no {kind} `{name}`"),
                hint(name, all.keys().map(String::as_str), &format!("{kind} in the manifests")),
            )),
        }
    }
}

fn value(kind: StoreKind, name: &str, key: &str, text: &str) -> Value {
    match kind {
        StoreKind::ConfigMap => Value::Plain(text.to_owned()),
        StoreKind::Secret => {
            Value::Secret(Secret { name: name.to_owned(), key: key.to_owned(), text: text.to_owned() })
        }
    }
}

/// Kubernetes's rule for keys, which are file names in volumes.
fn is_key(key: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !key.is_empty() && key != "." && !key.starts_with("..") && key.chars().all(allowed)
}
