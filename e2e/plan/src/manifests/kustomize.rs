//! Kustomizations, built as `kustomize build` does: object for object the same, or not at all. What a kustomization does beyond the
//! keys that are known here is told, so that the tool itself can build it. Main function: [`build`].

mod file;
mod generate;
mod json_patch;
mod labels;
mod names;
mod patch;
mod spelling;
mod transform;

use std::{
    fs,
    path::{Path, PathBuf},
};

use self::{
    file::{Kustomization, Wanted},
    spelling::Blank,
};
use super::read_text;
use crate::{
    Document, Error, ErrorKind, Faults, Manifest, Objects,
    document::DEFAULT_NAMESPACE,
    node::{Node, Tree},
};

/// The names under which kustomize looks for its file.
const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// The annotation of objects for local tools, which a build omits.
const LOCAL_CONFIG: &str = "config.kubernetes.io/local-config";
/// What the annotations start with by which kustomize talks to itself.
const INTERNAL: [&str; 5] = [
    "config.kubernetes.io/index",
    "config.kubernetes.io/origin",
    "config.kubernetes.io/path",
    "internal.config.kubernetes.io/",
    "kustomize.config.k8s.io/",
];

/// The file that is the kustomization of a directory.
#[must_use]
pub fn kustomization_of(dir: &Path) -> Option<PathBuf> {
    NAMES.iter().map(|name| dir.join(name)).find(|path| path.is_file())
}

/// Whether an entry of `resources` names what is not on this machine.
#[must_use]
pub fn is_remote(name: &str) -> bool {
    name.contains("://") || name.contains("?ref=") || name.starts_with("github.com/") || name.starts_with("git@")
}

/// A path as people name it: from the root, or from where the program was called, where it lies below that.
pub(super) fn shown(path: &Path, root: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let below = |start: &Path| path.strip_prefix(start).ok().filter(|rest| !rest.as_os_str().is_empty());
    below(root).or_else(|| below(&here)).unwrap_or(path).to_owned()
}

/// An object on its way through a build.
#[derive(Clone)]
pub(super) struct Resource {
    pub(super) object: Document,
    /// What it was called before, by name and namespace.
    before: Vec<(String, String)>,
    /// Whether its name gets a hash of what it holds in the end.
    needs_hash: bool,
    /// Whether an overlay has changed or made it.
    overlaid: bool,
    /// Its keys that nothing follows, until a patch is merged in.
    blank: Blank,
}

impl Resource {
    pub(super) fn new(object: Document) -> Self {
        Self { object, before: Vec::new(), needs_hash: false, overlaid: false, blank: Blank::default() }
    }

    pub(super) fn is_overlaid(&self) -> bool {
        self.overlaid
    }

    /// Whether two resources are the same one to kustomize, to which an object of another API version is another one.
    fn is_same(&self, other: &Self) -> bool {
        self.object.is_same(&other.object) && self.object.api_version() == other.object.api_version()
    }

    fn id(&self) -> (String, String) {
        (self.object.name.clone(), namespace(&self.object).to_owned())
    }

    /// Every name and namespace that it has or had.
    fn ids(&self) -> impl Iterator<Item = (String, String)> {
        self.before.iter().cloned().chain([self.id()])
    }
}

/// The namespace that an object is in: `default` where it says nothing.
fn namespace(object: &Document) -> &str {
    match object.namespace() {
        "" if !object.is_cluster_scoped() => DEFAULT_NAMESPACE,
        namespace => namespace,
    }
}

/// What an overlay stands on.
pub(super) struct Base {
    /// The paths that stand for it.
    pub(super) dirs: Vec<PathBuf>,
    pub(super) resources: Vec<Resource>,
    /// Whether an overlay has changed it already, so that its paths say less than it is.
    pub(super) is_changed: bool,
}

/// What became of a kustomization.
pub(super) struct Build {
    pub(super) resources: Vec<Resource>,
    pub(super) faults: Faults,
    /// If there is anything, the resources are not what kustomize would make of them.
    pub(super) beyond: Beyond,
}

/// What only kustomize itself can do.
#[derive(Default)]
pub(super) struct Beyond {
    pub(super) errors: Vec<Error>,
    /// Whether it needs helm for that.
    pub(super) has_charts: bool,
}

impl Beyond {
    fn push(&mut self, error: Error) {
        self.errors.push(error);
    }
}

