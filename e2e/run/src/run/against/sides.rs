//! The two versions of a comparison, each ready to be run. Main function: [`sides`].

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use e2e_plan::manifests::Sources;
use e2e_report::{against::Version, run_dir};
use serde_json::json;

use super::AgainstOptions;
use crate::{
    git,
    image::cargo_target_directory,
    progress::Progress,
    run::{Error, Options, prepare},
};

/// A version, and how to run it.
pub(super) struct Runnable {
    pub(super) version: Version,
    pub(super) options: Options,
}

/// The directory of what comparisons need.
fn workshop(options: &Options) -> PathBuf {
    options.runs().join("against")
}

/// Keeps other comparisons away from the base's tree while this one uses it.
pub(super) fn lock(options: &Options) -> Result<fs::File, Error> {
    let path = workshop(options).join("lock");
    let failed = |error: std::io::Error| run_dir::Error::new("create", &path, error);
    fs::create_dir_all(workshop(options)).map_err(failed)?;
    let file = fs::File::create(&path).map_err(failed)?;
    file.try_lock().map_err(|_| Error::AgainstBusy { path })?;
    Ok(file)
}

/// Head, and base.
pub(super) fn sides(
    options: &Options,
    request: &AgainstOptions,
    progress: &Progress,
) -> Result<(Runnable, Runnable), Error> {
    let state = git::state(&options.root);
    let working_tree = Version {
        name: "working tree".to_owned(),
        commit: state.as_ref().map(|state| state.commit.clone()),
        dirty: state.is_some_and(|state| state.dirty),
        images: Vec::new(),
    };
    let mut base = match &request.reference {
        None => Runnable { version: working_tree.clone(), options: options.clone() },
        Some(name) => checked_out(options, name, progress)?,
    };
    // Its own scenarios play no part.
    base.options.scenarios.clear();
    base.version.images = request.images.iter().map(|(component, image)| format!("{component}={image}")).collect();
    if !request.images.is_empty() {
        let overlay = images_overlay(&base.options, &request.images, &workshop(options).join("images"))?;
        base.options.overlays.push(overlay);
    }
    Ok((Runnable { version: working_tree, options: options.clone() }, base))
}

/// The project at a branch, a tag or a commit.
pub(super) fn checked_out(options: &Options, name: &str, progress: &Progress) -> Result<Runnable, Error> {
    let commit = git::resolve(&options.root, name)?;
    progress.line(format!("base: {name}, commit {}", &commit[..12]));
    let root = git::check_out(&options.root, &commit, &workshop(options).join("tree"))?;
    keep_builds_apart(&options.root, &root)?;
    let version = Version { name: name.to_owned(), commit: Some(commit), ..Version::default() };
    Ok(Runnable { version, options: moved(options, root) })
}

/// The same options for the project at another root: paths below the old root mean those below the new one.
fn moved(options: &Options, root: PathBuf) -> Options {
    let there = |path: &PathBuf| {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        absolute.strip_prefix(&options.root).map(|path| root.join(path)).unwrap_or_else(|_| path.clone())
    };
    let manifests = options
        .manifests
        .as_ref()
        .map(|sources| Sources { paths: sources.paths.iter().map(there).collect(), ..sources.clone() });
    Options {
        config: options.config.as_ref().map(there),
        manifests,
        overlays: options.overlays.iter().map(there).collect(),
        runs: Some(options.runs()),
        root,
        ..options.clone()
    }
}

/// Refuses two trees that cargo would build into one directory. There it takes what it built of one tree for fresh in the other, since it
/// names packages by their paths within the workspace.
fn keep_builds_apart(one: &Path, other: &Path) -> Result<(), Error> {
    // A tree that cargo cannot read builds nothing, or its build says why.
    match (cargo_target_directory(one), cargo_target_directory(other)) {
        (Some(directory), Some(others)) if directory == others => Err(Error::SharedBuilds { directory }),
        _ => Ok(()),
    }
}

/// An overlay that gives components other images.
fn images_overlay(options: &Options, images: &BTreeMap<String, String>, directory: &Path) -> Result<PathBuf, Error> {
    let plan = prepare::plan(options)?;
    let mut patches = Vec::new();
    for (name, image) in images {
        let component = plan.require_component(name).map_err(Error::AgainstImage)?;
        let containers = &component.pod.containers;
        let own = containers.iter().find(|container| container.name == *name).or(containers.first());
        let container = own.map(|container| json!({ "name": container.name, "image": image }));
        patches.push(json!({
            "apiVersion": "apps/v1", "kind": component.kind, "metadata": { "name": name },
            "spec": { "template": { "spec": { "containers": container.as_slice() } } },
        }));
    }
    let file = directory.join("images.yaml");
    let text: Vec<String> = patches.iter().map(ToString::to_string).collect();
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(&file, text.join("\n---\n")))
        .map_err(|error| run_dir::Error::new("write", &file, error))?;
    Ok(directory.to_owned())
}
