//! Directories of manifests and overlays, read into what a plan is made from. A `kustomization.yaml` is honoured, so that
//! `kubectl apply -k` means the same for the same directory. Main functions: [`read_dir`], [`read_overlay`].

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{Manifest, Overlay, Part, PartRole};

/// The names under which kustomize looks for its file.
const KUSTOMIZATION_NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Why a directory gives no manifests. Every message names the path and a remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing at the path.
    #[error("{}: there is no such file or directory; check the path", path.display())]
    Missing {
        /// What was looked for.
        path: PathBuf,
    },
    /// The path is a file where a directory is wanted.
    #[error("{}: this is a file; name the directory that holds it", path.display())]
    NotADirectory {
        /// The file.
        path: PathBuf,
    },
    /// A file or directory cannot be read.
    #[error("{}: cannot be read: {source}; check its permissions and that it is UTF-8 text", path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A directory holds no YAML.
    #[error("{}: no *.yaml file is in it; put the manifests there, or name another directory", path.display())]
    Empty {
        /// The directory.
        path: PathBuf,
    },
    /// A kustomization says something that is not supported.
    #[error("{}{}: {message}; {remedy}", path.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
    Kustomization {
        /// The kustomization.
        path: PathBuf,
        /// The line, from 1.
        line: Option<u64>,
        /// What is wrong.
        message: String,
        /// What to do.
        remedy: String,
    },
}

/// The manifests of a directory: the files under its kustomization's `resources`, or else every `*.yaml` by name.
///
/// # Errors
/// The directory does not exist, cannot be read or holds no YAML, or its kustomization does more than list resources.
pub fn read_dir(dir: &Path) -> Result<Vec<Manifest>, Error> {
    base(dir, &mut Vec::new())
}

/// An overlay: the patches and new files of a directory's kustomization, or else every `*.yaml` by name, each a patch of an
/// object that exists or a new object. A directory under `resources` is what the overlay stands on: when it has patches of
/// its own, these come first.
///
/// # Errors
/// As for [`read_dir`].
pub fn read_overlay(dir: &Path) -> Result<Overlay, Error> {
    let parts = overlay(dir, true, &mut Vec::new())?;
    Ok(Overlay { label: dir.display().to_string(), parts })
}

fn base(dir: &Path, parents: &mut Vec<PathBuf>) -> Result<Vec<Manifest>, Error> {
    let Some(kustomization) = Kustomization::of(dir, parents)? else { return yaml_files(dir) };
    if !kustomization.patches.is_empty() {
        let remedy = "name the directory of the manifests as manifests, and this one as an overlay";
        return Err(kustomization.fail("`patches` change other manifests", remedy));
    }
    let mut manifests = Vec::new();
    for path in &kustomization.resources {
        if path.is_dir() {
            manifests.extend(base(path, parents)?);
        } else {
            manifests.push(read_file(path)?);
        }
    }
    parents.pop();
    if manifests.is_empty() { Err(Error::Empty { path: dir.to_path_buf() }) } else { Ok(manifests) }
}

/// The parts of an overlay (`is_top`), or those of what it stands on: there, only patches are changes, and everything else
/// is the manifests themselves.
fn overlay(dir: &Path, is_top: bool, parents: &mut Vec<PathBuf>) -> Result<Vec<Part>, Error> {
    let kustomization = match Kustomization::of(dir, parents)? {
        Some(kustomization) => kustomization,
        None if !is_top => return Ok(Vec::new()),
        None => {
            let part = |manifest| Part { role: PartRole::Either, manifest };
            return yaml_files(dir).map(|files| files.into_iter().map(part).collect());
        }
    };
    let is_overlay = is_top || !kustomization.patches.is_empty();
    let mut parts = Vec::new();
    for path in &kustomization.resources {
        if path.is_dir() {
            parts.extend(overlay(path, false, parents)?);
        } else if is_overlay {
            parts.push(Part { role: PartRole::Resource, manifest: read_file(path)? });
        }
    }
    let patch = |manifest| Part { role: PartRole::Patch, manifest };
    parts.extend(kustomization.patches.into_iter().map(patch));
    parents.pop();
    if parts.is_empty() && is_top { Err(Error::Empty { path: dir.to_path_buf() }) } else { Ok(parts) }
}

/// What is honoured of a kustomization, its paths resolved.
struct Kustomization {
    path: PathBuf,
    /// Files and directories that exist.
    resources: Vec<PathBuf>,
    patches: Vec<Manifest>,
}

/// A kustomization as written. Another key is an error.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct KustomizationFile {
    api_version: Option<String>,
    kind: Option<String>,
    resources: Option<Vec<String>>,
    patches: Option<Vec<Patch>>,
    patches_strategic_merge: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    path: Option<String>,
    patch: Option<String>,
}

