//! The suites of the reference system. `cargo xtask e2e` brings the system up and runs them with nextest; each test leaves one
//! record in `results/`. They see the system only through `environment.json` and the control address in it.

mod activity;
mod health;
mod network;
mod probes;
mod registration;
mod throughput;
