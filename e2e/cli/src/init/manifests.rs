//! Where a project's manifests are. Main function: [`find`].

use std::{
    fs,
    path::{Path, PathBuf},
};

use e2e_run::config::MANIFESTS;

use crate::failure::BadInput;

/// Deeper than this lie the fixtures of tests.
const MAX_DEPTH: usize = 4;
/// More than these help nobody to choose.
const MAX_SHOWN: usize = 8;
/// Lines by which a file is told from other YAML.
const WORKLOADS: [&str; 4] = ["kind: Deployment", "kind: StatefulSet", "kind: DaemonSet", "kind: Pod"];

/// The first of the usual directories, or else the only one that has manifests.
pub(super) fn find(root: &Path) -> Result<String, BadInput> {
    if let Some(usual) = MANIFESTS.into_iter().find(|name| root.join(name).is_dir() && holds(&root.join(name))) {
        return Ok(usual.to_owned());
    }
    let mut found = Vec::new();
    gather(root, Path::new(""), 0, &mut found);
    found.sort_by_key(|directory| (directory.components().count(), directory.clone()));
    let found: Vec<String> = found.iter().map(|directory| super::shown(directory)).collect();
    match &found[..] {
        [only] => Ok(only.clone()),
        [] => Err(BadInput("no manifests are found; name their file or directory with --manifests".to_owned())),
        _ => {
            let more = if found.len() > MAX_SHOWN { ", ..." } else { "" };
            let shown = found[..found.len().min(MAX_SHOWN)].join(", ");
            Err(BadInput(format!("several directories have manifests: {shown}{more}; name one with --manifests")))
        }
    }
}

/// Whether a directory is a kustomization or a chart, or has a file with a workload.
fn holds(directory: &Path) -> bool {
    let files = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files = files.filter(|path| path.is_file());
    files.any(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        let has_workload = || {
            let text = fs::read_to_string(&path).unwrap_or_default();
            text.lines().any(|line| WORKLOADS.contains(&line.trim_end()))
        };
        name.to_lowercase().starts_with("kustomization") || name == "Chart.yaml" || is_yaml && has_workload()
    })
}

fn gather(root: &Path, directory: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if holds(&root.join(directory)) {
        found.push(directory.to_owned());
    }
    let is_chart = root.join(directory).join("Chart.yaml").is_file();
    for entry in fs::read_dir(root.join(directory)).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let is_own = !name.starts_with('.') && !super::dockerfiles::MADE.contains(&name) && !is_chart;
        if depth < MAX_DEPTH && is_own && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            gather(root, &directory.join(name), depth + 1, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_directory_the_only_one_or_a_choice() {
        let project = tempfile::tempdir().expect("a directory");
        let add = |name: &str, text: &str| {
            let path = project.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, text).expect("a file");
        };
        let found = || find(project.path()).map_err(|error| error.to_string());
        add("compose.yaml", "services: {}\n");
        add("node_modules/a/k8s/app.yaml", "kind: Deployment\n");
        add("deploy/README.md", "");
        assert_eq!(found(), Err("no manifests are found; name their file or directory with --manifests".to_owned()));
        add("deploy/kubernetes/app.yaml", "apiVersion: apps/v1\r\nkind: Deployment\r\n");
        assert_eq!(found(), Ok("deploy/kubernetes".to_owned()));
        add("chart/Chart.yaml", "");
        add("chart/templates/app.yaml", "kind: Deployment\n");
        let choice = "several directories have manifests: chart, deploy/kubernetes; name one with --manifests";
        assert_eq!(found(), Err(choice.to_owned()));
        add("k8s/kustomization.yaml", "resources: []\n");
        assert_eq!(found(), Ok("k8s".to_owned()));
    }
}
