//! One run from manifests to report: a provider runs the plan, suites test it, evidence is gathered, a report is written.
//! Main function: [`run()`].

mod ci;
pub mod config;
mod control;
pub mod exit;
mod faults;
mod gather;
mod git;
mod host;
pub mod image;
mod leftovers;
mod lines;
pub mod progress;
mod provider;
pub mod reaper;
mod run;
mod secrets;
mod supply;
mod trigger;

pub use config::CONFIG;
pub use leftovers::Leftovers;
pub use provider::k8s;
pub use run::*;
