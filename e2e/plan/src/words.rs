//! Words that depend on a number. Main function: [`counted`].

/// `1 probe`, `2 probes`.
pub fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
