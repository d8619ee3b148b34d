//! Which directories of manifests others build on, as overlays do on their base. Main function: [`tops`].

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use e2e_plan::{
    json::texts,
    manifests::{is_remote, kustomization_of},
};
use serde_json::Value;

use super::files::has_workloads;

/// The names of overlays that are meant for one machine.
const FOR_DEVELOPMENT: [&str; 3] = ["dev", "local", "development"];

/// A directory that may be the system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Top {
    pub(super) directory: PathBuf,
    /// The kustomizations that change it.
    pub(super) overlays: Vec<PathBuf>,
    /// The kustomizations that could stand in its place: each adds workloads to the base of all.
    pub(super) siblings: Vec<PathBuf>,
}

impl Top {
    fn alone(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), ..Self::default() }
    }

    /// Overlays with their base, or one of them where the base lacks what all of them add.
    fn of_overlays(root: &Path, base: &Path, mut overlays: Vec<PathBuf>) -> Self {
        let workloads = |directory: &Path| Workloads::of(&root.join(directory)).files;
        let own = workloads(base);
        if !overlays.iter().all(|overlay| workloads(overlay).difference(&own).next().is_some()) {
            return Self { directory: base.to_owned(), overlays, siblings: Vec::new() };
        }
        let is_named = |name: &&str| overlays.iter().position(|overlay| overlay.ends_with(name));
        let index = FOR_DEVELOPMENT.iter().find_map(is_named).unwrap_or_default();
        let directory = overlays.remove(index);
        Self { directory, overlays: Vec::new(), siblings: overlays }
    }
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
                tops.push(Top::of_overlays(root, base, group.into_iter().cloned().collect()));
            }
            _ => tops.extend(group.into_iter().map(|top| Top::alone(top))),
        }
    }
    match tops.is_empty() {
        // They build on each other.
        true => directories.iter().map(|top| Top::alone(top)).collect(),
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
    let Workloads { files, is_whole } = Workloads::of(directory);
    !is_whole || !files.is_empty()
}

/// What a kustomization builds of its own files and those of the directories that it names.
pub(super) struct Workloads {
    /// The files with workloads.
    pub(super) files: BTreeSet<PathBuf>,
    /// Whether nothing comes from a chart or another place.
    pub(super) is_whole: bool,
}

impl Workloads {
    pub(super) fn of(directory: &Path) -> Self {
        let mut found = Self { files: BTreeSet::new(), is_whole: true };
        let (mut seen, mut open) = (BTreeSet::new(), Vec::from_iter(directory.canonicalize()));
        while let Some(directory) = open.pop() {
            let (named, is_whole) = sources(&directory);
            found.is_whole &= is_whole;
            let (directories, files): (Vec<_>, Vec<_>) = named.into_iter().partition(|path| path.is_dir());
            found.files.extend(files.into_iter().filter(|file| has_workloads(file)));
            open.extend(directories.into_iter().filter(|directory| seen.insert(directory.clone())));
        }
        found
    }
}

/// Whether a kustomization names a file or directory that is not there.
pub(super) fn is_broken(directory: &Path) -> bool {
    let kustomization = read(directory);
    let is_missing = |path: &&str| !is_remote(path) && !directory.join(path).exists();
    resources(&kustomization).any(|path| is_missing(&path))
}

/// What a kustomization is made of, and whether that is all.
fn sources(directory: &Path) -> (Vec<PathBuf>, bool) {
    let kustomization = read(directory);
    let here = |path: &str| directory.join(path).canonicalize().ok();
    let named: Vec<PathBuf> = resources(&kustomization).filter_map(here).collect();
    let is_whole = !resources(&kustomization).any(is_remote) && kustomization.get("helmCharts").is_none();
    (named, is_whole)
}

fn resources(kustomization: &Value) -> impl Iterator<Item = &str> {
    let lists = ["resources", "bases", "components"].into_iter().filter_map(|key| kustomization[key].as_array());
    lists.flatten().filter_map(Value::as_str)
}