impl Kustomization {
    /// The kustomization of a directory, which becomes the last of the parents. None if it has none.
    fn of(dir: &Path, parents: &mut Vec<PathBuf>) -> Result<Option<Self>, Error> {
        check_dir(dir)?;
        let mut paths = KUSTOMIZATION_NAMES.iter().map(|name| dir.join(name));
        let Some(path) = paths.find(|path| path.is_file()) else { return Ok(None) };
        let mut kustomization = Self { path: path.clone(), resources: Vec::new(), patches: Vec::new() };
        let real = fs::canonicalize(dir).map_err(|source| Error::Unreadable { path: dir.to_path_buf(), source })?;
        if parents.contains(&real) {
            return Err(kustomization
                .fail("the directory stands on itself", "remove it from the `resources` of one of the two"));
        }
        let file = kustomization.parse(&read_file(&path)?.text)?;
        for resource in file.resources.unwrap_or_default() {
            let resource = kustomization.resolve(dir, &resource)?;
            kustomization.resources.push(resource);
        }
        for (index, patch) in file.patches.unwrap_or_default().into_iter().enumerate() {
            let manifest = match (patch.path, patch.patch) {
                (Some(file), None) => read_file(&kustomization.resolve(dir, &file)?)?,
                (None, Some(text)) => kustomization.inline(index, text),
                _ => {
                    return Err(kustomization
                        .fail("a patch has not exactly one of `path` and `patch`", "write `- path: <file>`"));
                }
            };
            kustomization.patches.push(manifest);
        }
        for (index, patch) in file.patches_strategic_merge.unwrap_or_default().into_iter().enumerate() {
            // As in kustomize: a file's name or the patch itself.
            let manifest = if patch.contains('\n') {
                kustomization.inline(index, patch)
            } else {
                read_file(&kustomization.resolve(dir, &patch)?)?
            };
            kustomization.patches.push(manifest);
        }
        parents.push(real);
        Ok(Some(kustomization))
    }

    fn parse(&self, text: &str) -> Result<KustomizationFile, Error> {
        let file: KustomizationFile = serde_saphyr::from_str(text).map_err(|error| {
            let message = error.without_snippet().to_string();
            Error::Kustomization {
                path: self.path.clone(),
                line: error.location().map(|location| location.line()),
                message: message.split(" at line ").next().unwrap_or_default().to_owned(),
                remedy: "keep to resources and patches (strategic merge): other keys are kustomize's own".into(),
            }
        })?;
        let is_ours = file.api_version.as_deref().is_none_or(|version| version.starts_with("kustomize.config.k8s.io/"))
            && file.kind.as_deref().is_none_or(|kind| kind == "Kustomization");
        if is_ours {
            Ok(file)
        } else {
            let remedy = "write `kind: Kustomization` and `apiVersion: kustomize.config.k8s.io/v1beta1`, or neither";
            Err(self.fail("this is no Kustomization", remedy))
        }
    }

    fn resolve(&self, dir: &Path, name: &str) -> Result<PathBuf, Error> {
        if name.contains("://") || name.contains("?ref=") || name.starts_with("github.com/") {
            return Err(self.fail(&format!("`{name}` is not a file"), "copy it to this machine: nothing is fetched"));
        }
        let path = dir.join(name);
        if path.exists() {
            Ok(path)
        } else {
            Err(self.fail(&format!("`{name}` does not exist"), "correct the path, which starts at this directory"))
        }
    }

    fn inline(&self, index: usize, text: String) -> Manifest {
        Manifest { file: PathBuf::from(format!("{} (patch {})", self.path.display(), index + 1)), text }
    }

    fn fail(&self, message: &str, remedy: &str) -> Error {
        Error::Kustomization { path: self.path.clone(), line: None, message: message.into(), remedy: remedy.into() }
    }
}

fn check_dir(dir: &Path) -> Result<(), Error> {
    let path = dir.to_path_buf();
    match fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(Error::NotADirectory { path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::Missing { path }),
        Err(source) => Err(Error::Unreadable { path, source }),
    }
}

/// Every `*.yaml` and `*.yml` of a directory by name, without those below it.
fn yaml_files(dir: &Path) -> Result<Vec<Manifest>, Error> {
    let unreadable = |source| Error::Unreadable { path: dir.to_path_buf(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if is_yaml && !is_hidden && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(Error::Empty { path: dir.to_path_buf() });
    }
    paths.iter().map(|path| read_file(path)).collect()
}

fn read_file(path: &Path) -> Result<Manifest, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::Unreadable { path: path.to_path_buf(), source })?;
    Ok(Manifest { file: path.to_path_buf(), text })
}

#[cfg(test)]
mod tests;
