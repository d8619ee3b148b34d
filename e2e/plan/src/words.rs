//! Words that depend on a number. Main functions: [`counted`], [`listed`].

/// `1 probe`, `2 probes`.
pub fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// `a, b`, or `none`.
pub fn listed<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let all = items.into_iter().map(|item| item.as_ref().to_owned()).reduce(|all, item| all + ", " + &item);
    all.unwrap_or_else(|| "none".to_owned())
}
