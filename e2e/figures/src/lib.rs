//! What a load measured, as plain data, and the statistics over it. Pure, so that the report needs no load engine.
//!
//! [`scenario`] is what a declared scenario measured and must keep to, [`outcome`] how one request ended, [`generator`] what measuring
//! cost, [`steps`] what clients were told to do; [`stats`] summarises latencies, [`scaling`] fits the Universal Scalability Law, [`paired`]
//! judges alternating blocks of two systems, [`noise`] compares samples of whole runs, [`changes`] finds lasting changes in a series of
//! runs, [`band`] says where the next run of a series falls, [`margin`] where a deadline's margin ends.

pub mod band;
pub mod changes;
pub mod generator;
pub mod margin;
pub mod noise;
pub mod outcome;
pub mod paired;
mod random;
pub mod scaling;
pub mod scenario;
pub mod stats;
pub mod steps;

pub use generator::{Generator, Second};
pub use outcome::{Failure, Outcome, UnknownOutcome};
pub use random::Random;
