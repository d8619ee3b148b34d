//! The commands that messages tell people to type. Main function: [`line()`].

/// The product's program.
const E2E: &str = "e2e";
/// The same verbs under cargo, as this repository and others with an `xtask` call them.
const XTASK: &str = "cargo xtask";

/// The name under which this process was called: `e2e` or `cargo xtask`.
///
/// Any other program, such as a test, gets `e2e`.
pub fn program() -> &'static str {
    let path = std::env::args_os().next().unwrap_or_default();
    named(std::path::Path::new(&path))
}

/// The command line that runs `arguments`, a verb with its flags: `line("gc")` is `e2e gc` or `cargo xtask gc`.
pub fn line(arguments: &str) -> String {
    format!("{} {arguments}", program())
}

fn named(path: &std::path::Path) -> &'static str {
    if path.file_stem().is_some_and(|stem| stem == "xtask") { XTASK } else { E2E }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::named;

    #[test]
    fn a_message_names_the_program_that_was_called() {
        assert_eq!(named(Path::new("/opt/bin/e2e")), "e2e");
        assert_eq!(named(Path::new("target/debug/xtask")), "cargo xtask");
        assert_eq!(named(Path::new("target/debug/deps/suites-0123456789abcdef")), "e2e");
    }
}
