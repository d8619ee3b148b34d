//! `cargo xtask tidy`: mechanical checks before a review.

use std::path::Path;

use anyhow::{Context, Result, bail};
use e2e_report::{against::Against, compare::Comparison, record::Record, report::Report, schema as schema_of};
use e2e_run::exit::ExitCode;
use xshell::{Shell, cmd};

use crate::{root, walls};

/// Check formatting, lints, documentation, the length of files, links, and generated files.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask tidy\n  cargo xtask tidy --fix   # format, and generate the schemas \
    and the crate diagram in docs/")]
pub(crate) struct Args {
    /// Format, and regenerate files, instead of checking them.
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
    picture(&shell, args.fix)?;
    let mut faults = long_files(root())?;
    faults.extend(dead_links(root())?);
    if !faults.is_empty() {
        bail!("{} faults:\n  {}", faults.len(), faults.join("\n  "));
    }
    eprintln!("tidy");
    Ok(ExitCode::Pass)
}

/// Private items are documented too, so links to them resolve.
const RUSTDOC: &str = "-D warnings -A rustdoc::private_intra_doc_links";

/// Generates the schemas in `docs/` from the types.
fn schema(fix: bool) -> Result<()> {
    let schemas = [
        ("report.schema.json", schema_of::<Report>()),
        ("against.schema.json", schema_of::<Against>()),
        ("comparison.schema.json", schema_of::<Comparison>()),
        ("record.schema.json", schema_of::<Record>()),
    ];
    for (name, schema) in schemas {
        let (path, schema) = (root().join("docs").join(name), schema + "\n");
        if fix {
            std::fs::write(&path, schema).with_context(|| format!("cannot write {}", path.display()))?;
        } else if std::fs::read_to_string(&path).unwrap_or_default() != schema {
            bail!("{} is out of date; generate it with `cargo xtask tidy --fix`", path.display());
        }
    }
    Ok(())
}

/// Generates the crate diagram in docs/architecture.md from `cargo metadata`.
fn picture(shell: &Shell, fix: bool) -> Result<()> {
    let path = root().join("docs/architecture.md");
    let page = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let (before, after) = page
        .split_once("```mermaid\n")
        .and_then(|(before, rest)| Some((before, rest.split_once("```")?.1)))
        .with_context(|| format!("{} has no block that begins with ```mermaid", path.display()))?;
    let made = format!("{before}```mermaid\n{}\n```{after}", walls::picture(shell)?);
    if fix {
        std::fs::write(&path, made).with_context(|| format!("cannot write {}", path.display()))?;
    } else if page != made {
        bail!("the crate diagram in {} is out of date; generate it with `cargo xtask tidy --fix`", path.display());
    }
    Ok(())
}

fn long_files(root: &Path) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let files = tracked(root, &["*.rs"])?;
    for file in files {
        let text = std::fs::read_to_string(root.join(&file)).with_context(|| format!("cannot read {file}"))?;
        let is_test = file.contains("/tests/") || file.ends_with("tests.rs");
        // One idea per file: about 400 lines, with some tolerance.
        let lines = text.lines().count();
        if lines > 450 && !is_test {
            faults.push(format!("{file}: {lines} lines; split it at its second idea"));
        }
    }
    Ok(faults)
}

/// Links in Markdown files to missing files.
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
    fn a_dead_link_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let shell = Shell::new().unwrap();
        shell.change_dir(directory.path());
        cmd!(shell, "git init --quiet").run().unwrap();
        std::fs::write(directory.path().join("a.md"), "[x](b.md) [y](a.md#there) [z](https://e.org/c.md)").unwrap();
        assert_eq!(dead_links(directory.path()).unwrap(), ["a.md: dead link b.md"]);
    }
}
