//! One run from manifests to report: a provider runs the plan, suites test it, evidence is gathered, a report is written.
//! Main function: [`run()`].

mod ci;
pub mod config;
pub mod control;
pub mod exit;
mod faults;
pub mod gather;
pub mod git;
pub mod host;
pub mod image;
mod leftovers;
mod lines;
pub mod progress;
pub mod provider;
pub mod reaper;
mod run;
mod secrets;
mod supply;
mod trigger;

pub use leftovers::Leftovers;
pub use run::*;
