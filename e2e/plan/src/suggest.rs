//! What may be meant instead: the nearest of some names, for "did you mean", or the value of a placeholder.

use strsim::osa_distance;

/// The name nearest to `wanted` by edit distance, unless all are too far away to be a slip of the pen.
pub fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters may be wrong: enough for a typo or a wrong ending, too little for another word.
    let limit = (wanted.chars().count() / 3).max(1);
    names
        .into_iter()
        .map(|name| (osa_distance(&wanted.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// "did you mean `x`?" when a name is near, else the list of names.
pub(crate) fn hint<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str> + Clone, what: &str) -> String {
    if let Some(name) = nearest(wanted, names.clone()) {
        return format!("did you mean `{name}`?");
    }
    let mut all: Vec<&str> = names.into_iter().collect();
    all.sort_unstable();
    if all.is_empty() { "there are none".to_owned() } else { format!("{what}: {}", all.join(", ")) }
}

/// That there is no such component, and the remedy.
pub fn no_component<'a>(name: &str, names: impl IntoIterator<Item = &'a str> + Clone) -> (String, String) {
    (format!("there is no component `{name}`"), hint(name, names, "components"))
}

/// The remedy for a template of helm's, Jinja's or the like.
pub(crate) const TEMPLATE: &str =
    "set `render` to a command that fills it in, or name the directory of the chart, if there is a Chart.yaml";

/// The remedy for a text with a variable of a shell, such as `$NAME` or `${NAME}`.
const VARIABLE: &str = "fill in the placeholder, or let a command do it: `render = [\"sh\", \"-c\", \"envsubst < FILE\"]` in .config/e2e.toml";

/// The remedy for a text that another program or a person fills in, if this is one.
pub(crate) fn placeholder(text: &str) -> Option<&'static str> {
    let is_between = |open: &str, close: &str| {
        let inner = text.split_once(open).and_then(|(_, rest)| rest.split_once(close)).map(|(inner, _)| inner.trim());
        inner.is_some_and(|inner| inner.starts_with(|c: char| c.is_ascii_alphabetic() || "._-".contains(c)))
    };
    if is_between("{{", "}}") {
        return Some(TEMPLATE);
    }
    // As in `__NAME__` or `_NAME_`, which no name in a cluster may have.
    let is_underlined = text
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.contains(|c: char| c.is_ascii_alphabetic()) && *word == word.to_uppercase())
        .any(|word| word.starts_with('_') && word.ends_with('_'));
    let is_variable = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if text.split('$').skip(1).any(is_variable) || is_between("${", "}") {
        return Some(VARIABLE);
    }
    (is_between("<", ">") || is_underlined).then_some("fill in the placeholder")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("${REPLICAS}", Some(VARIABLE))]
    #[case("shop-${NAME}-config", Some(VARIABLE))]
    #[case("$MICRO_SERVICE", Some(VARIABLE))]
    #[case("<$MICRO_SERVICE>", Some(VARIABLE))]
    #[case("{{ .Values.name }}", Some(TEMPLATE))]
    // envsubst leaves these as they are.
    #[case("<YOUR_DOMAIN>", Some("fill in the placeholder"))]
    #[case("dev.<domain>", Some("fill in the placeholder"))]
    #[case("_K8S_IP_", Some("fill in the placeholder"))]
    #[case("__JOB_NAME__", Some("fill in the placeholder"))]
    #[case("___", None)]
    #[case("shop_", None)]
    #[case("$(POD_NAME)", None)]
    #[case("5 $ a day", None)]
    #[case("a < b", None)]
    #[case("{}", None)]
    fn what_another_program_fills_in(#[case] text: &str, #[case] expected: Option<&str>) {
        assert_eq!(placeholder(text), expected);
    }

    #[rstest]
    #[case("livenesProbe", Some("livenessProbe"))]
    #[case("livnessProbe", Some("livenessProbe"))]
    #[case("READINESSPROBE", Some("readinessProbe"))]
    #[case("imgae", Some("image"))]
    #[case("colour", None)]
    #[case("", None)]
    fn nearest_name(#[case] wanted: &str, #[case] expected: Option<&str>) {
        let names = ["image", "livenessProbe", "readinessProbe", "volumeMounts"];
        assert_eq!(nearest(wanted, names), expected);
    }
}
