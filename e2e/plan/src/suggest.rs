//! The nearest of some names, for "did you mean".

/// The name nearest to `wanted` by edit distance, unless all are too far away to be a slip of the pen.
pub fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters may be wrong: enough for a typo or a wrong ending, too little for another word.
    let limit = (wanted.chars().count() / 3).max(1);
    names
        .into_iter()
        .map(|name| (distance(&wanted.to_lowercase(), &name.to_lowercase()), name))
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
    if all.is_empty() { format!("there is no {what}") } else { format!("{what}: {}", all.join(", ")) }
}

/// The number of insertions, deletions, replacements and swaps of neighbours between two texts (optimal string alignment).
pub(crate) fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut rows: Vec<Vec<usize>> = vec![(0..=right.len()).collect()];
    for i in 1..=left.len() {
        let mut row = vec![i];
        for j in 1..=right.len() {
            let same = usize::from(left[i - 1] != right[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + same);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
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

    #[rstest]
    #[case("", "", 0)]
    #[case("abc", "", 3)]
    #[case("abc", "acb", 1)]
    #[case("kitten", "sitting", 3)]
    fn edit_distance(#[case] left: &str, #[case] right: &str, #[case] expected: usize) {
        assert_eq!(distance(left, right), expected);
    }
}
