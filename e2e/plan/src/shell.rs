//! Which commands run a shell, and how it reads words. Main function: [`script_at`].

/// Shells that take `-c` and a script.
const SHELLS: [&str; 6] = ["sh", "ash", "bash", "dash", "ksh", "zsh"];

/// The name of a program, without its directory.
pub fn base(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// Whether a program is a shell.
pub fn is_shell(program: &str) -> bool {
    SHELLS.contains(&base(program))
}

/// A word as a shell reads it back.
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// The position of the script of a command like `sh -c script`.
pub fn script_at(command: &[String]) -> Option<usize> {
    let runs_script = |flag: &String| flag.starts_with('-') && !flag.starts_with("--") && flag.ends_with('c');
    let is_script = is_shell(command.first()?) && runs_script(command.get(1)?) && command.len() > 2;
    is_script.then_some(2)
}
