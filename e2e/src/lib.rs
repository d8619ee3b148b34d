//! A test framework for systems that run on Docker and on Kubernetes.
//!
//! One set of Kubernetes manifests is the only description of a system. [`run::run`] brings it up as containers or as plain
//! processes, runs suites against it, gathers evidence, and writes a report that says what works, what does not, and why.
//!
//! The modules in reading order follow the flow of a run: manifests and configuration become a plan, a provider makes it run,
//! suites leave records, records and evidence become findings, findings become a report.

pub mod config;
pub mod manifests;
pub mod plan;
pub mod target;

pub mod image;
pub mod kubelet;
pub mod provider;

pub mod control;
pub mod environment;
pub mod fixture;
pub mod record;

pub use e2e_load::{agent, clock, load, scaling, scenario, self_check, stall, stats};

pub mod compare;
pub mod diagnose;
pub mod evidence;
pub mod report;
pub mod run_dir;

pub mod run;

pub mod duration;
pub mod env_vars;
pub mod exit;
pub mod host;
mod lines;
pub mod poll;
pub mod progress;
pub mod prometheus;
