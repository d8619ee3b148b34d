//! `cargo xtask tidy`: what a reviewer should not have to look for.

use std::path::Path;

use anyhow::{Context, Result, bail};
use e2e::exit::ExitCode;
use xshell::{Shell, cmd};

use crate::options::root;

/// Check formatting, lints, documentation, the design's invariants and links.
#[derive(Debug, Default, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask tidy\n  cargo xtask tidy --fix   # format, and write the schemas in docs/"
)]
pub(crate) struct Args {
    /// Repair what can be repaired.
    #[arg(long)]
    fix: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let shell = Shell::new()?;
    shell.change_dir(root());
    let check: &[&str] = if args.fix { &[] } else { &["--check"] };
    cmd!(shell, "cargo fmt --all -- {check...}").run().context("`cargo xtask tidy --fix` formats everything")?;
    cmd!(shell, "cargo clippy --quiet --workspace --all-targets -- -D warnings").run()?;
    cmd!(shell, "cargo doc --quiet --workspace --no-deps --document-private-items")
        .env("RUSTDOCFLAGS", RUSTDOC)
        .run()?;
    schema(args.fix)?;
    let mut faults = invariants(&root())?;
    faults.extend(dead_links(&root())?);
    if !faults.is_empty() {
        bail!("{} faults:\n  {}", faults.len(), faults.join("\n  "));
    }
    eprintln!("tidy");
    Ok(ExitCode::Pass)
}

/// Private items are documented too, so links to them resolve here; that is who reads them.
const RUSTDOC: &str = "-D warnings -A rustdoc::private_intra_doc_links";

/// The schemas in `docs/` are made from the types.
fn schema(fix: bool) -> Result<()> {
    let schemas = [("report.schema.json", e2e::report::schema()), ("comparison.schema.json", e2e::compare::schema())];
    for (name, schema) in schemas {
        let (path, schema) = (root().join("docs").join(name), schema + "\n");
        if fix {
            std::fs::write(&path, schema).with_context(|| format!("cannot write {}", path.display()))?;
        } else if std::fs::read_to_string(&path).unwrap_or_default() != schema {
            bail!("{} is not the schema of the types; `cargo xtask tidy --fix` writes it", path.display());
        }
    }
    Ok(())
}

/// Modules that are pure, and what a pure module does not name. See docs/architecture.md.
const PURE: [&str; 27] = [
    "e2e/src/compare",
    "e2e/src/plan",
    "e2e/load/src/stats.rs",
    "e2e/load/src/agent/merge.rs",
    "e2e/load/src/load/schedule.rs",
    "e2e/load/src/scaling.rs",
    "xtask/src/scale/plot.rs",
    "xtask/src/scale/text.rs",
    "e2e/src/diagnose",
    "e2e/src/report/build.rs",
    "e2e/src/report/expected.rs",
    "e2e/src/report/html.rs",
    "e2e/src/report/markdown.rs",
    "e2e/src/report/predict.rs",
    "e2e/src/kubelet/worker.rs",
    "e2e/src/kubelet/worker",
    "e2e/src/kubelet/backoff.rs",
    "e2e/src/kubelet/lint",
    "e2e/src/kubelet/predict.rs",
    "e2e/src/kubelet/simulate.rs",
    "e2e/src/kubelet/doctor/fix.rs",
    "e2e/src/kubelet/doctor/from_start.rs",
    "e2e/src/kubelet/request.rs",
    "e2e/src/kubelet/response.rs",
    "e2e/src/provider/pods.rs",
    "e2e/src/provider/local/translate.rs",
    "e2e/src/record/figures.rs",
];
const IMPURE: [&str; 6] = ["tokio", "kube::", "fs::", "SystemTime", "Instant", "reqwest"];

