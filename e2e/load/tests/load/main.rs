//! The load engine against small servers that behave well, badly and not at all. The servers write raw bytes, so that each
//! case shows exactly what is on the wire.

mod agents;
mod declared;
mod engine;
mod failures;
mod https;
mod open;
mod oracles;
mod parser;
mod scenarios;
mod servers;
mod truth;
