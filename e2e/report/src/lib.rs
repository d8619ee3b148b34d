//! Records and evidence become findings, findings become a report. Pure: plain data in, plain data out.
//!
//! In reading order, each module knowing only those before it: [`run_dir`], [`env_vars`] and [`command`] name files, variables and
//! commands, [`xml`] escapes texts. [`fault`] is the language of planned faults; [`request`], [`environment`], [`record`] and [`evidence`] are a run's inputs and
//! results, [`run_data`] all of them. [`faults`] derives the impact of planned faults, [`thresholds`] compares figures with their limits,
//! [`probing`] compares probes under load with probes at rest, and [`diagnose`] makes each [`finding`]. [`expected`] and [`bottleneck`]
//! derive capacity and what limits it, [`forecast`] what more of a component would bring. [`chart`] draws, [`report`] assembles and
//! renders, [`compare`] compares runs, [`against`] two versions of the system; [`history`] finds when figures changed, and [`bands`]
//! compares a run's figures with the accepted ones.

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
pub mod record;
pub mod report;
pub mod request;
pub mod run_data;
pub mod run_dir;
#[cfg(test)]
mod testing;
pub mod thresholds;
pub mod xml;

/// The JSON Schema of a file, made from its type.
pub fn schema<T: schemars::JsonSchema>() -> String {
    // A schema is plain data: there is nothing that JSON cannot hold.
    serde_json::to_string_pretty(&schemars::schema_for!(T)).expect("plain data serialises")
}
