//! Records and evidence become findings, findings become a report. Pure: plain data in, plain data out.
//!
//! In reading order, each module knowing only those before it: [`fault`] is the language of planned faults, [`request`] what was asked for, [`environment`] what ran, [`record`]
//! and [`evidence`] what was found, [`run_data`] all of it; [`faults`] says what planned faults did to clients, [`thresholds`] holds figures against their lines, [`diagnose`] makes
//! [`finding`]s, [`expected`] and [`bottleneck`] say what the system carries and what limits it, [`forecast`] what more of a component would bring; [`report`] lays the judgement out and
//! renders it, [`compare`] sets runs side by side, [`against`] two versions of a system,
//! [`history`] finds lasting changes in figures, and [`bands`] compares a run's figures with the accepted ones.

pub mod against;
pub mod bands;
pub mod bottleneck;
pub mod chart;
pub mod command;
pub mod compare;
pub mod diagnose;
pub mod env_vars;
pub mod environment;
pub mod evidence;
pub mod expected;
pub mod fault;
pub mod faults;
pub mod finding;
pub mod forecast;
pub mod history;
pub mod probing;
pub mod prometheus;
pub mod record;
pub mod report;
pub mod request;
pub mod run_data;
pub mod run_dir;
#[cfg(test)]
mod testing;
pub mod thresholds;

/// The JSON Schema of a file, made from its type.
pub fn schema<T: schemars::JsonSchema>() -> String {
    // A schema is plain data: there is nothing that JSON cannot hold.
    serde_json::to_string_pretty(&schemars::schema_for!(T)).expect("plain data serialises")
}
