//! Where a project's manifests are. Main function: [`find`].

use std::{
    fs,
    path::{Path, PathBuf},
};

use e2e_run::config::MANIFESTS;
use serde_json::Value;

use super::bases::{self, Top};
use crate::failure::BadInput;

/// Deeper than this lie the fixtures of tests.
const MAX_DEPTH: usize = 4;
/// More than these help nobody to choose.
const MAX_SHOWN: usize = 8;
/// Kinds by which a file is told from other YAML and JSON.
const WORKLOADS: [&str; 8] =
    ["CronJob", "DaemonSet", "Deployment", "Job", "Pod", "ReplicaSet", "ReplicationController", "StatefulSet"];

/// Where manifests are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// A directory, or the files of it that are manifests.
    pub(super) paths: Vec<String>,
    /// The other files, which `kubectl apply -f DIRECTORY` would refuse.
    pub(super) others: Vec<String>,
    /// Kustomizations that build on the directory.
    pub(super) overlays: Vec<String>,
}

/// The first of the usual directories, or else the only one that has manifests, apart from what a kustomization builds on; if other
/// files stand beside them, the manifests alone.
pub(super) fn find(root: &Path) -> Result<Found, BadInput> {
    let Top { directory, overlays } = directory(root)?;
    let (mut paths, mut others) = sorted_out(root, &directory);
    if paths.is_empty() || others.is_empty() {
        (paths, others) = (vec![super::shown(&directory)], Vec::new());
    }
    Ok(Found { paths, others, overlays: overlays.iter().map(|overlay| super::shown(overlay)).collect() })
}

fn directory(root: &Path) -> Result<Top, BadInput> {
    if let Some(usual) = MANIFESTS.into_iter().find(|name| root.join(name).is_dir() && holds(&root.join(name))) {
        return Ok(Top { directory: usual.into(), overlays: Vec::new() });
    }
    let is_of_chart = |path: &Path| path.ancestors().skip(1).any(|above| root.join(above).join("Chart.yaml").is_file());
    let mut found = super::directories(root, MAX_DEPTH);
    found.retain(|directory| !is_of_chart(directory) && holds(&root.join(directory)));
    found.sort_by_key(|directory| (directory.components().count(), directory.clone()));
    if found.is_empty() {
        return Err(BadInput("no manifests are found; name their file or directory with --manifests".to_owned()));
    }
    bases::top(root, found).map_err(|choice| {
        let more = if choice.len() > MAX_SHOWN { ", ..." } else { "" };
        let shown: Vec<String> = choice.iter().take(MAX_SHOWN).map(|directory| super::shown(directory)).collect();
        BadInput(format!("several directories have manifests: {}{more}; name one with --manifests", shown.join(", ")))
    })
}

/// Whether a directory is a kustomization or a chart, or has a file with a workload.
fn holds(directory: &Path) -> bool {
    let files = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files = files.filter(|path| path.is_file());
    files.any(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let text = || fs::read_to_string(&path).unwrap_or_default();
        let has_workload = || match path.extension().and_then(|extension| extension.to_str()) {
            Some("yaml" | "yml") => has_workload(&text()),
            Some("json") => has_workload_in_json(&text()),
            _ => false,
        };
        names_its_files(name) || has_workload()
    })
}

/// The files of a directory that are manifests, and the others. A kustomization and a chart name theirs themselves.
fn sorted_out(root: &Path, directory: &Path) -> (Vec<String>, Vec<String>) {
    let files = fs::read_dir(root.join(directory)).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.is_file()).collect();
    files.sort();
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    if files.iter().any(|path| names_its_files(&name(path))) {
        return (Vec::new(), Vec::new());
    }
    let is_read = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("yaml" | "yml" | "json")) && !name(path).starts_with('.')
    };
    // Text in another encoding is left to the plan.
    let is_manifest = |path: &PathBuf| fs::read_to_string(path).map_or(true, |text| is_manifest(&text));
    let (manifests, others): (Vec<_>, Vec<_>) = files.into_iter().filter(is_read).partition(is_manifest);
    let place = if directory == Path::new(".") { Path::new("") } else { directory };
    let shown =
        |files: &[PathBuf]| -> Vec<String> { files.iter().map(|path| super::shown(&place.join(name(path)))).collect() };
    (shown(&manifests), shown(&others))
}

