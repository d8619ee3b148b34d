//! Scenarios that come with the framework, for any server: [`Fixed`] sends one request, [`Steps`] take what a file declares. They use
//! nothing of the engine that is not public.

mod fixed;
mod retry;
mod steps;

pub use fixed::{Fixed, FixedClient};
pub use steps::{InvalidSteps, LedgerSpec, StepSpec, Steps, StepsClient, StepsScenario};
