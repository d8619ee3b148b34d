//! What a file is, as far as its name and text tell. Main functions: [`has_workloads`], [`is_manifest`], [`kustomization`].

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// Kinds by which a file is told from other YAML and JSON.
const WORKLOADS: [&str; 8] =
    ["CronJob", "DaemonSet", "Deployment", "Job", "Pod", "ReplicaSet", "ReplicationController", "StatefulSet"];

/// Whether a file has a workload.
pub(super) fn has_workloads(path: &Path) -> bool {
    let text = || fs::read_to_string(path).unwrap_or_default();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("yaml" | "yml") => has_workload(&text()),
        Some("json") => text().split("\n---").any(has_workload_in_json),
        _ => false,
    }
}

/// Whether a file is a kustomization's or a chart's own.
pub(super) fn names_its_files(name: &str) -> bool {
    is_kustomization(name) || name == "Chart.yaml"
}

fn is_kustomization(name: &str) -> bool {
    name.to_lowercase().starts_with("kustomization")
}

/// The file of a directory that is a kustomization.
pub(super) fn kustomization(directory: &Path) -> Option<PathBuf> {
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    files
        .map(|entry| entry.path())
        .find(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_kustomization))
}

/// Whether a text has the keys of an object, unlike a compose file or a chart's values.
pub(super) fn is_manifest(text: &str) -> bool {
    let has = |key: &str| {
        let in_yaml = |line: &str| {
            line.trim_start_matches('\u{feff}').strip_prefix(key).is_some_and(|rest| rest.starts_with(':'))
        };
        text.lines().any(in_yaml) || text.trim_start().starts_with(['{', '[']) && text.contains(&format!("\"{key}\""))
    };
    // A file of nothing but comments is passed over wherever it stands.
    let says_nothing = |line: &str| line.trim().is_empty() || line.starts_with('#') || line.trim_end() == "---";
    has("apiVersion") && has("kind") && (has("metadata") || has("items")) || text.lines().all(says_nothing)
}

/// Whether a document of YAML, or an item of a List, is a workload. Further inside, `kind` may be that of a reference.
fn has_workload(text: &str) -> bool {
    let kind = |line: &str| {
        let kind = line.strip_prefix("kind:")?.split(" #").next()?;
        Some(kind.trim().trim_matches(['"', '\'']).to_owned())
    };
    let is_workload = |line: &str| kind(line).is_some_and(|kind| WORKLOADS.contains(&kind.as_str()));
    let is_list = text.lines().any(|line| kind(line).as_deref() == Some("List"));
    text.lines().any(|line| is_workload(line) || is_list && is_workload(line.trim_start_matches([' ', '-'])))
}

fn has_workload_in_json(text: &str) -> bool {
    let is_workload = |object: &Value| object["kind"].as_str().is_some_and(|kind| WORKLOADS.contains(&kind));
    let objects = serde_json::Deserializer::from_str(text).into_iter::<Value>().map_while(Result::ok);
    objects.into_iter().any(|object| {
        is_workload(&object) || object["items"].as_array().is_some_and(|items| items.iter().any(is_workload))
    })
}
