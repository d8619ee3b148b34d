//! The crates in `e2e/` and their dependencies, from `cargo metadata`. Main function: [`picture`]; the tests check the rules that
//! Cargo cannot: no dependency points back, and pure crates have no I/O dependencies.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use xshell::{Shell, cmd};

/// The crates from the bottom up, each with a one-line description. A crate may depend only on those above it in this list.
const FAMILY: [(&str, &str); 10] = [
    ("e2e-plan", "manifests become a plan"),
    ("e2e-kubelet", "what a kubelet decides and says"),
    ("e2e-figures", "what a load measured; statistics"),
    ("e2e-node", "what a kubelet does; the doctor"),
    ("e2e-load", "the load engine"),
    ("e2e-report", "evidence, findings, the report"),
    ("e2e", "what a suite imports"),
    ("e2e-run", "providers and the pipeline"),
    ("e2e-cli", "the verbs"),
    ("xtask", "the repository's chores"),
];

/// The relevant part of `cargo metadata`.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Debug, Deserialize)]
struct Kind {
    kind: Option<String>,
}

/// The dependencies of each package, with those of its tests if `tests` is set.
fn arrows(shell: &Shell, tests: bool) -> Result<BTreeMap<String, Vec<String>>> {
    // For this platform only: cargo would download dependencies of others.
    let rustc = cmd!(shell, "rustc -vV").quiet().read()?;
    let platform = rustc.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc -vV names no host")?;
    let json = cmd!(shell, "cargo metadata --format-version 1 --locked --filter-platform {platform}").quiet().read()?;
    let Metadata { packages, resolve } =
        serde_json::from_str(&json).context("cannot read what `cargo metadata` says")?;
    let name =
        |id: &str| packages.iter().find(|package| package.id == id).map_or(id, |package| &package.name).to_owned();
    let is_wanted = |kind: &Kind| match kind.kind.as_deref() {
        None => true,
        Some(kind) => tests && kind == "dev",
    };
    let wanted = |node: &Node| {
        let deps = node.deps.iter().filter(|dep| dep.dep_kinds.iter().any(is_wanted));
        deps.map(|dep| name(&dep.pkg)).collect()
    };
    Ok(resolve.nodes.iter().map(|node| (name(&node.id), wanted(node))).collect())
}

/// The crates as a Mermaid diagram, with an arrow for each direct dependency that no other one implies.
///
/// # Errors
///
/// When cargo fails, or a crate of the family is missing.
pub(crate) fn picture(shell: &Shell) -> Result<String> {
    let arrows = arrows(shell, false)?;
    let mut lines = vec!["flowchart BT".to_owned()];
    for (name, says) in FAMILY {
        ensure!(arrows.contains_key(name), "xtask/src/walls.rs names {name}, which is not a package");
        lines.push(format!("    {name}[\"<b>{name}</b><br>{says}\"]"));
    }
    for (name, _) in FAMILY {
        let family = |name: &str| arrows[name].iter().filter(|dep| FAMILY.iter().any(|(name, _)| name == dep));
        let is_implied = |dep: &String| family(name).any(|other| other != dep && reaches(&arrows, other, dep));
        lines.extend(family(name).filter(|dep| !is_implied(dep)).map(|dep| format!("    {name} --> {dep}")));
    }
    Ok(lines.join("\n"))
}

fn reaches(arrows: &BTreeMap<String, Vec<String>>, from: &str, to: &str) -> bool {
    path(arrows, from, to).is_some()
}

