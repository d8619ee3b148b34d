//! Volumes of ConfigMaps, Secrets and fields of the pod as files of this machine. Main functions: [`write()`], [`path`].

use std::{
    borrow::Cow,
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use e2e_plan::{Mount, Value, Volume};

use super::{Error, pods::PodSpec};

/// Writes every file of a pod below `directory`, one directory per volume, its text changed by `change`, which is told the volume.
///
/// The files must be readable by whatever user the container has, so they carry their mode; the directory of all pods is closed
/// to other users of this machine.
pub(super) fn write(
    pod: &PodSpec,
    run_id: &str,
    directory: &Path,
    change: impl Fn(&str, &str) -> String,
) -> Result<(), Error> {
    // Kubernetes gives files no fields that are known only once the pod runs, such as its address.
    let identity = pod.identity(run_id, None);
    for (volume, files) in pod.component.pod.volumes.iter().filter_map(|(name, volume)| match volume {
        Volume::Files(files) => Some((name, files)),
        Volume::EmptyDir { .. } | Volume::Persistent { .. } => None,
    }) {
        let root = directory.join(volume);
        fs::DirBuilder::new().recursive(true).mode(0o755).create(&root).map_err(|error| Error::file(&root, &error))?;
        for file in files {
            let path = root.join(&file.path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(|error| Error::file(parent, &error))?;
            }
            let content = match &file.content {
                Value::Plain(text) => Cow::Owned(change(volume, text).into_bytes()),
                content => content.bytes(&identity),
            };
            fs::write(&path, content)
                .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(file.mode)))
                .map_err(|error| Error::file(&path, &error))?;
        }
    }
    Ok(())
}

/// Where the volume of a mount is below `directory`, its `subPath` included.
pub(super) fn path(directory: &Path, mount: &Mount) -> PathBuf {
    let root = directory.join(&mount.volume);
    mount.sub_path.as_ref().map_or(root.clone(), |sub_path| root.join(sub_path))
}
