//! Manifests and overlays as people have them, read into what a plan is made from: files, directories, kustomizations, charts,
//! standard input, the output of a command. Main function: [`read`], of [`Sources`].

mod chart;
mod command;
mod heads;
mod helm;
mod kustomize;

use std::{
    cell::RefCell,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use self::kustomize::{Base, Resource};
pub use self::{
    chart::is_chart,
    heads::{Head, heads},
    kustomize::{is_remote, kustomization_of},
};
use crate::{Error, ErrorKind, Faults, FieldUse, Manifest, Objects, Overlay};

/// Where the manifests are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// Files and directories, or `-` for standard input.
    pub paths: Vec<PathBuf>,
    /// A command whose output they are, in place of the paths.
    pub render: Vec<String>,
}

/// What stands for standard input.
const STDIN: &str = "-";
/// The languages from which a program makes manifests: how their files end, the name, and the command.
const LANGUAGES: [(&str, &str, &str); 2] = [
    ("cue", "CUE", r#"["cue", "export", "--out", "yaml", "FILE"]"#),
    ("jsonnet", "Jsonnet", r#"["jsonnet", "--yaml-stream", "FILE"]"#),
];
/// How the files end that are read of a directory, as `kubectl apply -f DIRECTORY` does.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// Reads the manifests and applies overlays to them in order. Paths start at `root`, and those of overlays where the program was
/// called.
///
/// A directory with a kustomization is built as `kustomize build` does, and one with a `Chart.yaml` is rendered by helm. An overlay
/// with a kustomization stands on the manifests: on their directory, which it names under `resources`, or else on whatever they
/// are. Each file of another overlay is a patch of an object that exists, or a new object.
#[must_use]
pub fn read(root: &Path, sources: &Sources, overlays: &[PathBuf]) -> Objects {
    let reader = Reader { root, faults: Faults::default(), notes: RefCell::default() };
    let mut resources = reader.manifests(sources);
    for overlay in overlays {
        resources = reader.overlay(overlay, sources, resources);
    }
    let objects = kustomize::finished(resources);
    Objects::of(objects, reader.faults, reader.notes.into_inner())
}

/// Reads paths, and gathers what is wrong with them.
struct Reader<'a> {
    root: &'a Path,
    faults: Faults,
    notes: RefCell<Vec<FieldUse>>,
}

impl Reader<'_> {
    fn manifests(&self, sources: &Sources) -> Vec<Resource> {
        if !sources.render.is_empty() {
            return self.rendered(&sources.render);
        }
        sources.paths.iter().flat_map(|path| self.path(path)).collect()
    }

    fn path(&self, path: &Path) -> Vec<Resource> {
        if path == Path::new(STDIN) {
            let mut bytes = Vec::new();
            return match io::stdin().read_to_end(&mut bytes).and_then(|_| text_of(bytes)) {
                Ok(text) => self.written(Manifest { file: "standard input".into(), text }, None),
                Err(error) => self.fail(Error::of_file("standard input", error.to_string(), "write UTF-8 text to it")),
            };
        }
        let path = self.located(path);
        match fs::metadata(&path) {
            Ok(_) if kustomization_of(&path).is_none() && is_chart(&path) => self.chart(&path),
            Ok(metadata) if metadata.is_dir() => self.directory(&path),
            Ok(_) => match unrendered(&path) {
                Some((message, remedy)) => self.fail(Error::of_file(self.shown(&path), message, remedy)),
                None => self.files(&[path]),
            },
            Err(error) => self.fail(self.unreadable(&path, &error)),
        }
    }

    /// Where a path leads; the file of a kustomization or chart stands for its directory.
    fn located(&self, path: &Path) -> PathBuf {
        let path = self.root.join(path);
        match path.parent() {
            Some(dir) if kustomization_of(dir).as_ref() == Some(&path) || path.ends_with(chart::CHART) => {
                dir.to_owned()
            }
            _ => path,
        }
    }

    fn directory(&self, dir: &Path) -> Vec<Resource> {
        if kustomization_of(dir).is_some() {
            return self.kustomized(dir, None);
        }
        match yaml_files(dir) {
            Ok(files) if files.is_empty() => self.fail(self.empty(dir)),
            Ok(files) => self.files(&files),
            Err(error) => self.fail(self.unreadable(dir, &error)),
        }
    }

    fn chart(&self, path: &Path) -> Vec<Resource> {
        let shown = match path == self.root.join("") {
            true => PathBuf::new(),
            false => self.shown(path),
        };
        let named = if shown.as_os_str().is_empty() { Path::new(".") } else { &shown };
        match chart::render(path, named, self.root) {
            Ok(text) => self.written(Manifest { file: shown.clone(), text }, Some(&shown)),
            Err(error) => self.fail(error),
        }
    }

    /// Builds a kustomization, by itself or with the tool of that name where it does more than is known here.
    fn kustomized(&self, dir: &Path, base: Option<Base>) -> Vec<Resource> {
        let is_overlay = base.is_some();
        let is_stacked = base.as_ref().is_some_and(|base| base.is_changed);
        let build = kustomize::build(dir, self.root, base);
        if build.beyond.errors.is_empty() {
            self.faults.append(build.faults);
            return build.resources;
        }
        let tool = match (is_stacked, is_overlay && kustomize::names_no_base(dir)) {
            (true, _) => Err("kustomize can build only one overlay: make one refer to the other".to_owned()),
            (_, true) => {
                Err("kustomize needs to know what the overlay builds on: name it under `resources`".to_owned())
            }
            (false, false) => command::kustomize(dir, build.beyond.has_charts),
        };
        match tool {
            Ok(command) => self.rendered(&command),
            Err(remedy) => {
                for beyond in build.beyond.errors {
                    self.faults.push(Error { remedy: remedy.clone(), ..beyond });
                }
                // What the tool would refuse too; of other faults what is missing may be the cause.
                let is_certain = |error: &Error| {
                    matches!(
                        error.kind,
                        ErrorKind::File | ErrorKind::Syntax | ErrorKind::Type | ErrorKind::UnknownField
                    )
                };
                build.faults.retain(is_certain);
                self.faults.append(build.faults);
                Vec::new()
            }
        }
    }

    fn overlay(&self, dir: &Path, sources: &Sources, resources: Vec<Resource>) -> Vec<Resource> {
        // As everywhere on a command line, the path starts where the program was called.
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        match fs::metadata(&dir) {
            Ok(metadata) if metadata.is_dir() && kustomization_of(&dir).is_some() => {
                let is_changed = resources.iter().any(Resource::is_overlaid);
                let dirs = sources.paths.iter().filter_map(|path| fs::canonicalize(self.located(path)).ok()).collect();
                self.kustomized(&dir, Some(Base { dirs, resources, is_changed }))
            }
            Ok(metadata) => {
                let files = if metadata.is_dir() { yaml_files(&dir) } else { Ok(vec![dir.clone()]) };
                let files = match files {
                    Ok(files) if files.is_empty() => return self.fail(self.empty(&dir)),
                    Ok(files) => files,
                    Err(error) => return self.fail(self.unreadable(&dir, &error)),
                };
                let manifests = files.iter().filter_map(|file| self.file(file)).collect();
                let mut objects = Objects::of(kustomize::finished(resources), Faults::default(), Vec::new());
                objects.patch(&Overlay { label: self.shown(&dir).display().to_string(), manifests });
                self.taken(objects)
            }
            Err(error) => self.fail(self.unreadable(&dir, &error)),
        }
    }

    fn files(&self, files: &[PathBuf]) -> Vec<Resource> {
        let manifests: Vec<Manifest> = files.iter().filter_map(|file| self.file(file)).collect();
        self.taken(Objects::read(&manifests))
    }

    fn file(&self, path: &Path) -> Option<Manifest> {
        let text = self.faults.keep(read_text(path).map_err(|error| self.unreadable(path, &error)))?;
        Some(Manifest { file: self.shown(path), text })
    }

    fn rendered(&self, command: &[String]) -> Vec<Resource> {
        match command::output(command, self.root) {
            Ok(text) => self.written(Manifest { file: command::shown(command).into(), text }, None),
            Err(error) => self.fail(error),
        }
    }

    /// The objects of what a program wrote. Those that helm wrote stand in the templates of the chart.
    fn written(&self, manifest: Manifest, chart: Option<&Path>) -> Vec<Resource> {
        let templates = helm::templates(&manifest.text, chart);
        self.taken(Objects::read_templates(&manifest, &templates))
    }

    fn taken(&self, objects: Objects) -> Vec<Resource> {
        let Objects { objects, faults, notes } = objects;
        self.faults.append(faults);
        self.notes.borrow_mut().extend(notes);
        objects.into_iter().map(Resource::new).collect()
    }

    fn fail(&self, error: Error) -> Vec<Resource> {
        self.faults.push(error);
        Vec::new()
    }

    /// A path as people name it, which is also the same on every machine: snapshots need that.
    fn shown(&self, path: &Path) -> PathBuf {
        kustomize::shown(path, self.root)
    }

    fn unreadable(&self, path: &Path, error: &io::Error) -> Error {
        let (message, remedy) = match error.kind() {
            io::ErrorKind::NotFound if path.is_symlink() => {
                ("the link leads to no file".to_owned(), "correct it, or remove it")
            }
            io::ErrorKind::NotFound => ("there is no such file or directory".to_owned(), "check the path"),
            _ => (format!("cannot be read: {error}"), "check its permissions and that it is UTF-8 text"),
        };
        Error::of_file(self.shown(path), message, remedy)
    }

    fn empty(&self, dir: &Path) -> Error {
        let below = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let is_hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let mut below: Vec<String> = below
            .filter(|path| !is_hidden(path) && path.is_dir() && yaml_files(path).is_ok_and(|files| !files.is_empty()))
            .map(|path| self.shown(&path).display().to_string())
            .collect();
        below.sort();
        let mut own = fs::read_dir(dir).into_iter().flatten().flatten();
        let remedy = match (own.find_map(|entry| unrendered(&entry.path())), below.is_empty()) {
            (Some((_, remedy)), _) => remedy,
            (None, true) => "put the manifests there, or name another directory".to_owned(),
            (None, false) => format!("name the directories below it that have some: {}", below.join(", ")),
        };
        Error::of_file(self.shown(dir), "no *.yaml, *.yml or *.json file is in it", remedy)
    }
}

