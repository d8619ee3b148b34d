//! Which directories of manifests others build on, as overlays do on their base. Main function: [`top`].

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::manifests::kustomization;

/// The directory of several that is the system, and those that change it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Top {
    pub(super) directory: PathBuf,
    pub(super) overlays: Vec<PathBuf>,
}

/// The only directory that no other one builds on, or else the base of all that are left. If there is none, the directories to
/// choose from.
pub(super) fn top(root: &Path, directories: Vec<PathBuf>) -> Result<Top, Vec<PathBuf>> {
    let below = |directory: &Path| reached(root, &directories, directory);
    let used: BTreeSet<&PathBuf> = directories.iter().flat_map(|directory| below(directory)).collect();
    let tops: Vec<&PathBuf> = directories.iter().filter(|directory| !used.contains(directory)).collect();
    if let [only] = tops[..] {
        return Ok(Top { directory: only.clone(), overlays: Vec::new() });
    }
    let is_shared = |base: &&PathBuf| !tops.is_empty() && tops.iter().all(|top| below(top).contains(base));
    let shared: Vec<&PathBuf> = directories.iter().filter(is_shared).collect();
    let bases: Vec<&&PathBuf> =
        shared.iter().filter(|base| !shared.iter().any(|other| below(other).contains(*base))).collect();
    let tops: Vec<PathBuf> = tops.into_iter().cloned().collect();
    match bases[..] {
        [base] => Ok(Top { directory: (*base).clone(), overlays: tops }),
        _ => Err(if tops.is_empty() { directories } else { tops }),
    }
}

/// The directories that the kustomization of another one names, itself or through others: bases, components, and those of its files.
fn reached<'a>(root: &Path, directories: &'a [PathBuf], from: &Path) -> BTreeSet<&'a PathBuf> {
    let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(directory) = open.pop() {
        let paths = named_paths(&root.join(directory));
        let is_named = |path: &Path| {
            let path = root.join(path).canonicalize().ok();
            path.is_some_and(|path| paths.contains(&path))
        };
        for named in directories.iter().filter(|other| *other != from && is_named(other)) {
            if seen.insert(named) {
                open.push(named);
            }
        }
    }
    seen
}

/// The directories that a kustomization names, and those of the files that it names.
fn named_paths(directory: &Path) -> BTreeSet<PathBuf> {
    let text = kustomization(directory).and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    // What cannot be read names nothing.
    let kustomization: Value = serde_saphyr::from_str(&text).unwrap_or_default();
    let mut texts = Vec::new();
    collect_texts(&kustomization, &mut texts);
    let named = texts.into_iter().filter_map(|text| directory.join(text).canonicalize().ok());
    named.filter_map(|path| if path.is_file() { path.parent().map(Path::to_owned) } else { Some(path) }).collect()
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

    /// Kustomizations, each with what it names, and the one that is the system with its overlays.
    #[rstest]
    #[case::overlays_of_one_base(
        &[("base", "resources: [web.yaml]"), ("over/dev", "resources: [../../base]"), ("over/prod", "bases:\n- ../../base/")],
        Ok(("base", &["over/dev", "over/prod"][..]))
    )]
    #[case::one_that_joins_the_others(
        &[("all", "resources: [../db, ../web]"), ("db", "resources: []"), ("web", "resources: []")],
        Ok(("all", NONE))
    )]
    #[case::one_overlay(&[("base", ""), ("dev", "resources:\n  - ../base")], Ok(("dev", NONE)))]
    #[case::layers(
        &[("a", ""), ("b", "resources: [../a]"), ("c", "resources: [../b]"), ("d", "resources: [../b]\ncomponents: [../e]"), ("e", "")],
        Ok(("b", &["c", "d"][..]))
    )]
    #[case::its_own_patches(
        &[("base", ""), ("base/patches", ""), ("dev", "resources: [../base]\npatches: [{path: ../base/patches/web.yaml}]")],
        Ok(("dev", NONE))
    )]
    #[case::strangers(&[("shop", ""), ("other", "resources: [../gone]")], Err(&["shop", "other"][..]))]
    #[case::two_bases(
        &[("a", ""), ("b", ""), ("c", "resources: [../a, ../b]"), ("d", "resources: [../a, ../b]")],
        Err(&["c", "d"][..])
    )]
    #[case::a_circle(&[("a", "resources: [../b]"), ("b", "resources: [../a]")], Err(&["a", "b"][..]))]
    fn what_others_build_on(
        #[case] kustomizations: &[(&str, &str)],
        #[case] expected: Result<(&str, &[&str]), &[&str]>,
    ) {
        let project = project(&[("base/patches/web.yaml", "")]);
        for (directory, text) in kustomizations {
            super::super::tests::write(project.path(), &format!("{directory}/kustomization.yaml"), text);
        }
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        let directories = kustomizations.iter().map(|(directory, _)| PathBuf::from(directory)).collect();
        let expected = match expected {
            Ok((directory, overlays)) => Ok(Top { directory: directory.into(), overlays: paths(overlays) }),
            Err(choice) => Err(paths(choice)),
        };
        assert_eq!(top(project.path(), directories), expected);
    }
}
