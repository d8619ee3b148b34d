//! What a file is, as far as its name and objects tell. Main functions: [`has_workloads`], [`kustomization`].

use std::{
    fs,
    path::{Path, PathBuf},
};

use e2e_plan::manifests::{Head, heads};

/// Kinds by which a file is told from other YAML and JSON.
const WORKLOADS: [&str; 8] =
    ["CronJob", "DaemonSet", "Deployment", "Job", "Pod", "ReplicaSet", "ReplicationController", "StatefulSet"];

/// Whether a file has a workload.
pub(super) fn has_workloads(path: &Path) -> bool {
    is_read(path) && !workloads(path).is_empty()
}

/// The workloads of a file.
pub(super) fn workloads(path: &Path) -> Vec<Head> {
    heads(path).into_iter().filter(is_workload).collect()
}

pub(super) fn is_workload(head: &Head) -> bool {
    head.is_own() && WORKLOADS.contains(&head.kind.as_str())
}

/// Whether a file is one of those of a directory that are read.
pub(super) fn is_read(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    matches!(extension, Some("yaml" | "yml" | "json")) && !is_hidden && path.is_file()
}

/// The files of a directory that are read, by name; none where a kustomization or a chart names them itself.
pub(super) fn read_of(directory: &Path) -> Vec<PathBuf> {
    if kustomization(directory).is_some() || directory.join("Chart.yaml").exists() {
        return Vec::new();
    }
    let files = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = files.filter(|path| is_read(path)).collect();
    files.sort();
    files
}

/// The file of a directory that is a kustomization.
pub(super) fn kustomization(directory: &Path) -> Option<PathBuf> {
    let is_kustomization = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.to_lowercase().starts_with("kustomization"))
    };
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    files.map(|entry| entry.path()).find(is_kustomization)
}
