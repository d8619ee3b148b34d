//! The built-in scenarios as one value that can be sent elsewhere: [`Workload`].

use serde::{Deserialize, Serialize};

use super::scenarios::{Fixed, Registration, Steps, Throughput};

/// A built-in scenario. It makes the same load wherever it is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// Clients that register at once and keep their sessions.
    Registration(Registration),
    /// Clients that register and send operations.
    Throughput(Throughput),
    /// One request again and again.
    Fixed(Fixed),
    /// Steps that a file describes.
    Steps(Steps),
}

impl From<Steps> for Workload {
    fn from(scenario: Steps) -> Self {
        Self::Steps(scenario)
    }
}

impl From<Registration> for Workload {
    fn from(scenario: Registration) -> Self {
        Self::Registration(scenario)
    }
}

impl From<Throughput> for Workload {
    fn from(scenario: Throughput) -> Self {
        Self::Throughput(scenario)
    }
}

impl From<Fixed> for Workload {
    fn from(scenario: Fixed) -> Self {
        Self::Fixed(scenario)
    }
}
