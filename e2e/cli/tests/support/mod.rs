//! What tests of the program share.

/// What is said of programs that this machine does not have and may not install.
const MISSING: &str = "not found for the image";

/// Whether a run had every program that it needs; says so when not.
pub(crate) fn has_programs(said: &str, what: &str) -> bool {
    let missing = said.lines().find(|line| line.contains(MISSING));
    if let Some(reason) = missing {
        eprintln!("SKIPPED: nothing was proved of {what}: {reason}");
    }
    missing.is_none()
}
