//! The volumes of a pod as directories: those that end with it, and storage that outlives it.

use e2e_plan::{Container, Volume};

use super::{LocalPods, pod::Pod};
use crate::provider::{Error, files};

impl LocalPods {
    /// Makes what a pod's containers can write to.
    pub(super) fn make_volumes(&self, pod: &Pod) -> Result<(), Error> {
        for container in pod.spec.all_containers() {
            self.workspace.private_directory(&pod.private(&container.name))?;
        }
        self.empty_volumes(pod)?;
        for (name, volume) in &pod.spec.component.pod.volumes {
            if let Volume::Persistent { name: storage, per_pod } = volume {
                self.workspace.link_storage(&pod.spec.storage(storage, *per_pod), &pod.directory.join(name))?;
            }
        }
        Ok(())
    }

    /// Has the volumes that end with a pod empty.
    fn empty_volumes(&self, pod: &Pod) -> Result<(), Error> {
        let volumes = pod.spec.component.pod.volumes.iter();
        let mut empty = volumes.filter(|(_, volume)| matches!(volume, Volume::EmptyDir { .. }));
        empty.try_for_each(|(name, _)| self.workspace.fresh_directory(&pod.directory.join(name)))
    }

    /// Removes what ends with a pod, so that another one can take its place.
    pub(crate) fn replace(&self, pod: &str) -> Result<(), Error> {
        self.empty_volumes(&*self.pod(pod)?)
    }

    /// Makes the directories inside of volumes that a container mounts, where none before it has.
    pub(super) fn make_sub_paths(&self, pod: &Pod, container: &Container) -> Result<(), Error> {
        for mount in container.mounts.iter().filter(|mount| mount.sub_path.is_some()) {
            let path = files::path(&pod.directory, mount);
            let is_directory =
                !matches!(pod.spec.component.pod.volumes.get(&mount.volume), None | Some(Volume::Files(_)));
            if is_directory && !path.exists() {
                self.workspace.private_directory(&path)?;
            }
        }
        Ok(())
    }

    /// Has the places that a program looks at show what is mounted inside of them, where they are no volume themselves.
    pub(super) fn link_mounts(&self, pod: &Pod, container: &Container) -> Result<(), Error> {
        let Some(found) = pod.programs.get(&container.name) else { return Ok(()) };
        let inside = |path: &str, outer: &str| path.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
        for mount in &container.mounts {
            let is_seen = found.program.paths().any(|path| inside(&mount.path, path));
            if !is_seen || container.mounts.iter().any(|outer| inside(&mount.path, outer.path.trim_end_matches('/'))) {
                continue;
            }
            let link = pod.private(&container.name).join(mount.path.trim_matches('/'));
            if let Some(parent) = link.parent() {
                self.workspace.private_directory(parent)?;
            }
            self.workspace.link(&files::path(&pod.directory, mount), &link)?;
        }
        Ok(())
    }
}
