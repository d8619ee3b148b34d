//! The program of a pod's sandbox, compiled from a source that is part of this crate: a project needs no recipe for it, and
//! trusts no public image of that name. Main function: [`compile`].

use tokio::process::Command;

use super::{Cause, context, process};

/// The source.
const SOURCE: &str = include_str!("sandbox/pause.rs");
/// The program's name in the image.
const NAME: &str = "pause";
/// How many volumes a sandbox has room for.
pub(crate) const SANDBOX_VOLUMES: usize = 64;

/// Where the volume of an index below [`SANDBOX_VOLUMES`] is mounted in its pod's sandbox. An engine gives a new volume the mode of the
/// image's directory that it is mounted over: everybody may write to it, as to an emptyDir.
pub(crate) fn volume_path(index: usize) -> String {
    format!("/{}", directory(index))
}

fn directories() -> Vec<String> {
    (0..SANDBOX_VOLUMES).map(directory).collect()
}

fn directory(index: usize) -> String {
    format!("volumes/{index}")
}

/// What the image is made from: it changes with the program and with its surroundings.
pub(super) fn digest() -> String {
    context::digest(&["sandbox".as_bytes(), &context::of_binary(NAME, SOURCE.as_bytes(), &directories())])
}

/// The context of an image with the program, a static binary that rustc makes in half a second.
pub(super) async fn compile(on_line: &(dyn Fn(&str) + Sync)) -> Result<Vec<u8>, Cause> {
    let directory = std::env::temp_dir().join(format!("e2e-sandbox-{}", e2e_report::run_dir::random_hex()));
    let compiled = in_directory(&directory, on_line).await;
    // It holds a source and a binary of this function alone.
    let _ = std::fs::remove_dir_all(&directory);
    compiled
}

async fn in_directory(directory: &std::path::Path, on_line: &(dyn Fn(&str) + Sync)) -> Result<Vec<u8>, Cause> {
    let (source, binary) = (directory.join("pause.rs"), directory.join(NAME));
    let unwritable = |error| Cause::Read { path: source.clone(), error };
    std::fs::create_dir(directory).and_then(|()| std::fs::write(&source, SOURCE)).map_err(unwritable)?;
    let mut command = Command::new("rustc");
    command
        .args(["--edition", "2024", "-C", "opt-level=s", "-C", "strip=symbols", "-C", "target-feature=+crt-static"])
        .arg("-o")
        .args([&binary, &source]);
    process::run(&mut command, on_line).await.map_err(|failed| Cause::Script { path: "rustc".into(), failed })?;
    Ok(context::of_binary(NAME, &context::read(&binary)?, &directories()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_mounted_over_a_directory_that_everybody_may_write_to() {
        let context = context::of_binary(NAME, b"", &directories());
        let mut archive = tar::Archive::new(context.as_slice());
        let modes: std::collections::BTreeMap<String, u32> = archive
            .entries()
            .and_then(|entries| {
                entries
                    .map(|entry| {
                        let entry = entry?;
                        Ok((entry.path()?.to_string_lossy().into_owned(), entry.header().mode()?))
                    })
                    .collect()
            })
            .expect("a tar from memory");
        for path in (0..SANDBOX_VOLUMES).map(volume_path) {
            assert_eq!(modes.get(&format!("root{path}")), Some(&0o777), "{path}: {modes:?}");
        }
    }
}
