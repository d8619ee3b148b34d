//! Which directories of manifests others build on, as overlays do on their base. Main function: [`tops`].

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::files::{has_workloads, kustomization};

/// A directory that may be the system, and the kustomizations that change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Top {
    pub(super) directory: PathBuf,
    pub(super) overlays: Vec<PathBuf>,
}

/// The directories that no other one builds on; those with a single base between them as the overlays of that base.
pub(super) fn tops(root: &Path, directories: &[PathBuf]) -> Vec<Top> {
    let reached: Vec<BTreeSet<&PathBuf>> =
        directories.iter().map(|directory| reached(root, directories, directory)).collect();
    let below = |directory: &PathBuf| {
        let index = directories.iter().position(|other| other == directory);
        index.map(|index| &reached[index]).into_iter().flatten().copied().collect::<BTreeSet<_>>()
    };
    let is_used = |directory: &&PathBuf| reached.iter().any(|below| below.contains(directory));
    let mut open: Vec<&PathBuf> = directories.iter().filter(|directory| !is_used(directory)).collect();
    let mut tops = Vec::new();
    while !open.is_empty() {
        let first = open.remove(0);
        let (related, others): (Vec<_>, Vec<_>) =
            open.into_iter().partition(|other| below(other).intersection(&below(first)).next().is_some());
        open = others;
        let group: Vec<&PathBuf> = std::iter::once(first).chain(related).collect();
        let shared = |base: &&PathBuf| group.iter().all(|top| below(top).contains(base));
        let shared: Vec<&PathBuf> = directories.iter().filter(shared).collect();
        let mut bases = shared.iter().filter(|base| !shared.iter().any(|other| below(other).contains(*base)));
        match (&group[..], bases.next(), bases.next()) {
            ([_, _, ..], Some(base), None) => {
                let overlays = group.into_iter().cloned().collect();
                tops.push(Top { directory: (*base).clone(), overlays });
            }
            _ => tops.extend(group.into_iter().map(|top| Top { directory: top.clone(), overlays: Vec::new() })),
        }
    }
    match tops.is_empty() {
        // They build on each other.
        true => directories.iter().map(|top| Top { directory: top.clone(), overlays: Vec::new() }).collect(),
        false => tops,
    }
}

/// The directories that the kustomization of another one names, itself or through others: bases, components, and those of its files.
pub(super) fn reached<'a>(root: &Path, directories: &'a [PathBuf], from: &Path) -> BTreeSet<&'a PathBuf> {
    let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(directory) = open.pop() {
        let paths = named_paths(&root.join(directory));
        let is_named = |path: &Path| root.join(path).canonicalize().is_ok_and(|path| paths.contains(&path));
        for named in directories.iter().filter(|other| *other != from && is_named(other)) {
            if seen.insert(named) {
                open.push(named);
            }
        }
    }
    seen
}

/// Whether a kustomization has a workload: of its own, of another directory, of a chart or of another place.
pub(super) fn builds_workloads(directory: &Path) -> bool {
    let Ok(directory) = directory.canonicalize() else { return false };
    let (mut seen, mut open) = (BTreeSet::from([directory.clone()]), vec![directory]);
    while let Some(directory) = open.pop() {
        let (named, is_whole) = sources(&directory);
        if !is_whole || named.iter().any(|path| has_workloads(path)) {
            return true;
        }
        open.extend(named.into_iter().filter(|path| path.is_dir() && seen.insert(path.clone())));
    }
    false
}

/// Whether a kustomization names a file or directory that is not there.
pub(super) fn is_broken(directory: &Path) -> bool {
    let kustomization = read(directory);
    let is_missing = |path: &&str| !is_elsewhere(path) && !directory.join(path).exists();
    resources(&kustomization).any(|path| is_missing(&path))
}

/// What a kustomization is made of, and whether that is all.
fn sources(directory: &Path) -> (Vec<PathBuf>, bool) {
    let kustomization = read(directory);
    let here = |path: &str| directory.join(path).canonicalize().ok();
    let named: Vec<PathBuf> = resources(&kustomization).filter_map(here).collect();
    let is_whole = !resources(&kustomization).any(is_elsewhere) && kustomization.get("helmCharts").is_none();
    (named, is_whole)
}

fn resources(kustomization: &Value) -> impl Iterator<Item = &str> {
    let lists = ["resources", "bases", "components"].into_iter().filter_map(|key| kustomization[key].as_array());
    lists.flatten().filter_map(Value::as_str)
}

/// Whether a resource comes from another place than this machine's files.
fn is_elsewhere(resource: &str) -> bool {
    resource.contains("://") || resource.contains("?ref=") || resource.starts_with("git@") || {
        let first = resource.split('/').next().unwrap_or_default();
        first.contains('.') && !first.starts_with('.') && resource.contains('/')
    }
}

