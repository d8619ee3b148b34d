//! The part of a container's configuration that belongs to the host: network, mounts, limits. Main type: [`HostSettings`].

use std::path::Path;

use bollard::models::{HostConfig, Mount, MountType, MountVolumeOptions};
use e2e_plan::{self, Container, Volume};

use super::{engine::Engine, sandbox::Sandbox};
use crate::provider::{Error, files, pods::PodSpec};

pub(super) struct HostSettings {
    network_mode: String,
    mounts: Vec<Mount>,
    memory_bytes: Option<i64>,
    nano_cpus: Option<i64>,
    no_new_privileges: bool,
}

impl HostSettings {
    /// Those of a container; makes what its mounts name and what is not there yet. `files` is where the pod's files are.
    pub(super) async fn of(
        engine: &Engine,
        pod: &PodSpec,
        files: &Path,
        sandbox: &Sandbox,
        spec: &Container,
    ) -> Result<Self, Error> {
        let mut mounts = Vec::new();
        for mount in &spec.mounts {
            let (kind, source) = match pod.component.pod.volumes.get(&mount.volume) {
                Some(Volume::EmptyDir { .. }) => directory(engine, sandbox, mount).await?,
                Some(Volume::Files(_)) | None => {
                    (MountType::BIND, files::path(files, mount).to_string_lossy().into_owned())
                }
            };
            mounts.push(Mount {
                target: Some(mount.path.clone()),
                source: Some(source),
                typ: Some(kind),
                read_only: Some(mount.read_only),
                // As in Kubernetes, an emptyDir starts empty whatever the image has at that path.
                volume_options: (kind == MountType::VOLUME)
                    .then(|| MountVolumeOptions { no_copy: Some(true), ..Default::default() }),
                ..Default::default()
            });
        }
        let signed = |value: Option<u64>| value.and_then(|value| i64::try_from(value).ok());
        Ok(Self {
            network_mode: format!("container:{}", sandbox.id),
            mounts,
            memory_bytes: signed(spec.resources.memory_limit_bytes),
            nano_cpus: signed(spec.resources.cpu_limit_millis.map(|millis| millis * 1_000_000)),
            no_new_privileges: spec.security.no_new_privileges,
        })
    }

    pub(super) fn apply(&self, config: &mut HostConfig) {
        config.network_mode = Some(self.network_mode.clone());
        // The sandbox publishes the pod's ports.
        config.publish_all_ports = Some(false);
        config.port_bindings = None;
        config.extra_hosts = None;
        config.mounts = Some(self.mounts.clone());
        config.memory = self.memory_bytes;
        // Equal to the memory limit: no swap, as in Kubernetes.
        config.memory_swap = self.memory_bytes;
        config.nano_cpus = self.nano_cpus;
        if self.no_new_privileges {
            config.security_opt = Some(vec!["no-new-privileges".to_owned()]);
        }
    }
}

/// A volume that the sandbox holds, or a directory in it.
async fn directory(engine: &Engine, sandbox: &Sandbox, mount: &e2e_plan::Mount) -> Result<(MountType, String), Error> {
    match &mount.sub_path {
        None => Ok((MountType::VOLUME, sandbox.volume(&mount.volume))),
        // Engines before API 1.45 mount whole volumes only, but every one mounts its own directories.
        Some(sub_path) => Ok((MountType::BIND, sandbox.directory(engine, &mount.volume, sub_path).await?)),
    }
}
