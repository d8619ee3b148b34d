//! What docs/configuration.md lists is all that there is: the flags of a run, and the environment variables.

mod support;

use std::{collections::BTreeSet, fs};

use regex::Regex;
use support::{help, root};

fn page() -> String {
    fs::read_to_string(root().join("docs/configuration.md")).unwrap()
}

/// What the first group of a pattern matches.
fn matches(pattern: &str, text: &str) -> BTreeSet<String> {
    Regex::new(pattern).unwrap().captures_iter(text).map(|found| found[1].to_owned()).collect()
}

/// The flags that a verb has of its own.
fn flags(verb: &str) -> BTreeSet<String> {
    let help = help(verb);
    let mut flags = matches(r"(?m)^ +(?:-\w, )?--([a-z-]+)", &help);
    // Those of every verb stand above the table.
    assert!(["help", "root", "runs"].iter().all(|flag| flags.remove(*flag)), "{help}");
    flags
}

#[test]
fn the_table_of_flags_is_that_of_the_program() {
    let page = page();
    let table = page.split("\n## Flags\n").nth(1).unwrap();
    let cells = |table: &str| {
        let cells = table.lines().filter(|line| line.starts_with("| `--")).filter_map(|line| line.split(" | ").next());
        matches("`--([a-z-]+)", &cells.collect::<Vec<_>>().join("\n"))
    };
    assert_eq!(cells(table), flags("e2e"));
    let shared = table.find("\n| `--load-from").expect("the first flag that `up` has not");
    assert_eq!(cells(&table[..shared]), flags("up"));
}

#[test]
fn every_variable_of_the_framework_is_in_a_table() {
    let mut files = vec![root().join("e2e")];
    let mut named = BTreeSet::new();
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| ["rs", "toml", "sh"].iter().any(|own| extension == *own)) {
            let text = fs::read_to_string(path).unwrap();
            named.extend(matches(r"\b(E2E_[A-Z]+(?:_[A-Z]+)*)\b", &text));
        }
    }
    let page = page();
    // A prefix, and a name in a test.
    let is_listed =
        |name: &String| page.contains(&format!("`{name}`")) || name == "E2E_BIN_PREFIX" || name == "E2E_TEST_NOT_SET";
    assert_eq!(named.iter().filter(|name| !is_listed(name)).collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(named.len() > 8, "{named:?}");
}
