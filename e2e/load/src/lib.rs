//! The load engine. What it measures is plain data of `e2e-figures`.
//!
//! A separate crate because its speed affects every measurement of the system: it is always optimised, has few dependencies, and can
//! be built into a small static program.

pub mod agent;
pub mod clock;
pub mod load;
pub mod self_check;
pub mod stall;

pub use e2e_figures::{scaling, scenario, stats};
