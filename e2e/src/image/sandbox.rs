//! The program of a pod's sandbox, compiled from a source that is part of this crate: a project needs no recipe for it, and
//! trusts no public image of that name. Main function: [`compile`].

use tokio::process::Command;

use super::{Cause, context, process};

/// The source.
pub(super) const SOURCE: &str = include_str!("sandbox/pause.rs");
/// The program's name in the image.
const NAME: &str = "pause";

/// The context of an image with the program, a static binary that rustc makes in half a second.
pub(super) async fn compile(on_line: &(dyn Fn(&str) + Sync)) -> Result<Vec<u8>, Cause> {
    let directory = std::env::temp_dir().join(format!("e2e-sandbox-{}", crate::run_dir::random_hex()));
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
    Ok(context::of_binary(NAME, &context::read(&binary)?))
}
