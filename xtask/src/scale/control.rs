//! Runs beside the study's own, each with one thing changed, that tell what a regression comes from. Main type: [`Control`].

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use e2e::run::Options;
use serde::Serialize;

/// The levels of the claim that the controls are about: 8 replicas against 4.
pub(super) const LEVELS: [u32; 2] = [4, 8];

/// What is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Control {
    /// The load goes through a published port, which leads through the engine's proxy, instead of over the bridge itself.
    PublishedPorts,
    /// Each replica has the same share of a processor, however many there are.
    FixedCpu,
}

impl Control {
    pub(super) const ALL: [Self; 2] = [Self::PublishedPorts, Self::FixedCpu];

    /// For people.
    pub(super) fn described(self) -> &'static str {
        match self {
            Self::PublishedPorts => "through published ports (the engine's proxy)",
            Self::FixedCpu => "with 50m of CPU for each replica",
        }
    }

    /// Changes a run; `directory` takes the overlay that one of them needs.
    pub(super) fn apply(self, options: &mut Options, directory: &Path) -> Result<()> {
        match self {
            Self::PublishedPorts => options.published_ports = true,
            Self::FixedCpu => options.overlays.push(fixed_cpu(directory)?),
        }
        Ok(())
    }
}

/// Two thirds of what a replica of four uses on two processors, so that the limit and not the machine decides.
const FIXED_CPU: &str = "apiVersion: apps/v1
kind: Deployment
metadata:
  name: backend
spec:
  template:
    spec:
      containers:
        - name: backend
          resources:
            requests:
              cpu: 20m
            limits:
              cpu: 50m
";

/// An overlay of its own.
fn fixed_cpu(directory: &Path) -> Result<PathBuf> {
    let overlay = directory.join("fixed-cpu");
    std::fs::create_dir_all(&overlay).with_context(|| format!("cannot make {}", overlay.display()))?;
    let file = overlay.join("backend.yaml");
    std::fs::write(&file, FIXED_CPU).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(overlay)
}