/// The packages on a path from one to another, including both.
fn path(arrows: &BTreeMap<String, Vec<String>>, from: &str, to: &str) -> Option<Vec<String>> {
    let mut came_from: BTreeMap<&str, Option<&str>> = BTreeMap::from([(from, None)]);
    let mut waiting = vec![from];
    while let Some(at) = waiting.pop() {
        if at == to {
            let way = std::iter::successors(Some(at), |at| came_from[at]);
            return Some(way.map(str::to_owned).collect::<Vec<_>>().into_iter().rev().collect());
        }
        for next in arrows.get(at).into_iter().flatten() {
            if !came_from.contains_key(next.as_str()) {
                came_from.insert(next, Some(at));
                waiting.push(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn asked(tests: bool) -> BTreeMap<String, Vec<String>> {
        let shell = Shell::new().expect("a shell");
        shell.change_dir(crate::root());
        arrows(&shell, tests).expect("cargo metadata")
    }

    #[test]
    fn no_arrow_runs_back() {
        let arrows = asked(false);
        let order = |name: &str| FAMILY.iter().position(|(crate_name, _)| *crate_name == name);
        let back: Vec<String> = FAMILY
            .iter()
            .flat_map(|(name, _)| arrows[*name].iter().map(move |dep| (*name, dep)))
            .filter(|(name, dep)| order(dep) > order(name))
            .map(|(name, dep)| format!("{name} -> {dep}"))
            .collect();
        assert!(back.is_empty(), "arrows that run back: {back:?}");
        let unknown: Vec<&String> =
            arrows.keys().filter(|name| name.starts_with("e2e") && order(name).is_none()).collect();
        assert!(unknown.is_empty(), "not in FAMILY: {unknown:?}");
    }

    /// The crates' forbidden dependencies.
    #[rstest::rstest]
    #[case::the_plan_is_pure("e2e-plan", false, &["tokio", "kube", "bollard", "reqwest", "testcontainers"])]
    #[case::the_kubelet_is_pure("e2e-kubelet", false, &["tokio", "kube", "bollard", "reqwest", "testcontainers"])]
    #[case::the_figures_are_pure("e2e-figures", false, &["tokio", "kube", "bollard", "reqwest", "testcontainers"])]
    #[case::the_report_is_pure("e2e-report", false, &["tokio", "kube", "bollard", "reqwest", "testcontainers"])]
    #[case::a_suite_has_no_clients("e2e", true, &["kube", "bollard", "testcontainers"])]
    #[case::the_load_engine_is_small("e2e-load", false, &["kube", "bollard", "reqwest", "testcontainers", "e2e-plan"])]
    fn a_crate_does_without(#[case] name: &str, #[case] tests: bool, #[case] without: &[&str]) {
        let arrows = asked(false);
        let with_tests = asked(true);
        let mut graph = arrows;
        if tests {
            graph.insert(name.to_owned(), with_tests[name].clone());
        }
        let found: Vec<String> =
            without.iter().filter_map(|target| path(&graph, name, target)).map(|way| way.join(" -> ")).collect();
        assert!(found.is_empty(), "{found:?}");
    }

    /// A feature that only a test's dependency asks for would have cargo build a crate, and all above it, twice.
    #[test]
    fn tests_add_no_features() {
        let shell = Shell::new().expect("a shell");
        shell.change_dir(crate::root());
        let features = |edges: &str| -> BTreeSet<String> {
            let form = "{p} {f}";
            let tree = cmd!(shell, "cargo tree --locked --workspace --prefix none --format {form} --edges {edges}");
            let tree = tree.quiet().read().expect("cargo tree");
            // What stands below is not repeated.
            tree.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
        };
        let with_tests = features("normal,build,dev");
        let built_again: Vec<_> = features("normal,build").into_iter().filter(|it| !with_tests.contains(it)).collect();
        assert!(built_again.is_empty(), "tests have other features of: {built_again:#?}");
    }

    #[test]
    fn a_way_is_found_where_there_is_one() {
        let arrow = |from: &str, to: &[&str]| (from.to_owned(), to.iter().map(|to| (*to).to_owned()).collect());
        let arrows = BTreeMap::from([arrow("a", &["b", "c"]), arrow("b", &["d"]), arrow("c", &[])]);
        assert_eq!(path(&arrows, "a", "d"), Some(["a", "b", "d"].map(str::to_owned).to_vec()));
        assert_eq!(path(&arrows, "c", "d"), None);
    }
}
