//! Where a project's manifests are. Main function: [`find`].

use std::{
    fs,
    path::{Path, PathBuf},
};

use e2e_run::config::MANIFESTS;

use super::{
    bases::{self, Top},
    files::{has_workloads, is_manifest, kustomization, names_its_files},
};
use crate::failure::BadInput;

/// Deeper than this lie the fixtures of tests.
const MAX_DEPTH: usize = 4;
/// More than these help nobody to choose.
const MAX_SHOWN: usize = 8;
/// Where manifests are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Directories, or the files of one that are manifests.
    pub(super) paths: Vec<String>,
    /// The other files, which `kubectl apply -f DIRECTORY` would refuse.
    pub(super) others: Vec<String>,
    /// Kustomizations that build on the directory.
    pub(super) overlays: Vec<String>,
    /// Other directories with workloads, which are no part of it.
    pub(super) elsewhere: Vec<String>,
}

/// The first of the usual directories, or else the only one that has workloads, apart from what a kustomization builds on.
pub(super) fn find(root: &Path) -> Result<Found, BadInput> {
    let directories = directories(root);
    let Top { directory, overlays } = choose(root, &directories)?;
    let part_of = |top: &PathBuf| bases::reached(root, &directories, top).into_iter().chain([top]).cloned().collect();
    let parts: Vec<PathBuf> = overlays.iter().chain([&directory]).flat_map(|top| -> Vec<_> { part_of(top) }).collect();
    let elsewhere = directories.iter().filter(|directory| !parts.contains(directory));
    Ok(Found {
        overlays: shown(&overlays),
        elsewhere: elsewhere.map(|directory| super::shown(directory)).collect(),
        ..named(root, &[super::shown(&directory)])
    })
}

/// The manifests at paths: if other files stand in a directory, its manifests alone.
pub(super) fn named(root: &Path, paths: &[String]) -> Found {
    let mut found = Found::default();
    for path in paths {
        let (manifests, others) = sorted_out(root, Path::new(path));
        if manifests.is_empty() || others.is_empty() {
            found.paths.push(path.clone());
        } else {
            found.paths.extend(manifests);
            found.others.extend(others);
        }
    }
    found
}

/// The directories that have workloads, those nearest to the root first. A chart's own files are no manifests.
fn directories(root: &Path) -> Vec<PathBuf> {
    let is_of_chart = |path: &Path| path.ancestors().skip(1).any(|above| root.join(above).join("Chart.yaml").is_file());
    let mut found = super::directories(root, MAX_DEPTH);
    found.retain(|directory| !is_of_chart(directory) && holds(&root.join(directory)));
    found.sort_by_key(|directory| (directory.components().count(), directory.clone()));
    found
}

fn choose(root: &Path, directories: &[PathBuf]) -> Result<Top, BadInput> {
    let is_usual = |name: &&str| directories.iter().any(|directory| directory == Path::new(name));
    if let Some(usual) = MANIFESTS.into_iter().find(is_usual) {
        return Ok(Top { directory: usual.into(), overlays: Vec::new() });
    }
    let mut tops = bases::tops(root, directories);
    if tops.iter().any(|top| !bases::is_broken(&root.join(&top.directory))) {
        tops.retain(|top| !bases::is_broken(&root.join(&top.directory)));
    }
    match &tops[..] {
        [only] => Ok(only.clone()),
        [] => Err(BadInput("no manifests are found; name their file or directory with --manifests".to_owned())),
        tops => {
            let more = if tops.len() > MAX_SHOWN { ", ..." } else { "" };
            let one = |Top { directory, overlays }: &Top| match &shown(overlays)[..] {
                [] => super::shown(directory),
                overlays => format!("{} (the base of {})", super::shown(directory), overlays.join(", ")),
            };
            let choice: Vec<String> = tops.iter().take(MAX_SHOWN).map(one).collect();
            Err(BadInput(format!(
                "several directories have manifests: {}{more}; name those that make up the system, each with --manifests",
                choice.join(", ")
            )))
        }
    }
}

/// Whether a directory is a chart or a kustomization that builds workloads, or has a file with one.
fn holds(directory: &Path) -> bool {
    if kustomization(directory).is_some() {
        return bases::builds_workloads(directory);
    }
    let mut files = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    files.any(|path| path.is_file() && (path.ends_with("Chart.yaml") || has_workloads(&path)))
}

fn shown(directories: &[PathBuf]) -> Vec<String> {
    directories.iter().map(|directory| super::shown(directory)).collect()
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
        let found = || find(project.path()).map_err(|error| error.to_string()).map(|found| found.paths.join(", "));
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
        let choice = "several directories have manifests: chart, deploy/kubernetes; name those that make up the system, each with \
                      --manifests";
        assert_eq!(found(), Err(choice.to_owned()));
        add("k8s/kustomization.yaml", "resources: [app.yaml]\n");
        assert_eq!(found(), Err(choice.to_owned()));
        add("k8s/app.yaml", "kind: Deployment\n");
        assert_eq!(found(), Ok("k8s".to_owned()));
        let elsewhere = find(project.path()).map(|found| found.elsewhere).map_err(|error| error.to_string());
        assert_eq!(elsewhere, Ok(vec!["chart".to_owned(), "deploy/kubernetes".to_owned()]));
    }

    #[rstest::rstest]
    #[case::job("job.yaml", "apiVersion: batch/v1\nkind: Job\nmetadata:\n")]
    #[case::in_quotes("web.yml", "apiVersion: apps/v1\nkind: \"ReplicaSet\" # two of them\nmetadata: {}\n")]
    #[case::in_a_list("all.yaml", "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n")]
    #[case::json(
        "web.json",
        "{\n  \"kind\" : \"ReplicationController\", \"apiVersion\": \"v1\", \"metadata\": {}\n}\n"
    )]
    #[case::behind_dashes(
        "web.json",
        "{\"kind\": \"Service\"}\n---\n{\"apiVersion\": \"v1\", \"metadata\": {}, \"kind\": \"Pod\"}\n"
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
        assert_eq!(found(), Ok(Found { paths: vec!["shop".to_owned()], ..Found::default() }));
        add("docker-compose.yml", "services: {web: {image: web}}\n");
        let mut paths = vec![format!("shop/{file}"), "shop/later.yaml".to_owned()];
        paths.sort();
        let others = vec!["shop/docker-compose.yml".to_owned()];
        assert_eq!(found(), Ok(Found { paths, others, ..Found::default() }));
        add("kustomization.yaml", &format!("resources: [{file}]\n"));
        assert_eq!(found(), Ok(Found { paths: vec!["shop".to_owned()], ..Found::default() }));
    }
}
