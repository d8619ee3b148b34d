//! `.dockerignore`: what of a directory is not sent to the engine, by the rules of
//! <https://docs.docker.com/build/concepts/context/#dockerignore-files>. Main type: [`Ignored`].

use std::{
    fs, io,
    path::{Component, Path},
};

use regex::Regex;

/// The file, at the top of a directory.
pub(super) const FILE: &str = ".dockerignore";
/// What a build needs whatever the file says.
const ALWAYS: &str = "Dockerfile";

/// The rules of a file, in order: the last one that matches decides.
#[derive(Debug, Default)]
pub(super) struct Ignored(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    pattern: Regex,
    is_exception: bool,
}

impl Ignored {
    /// Those of a directory; none where it has no such file.
    pub(super) fn of(directory: &Path) -> io::Result<Self> {
        match fs::read_to_string(directory.join(FILE)) {
            Ok(text) => Self::parse(&text).map_err(|line| io::Error::new(io::ErrorKind::InvalidData, line)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// The rules of a text, or what is wrong with a line.
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().filter(|line| !line.starts_with('#')).map(str::trim).filter(|line| !line.is_empty());
        let rule = |line: &str| {
            let (is_exception, pattern) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            let pattern = cleaned(pattern);
            (!pattern.is_empty()).then(|| {
                let pattern = Regex::new(&expression(&pattern)).map_err(|_| format!("`{line}` is not a pattern"))?;
                Ok(Rule { pattern, is_exception })
            })
        };
        lines.filter_map(rule).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a path from the top of the directory stays behind: one that a rule matches, with all that is below it.
    pub(super) fn has(&self, path: &Path) -> bool {
        let names: Vec<String> = path.ancestors().map(|path| path.to_string_lossy().into_owned()).collect();
        let matches = |rule: &&Rule| names.iter().any(|name| !name.is_empty() && rule.pattern.is_match(name));
        path != Path::new(ALWAYS) && self.0.iter().rev().find(matches).is_some_and(|rule| !rule.is_exception)
    }

    /// Whether something below an ignored directory may be wanted.
    pub(super) fn has_exceptions(&self) -> bool {
        self.0.iter().any(|rule| rule.is_exception)
    }
}

/// A pattern without leading and trailing slashes, `.` and `..`.
fn cleaned(pattern: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for component in Path::new(pattern).components() {
        match component {
            Component::Normal(name) => names.extend(name.to_str()),
            Component::ParentDir => drop(names.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    names.join("/")
}

/// A pattern of Go's `filepath.Match` with `**` as a regular expression.
fn expression(pattern: &str) -> String {
    let mut expression = String::from("^");
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '*' if letters.next_if_eq(&'*').is_some() => match letters.next_if_eq(&'/') {
                Some(_) => expression.push_str("(.*/)?"),
                None => expression.push_str(".*"),
            },
            '*' => expression.push_str("[^/]*"),
            '?' => expression.push_str("[^/]"),
            '[' | ']' => expression.push(letter),
            '^' | '-' => expression.push(letter),
            '\\' => expression.push_str(&regex::escape(&letters.next().unwrap_or('\\').to_string())),
            letter => expression.push_str(&regex::escape(&letter.to_string())),
        }
    }
    expression + "$"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of Docker's documentation, and what `docker build` does with them.
    #[rstest::rstest]
    #[case::name_at_the_top("temp?", &["tempa", "tempb/inside"], &["temp", "a/tempa"])]
    #[case::one_level("*/temp*", &["a/temporary.txt", "a/temp/inside"], &["temp", "a/b/temp"])]
    #[case::two_levels("*/*/temp*", &["a/b/temporary.txt"], &["a/temp"])]
    #[case::any_level("**/*.pyc", &["a.pyc", "a/b/c.pyc"], &["a.py"])]
    #[case::directory("node_modules/", &["node_modules", "node_modules/a/b"], &["a/node_modules"])]
    #[case::from_the_top("/target", &["target/debug"], &["a/target"])]
    #[case::exception("*.md\n!README.md", &["CHANGES.md"], &["README.md"])]
    #[case::last_one_wins("*.md\n!README*.md\nREADME-secret.md", &["README-secret.md", "a.md"], &["README.md"])]
    #[case::below_an_ignored_one("docs\n!docs/public", &["docs", "docs/a"], &["docs/public", "docs/public/a"])]
    #[case::everything_else("*\n!src", &["a", "target/x"], &["src", "src/main.py", "Dockerfile"])]
    #[case::comment("# a\n\n  \n.git", &[".git/HEAD"], &["# a", "a"])]
    #[case::set("[ab]*.log", &["a.log", "bc.log"], &["c.log"])]
    fn a_path_is_ignored_as_docker_ignores_it(#[case] file: &str, #[case] ignored: &[&str], #[case] sent: &[&str]) {
        let rules = Ignored::parse(file).expect("patterns");
        for path in ignored {
            assert!(rules.has(Path::new(path)), "{path} is sent");
        }
        for path in sent {
            assert!(!rules.has(Path::new(path)), "{path} is ignored");
        }
    }

    #[test]
    fn a_line_that_is_no_pattern_is_named() {
        assert_eq!(Ignored::parse("[a").expect_err("no set"), "`[a` is not a pattern");
    }
}