/// The directories that a kustomization names, and those of the files that it names.
fn named_paths(directory: &Path) -> BTreeSet<PathBuf> {
    let kustomization = read(directory);
    let named = texts(&kustomization).into_iter().filter_map(|text| directory.join(text).canonicalize().ok());
    named.filter_map(|path| if path.is_file() { path.parent().map(Path::to_owned) } else { Some(path) }).collect()
}

/// A directory's kustomization; null where there is none that can be read.
fn read(directory: &Path) -> Value {
    let text = kustomization_of(directory).and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    serde_saphyr::from_str(&text).unwrap_or_default()
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
                siblings: Vec::new(),
            })
            .collect();
        assert_eq!(tops(project.path(), &directories), expected);
    }

    /// A base without the application, and what each overlay adds to it.
    #[rstest]
    #[case::the_one_for_development(&["dev", "prod"], &["dev", "prod"], ("over/dev", &[][..], &["over/prod"][..]))]
    #[case::the_local_one(&["demo", "local"], &["demo", "local"], ("over/local", &[][..], &["over/demo"][..]))]
    #[case::the_first_one(&["eu", "us"], &["eu", "us"], ("over/eu", &[][..], &["over/us"][..]))]
    #[case::one_that_adds_nothing(&["dev", "prod"], &["dev"], ("base", &["over/dev", "over/prod"][..], &[][..]))]
    fn overlays_that_add_the_application(
        #[case] overlays: &[&str],
        #[case] adding: &[&str],
        #[case] expected: (&str, &[&str], &[&str]),
    ) {
        let project =
            project(&[("base/kustomization.yaml", "resources: [db.yaml]"), ("base/db.yaml", "kind: StatefulSet\n")]);
        let add = |name: &str, text: &str| super::super::tests::write(project.path(), name, text);
        for overlay in overlays {
            let resources = if adding.contains(overlay) { "[../../base, web.yaml]" } else { "[../../base]" };
            add(&format!("over/{overlay}/kustomization.yaml"), &format!("resources: {resources}"));
            add(&format!("over/{overlay}/web.yaml"), WORKLOAD);
        }
        let over = overlays.iter().map(|overlay| Path::new("over").join(overlay));
        let directories: Vec<PathBuf> = std::iter::once(PathBuf::from("base")).chain(over).collect();
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect();
        let (directory, overlays, siblings) = expected;
        let expected = Top { directory: directory.into(), overlays: paths(overlays), siblings: paths(siblings) };
        assert_eq!(tops(project.path(), &directories), [expected]);
    }

    #[rstest]
    #[case::its_own_file("resources: [web.yaml]", true)]
    #[case::of_another_directory("bases: [other]", true)]
    #[case::from_elsewhere("resources: ['https://example.org/web.yaml']", true)]
    #[case::of_a_repository("resources: ['github.com/owner/name/config?ref=v1']", true)]
    #[case::of_a_directory_with_a_dot("resources: [v1.2/base]", false)]
    #[case::of_a_chart("helmCharts: [{name: web}]", true)]
    #[case::roles_alone("resources: [role.yaml]", false)]
    #[case::nothing("", false)]
    fn a_kustomization_with_something_to_run(#[case] text: &str, #[case] expected: bool) {
        let files = [("kustomization.yaml", text), ("web.yaml", WORKLOAD), ("role.yaml", "kind: Role\n")];
        let editors = [("kustomization.yaml.orig", "resources: [web.yaml]")];
        let dotted =
            [("v1.2/base/kustomization.yaml", "resources: [role.yaml]"), ("v1.2/base/role.yaml", "kind: Role\n")];
        let others = [("other/kustomization.yaml", "resources: [web.yaml]"), ("other/web.yaml", WORKLOAD)];
        let project = project(&[&files[..], &others[..], &dotted[..], &editors[..]].concat());
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
