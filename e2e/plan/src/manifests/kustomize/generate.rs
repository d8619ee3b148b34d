//! ConfigMaps and Secrets that a kustomization makes from texts and files, and the hashes in their names.

use std::{collections::BTreeMap, fs, path::Path};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{
    Builder, Element, Resource,
    file::{Generator, GeneratorOptions, Kustomization},
    labels, names,
};
use crate::{
    Document, ErrorKind,
    node::{Entry, Node, Tree},
    read::{document, given},
};

/// So long are the lines into which kustomize breaks base64.
const LINE: usize = 70;

impl Builder<'_> {
    /// Makes what the generators say.
    pub(super) fn generate(&mut self, kustomization: &Kustomization, dir: &Path, resources: &mut Vec<Resource>) {
        let file = &kustomization.file;
        let lists = [
            ("configMapGenerator", "ConfigMap", &file.config_map_generator),
            ("secretGenerator", "Secret", &file.secret_generator),
        ];
        for (key, kind, generators) in lists {
            for (index, generator) in generators.iter().flatten().enumerate() {
                let at = Element { kustomization, dir, key, index: Some(index) };
                if kind == "ConfigMap" && generator.kind.is_some() {
                    let remedy = "kustomize refuses it: remove the key, or move the element to `secretGenerator`";
                    self.faults.push(at.error(ErrorKind::UnknownField, "a ConfigMap has no `type`", remedy));
                }
                if let Some(made) = self.one(&at, kind, generator) {
                    self.place(&at, generator, made, resources);
                }
            }
        }
    }

    fn one(&mut self, at: &Element<'_>, kind: &str, generator: &Generator) -> Option<Resource> {
        let values = self.values(at, generator);
        let options = merged(at.kustomization.file.generator_options.as_ref(), generator.options.as_ref());
        let place = &at.kustomization.node.place;
        let empty = || Node::new(Tree::Map(Vec::new()), place);
        let text = |text: &str| Tree::Text(text.to_owned());
        let mut metadata = empty();
        metadata.set("name", text(&generator.name), place);
        if let Some(namespace) = given(&generator.namespace) {
            metadata.set("namespace", text(namespace), place);
        }
        let mut node = empty();
        node.set("apiVersion", text("v1"), place);
        node.set("kind", text(kind), place);
        node.set("metadata", metadata.tree, place);
        let (plain, binary): (BTreeMap<_, _>, BTreeMap<_, _>) = match kind {
            "Secret" => (values.iter().map(|(key, bytes)| (key.clone(), base64(bytes))).collect(), BTreeMap::new()),
            _ => {
                let (plain, binary): (Vec<_>, Vec<_>) = values
                    .into_iter()
                    .map(|(key, bytes)| (key, String::from_utf8(bytes)))
                    .partition(|(_, text)| text.is_ok());
                (
                    plain.into_iter().filter_map(|(key, text)| Some((key, text.ok()?))).collect(),
                    binary.into_iter().filter_map(|(key, text)| Some((key, base64(text.err()?.as_bytes())))).collect(),
                )
            }
        };
        for (key, values) in [("data", plain), ("binaryData", binary)] {
            // A Secret of nothing has `data: {}`, a ConfigMap has none.
            if !values.is_empty() || (kind, key) == ("Secret", "data") {
                let mut map = empty();
                values.iter().for_each(|(key, value)| map.set(key, text(value), place));
                node.set(key, map.tree, place);
            }
        }
        if kind == "Secret" {
            node.set("type", text(given(&generator.kind).unwrap_or("Opaque")), place);
        }
        if options.immutable == Some(true) {
            node.set("immutable", Tree::Bool(true), place);
        }
        let mut object = self.faults.keep(document(node))?;
        if let Some(wanted) = &options.labels {
            labels::label(&mut object, wanted, labels::Places::Object);
        }
        if let Some(wanted) = &options.annotations {
            labels::annotate(&mut object, wanted);
        }
        Some(Resource { needs_hash: options.disable_name_suffix_hash != Some(true), ..Resource::new(object) })
    }

    /// Adds what was made, or changes what has its name already.
    fn place(&mut self, at: &Element<'_>, generator: &Generator, mut made: Resource, resources: &mut Vec<Resource>) {
        let behavior = generator.behavior.as_deref().unwrap_or_default();
        let id = made.id();
        let is_same = |other: &Resource| other.object.kind == made.object.kind && other.ids().any(|other| other == id);
        let index = resources.iter().position(is_same);
        match (behavior, index) {
            ("merge" | "replace", Some(index)) => {
                let old = &resources[index];
                keep_metadata(&mut made, old);
                if behavior == "merge" {
                    for field in ["data", "binaryData"] {
                        keep_entries(&mut made.object.node, &old.object.node, field);
                    }
                }
                resources[index] = made;
            }
            ("merge" | "replace", None) => {
                let message = format!("there is no {} to {behavior}", made.object.label());
                self.faults.push(at.error(ErrorKind::Missing, message, "remove `behavior`, or correct the name"));
            }
            (_, Some(_)) => {
                let message = format!("{} already exists", made.object.label());
                self.faults.push(at.error(
                    ErrorKind::Duplicate,
                    message,
                    "write `behavior: merge` or `behavior: replace`",
                ));
            }
            // To kustomize every other word is `create`.
            (_, None) => resources.push(made),
        }
    }

    /// The keys with their values, from texts, files and files of variables.
    fn values(&mut self, at: &Element<'_>, generator: &Generator) -> BTreeMap<String, Vec<u8>> {
        let mut pairs: Vec<(String, Vec<u8>)> = Vec::new();
        for literal in generator.literals.iter().flatten() {
            match literal.split_once('=').filter(|(key, _)| !key.is_empty()) {
                Some((key, value)) => pairs.push((key.to_owned(), unquoted(value).as_bytes().to_vec())),
                // The text may be secret.
                None => self.faults.push(at.error(
                    ErrorKind::Value,
                    "a literal has no `=` after a key",
                    "write `key=value`",
                )),
            }
        }
        for source in generator.files.iter().flatten() {
            let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
            let (key, path) = match source.split_once('=') {
                Some((key, path)) => (key.to_owned(), path),
                None => (name(source), source.as_str()),
            };
            // A file that is not there has been told, and does not make its key missing.
            pairs.push((key, self.bytes(at, path).unwrap_or_default()));
        }
        for source in generator.envs.iter().flatten().chain(&generator.env) {
            pairs.extend(self.variables(at, source));
        }
        let mut values = BTreeMap::new();
        for (key, value) in pairs {
            if values.contains_key(&key) {
                let message = format!("`{}` has the key `{}` twice", generator.name, key.escape_debug());
                self.faults.push(at.error(
                    ErrorKind::Duplicate,
                    message,
                    "kustomize refuses it: remove one of the two",
                ));
            }
            values.insert(key, value);
        }
        values
    }

    /// The variables of a file, each in a line; a name alone stands for an empty one.
    fn variables(&mut self, at: &Element<'_>, name: &str) -> Vec<(String, Vec<u8>)> {
        let Some(bytes) = self.bytes(at, name) else { return Vec::new() };
        let Ok(text) = str::from_utf8(&bytes) else {
            let message = format!("`{name}` is not UTF-8 text");
            self.faults.push(at.error(ErrorKind::File, message, "kustomize refuses it: save it as UTF-8"));
            return Vec::new();
        };
        let lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines().map(str::trim_start);
        let pairs = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let pairs = pairs.map(|line| line.split_once('=').unwrap_or((line, "")));
        pairs.map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec())).collect()
    }

    fn bytes(&mut self, at: &Element<'_>, name: &str) -> Option<Vec<u8>> {
        let path = self.file(at, name)?;
        let failed =
            |error| at.error(ErrorKind::File, format!("`{name}` cannot be read: {error}"), "check its permissions");
        self.faults.keep(fs::read(&path).map_err(failed))
    }
}

