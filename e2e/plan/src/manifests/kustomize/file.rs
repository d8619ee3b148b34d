//! A kustomization as it is written. Main type: [`Kustomization`].

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use super::Beyond;
use crate::{
    Error, ErrorKind, Faults,
    node::{Entry, Node},
    read::given,
    typed::from_node_as_go,
    yaml::{Dialect, Documents, documents},
};

/// The keys that only kustomize itself can build.
const BEYOND: [&str; 14] = [
    "buildMetadata",
    "configurations",
    "crds",
    "generators",
    "helmChartInflationGenerator",
    "helmCharts",
    "helmGlobals",
    "imageTags",
    "openapi",
    "replacements",
    "sortOptions",
    "transformers",
    "validators",
    "vars",
];

const KUSTOMIZATION: &str = "Kustomization";
const COMPONENT: &str = "Component";

/// What a directory must have, by where it is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Kustomization,
    Component,
    /// Anything with objects of its own.
    Manifests,
    Either,
}

/// A kustomization, with the places of its parts.
pub(super) struct Kustomization {
    pub(super) file: File,
    pub(super) node: Node,
}

/// The keys that are built here.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct File {
    pub(super) api_version: Option<String>,
    pub(super) kind: Option<String>,
    /// A kustomization may have a name, which says nothing of what it makes.
    pub(super) metadata: Option<Metadata>,
    pub(super) resources: Option<Vec<String>>,
    pub(super) bases: Option<Vec<String>>,
    pub(super) components: Option<Vec<String>>,
    pub(super) namespace: Option<String>,
    pub(super) name_prefix: Option<String>,
    pub(super) name_suffix: Option<String>,
    pub(super) common_labels: Option<BTreeMap<String, String>>,
    pub(super) common_annotations: Option<BTreeMap<String, String>>,
    pub(super) labels: Option<Vec<Labels>>,
    pub(super) images: Option<Vec<Image>>,
    pub(super) replicas: Option<Vec<Replicas>>,
    pub(super) patches: Option<Vec<Patch>>,
    pub(super) patches_strategic_merge: Option<Vec<String>>,
    pub(super) patches_json6902: Option<Vec<Patch>>,
    pub(super) config_map_generator: Option<Vec<Generator>>,
    pub(super) secret_generator: Option<Vec<Generator>>,
    pub(super) generator_options: Option<GeneratorOptions>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct Labels {
    pub(super) pairs: Option<BTreeMap<String, String>>,
    pub(super) include_selectors: bool,
    pub(super) include_templates: bool,
    pub(super) include_volume_claim_templates: bool,
    pub(super) fields: Option<Vec<serde_json::Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct Image {
    pub(super) name: String,
    pub(super) new_name: Option<String>,
    pub(super) new_tag: Option<String>,
    pub(super) tag_suffix: Option<String>,
    pub(super) digest: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Replicas {
    pub(super) name: String,
    pub(super) count: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Patch {
    pub(super) path: Option<String>,
    pub(super) patch: Option<String>,
    pub(super) target: Option<Target>,
    pub(super) options: Option<BTreeMap<String, bool>>,
}

/// What a patch is for; each is a regular expression, but for the selectors.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct Target {
    pub(super) group: Option<String>,
    pub(super) version: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) name: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) label_selector: Option<String>,
    pub(super) annotation_selector: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct Generator {
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) behavior: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) literals: Option<Vec<String>>,
    pub(super) files: Option<Vec<String>>,
    pub(super) envs: Option<Vec<String>>,
    pub(super) env: Option<String>,
    pub(super) options: Option<GeneratorOptions>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct GeneratorOptions {
    pub(super) labels: Option<BTreeMap<String, String>>,
    pub(super) annotations: Option<BTreeMap<String, String>>,
    pub(super) disable_name_suffix_hash: Option<bool>,
    pub(super) immutable: Option<bool>,
}

