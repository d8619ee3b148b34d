//! ConfigMaps and Secrets that a kustomization makes from texts and files, and the hashes in their names.

use std::{collections::BTreeMap, fs, path::Path};

use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

use super::{
    Builder, Resource,
    file::{Generator, GeneratorOptions, Kustomization},
    labels, names,
};
use crate::{
    Document, Error, ErrorKind,
    node::{Entry, Node, Tree},
    read::document,
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
                let at = GeneratorPath { kustomization, key, index };
                if kind == "ConfigMap" && generator.kind.is_some() {
                    let remedy = "kustomize refuses it: remove the key, or move the element to `secretGenerator`";
                    self.faults.push(at.error(ErrorKind::UnknownField, "a ConfigMap has no `type`", remedy));
                }
                if let Some(made) = self.one(&at, kind, dir, generator) {
                    self.place(&at, generator, made, resources);
                }
            }
        }
    }

    fn one(&mut self, at: &GeneratorPath<'_>, kind: &str, dir: &Path, generator: &Generator) -> Option<Resource> {
        let values = self.values(at, dir, generator);
        let options = merged(at.kustomization.file.generator_options.as_ref(), generator.options.as_ref());
        let node = |tree| Node::new(tree, &at.kustomization.node.place);
        let text = |text: &str| node(Tree::Text(text.to_owned()));
        let entry =
            |key: &str, node: Node| Entry { key: key.to_owned(), place: at.kustomization.node.place.clone(), node };
        let map = |values: BTreeMap<String, String>| {
            node(Tree::Map(values.iter().map(|(key, value)| entry(key, text(value))).collect()))
        };
        let mut metadata = vec![entry("name", text(&generator.name))];
        if let Some(namespace) = generator.namespace.as_deref().filter(|namespace| !namespace.is_empty()) {
            metadata.push(entry("namespace", text(namespace)));
        }
        let mut entries = vec![
            entry("apiVersion", text("v1")),
            entry("kind", text(kind)),
            entry("metadata", node(Tree::Map(metadata))),
        ];
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
                entries.push(entry(key, map(values)));
            }
        }
        if kind == "Secret" {
            entries.push(entry(
                "type",
                text(generator.kind.as_deref().filter(|kind| !kind.is_empty()).unwrap_or("Opaque")),
            ));
        }
        if options.immutable == Some(true) {
            entries.push(entry("immutable", node(Tree::Bool(true))));
        }
        let mut object = self.faults.keep(document(node(Tree::Map(entries))))?;
        if let Some(wanted) = &options.labels {
            labels::label(&mut object, wanted, labels::Places::Object);
        }
        if let Some(wanted) = &options.annotations {
            labels::annotate(&mut object, wanted);
        }
        Some(Resource { needs_hash: options.disable_name_suffix_hash != Some(true), ..Resource::new(object) })
    }

    /// Adds what was made, or changes what has its name already.
    fn place(
        &mut self,
        at: &GeneratorPath<'_>,
        generator: &Generator,
        mut made: Resource,
        resources: &mut Vec<Resource>,
    ) {
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
    fn values(&mut self, at: &GeneratorPath<'_>, dir: &Path, generator: &Generator) -> BTreeMap<String, Vec<u8>> {
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
            pairs.push((key, self.bytes(at, dir, path).unwrap_or_default()));
        }
        for source in generator.envs.iter().flatten().chain(&generator.env) {
            pairs.extend(self.variables(at, dir, source));
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
    fn variables(&mut self, at: &GeneratorPath<'_>, dir: &Path, name: &str) -> Vec<(String, Vec<u8>)> {
        let Some(bytes) = self.bytes(at, dir, name) else { return Vec::new() };
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

    fn bytes(&mut self, at: &GeneratorPath<'_>, dir: &Path, name: &str) -> Option<Vec<u8>> {
        let path = self.file(at.kustomization, at.key, dir, name)?;
        let failed =
            |error| at.error(ErrorKind::File, format!("`{name}` cannot be read: {error}"), "check its permissions");
        self.faults.keep(fs::read(&path).map_err(failed))
    }
}

/// Where a generator stands.
struct GeneratorPath<'a> {
    kustomization: &'a Kustomization,
    key: &'static str,
    index: usize,
}

impl GeneratorPath<'_> {
    fn error(&self, kind: ErrorKind, message: impl Into<String>, remedy: &str) -> Error {
        self.kustomization.error_of(self.key, Some(self.index), kind, message, remedy)
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
    let is_secret = object.kind == "Secret";
    let mut fields: BTreeMap<&str, String> = BTreeMap::new();
    let text = |key: &str| go_json(object.node.text_at(&[key]).unwrap_or_default());
    fields.insert("kind", go_json(&object.kind));
    // The name is no part of it.
    fields.insert("name", go_json(""));
    fields.insert("data", map(&object.node, "data").unwrap_or_else(|| go_json("")));
    for key in if is_secret { ["stringData"] } else { ["binaryData"] } {
        fields.extend(map(&object.node, key).map(|map| (key, map)));
    }
    if is_secret {
        fields.insert("type", text("type"));
    }
    let fields: Vec<String> = fields.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    let digest = Sha256::digest(format!("{{{}}}", fields.join(",")));
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

fn map(node: &Node, key: &str) -> Option<String> {
    let map = node.get(key).filter(|map| matches!(map.tree, Tree::Map(_)))?;
    let values: BTreeMap<&str, String> = map
        .entries()
        .iter()
        .map(|entry| (entry.key.as_str(), go_json(entry.node.text().unwrap_or_default())))
        .collect();
    let values: Vec<String> = values.iter().map(|(key, value)| format!("{}:{value}", go_json(key))).collect();
    Some(format!("{{{}}}", values.join(",")))
}

/// A text as Go writes it into JSON, which escapes what HTML and JavaScript would trip over.
fn go_json(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")]
        .iter()
        .fold(json, |json, (c, escaped)| json.replace(*c, escaped))
}
