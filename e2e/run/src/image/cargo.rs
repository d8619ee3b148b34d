//! Static binaries of the workspace's packages: what images hold and what local processes run.
//! Main function: [`cargo_binaries`].

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
};

use e2e_report::env_vars;
use serde::Deserialize;
use tokio::process::Command;

use super::{Failed, process};

/// Why the binaries are not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum CargoError {
    #[error("`{command}` in {root}: {failed}", root = root.display())]
    Failed { command: String, root: PathBuf, failed: Failed },
    #[error("the package {0} has no binary called {0}")]
    NoBinary(String),
}

/// Builds packages of the workspace at `root` as static release binaries, with cargo, which does nothing when they
/// are fresh. Returns the path of each package's binary, by package. A static binary runs on any Linux and in an empty image.
pub async fn cargo_binaries(
    root: &Path,
    packages: &[String],
    on_line: &(dyn Fn(&str) + Sync),
) -> Result<BTreeMap<String, PathBuf>, CargoError> {
    // Without a package to name, cargo would build whatever is there, or fail where nothing is.
    if packages.is_empty() {
        return Ok(BTreeMap::new());
    }
    // Naming the target, even the machine's own, keeps the flag from build scripts and procedural macros, which cannot be
    // static, and keeps these artifacts apart from the other builds.
    let target = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let mut arguments = vec!["build", "--release", "--message-format=json-render-diagnostics", "--target", &target];
    for package in packages {
        arguments.extend(["--package", package]);
    }
    let mut command = Command::new("cargo");
    command.args(&arguments).current_dir(root);
    command.env("RUSTFLAGS", static_flags(env::var("RUSTFLAGS").ok().as_deref()));
    // It would hide RUSTFLAGS.
    command.env_remove("CARGO_ENCODED_RUSTFLAGS");
    for name in env_vars::of_cargo() {
        command.env_remove(name);
    }
    // Cargo has nothing to clean up, and its result is no longer needed.
    command.kill_on_drop(true);
    let output = process::run(&mut command, on_line).await.map_err(|failed| CargoError::Failed {
        command: format!("cargo {}", arguments.join(" ")),
        root: root.to_owned(),
        failed,
    })?;
    let mut found = binaries(&output);
    let wanted = |package: &String| {
        let path = found.remove(package).ok_or_else(|| CargoError::NoBinary(package.clone()))?;
        Ok((package.clone(), path))
    };
    packages.iter().map(wanted).collect()
}

/// Where cargo builds the workspace that `root` is in, whichever variable or file decides; nothing where cargo finds no workspace.
pub(crate) fn cargo_target_directory(root: &Path) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Metadata {
        target_directory: PathBuf,
    }
    let arguments = ["metadata", "--no-deps", "--offline", "--format-version=1"];
    let output = std::process::Command::new("cargo").args(arguments).current_dir(root).output().ok()?;
    serde_json::from_slice::<Metadata>(&output.stdout).ok().map(|metadata| metadata.target_directory)
}

/// The flags that a user has set, and the one that makes a binary static.
fn static_flags(flags: Option<&str>) -> String {
    format!("{} -C target-feature=+crt-static", flags.unwrap_or_default()).trim_start().to_owned()
}

/// The executables that cargo's messages name, by target.
fn binaries(messages: &[u8]) -> BTreeMap<String, PathBuf> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
        target: Option<Target>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    let messages =
        messages.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Message>(line).ok());
    messages.filter_map(|message| Some((message.target?.name, message.executable?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_found_among_other_messages() {
        // The shape of cargo's own messages: https://doc.rust-lang.org/cargo/reference/external-tools.html
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"axum"},"executable":null,"fresh":true}"#,
            "\n",
            r#"{"reason":"build-script-executed","package_id":"x","linked_libs":[]}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"backend"},"executable":"/t/backend","fresh":true}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
            "\n",
        );
        assert_eq!(
            binaries(messages.as_bytes()),
            BTreeMap::from([("backend".to_owned(), PathBuf::from("/t/backend"))])
        );
    }

    #[test]
    fn the_users_flags_stay() {
        assert_eq!(static_flags(None), "-C target-feature=+crt-static");
        assert_eq!(static_flags(Some("-C linker=clang")), "-C linker=clang -C target-feature=+crt-static");
    }

    #[tokio::test]
    async fn cargos_own_words_are_in_the_error() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let error =
            cargo_binaries(directory.path(), &["backend".to_owned()], &|_| {}).await.expect_err("no Cargo.toml there");
        let text = error.to_string();
        assert!(text.starts_with("`cargo build --release "), "{text}");
        assert!(text.contains("\n    | error: could not find `Cargo.toml`"), "{text}");
    }
}