/// A literal's value without the quotes around it, of which kustomize takes one pair.
fn unquoted(value: &str) -> &str {
    let inner = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(value)
}

/// A generator's own options over those of all of them.
fn merged(all: Option<&GeneratorOptions>, own: Option<&GeneratorOptions>) -> GeneratorOptions {
    let (all, own) = (all.cloned().unwrap_or_default(), own.cloned().unwrap_or_default());
    let both = |all: Option<BTreeMap<String, String>>, own: Option<BTreeMap<String, String>>| {
        Some(all.into_iter().chain(own).flatten().collect())
    };
    let either = |all: Option<bool>, own: Option<bool>| Some(all == Some(true) || own == Some(true));
    GeneratorOptions {
        labels: both(all.labels, own.labels),
        annotations: both(all.annotations, own.annotations),
        disable_name_suffix_hash: either(all.disable_name_suffix_hash, own.disable_name_suffix_hash),
        immutable: either(all.immutable, own.immutable),
    }
}

/// What stands in place of another object has its name, a hash there only if both want one, and its labels and annotations where it has
/// none of its own.
fn keep_metadata(made: &mut Resource, old: &Resource) {
    made.before.clone_from(&old.before);
    made.needs_hash &= old.needs_hash;
    made.object.name.clone_from(&old.object.name);
    names::set_metadata(&mut made.object, "name", &old.object.name);
    if !old.object.namespace().is_empty() {
        names::set_metadata(&mut made.object, "namespace", old.object.namespace());
    }
    if let (Some(made), Some(old)) = (made.object.node.get_mut("metadata"), old.object.node.get("metadata")) {
        keep_entries(made, old, "labels");
        keep_entries(made, old, "annotations");
    }
}

