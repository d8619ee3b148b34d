//! Runs beside the study's own, each with one thing changed, that tell what a regression comes from. Main type: [`Control`].

use e2e_run::run::Options;
use serde::Serialize;

use crate::options::project;

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

    /// Changes a run of the reference system.
    pub(super) fn apply(self, options: &mut Options) {
        match self {
            Self::PublishedPorts => options.published_ports = true,
            Self::FixedCpu => options.overlays.push(project().root.join("fixtures/overlays/cpu-limit")),
        }
    }
}