/// Builds the kustomization of a directory, on a base where it is an overlay.
pub(super) fn build(dir: &Path, root: &Path, base: Option<Base>) -> Build {
    let (faults, beyond) = (Faults::default(), Beyond::default());
    let wanted = if base.is_some() { Wanted::Either } else { Wanted::Manifests };
    let mut builder = Builder { root, faults, beyond, parents: Vec::new(), base: Taken::of(base) };
    let base = builder.base.take_unnamed(dir).unwrap_or_default();
    let mut resources = builder.accumulate(dir, base, wanted);
    if let Some(error) = builder.base.not_taken(dir, root) {
        builder.faults.push(error);
    }
    builder.faults.extend(names::blank_subjects(&resources));
    if let Some(message) = names::ambiguous(&resources) {
        builder.beyond.push(Error::of_file(shown(dir, root), message, String::new()));
    }
    resources.iter_mut().for_each(without_empty_annotations);
    if builder.base.is_overlay {
        resources.iter_mut().for_each(|resource| resource.overlaid = true);
    }
    Build { resources, faults: builder.faults, beyond: builder.beyond }
}

/// The objects of resources in the end: with the hashes in names, references to these, and without those for tools.
pub(super) fn finished(mut resources: Vec<Resource>) -> Vec<Document> {
    for resource in resources.iter_mut().filter(|resource| resource.needs_hash) {
        let name = format!("{}-{}", resource.object.name, generate::hash(&resource.object));
        names::rename(resource, name);
    }
    names::follow(&mut resources);
    for Resource { object, blank, .. } in &mut resources {
        blank.fill_in(&mut object.node);
    }
    let is_local = |resource: &Resource| annotation(&resource.object, LOCAL_CONFIG) == Some("true");
    resources.into_iter().filter(|resource| !is_local(resource)).map(|resource| resource.object).collect()
}

/// Kustomize takes its own annotations out in the end, and with them a field in which there are no others.
fn without_empty_annotations(resource: &mut Resource) {
    let Some(metadata) = resource.object.node.get_mut("metadata") else { return };
    let is_empty = |node: &Node| node.is_null() || matches!(&node.tree, Tree::Map(entries) if entries.is_empty());
    if metadata.entries().iter().any(|entry| entry.key == "annotations" && is_empty(&entry.node)) {
        metadata.remove_at(&["annotations"]);
    }
}

fn annotation<'a>(object: &'a Document, name: &str) -> Option<&'a str> {
    object.node.find(&["metadata", "annotations", name])?.text()
}

/// An element of the list under a key of a kustomization, or all of the list.
struct Element<'a> {
    kustomization: &'a Kustomization,
    dir: &'a Path,
    key: &'static str,
    index: Option<usize>,
}

impl Element<'_> {
    fn error(&self, kind: ErrorKind, message: impl Into<String>, remedy: &str) -> Error {
        self.kustomization.error_of(self.key, self.index, kind, message, remedy)
    }
}

struct Builder<'a> {
    root: &'a Path,
    faults: Faults,
    beyond: Beyond,
    /// The directories that are being built, from the outermost one.
    parents: Vec<PathBuf>,
    base: Taken,
}