/// Adds what only the old one has in a map.
fn keep_entries(made: &mut Node, old: &Node, field: &str) {
    let place = made.place.clone();
    let Some(kept) = old.get(field) else { return };
    let Some(values) = made.get_or_insert(field, Tree::Map(Vec::new()), &place) else { return };
    for entry in kept.entries() {
        values.get_or_insert(&entry.key, entry.node.tree.clone(), &entry.place);
    }
}

fn base64(bytes: &[u8]) -> String {
    let encoded = BASE64_STANDARD.encode(bytes);
    if encoded.len() < LINE {
        return encoded;
    }
    let lines = encoded.as_bytes().chunks(LINE).map(String::from_utf8_lossy);
    lines.fold(String::new(), |text, line| text + &line + "\n")
}

/// The hash of what a ConfigMap or Secret holds, as kustomize puts it into its name (`api/hasher`): of the JSON that Go writes.
pub(super) fn hash(object: &Document) -> String {
    let map = |key: &str| {
        let map = object.node.get(key).filter(|map| matches!(map.tree, Tree::Map(_)))?;
        let pair = |entry: &Entry| (entry.key.clone(), entry.node.text().unwrap_or_default().to_owned());
        Some(json!(map.entries().iter().map(pair).collect::<BTreeMap<String, String>>()))
    };
    // In the order of the keys, whatever the features of `serde_json`. The name is no part of it.
    let data = map("data").unwrap_or_else(|| "".into());
    let mut fields = BTreeMap::from([("data", data), ("kind", json!(object.kind)), ("name", json!(""))]);
    let is_secret = object.kind == "Secret";
    let more = if is_secret { "stringData" } else { "binaryData" };
    fields.extend(map(more).map(|map| (more, map)));
    if is_secret {
        fields.insert("type", json!(object.node.text_at(&["type"]).unwrap_or_default()));
    }
    // Go escapes what HTML and JavaScript would trip over.
    let json = [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")]
        .iter()
        .fold(json!(fields).to_string(), |json, (c, escaped)| json.replace(*c, escaped));
    let digest = Sha256::digest(json);
    let hex = digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    // No vowels, and no digits that look like letters.
    let letter = |c| match c {
        '0' => 'g',
        '1' => 'h',
        '3' => 'k',
        'a' => 'm',
        'e' => 't',
        c => c,
    };
    hex.chars().take(10).map(letter).collect()
}
