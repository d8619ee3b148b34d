//! Scenarios that come with the framework: [`Registration`] and [`Throughput`] for the reference system, [`Fixed`] and
//! [`Steps`] for any server. They use nothing of the engine that is not public.

mod fixed;
mod registration;
mod retry;
mod session;
mod steps;
mod throughput;

pub use fixed::{Fixed, FixedClient, FixedReport};
pub use registration::{Registration, RegistrationClient, RegistrationOutcome, RegistrationReport};
pub use steps::{InvalidSteps, StepSpec, Steps, StepsClient};
pub use throughput::{Throughput, ThroughputClient, ThroughputReport, Upstream};
