//! What helm writes and refuses, as text. Main functions: [`templates`], [`remedy`].

use std::path::{Path, PathBuf};

/// The file that says which versions of its dependencies a chart was made with.
pub(super) const LOCK: &str = "Chart.lock";

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

#[cfg(test)]
mod tests {
    use super::*;

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