impl Builder<'_> {
    /// Builds a directory. A component changes the resources that are there; anything else makes its own, which come after them.
    fn accumulate(&mut self, dir: &Path, mut resources: Vec<Resource>, wanted: Wanted) -> Vec<Resource> {
        let Some(path) = kustomization_of(dir) else {
            let remedy = "kustomize wants one there: write one that lists its files under `resources`";
            self.faults.push(Error::of_file(self.shown(dir), "the directory has no kustomization.yaml", remedy));
            return resources;
        };
        let real = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
        if self.parents.contains(&real) {
            let remedy = "remove it from the `resources` of one of the two";
            self.faults.push(Error::of_file(self.shown(&path), "the directory includes itself", remedy));
            return resources;
        }
        if let [first, second, ..] =
            NAMES.map(|name| dir.join(name)).iter().filter(|path| path.is_file()).collect::<Vec<_>>()[..]
        {
            let message = format!("{} stands beside it", self.shown(second).display());
            self.faults.push(Error::of_file(self.shown(first), message, "kustomize refuses both: remove one"));
        }
        let Some(kustomization) = self.read(&path) else { return resources };
        self.faults.keep(kustomization.check_kind(wanted));
        self.parents.push(real);
        let file = &kustomization.file;
        for name in file.resources.iter().chain(&file.bases).flatten() {
            let more = self.resource(&kustomization, dir, name);
            self.append(&mut resources, more);
        }
        self.generate(&kustomization, dir, &mut resources);
        let at = Element { kustomization: &kustomization, dir, key: "components", index: None };
        for name in file.components.iter().flatten() {
            if let Some(component) = self.resolve(&at, name) {
                resources = self.accumulate(&component, resources, Wanted::Component);
            }
        }
        self.transform(&kustomization, dir, &mut resources);
        self.parents.pop();
        resources
    }

    fn read(&mut self, path: &Path) -> Option<Kustomization> {
        let failed = |error| {
            let remedy = "check its permissions and that it is UTF-8 text";
            Error::of_file(self.shown(path), format!("cannot be read: {error}"), remedy)
        };
        let text = self.faults.keep(read_text(path).map_err(failed))?;
        Kustomization::parse(&self.shown(path), &text, &self.faults, &mut self.beyond)
    }

    /// What an entry of `resources` stands for.
    fn resource(&mut self, kustomization: &Kustomization, dir: &Path, name: &str) -> Vec<Resource> {
        let at = Element { kustomization, dir, key: "resources", index: None };
        let Some(path) = self.resolve(&at, name) else { return Vec::new() };
        if let Some(base) = self.base.take(&path) {
            return base;
        }
        if path.is_dir() {
            return self.accumulate(&path, Vec::new(), Wanted::Kustomization);
        }
        if !self.is_below(&at, name, &path) {
            return Vec::new();
        }
        let Some(text) = self.text(&at, &path) else { return Vec::new() };
        let Objects { objects, faults, .. } =
            Objects::read_as_kustomize(&Manifest { file: self.shown(&path), text: text.clone() });
        self.faults.append(faults);
        let lines: Vec<&str> = text.lines().collect();
        let mut resources = Vec::with_capacity(objects.len());
        for mut object in objects {
            let blank = Blank::keys_of(&object.node, &lines);
            spelling::spell(&mut object.node, "annotations", &lines, true);
            self.note_spelling(&object.node, &lines);
            let annotations = object.node.entries_at(&["metadata", "annotations"]);
            let internal = annotations.iter().find(|entry| INTERNAL.iter().any(|start| entry.key.starts_with(start)));
            if let Some(entry) = internal {
                let message = format!("the annotation `{}` is for kustomize itself", entry.key);
                self.beyond.push(Error::new(ErrorKind::Unsupported, message, String::new()).at(&entry.place));
            }
            resources.push(Resource { blank, ..Resource::new(object) });
        }
        resources
    }

    /// Tells what of a resource or patch only kustomize writes as it does.
    fn note_spelling(&mut self, node: &Node, lines: &[&str]) {
        if let Some((what, place)) = spelling::written_anew(node, lines) {
            let message = format!("{what}, which kustomize reformats, is built by kustomize alone");
            self.beyond.push(Error::new(ErrorKind::Unsupported, message, "").at(place));
        }
    }

    /// A path of a kustomization that is there.
    fn resolve(&mut self, at: &Element<'_>, name: &str) -> Option<PathBuf> {
        if is_remote(name) {
            let message = format!("`{name}` is not on this machine");
            self.beyond.push(at.kustomization.error(at.key, Some(name), ErrorKind::Unsupported, message, ""));
            return None;
        }
        let path = normalised(&at.dir.join(name));
        if path.exists() {
            return Some(path);
        }
        let (message, remedy) =
            (format!("`{name}` does not exist"), "correct the path, which starts at this directory");
        self.faults.push(at.kustomization.error(at.key, Some(name), ErrorKind::File, message, remedy));
        None
    }

    /// A file of a kustomization that is there.
    fn file(&mut self, at: &Element<'_>, name: &str) -> Option<PathBuf> {
        let path = self.resolve(at, name)?;
        self.is_below(at, name, &path).then_some(path)
    }

    /// Kustomize reads no file above its kustomization.
    fn is_below(&self, at: &Element<'_>, name: &str, path: &Path) -> bool {
        let is_below = match (fs::canonicalize(path), fs::canonicalize(at.dir)) {
            (Ok(path), Ok(dir)) => path.starts_with(dir),
            _ => true,
        };
        if !is_below {
            let message = format!("`{name}` is not below the directory of the kustomization");
            let remedy = "kustomize refuses it: move the file, or set `render` to a command with `--load-restrictor LoadRestrictionsNone`";
            self.faults.push(at.kustomization.error(at.key, Some(name), ErrorKind::Value, message, remedy));
        }
        is_below
    }

    fn text(&self, at: &Element<'_>, path: &Path) -> Option<String> {
        let failed = |error| {
            let message = format!("{} cannot be read: {error}", self.shown(path).display());
            let remedy = "check its permissions and that it is UTF-8 text";
            at.kustomization.error(at.key, None, ErrorKind::File, message, remedy)
        };
        self.faults.keep(read_text(path).map_err(failed))
    }

    /// Adds resources, of which each may be there once only in one API version.
    fn append(&self, resources: &mut Vec<Resource>, more: Vec<Resource>) {
        for resource in more {
            if let Some(first) = resources.iter().find(|other| other.is_same(&resource)) {
                let message = format!("{} is already declared in {}", first.object.label(), first.object.source);
                let error = Error::new(
                    ErrorKind::Duplicate,
                    message,
                    "kustomize refuses a second one: change it by a patch, or remove it",
                );
                let place = &resource.object.node.place;
                self.faults.push(error.at(place).in_object(&resource.object.label()));
                continue;
            }
            resources.push(resource);
        }
    }

    fn shown(&self, path: &Path) -> PathBuf {
        shown(path, self.root)
    }
}

