//! Numbers and lists as people read them. Main functions: [`counted`], [`listed`], [`number`].

use std::fmt::Display;

/// `1 probe`, `2 probes`.
pub fn counted(count: impl TryInto<u64>, what: &str) -> String {
    match count.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// `a, b`, or `none`.
pub fn listed<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let all = items.into_iter().map(|item| item.as_ref().to_owned()).reduce(|all, item| all + ", " + &item);
    all.unwrap_or_else(|| "none".to_owned())
}

/// `66 × status_503, 2 × timed_out`; empty without any.
pub fn by_kind<'a, K: Display + 'a>(counts: impl IntoIterator<Item = (&'a K, &'a u64)>) -> String {
    counts.into_iter().map(|(kind, count)| format!("{count} × {kind}")).collect::<Vec<_>>().join(", ")
}

/// ` (66 × status_503)`, or nothing.
pub fn kinds_in_brackets<'a, K: Display + 'a>(counts: impl IntoIterator<Item = (&'a K, &'a u64)>) -> String {
    let kinds = by_kind(counts);
    if kinds.is_empty() { kinds } else { format!(" ({kinds})") }
}

/// In so many digits, with at most four decimals, or none where the number is whole: `4257`, `12.3`, `0.748`.
pub fn number(value: f64, digits: u8) -> String {
    let spare = f64::from(digits) - 1.0 - value.abs().log10().floor();
    let decimals = if value.fract() == 0.0 { 0 } else { spare.clamp(0.0, 4.0) as usize };
    format!("{value:.decimals$}")
}

/// A change by a share: `+5.1%`.
pub fn signed_percent(share: f64) -> String {
    format!("{:+.1}%", share * 100.0)
}

/// `4 MiB`, `7.5 MiB`, `512 MiB`.
pub fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", number(bytes as f64 / 1_048_576.0, 2))
}

/// Values as bars between the lowest that there can be and the largest of them: `▁▄█`.
pub fn sparkline(values: &[f64], lowest: f64) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let range = values.iter().fold(lowest, |most, value| value.max(most)) - lowest;
    // A value that does not reach the next level stays below it: only the largest one is a full bar.
    let level = |value: &f64| if range > 0.0 { ((value - lowest) / range * 7.0) as usize } else { 0 };
    values.iter().map(|value| LEVELS[level(value)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_say_something() {
        for (value, digits, text) in [
            (4257.4, 3, "4257"),
            (12.34, 3, "12.3"),
            (1.5, 3, "1.50"),
            (0.748, 3, "0.748"),
            (0.000_12, 3, "0.0001"),
            (123.45, 4, "123.5"),
            (-12.0, 3, "-12"),
            (0.0, 3, "0"),
        ] {
            assert_eq!(number(value, digits), text);
        }
        assert_eq!((mebibytes(4 << 20), mebibytes(7_864_320)), ("4 MiB".to_owned(), "7.5 MiB".to_owned()));
    }

    #[test]
    fn bars_reach_from_the_lowest_to_the_largest() {
        assert_eq!(sparkline(&[0.0, 50.0, 100.0], 0.0), "▁▄█");
        assert_eq!(sparkline(&[1.0, 2.0, 3.0], 1.0), "▁▄█");
        assert_eq!(sparkline(&[0.0, 0.0], 0.0), "▁▁");
        assert_eq!(sparkline(&[], 0.0), "");
    }
}