/// The directories that a kustomization names, and those of the files that it names.
fn named_paths(directory: &Path) -> BTreeSet<PathBuf> {
    let kustomization = read(directory);
    let mut texts = Vec::new();
    collect_texts(&kustomization, &mut texts);
    let named = texts.into_iter().filter_map(|text| directory.join(text).canonicalize().ok());
    named.filter_map(|path| if path.is_file() { path.parent().map(Path::to_owned) } else { Some(path) }).collect()
}

/// A directory's kustomization; null where there is none that can be read.
fn read(directory: &Path) -> Value {
    let text = kustomization(directory).and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    serde_saphyr::from_str(&text).unwrap_or_default()
}

fn collect_texts<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.iter().for_each(|item| collect_texts(item, texts)),
        Value::Object(fields) => fields.values().for_each(|value| collect_texts(value, texts)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{super::tests::project, *};

    const NONE: &[&str] = &[];
    const WORKLOAD: &str = "apiVersion: apps/v1\nkind: Deployment\n";

    /// Kustomizations, each with what it names, and those that may be the system, each with its overlays.
    #[rstest]
    #[case::overlays_of_one_base(
        &[("base", "resources: [web.yaml]"), ("over/dev", "resources: [../../base]"), ("over/prod", "bases:\n- ../../base/")],
        &[("base", &["over/dev", "over/prod"][..])]
    )]
    #[case::one_that_joins_the_others(
        &[("all", "resources: [../db, ../web]"), ("db", "resources: []"), ("web", "resources: []")],
        &[("all", NONE)]
    )]
    #[case::one_overlay(&[("base", ""), ("dev", "resources:\n  - ../base")], &[("dev", NONE)])]
    #[case::layers(
        &[("a", ""), ("b", "resources: [../a]"), ("c", "resources: [../b]"), ("d", "resources: [../b]\ncomponents: [../e]"), ("e", "")],
        &[("b", &["c", "d"][..])]
    )]
    #[case::its_own_patches(
        &[("base", ""), ("base/patches", ""), ("dev", "resources: [../base]\npatches: [{path: ../base/patches/web.yaml}]")],
        &[("dev", NONE)]
    )]
    #[case::strangers(&[("shop", ""), ("other", "resources: [../gone]")], &[("shop", NONE), ("other", NONE)])]
    #[case::a_stranger_beside_a_base(
        &[("base", ""), ("dev", "resources: [../base]"), ("monitoring", ""), ("prod", "resources: [../base]")],
        &[("base", &["dev", "prod"][..]), ("monitoring", NONE)]
    )]
    #[case::two_bases(
        &[("a", ""), ("b", ""), ("c", "resources: [../a, ../b]"), ("d", "resources: [../a, ../b]")],
        &[("c", NONE), ("d", NONE)]
    )]
    #[case::a_circle(&[("a", "resources: [../b]"), ("b", "resources: [../a]")], &[("a", NONE), ("b", NONE)])]
    fn what_others_build_on(#[case] kustomizations: &[(&str, &str)], #[case] expected: &[(&str, &[&str])]) {
        let project = project(&[("base/patches/web.yaml", "")]);
        for (directory, text) in kustomizations {
            super::super::tests::write(project.path(), &format!("{directory}/kustomization.yaml"), text);
        }
        let directories: Vec<PathBuf> = kustomizations.iter().map(|(directory, _)| PathBuf::from(directory)).collect();
        let expected: Vec<Top> = expected
            .iter()
            .map(|(directory, overlays)| Top {
                directory: directory.into(),
                overlays: overlays.iter().map(PathBuf::from).collect(),
            })
            .collect();
        assert_eq!(tops(project.path(), &directories), expected);
    }

    #[rstest]
    #[case::its_own_file("resources: [web.yaml]", true)]
    #[case::of_another_directory("bases: [other]", true)]
    #[case::from_elsewhere("resources: ['https://example.org/web.yaml']", true)]
    #[case::of_a_repository("resources: ['github.com/owner/name/config?ref=v1']", true)]
    #[case::of_a_chart("helmCharts: [{name: web}]", true)]
    #[case::roles_alone("resources: [role.yaml]", false)]
    #[case::nothing("", false)]
    fn a_kustomization_with_something_to_run(#[case] text: &str, #[case] expected: bool) {
        let files = [("kustomization.yaml", text), ("web.yaml", WORKLOAD), ("role.yaml", "kind: Role\n")];
        let others = [("other/kustomization.yaml", "resources: [web.yaml]"), ("other/web.yaml", WORKLOAD)];
        let project = project(&[&files[..], &others[..]].concat());
        assert_eq!(builds_workloads(project.path()), expected);
    }

    #[test]
    fn a_kustomization_that_cannot_be_built() {
        let text = "resources: [web.yaml, '../config', 'https://example.org/x.yaml']";
        let project = project(&[("all/kustomization.yaml", text), ("all/web.yaml", WORKLOAD)]);
        assert!(is_broken(&project.path().join("all")));
        super::super::tests::write(project.path(), "config/role.yaml", "");
        assert!(!is_broken(&project.path().join("all")));
    }
}