impl Kustomization {
    /// Reads one. Keys that only kustomize can build go to `beyond`; nothing comes of text that is no kustomization.
    pub(super) fn parse(path: &Path, text: &str, faults: &Faults, beyond: &mut Beyond) -> Option<Self> {
        let Documents { nodes, errors, .. } = documents(path, text, Dialect::Go);
        if !errors.is_empty() {
            faults.extend(errors);
            return None;
        }
        let Some(mut node) = nodes.into_iter().next() else {
            faults.push(Error::of_file(path, "the kustomization is empty", "list the manifests under `resources`"));
            return None;
        };
        let kind = entry(&node, "kind").and_then(|kind| kind.node.text());
        let is_known = matches!(kind, None | Some(KUSTOMIZATION | COMPONENT));
        let says_nothing = |entry: &Entry| {
            is_key(entry, "apiVersion")
                || is_key(entry, "kind")
                || entry.node.is_null()
                || entry.node.text() == Some("")
        };
        if is_known && node.entries().iter().all(says_nothing) {
            let remedy = "kustomize refuses it: list the manifests under `resources`";
            faults.push(Error::of_file(path, "the kustomization lists nothing", remedy));
            return None;
        }
        for key in BEYOND {
            while let Some(Entry { key: written, place, .. }) = entry(&node, key) {
                let message = format!("`{key}` is built by kustomize alone");
                beyond.push(Error::new(ErrorKind::Unsupported, message, String::new()).at(place));
                beyond.has_charts |= key.starts_with("helmChart");
                let written = written.clone();
                node.remove_at(&[written.as_str()]);
            }
        }
        let (file, mut errors) = from_node_as_go::<File>(&node);
        for patch in entry(&node, "patches").map_or(&[][..], |patches| patches.node.items()) {
            let is_its = |error: &&mut Error| {
                (error.location.line, error.location.column) == (patch.place.line, patch.place.column)
            };
            if let (Some(text), Some(error)) = (patch.text(), errors.iter_mut().find(is_its)) {
                let key = if text.contains('\n') { "patch: |".to_owned() } else { format!("path: {text}") };
                error.remedy = format!("write `- {key}`");
            }
        }
        faults.extend(errors);
        Some(Self { file: file?, node })
    }

    /// Whether it is of the kind that is wanted, in the API version that kustomize reads.
    pub(super) fn check_kind(&self, wanted: Wanted) -> Result<(), Error> {
        let File { api_version, kind, .. } = &self.file;
        let kind = given(kind).unwrap_or(KUSTOMIZATION);
        let fail =
            |message: String, remedy: String| Err(Error::new(ErrorKind::Object, message, remedy).at(&self.node.place));
        let version = match kind {
            KUSTOMIZATION => "kustomize.config.k8s.io/v1beta1",
            COMPONENT => "kustomize.config.k8s.io/v1alpha1",
            _ => {
                let remedy =
                    "write `kind: Kustomization` and `apiVersion: kustomize.config.k8s.io/v1beta1`, or neither";
                return fail("this is not a Kustomization".to_owned(), remedy.to_owned());
            }
        };
        if let Some(other) = given(api_version).filter(|other| *other != version) {
            return fail(format!("kustomize reads no {kind} of apiVersion `{other}`"), format!("write `{version}`"));
        }
        match (wanted, kind) {
            (Wanted::Kustomization, COMPONENT) => {
                fail("a Component is listed under `resources`".to_owned(), "list it under `components`".to_owned())
            }
            (Wanted::Component, KUSTOMIZATION) => {
                fail("a Kustomization is listed under `components`".to_owned(), "list it under `resources`".to_owned())
            }
            (Wanted::Manifests, COMPONENT) if !self.has_objects() => {
                let message = "this is a Component, which has no objects and changes those of a kustomization";
                let remedy = "list it under `components` of a kustomization, and name the directory of that one";
                fail(message.to_owned(), remedy.to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Whether it makes objects, or lists some.
    fn has_objects(&self) -> bool {
        let File { resources, bases, config_map_generator, secret_generator, .. } = &self.file;
        let is_listed = [resources, bases].into_iter().flatten().any(|names| !names.is_empty());
        is_listed || config_map_generator.is_some() || secret_generator.is_some()
    }

    /// An error of a key, at the element with this text where there is one.
    pub(super) fn error(
        &self,
        key: &str,
        text: Option<&str>,
        kind: ErrorKind,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Error {
        let items = entry(&self.node, key).map_or(&[][..], |list| list.node.items());
        let index = items.iter().position(|item| text.is_some() && item.text() == text);
        self.error_of(key, index, kind, message, remedy)
    }

    /// An error of a key, or of an element of its list.
    pub(super) fn error_of(
        &self,
        key: &str,
        index: Option<usize>,
        kind: ErrorKind,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Error {
        let entry = entry(&self.node, key);
        let item = entry.and_then(|list| list.node.items().get(index?));
        let place = item.map(|item| &item.place).or(entry.map(|entry| &entry.place));
        Error::new(kind, message, remedy).at(place.unwrap_or(&self.node.place))
    }
}

/// A key of a kustomization. To Go, which reads them for kustomize, they are the same in any case: `patchesJSON6902`.
fn entry<'a>(node: &'a Node, key: &str) -> Option<&'a Entry> {
    node.entries().iter().find(|entry| is_key(entry, key))
}

fn is_key(entry: &Entry, key: &str) -> bool {
    entry.key.eq_ignore_ascii_case(key)
}
