//! Directories, user and logs of plain processes. Main type: [`Workspace`].

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use e2e_report::run_dir::{RunDir, WORK};

use super::FoundProgram;
use crate::provider::Error;

/// `nobody` on Linux: PostgreSQL refuses to run as root, and no server needs to.
const NOBODY: (u32, u32) = (65_534, 65_534);

/// Whether the processes' user has an entry in the system's list of users.
pub(crate) fn user_is_known() -> bool {
    let user = rustix::process::geteuid();
    let own = if user.is_root() { NOBODY.0 } else { user.as_raw() };
    // Without a list, as on macOS, it is kept elsewhere.
    std::fs::read_to_string("/etc/passwd").map_or(true, |list| lists(&list, own))
}

/// Whether a list of users has one with this number.
fn lists(list: &str, user: u32) -> bool {
    list.lines().any(|line| line.split(':').nth(2).and_then(|number| number.parse().ok()) == Some(user))
}

/// The link in a run directory to a workspace that had to be elsewhere.
pub(crate) const OUTSIDE: &str = "work.link";

/// Where the processes of one run keep their data.
#[derive(Debug)]
pub(super) struct Workspace {
    path: PathBuf,
    logs: PathBuf,
    user: Option<(u32, u32)>,
}

impl Workspace {
    /// `work` in the run directory; or, when this is root and another user could not get there, a directory in the system's
    /// temporary one.
    pub(super) fn create(directory: &RunDir) -> Result<Self, Error> {
        let is_root = rustix::process::geteuid().is_root();
        let inside = directory.join(WORK);
        let path = if is_root && !traversable(&inside) {
            let outside = std::env::temp_dir().join(format!("e2e-{}", directory.id()));
            // Left for `gc`, which follows it when the run could not clean up.
            let link = directory.join(OUTSIDE);
            std::os::unix::fs::symlink(&outside, &link).map_err(|error| Error::file(&link, &error))?;
            outside
        } else {
            inside
        };
        let logs = path.join("logs");
        let workspace = Self { path, logs, user: is_root.then_some(NOBODY) };
        // It holds the files of Secrets.
        workspace.private_directory(&workspace.path)?;
        fs::create_dir(&workspace.logs).map_err(|error| Error::file(&workspace.logs, &error))?;
        Ok(workspace)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whom processes run as, when this process may choose.
    pub(super) fn user(&self) -> Option<(u32, u32)> {
        self.user
    }

    pub(super) fn log(&self, pod: &str, container: &str) -> PathBuf {
        self.logs.join(format!("{pod}.{container}.log"))
    }

    /// A directory that only the processes can use.
    pub(super) fn private_directory(&self, path: &Path) -> Result<(), Error> {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(|error| Error::file(path, &error))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(|error| Error::file(path, &error))?;
        self.user.map_or(Ok(()), |(user, group)| {
            chown(path, Some(user), Some(group)).map_err(|error| Error::file(path, &error))
        })
    }

    /// The same, with nothing in it.
    pub(super) fn fresh_directory(&self, path: &Path) -> Result<(), Error> {
        remove(path)?;
        self.private_directory(path)
    }

    /// Storage that outlives pods, at the place of a volume of one of them.
    pub(super) fn link_storage(&self, name: &str, volume: &Path) -> Result<(), Error> {
        // No pod has such a name.
        let storage = self.path.join(".storage").join(name);
        self.private_directory(&storage)?;
        self.link(&storage, volume)
    }

    /// Another name for a file or a directory.
    pub(super) fn link(&self, target: &Path, name: &Path) -> Result<(), Error> {
        std::os::unix::fs::symlink(target, name).map_err(|error| Error::file(name, &error))
    }

    pub(super) fn write(&self, path: &Path, text: &str) -> Result<(), Error> {
        fs::write(path, text).map_err(|error| Error::file(path, &error))
    }

    /// A program whose binary belongs to this run: the processes' user can reach it, and a build for another run does not replace it. A
    /// newer build takes its place.
    pub(super) fn own(&self, mut found: FoundProgram) -> Result<FoundProgram, Error> {
        if let Some(binary) = &found.binary {
            let own = self.path.join(binary.file_name().unwrap_or_default());
            let written = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
            if written(&own) < written(binary) {
                // A file that a process runs cannot be written, but another one can take its name.
                let new = own.with_extension("new");
                // A link costs nothing, and is not possible on another file system.
                if fs::hard_link(binary, &new).is_err() {
                    fs::copy(binary, &new).map_err(|error| Error::file(&new, &error))?;
                }
                fs::rename(&new, &own).map_err(|error| Error::file(&own, &error))?;
            }
            found.binary = Some(own);
        }
        Ok(found)
    }

    pub(super) fn remove(&self) -> Result<(), Error> {
        remove(&self.path)
    }
}

/// Removes a directory that may not be there.
fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file(path, &error)),
        _ => Ok(()),
    }
}

/// Whether every user can pass through all directories above.
fn traversable(path: &Path) -> bool {
    path.ancestors().skip(1).all(|directory| fs::metadata(directory).is_ok_and(|metadata| metadata.mode() & 0o001 != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_known_by_its_number() {
        let list = "root:x:0:0:root:/root:/bin/sh\n# a comment\nnobody:x:65534:65534::/:/bin/false\n";
        assert!(lists(list, 65_534) && lists(list, 0));
        assert!(!lists(list, 1000));
    }
}
