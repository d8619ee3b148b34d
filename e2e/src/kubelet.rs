//! A kubelet in a box: sends the probes that the manifests declare byte for byte as a kubelet would, and restarts
//! containers as it would. [`probe`] sends one probe, [`worker`] decides, [`node`] runs pods, [`doctor`] explains.

mod backoff;
pub mod doctor;
mod grpc;
mod http;
pub mod lint;
pub mod node;
pub mod observation;
pub mod predict;
pub mod probe;
mod profile;
pub mod request;
mod response;
pub mod simulate;
pub mod status;
pub mod worker;

pub(crate) use http::round_ms;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan;

/// Which of a container's three probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Which {
    /// `startupProbe`.
    Startup,
    /// `readinessProbe`.
    Readiness,
    /// `livenessProbe`.
    Liveness,
}

/// The word as JSON has it: `startup`, `readiness`, `liveness`.
impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Startup => "startup",
            Self::Readiness => "readiness",
            Self::Liveness => "liveness",
        })
    }
}

impl Which {
    /// All three, in the order in which a kubelet consults them.
    pub const ALL: [Self; 3] = [Self::Startup, Self::Readiness, Self::Liveness];

    /// The word that a kubelet's events use: `Startup`, `Readiness`, `Liveness`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        }
    }

    /// The field of a container in a manifest: `startupProbe`, `readinessProbe`, `livenessProbe`.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Self::Startup => "startupProbe",
            Self::Readiness => "readinessProbe",
            Self::Liveness => "livenessProbe",
        }
    }

    /// The place of this probe's declaration.
    pub fn of_mut(self, probes: &mut plan::Probes) -> &mut Option<plan::Probe> {
        match self {
            Self::Startup => &mut probes.startup,
            Self::Readiness => &mut probes.readiness,
            Self::Liveness => &mut probes.liveness,
        }
    }

    /// This probe's declaration, if the container has one.
    #[must_use]
    pub fn of(self, probes: &plan::Probes) -> Option<&plan::Probe> {
        match self {
            Self::Startup => probes.startup.as_ref(),
            Self::Readiness => probes.readiness.as_ref(),
            Self::Liveness => probes.liveness.as_ref(),
        }
    }
}
