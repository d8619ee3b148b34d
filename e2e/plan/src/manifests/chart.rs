//! Charts of helm: which paths are one, what their templates make, and what to do where helm refuses. Main function: [`render`].

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use super::command;
use crate::{
    Error,
    node::Node,
    yaml::{Dialect, documents},
};

/// The file that makes a directory a chart.
pub(super) const CHART: &str = "Chart.yaml";
/// The file that says which versions of its dependencies a chart was made with.
const LOCK: &str = "Chart.lock";
/// What `helm package` writes.
const PACKAGE: &str = "tgz";
/// The longest name of a release.
const RELEASE_MAX: usize = 53;
/// The name of a release whose chart's name is none for a release.
const RELEASE: &str = "e2e";
/// The namespace of the release, which is the one of objects without a namespace.
const NAMESPACE: &str = "default";

/// Whether a path is a chart's directory, or a chart in one file.
pub(super) fn is_chart(path: &Path) -> bool {
    path.join(CHART).is_file() || path.extension() == Some(OsStr::new(PACKAGE)) && path.is_file()
}

/// The objects of a chart as helm writes them, with its hooks and definitions. `shown` is the path as people name it.
pub(super) fn render(path: &Path, shown: &Path, root: &Path) -> Result<String, Error> {
    if !is_installed("helm") {
        let message = "a chart is rendered by helm, which is not installed";
        let remedy = "install helm 3 or newer, or set `render` to a command that writes the manifests";
        return Err(Error::of_file(shown, message, remedy));
    }
    let named = match path.strip_prefix(root) {
        Ok(below) if below.as_os_str().is_empty() => Path::new("."),
        Ok(below) => below,
        Err(_) => path,
    };
    let named = named.display().to_string();
    let run = |arguments: &[&str]| {
        let command: Vec<String> = ["helm"].iter().chain(arguments).map(|&part| part.to_owned()).collect();
        command::run(&command, root)
    };
    let failed = |reason: String, remedy: Option<String>| {
        let remedy = remedy.unwrap_or_else(|| "correct the chart".to_owned());
        Error::of_file(shown, format!("helm refuses the chart: {reason}"), remedy)
    };
    let described = run(&["show", "chart", &named])?.map_err(|reason| failed(reason, None))?;
    let release = release(&described);
    let arguments = ["template", &release, &named, "--namespace", NAMESPACE, "--include-crds"];
    run(&arguments)?.map_err(|reason| {
        let known = remedy(&reason, Some((&named, path.join(LOCK).is_file())));
        let (what, flag) = match reason.contains("requires kubeVersion") {
            true => ("the cluster's version", ["--kube-version", "VERSION"]),
            false => ("the values that it wants", ["--values", "FILE"]),
        };
        let given: Vec<&str> = ["helm"].iter().chain(&arguments).chain(&flag).copied().collect();
        let more = || format!("correct the chart, or give it {what}: `render = {given:?}`");
        failed(reason, Some(known.unwrap_or_else(more)))
    })
}

/// What to do about a refusal of helm's, where more is known than it says. `chart` is the chart's path, and whether it has a lock file.
pub(super) fn remedy(reason: &str, chart: Option<(&str, bool)>) -> Option<String> {
    let named = chart.map_or("CHART", |(named, _)| named);
    if reason.contains("missing in charts/ directory") {
        // What helm proposes, `helm dependency build`, first wants to know each repository by a name where there is a lock file.
        let locked = format!(
            ", or, for the versions of {LOCK}, `helm repo add` their repositories and run `helm dependency build {named}`"
        );
        let locked = if chart.is_none_or(|(_, is_locked)| is_locked) { locked } else { String::new() };
        return Some(format!("run `helm dependency update {named}`{locked}"));
    }
    let is_library = reason.contains("library charts are not installable");
    is_library.then(|| "name a chart that uses this one".to_owned())
}

/// The name of a release of a chart: the chart's own, where releases may have it.
fn release(description: &str) -> String {
    let read = documents(Path::new(CHART), description, Dialect::Kubectl);
    let name = read.nodes.first().and_then(|node| node.get("name")).and_then(Node::text).unwrap_or_default();
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_label = |label: &str| {
        !label.is_empty() && label.chars().all(is_inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    match name.len() <= RELEASE_MAX && is_label(name) {
        true => name.to_owned(),
        false => RELEASE.to_owned(),
    }
}

fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// The templates of what helm wrote: the line at which each one's document begins, and its file. `chart` stands for the chart's name.
pub(super) fn templates(text: &str, chart: Option<&Path>) -> Vec<(usize, PathBuf)> {
    let mut templates = Vec::new();
    let mut before = "";
    for (number, line) in text.lines().enumerate() {
        if let Some(template) = line.strip_prefix("# Source: ").filter(|_| before == "---") {
            let file = match (chart, template.split_once('/')) {
                (Some(chart), Some((_, below))) => chart.join(below),
                _ => PathBuf::from(template),
            };
            templates.push((number + 1, file));
        }
        before = line;
    }
    templates
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::a_name("name: shop\n", "shop")]
    #[case::no_label("name: my_shop\n", "e2e")]
    #[case::capitals("name: Shop\n", "e2e")]
    #[case::none("version: 1\n", "e2e")]
    fn releases(#[case] description: &str, #[case] expected: &str) {
        assert_eq!(release(description), expected);
        assert_eq!(release(&format!("name: {}\n", "a".repeat(54))), "e2e");
    }

    #[test]
    fn a_document_comes_from_the_template_that_helm_names_before_it() {
        let text = "---\n# Source: shop/templates/a.yaml\na: |\n  # Source: x\n---\n# Source: shop/charts/db/templates/b.yaml\nb: 1\n";
        let of = |chart: Option<&Path>| {
            templates(text, chart)
                .into_iter()
                .map(|(line, file)| format!("{line} {}", file.display()))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(None), ["2 shop/templates/a.yaml", "6 shop/charts/db/templates/b.yaml"]);
        assert_eq!(of(Some(Path::new("deploy"))), ["2 deploy/templates/a.yaml", "6 deploy/charts/db/templates/b.yaml"]);
    }
}
