//! A load agent with the framework's own scenarios: listens for a conductor and makes its share of a load. See the module `agent` of
//! the library.

use std::process::ExitCode;

use e2e_load::{agent, load::Registry};

fn main() -> ExitCode {
    agent::main(&Registry::default())
}
