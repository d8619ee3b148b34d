//! Records and evidence become findings, findings become a report. Pure: plain data in, plain data out.
//!
//! In reading order: [`request`] is what was asked for, [`environment`] what ran, [`record`] and [`evidence`] what was found;
//! [`diagnose`] judges them, [`report`] lays the judgement out, [`compare`] sets runs side by side.

pub mod compare;
pub mod diagnose;
pub mod env_vars;
pub mod environment;
pub mod evidence;
pub mod prometheus;
pub mod record;
pub mod report;
pub mod request;
pub mod run_dir;