/// Whether a file is a kustomization's or a chart's own.
fn names_its_files(name: &str) -> bool {
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
fn is_manifest(text: &str) -> bool {
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

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{project, write},
        *,
    };

    #[test]
    fn the_usual_directory_the_only_one_or_a_choice() {
        let project = project(&[]);
        let add = |name: &str, text: &str| write(project.path(), name, text);
        let found = || {
            let found = directory(project.path()).map_err(|error| error.to_string());
            found.map(|top| crate::init::shown(&top.directory))
        };
        add("compose.yaml", "services: {}\n");
        add("node_modules/a/k8s/app.yaml", "kind: Deployment\n");
        add("deploy/README.md", "");
        assert_eq!(found(), Err("no manifests are found; name their file or directory with --manifests".to_owned()));
        add("deploy/kubernetes/app.yaml", "apiVersion: apps/v1\r\nkind: Deployment\r\n");
        assert_eq!(found(), Ok("deploy/kubernetes".to_owned()));
        add(
            "deploy/other/scale.yaml",
            "kind: HorizontalPodAutoscaler\nspec:\n  scaleTargetRef:\n    kind: Deployment\n",
        );
        add("deploy/other/package.json", "{\"kind\": \"library\", \"of\": {\"kind\": \"Job\"}}");
        assert_eq!(found(), Ok("deploy/kubernetes".to_owned()));
        add("chart/Chart.yaml", "");
        add("chart/templates/app.yaml", "kind: Deployment\n");
        let choice = "several directories have manifests: chart, deploy/kubernetes; name one with --manifests";
        assert_eq!(found(), Err(choice.to_owned()));
        add("k8s/kustomization.yaml", "resources: []\n");
        assert_eq!(found(), Ok("k8s".to_owned()));
    }

    #[rstest::rstest]
    #[case::job("job.yaml", "apiVersion: batch/v1\nkind: Job\nmetadata:\n")]
    #[case::in_quotes("web.yml", "apiVersion: apps/v1\nkind: \"ReplicaSet\" # two of them\nmetadata: {}\n")]
    #[case::in_a_list("all.yaml", "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n")]
    #[case::json(
        "web.json",
        "{\n  \"kind\" : \"ReplicationController\", \"apiVersion\": \"v1\", \"metadata\": {}\n}\n"
    )]
    #[case::in_a_list_of_json(
        "all.json",
        "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{\"kind\": \"CronJob\"}]}"
    )]
    fn each_way_to_write_a_workload(#[case] file: &str, #[case] text: &str) {
        let project = project(&[
            (&format!("shop/{file}"), text),
            ("shop/README.md", ""),
            ("shop/later.yaml", "---\n# nothing yet\n"),
        ]);
        let add = |name: &str, text: &str| write(project.path(), &format!("shop/{name}"), text);
        let found = || find(project.path()).map_err(|error| error.to_string());
        assert_eq!(found(), Ok(Found { paths: vec!["shop".to_owned()], others: Vec::new(), overlays: Vec::new() }));
        add("docker-compose.yml", "services: {web: {image: web}}\n");
        let mut paths = vec![format!("shop/{file}"), "shop/later.yaml".to_owned()];
        paths.sort();
        let others = vec!["shop/docker-compose.yml".to_owned()];
        assert_eq!(found(), Ok(Found { paths, others, overlays: Vec::new() }));
        add("kustomization.yaml", "resources: []\n");
        assert_eq!(found(), Ok(Found { paths: vec!["shop".to_owned()], others: Vec::new(), overlays: Vec::new() }));
    }
}
