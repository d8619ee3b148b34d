//! Charts of helm: which paths are one, and what their templates make. Main function: [`render`].

use std::{ffi::OsStr, path::Path};

use super::{
    command,
    helm::{LOCK, remedy},
};
use crate::{
    Error,
    document::DEFAULT_NAMESPACE,
    forms::is_label,
    node::Node,
    programs,
    yaml::{Dialect, documents},
};

/// The file that makes a directory a chart.
pub(super) const CHART: &str = "Chart.yaml";
/// What `helm package` writes.
const PACKAGE: &str = "tgz";
/// The longest name of a release.
const RELEASE_MAX: usize = 53;
/// The name of a release whose chart's name is none for a release.
const RELEASE: &str = "e2e";

/// Whether a path is a chart's directory, or a chart in one file.
#[must_use]
pub fn is_chart(path: &Path) -> bool {
    path.join(CHART).is_file() || path.extension() == Some(OsStr::new(PACKAGE)) && path.is_file()
}

/// The objects of a chart as helm writes them, with its hooks and definitions. `shown` is the path as people name it.
pub(super) fn render(path: &Path, shown: &Path, root: &Path) -> Result<String, Error> {
    if programs::find("helm", programs::path()).is_none() {
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
    let arguments = ["template", &release, &named, "--namespace", DEFAULT_NAMESPACE, "--include-crds"];
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

/// The name of a release of a chart: the chart's own, where releases may have it.
fn release(description: &str) -> String {
    let read = documents(Path::new(CHART), description, Dialect::Go);
    let name = read.nodes.first().and_then(|node| node.get("name")).and_then(Node::text).unwrap_or_default();
    match name.len() <= RELEASE_MAX && is_label(name) {
        true => name.to_owned(),
        false => RELEASE.to_owned(),
    }
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
}
