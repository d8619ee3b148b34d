//! The load engine. What it measures is plain data of `e2e-figures`.
//!
//! A crate of its own because it is the one part whose speed is measured along with the system: it is always optimised, it
//! depends on little, and a small static program can be made of it.

pub mod agent;
pub mod clock;
pub mod load;
pub mod self_check;
pub mod stall;

pub use e2e_figures::{scaling, scenario, stats};