/// What is said of a file from which a program makes manifests, and the remedy; none of other files.
fn unrendered(path: &Path) -> Option<(String, String)> {
    let extension = path.extension()?;
    let (_, language, command) = LANGUAGES.iter().find(|(end, ..)| extension == *end)?;
    let remedy =
        format!("set `render` in .config/e2e.toml to the command that makes manifests from it, such as `{command}`");
    Some((format!("it is {language}, not a manifest"), remedy))
}

/// The text of a file.
fn read_text(path: &Path) -> io::Result<String> {
    text_of(fs::read(path)?)
}

/// Bytes as text: UTF-8, or UTF-16 with its byte order mark, as Windows PowerShell writes with `>`.
fn text_of(bytes: Vec<u8>) -> io::Result<String> {
    let unit: fn([u8; 2]) -> u16 = match bytes.get(..2) {
        Some([0xff, 0xfe]) => u16::from_le_bytes,
        Some([0xfe, 0xff]) => u16::from_be_bytes,
        _ => return String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)),
    };
    let (pairs, rest) = bytes.as_chunks::<2>();
    match String::from_utf16(&pairs[1..].iter().map(|pair| unit(*pair)).collect::<Vec<_>>()) {
        Ok(text) if rest.is_empty() => Ok(text),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it starts with the byte order mark of UTF-16 and is not valid UTF-16",
        )),
    }
}

/// The files of a directory that hold manifests, by name, without those below it.
///
/// # Errors
///
/// When the directory cannot be read.
pub fn yaml_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let is_yaml = path.extension().is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known));
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        // A link that leads nowhere stands for a manifest that is missing.
        if is_yaml && !is_hidden && (path.is_file() || path.is_symlink() && !path.exists()) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
pub(crate) mod tests;