fn invariants(root: &Path) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let files = tracked(root, &["*.rs"])?;
    // A rule about what has moved away holds nothing.
    let gone = PURE.iter().filter(|pure| !files.iter().any(|file| file.starts_with(**pure)));
    faults.extend(gone.map(|pure| format!("xtask/src/tidy.rs: PURE names {pure}, which is not there")));
    for file in files {
        let text = std::fs::read_to_string(root.join(&file)).with_context(|| format!("cannot read {file}"))?;
        let is_test = file.contains("/tests/") || file.ends_with("tests.rs");
        if PURE.iter().any(|pure| file.starts_with(pure)) && !is_test {
            let code = without_tests(&text);
            let named = IMPURE.iter().filter(|impure| uses(&code, impure));
            faults.extend(named.map(|impure| format!("{file}: a pure module names {impure}")));
        }
        if file.starts_with("e2e/tests/suites/") && text.contains("e2e::provider") {
            faults.push(format!("{file}: a suite imports provider; ask e2e::control instead"));
        }
        // One idea a file: about 400 lines, with some room for one that reads well.
        let lines = text.lines().count();
        if lines > 450 && !is_test {
            faults.push(format!("{file}: {lines} lines; look for the second idea in it"));
        }
    }
    Ok(faults)
}

/// The code without the items that only tests have. Formatted code ends an item where its last line has the indent of its first.
fn without_tests(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            code += line;
            code.push('\n');
            continue;
        }
        let indent = &line[..line.len() - line.trim_start().len()];
        let is_last = |line: &str| {
            let rest = line.strip_prefix(indent).unwrap_or_default();
            rest.starts_with('}') || (!rest.starts_with([' ', '#', '/']) && rest.ends_with([';', ',', '}']))
        };
        lines.by_ref().find(|line| is_last(line));
    }
    code
}

/// Whether code, not a comment, names something: `fs::` is no part of `defs::`.
fn uses(code: &str, name: &str) -> bool {
    let is_word = |before: &str| before.ends_with(|last: char| last.is_alphanumeric() || last == '_');
    let names = |line: &str| line.match_indices(name).any(|(at, _)| !is_word(&line[..at]));
    code.lines().map(|line| line.split("//").next().unwrap_or_default()).any(names)
}

/// Links in Markdown files to files that are not there.
fn dead_links(root: &Path) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for file in tracked(root, &["*.md"])? {
        let text = std::fs::read_to_string(root.join(&file)).with_context(|| format!("cannot read {file}"))?;
        let directory = root.join(&file).parent().unwrap_or(root).to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap_or_default();
            let is_file = !path.is_empty() && !path.contains("://") && !path.starts_with("mailto:");
            if is_file && !directory.join(path).exists() {
                faults.push(format!("{file}: dead link {link}"));
            }
        }
    }
    Ok(faults)
}

fn tracked(root: &Path, patterns: &[&str]) -> Result<Vec<String>> {
    let shell = Shell::new()?;
    shell.change_dir(root);
    let files = cmd!(shell, "git ls-files --cached --others --exclude-standard -- {patterns...}").quiet().read()?;
    Ok(files.lines().map(str::to_owned).filter(|file| root.join(file).exists()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_told_from_comments() {
        assert!(uses("use tokio::time;", "tokio"));
        assert!(!uses("// no tokio here", "tokio"));
    }

    #[test]
    fn a_module_is_named_however_it_was_imported() {
        assert!(uses("use std::{env, fs};\nlet text = fs::read(path);", "fs::"));
        assert!(uses("std::fs::read(path)", "fs::") && !uses("defs::read()", "fs::"));
    }

    #[test]
    fn only_what_tests_have_is_left_out() {
        let text = "#[cfg(test)]\nmod tests;\nuse a;\nimpl A {\n    #[cfg(test)]\n    #[must_use]\n    fn b() {\n        c();\n    }\n\n    \
                    fn d() {}\n}\n#[cfg(test)]\nmod more {\n    use e;\n}\nfn f() {}\n";
        assert_eq!(without_tests(text), "use a;\nimpl A {\n\n    fn d() {}\n}\nfn f() {}\n");
    }

    #[test]
    fn a_dead_link_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let shell = Shell::new().unwrap();
        shell.change_dir(directory.path());
        cmd!(shell, "git init --quiet").run().unwrap();
        std::fs::write(directory.path().join("a.md"), "[x](b.md) [y](a.md#there) [z](https://e.org/c.md)").unwrap();
        assert_eq!(dead_links(directory.path()).unwrap(), ["a.md: dead link b.md"]);
    }
}
