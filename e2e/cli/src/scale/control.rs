//! Extra runs with one condition changed, which show where a regression comes from. Main type: [`Control`].

use std::path::{Path, PathBuf};

use anyhow::Result;
use e2e_plan::Component;
use e2e_run::Options;
use serde::Serialize;
use serde_json::json;

use crate::directories;

/// The levels that are compared: 8 replicas against 4.
pub(super) const LEVELS: [u32; 2] = [4, 8];

/// The changed condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Control {
    /// The load enters through a published port and the engine's proxy instead of the bridge.
    PublishedPorts,
    /// Each replica gets the same share of a processor, whatever their number.
    FixedCpu,
}

impl Control {
    pub(super) const ALL: [Self; 2] = [Self::PublishedPorts, Self::FixedCpu];

    /// In words.
    pub(super) fn described(self) -> &'static str {
        match self {
            Self::PublishedPorts => "through published ports (the engine's proxy)",
            Self::FixedCpu => "with 50m of CPU per container",
        }
    }

    /// Changes a run; writes the overlay it needs to `studies`.
    pub(super) fn apply(self, options: &mut Options, component: &Component, studies: &Path) -> Result<()> {
        match self {
            Self::PublishedPorts => options.published_ports = true,
            Self::FixedCpu => options.overlays.push(cpu_limits(component, studies)?),
        }
        Ok(())
    }
}

/// An overlay that gives each container of a component a twentieth of a processor.
fn cpu_limits(component: &Component, studies: &Path) -> Result<PathBuf> {
    let resources = json!({ "requests": { "cpu": "20m" }, "limits": { "cpu": "50m" } });
    let containers = component.pod.containers.iter();
    let containers: Vec<_> =
        containers.map(|container| json!({ "name": container.name, "resources": resources })).collect();
    let patch = json!({
        "apiVersion": "apps/v1", "kind": component.kind, "metadata": { "name": component.name },
        "spec": { "template": { "spec": { "containers": containers } } },
    });
    let directory = studies.join(format!("cpu-limits-{}", component.name));
    directories::write(&directory.join("limits.yaml"), &patch.to_string())?;
    Ok(directory)
}
