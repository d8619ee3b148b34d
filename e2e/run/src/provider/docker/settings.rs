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
    /// In microseconds of a processor's time for each [`CPU_PERIOD_US`].
    cpu_quota: Option<i64>,
    no_new_privileges: bool,
}

/// The period of CPU limits that a kubelet uses.
const CPU_PERIOD_US: i64 = 100_000;
/// The shortest quota that the kernel takes (`minQuotaPeriod` of a kubelet).
const CPU_QUOTA_MIN_US: u64 = 1_000;

/// A CPU limit as a quota of the period, as a kubelet sets it (`MilliCPUToQuota`). Unlike a number of CPUs, the engine takes one that is
/// larger than the machine, as a cluster takes a limit that is larger than the node.
fn quota(millis: u64) -> u64 {
    (millis.saturating_mul(CPU_PERIOD_US.unsigned_abs()) / 1000).max(CPU_QUOTA_MIN_US)
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
                Some(Volume::EmptyDir { .. } | Volume::Persistent { .. }) => directory(engine, sandbox, mount).await?,
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
            cpu_quota: signed(spec.resources.cpu_limit_millis.map(quota)),
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
        config.cpu_period = self.cpu_quota.map(|_| CPU_PERIOD_US);
        config.cpu_quota = self.cpu_quota;
        if self.no_new_privileges {
            config.security_opt = Some(vec!["no-new-privileges".to_owned()]);
        }
    }
}

/// A volume that the sandbox holds, or a directory in it.
async fn directory(engine: &Engine, sandbox: &Sandbox, mount: &e2e_plan::Mount) -> Result<(MountType, String), Error> {
    match &mount.sub_path {
        None => Ok((MountType::VOLUME, sandbox.volume(&mount.volume)?.1.source.clone())),
        // Engines before API 1.45 mount whole volumes only, but every one mounts its own directories.
        Some(sub_path) => Ok((MountType::BIND, sandbox.directory(engine, &mount.volume, sub_path).await?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_quota_of_a_tenth_of_a_second() {
        assert_eq!([1, 10, 250, 1000, 64_000].map(quota), [1_000, 1_000, 25_000, 100_000, 6_400_000]);
    }
}
