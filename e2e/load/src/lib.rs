//! The load engine and its statistics, re-exported by the `e2e` crate.
//!
//! A crate of its own because it is the one part whose speed is measured along with the system: it is always optimised, it
//! depends on little, and a small static program can be made of it.

pub mod agent;
pub mod clock;
pub mod load;
pub mod scaling;
pub mod scenario;
pub mod self_check;
pub mod stall;
pub mod stats;
