//! The nearest of some names, for "did you mean".

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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

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