/// A path without `..` where that can be told from the path alone, as people read it.
fn normalised(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir if normal.file_name().is_some() => drop(normal.pop()),
            std::path::Component::CurDir => {}
            part => normal.push(part),
        }
    }
    // A link on the way leads somewhere else.
    if normal.exists() { normal } else { path.to_owned() }
}

/// The base of an overlay, until it is taken.
struct Taken {
    is_overlay: bool,
    dirs: Vec<PathBuf>,
    resources: Option<Vec<Resource>>,
}

impl Taken {
    fn of(base: Option<Base>) -> Self {
        match base {
            Some(Base { dirs, resources, .. }) => Self { is_overlay: true, dirs, resources: Some(resources) },
            None => Self { is_overlay: false, dirs: Vec::new(), resources: None },
        }
    }

    /// The base, where the path stands for it: once, and nothing more after that.
    fn take(&mut self, path: &Path) -> Option<Vec<Resource>> {
        let real = fs::canonicalize(path).ok()?;
        (self.is_overlay && self.dirs.contains(&real)).then(|| self.resources.take().unwrap_or_default())
    }

    /// The base of an overlay that stands on no directory: it changes whatever the manifests are, as a component does.
    fn take_unnamed(&mut self, dir: &Path) -> Option<Vec<Resource>> {
        if !self.is_overlay || !names_no_base(dir) {
            return None;
        }
        self.resources.take()
    }

    /// The error of an overlay that stands on something else.
    fn not_taken(&self, dir: &Path, root: &Path) -> Option<Error> {
        self.resources.as_ref()?;
        let file = kustomization_of(dir)?;
        let dirs: Vec<String> = self.dirs.iter().map(|dir| shown(dir, root).display().to_string()).collect();
        let message = format!(
            "the overlay builds on {}, not on the manifests{}",
            directories(dir).join(", "),
            match dirs.is_empty() {
                true => String::new(),
                false => format!(" of {}", dirs.join(", ")),
            }
        );
        let remedy = "name it as the manifests instead of as an overlay, or let it build on them";
        Some(Error::of_file(shown(&file, root), message, remedy))
    }
}

/// Whether a kustomization stands on whatever it is applied to.
pub(super) fn names_no_base(dir: &Path) -> bool {
    directories(dir).is_empty()
}

/// The directories and remote places under a kustomization's `resources`, as they are written.
fn directories(dir: &Path) -> Vec<String> {
    let Some(path) = kustomization_of(dir) else { return Vec::new() };
    let text = read_text(&path).unwrap_or_default();
    let Some(kustomization) = Kustomization::parse(&path, &text, &Faults::default(), &mut Beyond::default()) else {
        return Vec::new();
    };
    let names = kustomization.file.resources.into_iter().chain(kustomization.file.bases).flatten();
    names.filter(|name| dir.join(name).is_dir() || is_remote(name)).collect()
}
