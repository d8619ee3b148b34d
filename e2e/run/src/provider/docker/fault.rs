//! Planned faults that only an engine can bring about: disturbed networks, used-up memory, full volumes.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bollard::models::ContainerUpdateBody;
use e2e_node::poll::until;
use e2e_plan::Container;
use e2e_report::fault::{Action, PlannedFault};

use super::{DockerPods, disturb::Disturbance, measure::used, sandbox::Sandbox};
use crate::{image::volume_path, provider::Error};

/// The smallest memory limit that an engine takes.
const MEMORY_MIN_BYTES: u64 = 6 * 1024 * 1024;
/// How long the kernel may take to make room in a container that still allocates.
const FILL_LIMIT: Duration = Duration::from_secs(2);

impl DockerPods {
    /// Packets between pods are lost or late from now on.
    pub(crate) async fn disturb(&self, disturbances: &[Disturbance]) -> Result<(), Error> {
        let sides = disturbances.iter().flat_map(|disturbance| disturbance.from.iter().chain(&disturbance.to));
        for pod in sides.collect::<BTreeSet<_>>() {
            if !self.running_sandbox(pod)?.ip.is_ipv4() {
                return Err(Error::sandbox(pod, "it has no IPv4 address"));
            }
        }
        self.services.disturb(disturbances);
        self.tell(disturbances).await
    }

    /// They arrive as always again.
    pub(crate) async fn calm(&self, disturbances: &[Disturbance]) -> Result<(), Error> {
        self.services.calm(disturbances);
        self.tell(disturbances).await
    }

    /// Waits until the receiving pods know.
    async fn tell(&self, disturbances: &[Disturbance]) -> Result<(), Error> {
        for pod in disturbances.iter().flat_map(|disturbance| &disturbance.to).collect::<BTreeSet<_>>() {
            let told = self.running_sandbox(pod)?.link.tell(&self.services).await;
            told.map_err(|reason| Error::sandbox(pod, reason))?;
        }
        Ok(())
    }

    /// Tries in the first pod, which does nothing yet, what faults do to networks.
    ///
    /// # Errors
    ///
    /// Names a fault that the engine's kernel cannot bring about.
    pub(crate) async fn prove<'a>(&self, faults: impl Iterator<Item = &'a PlannedFault>) -> Result<(), Error> {
        let first = self.order.first().and_then(|pod| self.running_sandbox(pod).ok());
        for fault in faults {
            let delay = match &fault.action {
                Action::Partition { .. } => None,
                Action::Delay { by, .. } => Some(*by),
                _ => continue,
            };
            // Without a sandbox nothing runs, and the first start says why.
            let Some(sandbox) = &first else { return Ok(()) };
            let tried = sandbox.link.try_obstacle(delay).await;
            tried.map_err(|reason| Error::Fault { fault: fault.to_string(), reason })?;
        }
        Ok(())
    }

    /// Leaves the limited containers of a pod no more memory than they use.
    pub(crate) async fn fill_memory(&self, pod: &str) -> Result<(), Error> {
        for container in self.limited(pod)? {
            let fill = until("a limit that the kernel takes", FILL_LIMIT, Duration::from_millis(100), || async {
                self.limit_to_use(pod, &container.name).await.into()
            });
            let name = format!("{pod}/{}", container.name);
            let action = "use up the memory of";
            fill.await.map_err(|error| Error::Engine { action, name, reason: error.to_string() })?;
        }
        Ok(())
    }

    /// Gives them their limits back.
    pub(crate) async fn release_memory(&self, pod: &str) -> Result<(), Error> {
        for container in self.limited(pod)? {
            self.limit(pod, &container.name, container.resources.memory_limit_bytes.unwrap_or_default()).await?;
        }
        Ok(())
    }

    /// Takes all that is left of a volume of a pod.
    pub(crate) async fn fill_volume(&self, pod: &str, volume: &str) -> Result<(), Error> {
        let sandbox = self.running_sandbox(pod)?;
        let (number, _) = sandbox.volume(volume)?;
        let filled = sandbox.link.fill(number, &volume_path(number as usize)).await;
        filled.map_err(|reason| Error::sandbox(pod, reason))
    }

    /// Gives it back.
    pub(crate) async fn release_volume(&self, pod: &str, volume: &str) -> Result<(), Error> {
        let sandbox = self.running_sandbox(pod)?;
        let (number, _) = sandbox.volume(volume)?;
        sandbox.link.release(number).await.map_err(|reason| Error::sandbox(pod, reason))
    }

    fn running_sandbox(&self, pod: &str) -> Result<Arc<Sandbox>, Error> {
        self.pod(pod)?.made_sandbox().ok_or_else(|| Error::NotRunning { pod: pod.to_owned() })
    }

    /// The containers of a pod that have a memory limit.
    fn limited(&self, pod: &str) -> Result<Vec<Container>, Error> {
        let containers = self.pod(pod)?.spec.component.pod.containers.clone();
        Ok(containers.into_iter().filter(|container| container.resources.memory_limit_bytes.is_some()).collect())
    }

    async fn limit_to_use(&self, pod: &str, container: &str) -> Result<(), Error> {
        let running = self.container(pod, container).await?;
        let usage = self.engine.stats(running.id()).await.and_then(used);
        let usage = usage.ok_or_else(|| Error::NotRunning { pod: format!("{pod}/{container}") })?;
        self.limit(pod, container, usage.memory_bytes.max(MEMORY_MIN_BYTES)).await
    }

    async fn limit(&self, pod: &str, container: &str, bytes: u64) -> Result<(), Error> {
        let running = self.container(pod, container).await?;
        let bytes = i64::try_from(bytes).ok();
        // Without swap, as at the start.
        let limits = ContainerUpdateBody { memory: bytes, memory_swap: bytes, ..Default::default() };
        let updated = self.engine.client.update_container(running.id(), limits).await;
        updated.map_err(|error| Error::engine("limit the memory of", &format!("{pod}/{container}"), error))
    }
}
