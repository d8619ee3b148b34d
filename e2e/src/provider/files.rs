//! ConfigMap and Secret volumes as files of this machine. Main functions: [`write()`], [`path`].

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::Error;
use crate::plan::{Mount, Pod, Value, Volume};

/// Writes every file of a pod below `directory`, one directory per volume, its text changed by `change`.
///
/// The files must be readable by whatever user the container has, so they carry their mode; their directory is closed to
/// other users of this machine.
pub(super) fn write(pod: &Pod, directory: &Path, change: impl Fn(&str) -> String) -> Result<(), Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error: std::io::Error| Error::File { path: path.clone(), reason: error.to_string() }
    };
    for (volume, files) in pod.volumes.iter().filter_map(|(name, volume)| match volume {
        Volume::Files(files) => Some((name, files)),
        Volume::EmptyDir { .. } => None,
    }) {
        let root = directory.join(volume);
        fs::DirBuilder::new().recursive(true).mode(0o755).create(&root).map_err(failed(&root))?;
        for file in files {
            let path = root.join(&file.path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(failed(parent))?;
            }
            let text = match &file.content {
                Value::Plain(text) => change(text),
                Value::Secret(secret) => secret.text.clone(),
                Value::Field(_) => String::new(),
            };
            fs::write(&path, text).map_err(failed(&path))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(file.mode)).map_err(failed(&path))?;
        }
    }
    Ok(())
}

/// Where the volume of a mount is below `directory`, its `subPath` included.
pub(super) fn path(directory: &Path, mount: &Mount) -> PathBuf {
    let root = directory.join(&mount.volume);
    mount.sub_path.as_ref().map_or(root.clone(), |sub_path| root.join(sub_path))
}
