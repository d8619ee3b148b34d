//! The image of a pod's sandbox, with a program that is part of this one: a project needs no recipe for it, and trusts no public
//! image of that name. Main function: [`context()`].

pub(crate) mod orders;

use super::context;

/// The program, compiled by the build script.
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pause"));
const NAME: &str = "pause";

/// Where the volume of an index below [`orders::VOLUMES`] is mounted in its pod's sandbox. An engine gives a new volume the mode of the
/// image's directory that it is mounted over: everybody may write to it, as to an emptyDir.
pub(crate) fn volume_path(index: usize) -> String {
    format!("/{}", directory(index))
}

fn directory(index: usize) -> String {
    format!("volumes/{index}")
}

/// What the image is built from.
pub(super) fn context() -> Vec<u8> {
    let directories: Vec<String> = (0..orders::VOLUMES).map(directory).collect();
    context::of_binary(NAME, PROGRAM, &directories)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_mounted_over_a_directory_that_everybody_may_write_to() {
        let context = context();
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
        for path in (0..orders::VOLUMES).map(volume_path) {
            assert_eq!(modes.get(&format!("root{path}")), Some(&0o777), "{path}: {modes:?}");
        }
    }
}
