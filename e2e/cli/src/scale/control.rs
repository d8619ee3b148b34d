//! Extra runs with one condition changed, which show where a regression comes from. Main type: [`Control`].

use e2e_run::run::Options;
use serde::Serialize;

use crate::options::project;

/// The levels that the claim compares: 8 replicas against 4.
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
            Self::FixedCpu => "with 50m of CPU per replica",
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
