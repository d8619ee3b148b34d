//! What a file is, as far as its name and objects tell. Main functions: [`has_workloads`], [`read_of`].

use std::path::{Path, PathBuf};

use e2e_plan::manifests::{Head, heads, is_chart, kustomization_of, yaml_files};

/// Whether a file has a workload.
pub(super) fn has_workloads(path: &Path) -> bool {
    !workloads(path).is_empty()
}

/// The workloads of a file.
pub(super) fn workloads(path: &Path) -> Vec<Head> {
    heads(path).into_iter().filter(Head::is_workload).collect()
}

/// The files of a directory that are read, by name; none where a kustomization or a chart names them itself.
pub(super) fn read_of(directory: &Path) -> Vec<PathBuf> {
    match kustomization_of(directory).is_some() || is_chart(directory) {
        true => Vec::new(),
        false => yaml_files(directory).unwrap_or_default(),
    }
}
