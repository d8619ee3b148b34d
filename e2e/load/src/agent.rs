//! Load from several processes: an agent [`serve()`]s, and a conductor [`conduct()`]s any number of them.
//!
//! An agent listens on a TCP port and takes one conductor at a time. The conductor connects to it however it can (the loopback
//! interface, a container's address, a Kubernetes port-forward), so no agent has to reach the conductor. They exchange lines of
//! JSON:
//!
//! ```text
//! conductor -> agent   hello {token, protocol}, order {what, against which address, which of the clients}
//! agent -> conductor   progress, once a second, from here on until the end
//! agent -> conductor   ready: its clients have set up
//! conductor -> agent   start, once every agent is ready or lost: no clocks are compared
//! agent -> conductor   result, with its histograms in HDR V2 encoding
//! ```
//!
//! Clients are numbered across all agents, so that a run's keys and data do not depend on the number of agents. The merged result
//! equals that of one generator with all the clients: counts and percentiles are exact, since histograms are added before percentiles
//! are computed. An agent that dies or falls silent leaves a gap, which [`AgentCoverage`] names; the others carry on.
//!
//! A run over three agents, from any streams:
//!
//! ```no_run
//! # async fn example(settings: e2e_load::load::Settings, fixed: e2e_load::load::scenarios::Fixed) -> Result<(), Box<dyn std::error::Error>> {
//! use e2e_load::{agent::{Order, conduct}, load::Workload};
//! use tokio::net::TcpStream;
//!
//! let mut streams = Vec::new();
//! for port in [7070, 7071, 7072] {
//!     streams.push(TcpStream::connect(("127.0.0.1", port)).await?);
//! }
//! // The agents look the name up; `settings.address` is not used.
//! let order = Order::new("nginx:80", Workload::Fixed(fixed), &settings);
//! let result =
//!     conduct(streams, "the run's token", &order, |snapshot| println!("{} requests", snapshot.requests)).await?;
//! assert_eq!(result.missing_agents().count(), 0);
//! # Ok(()) }
//! ```
//!
//! A project with scenarios in Rust builds its own agent, which knows them by name ([`main()`] has an example); a conductor orders one
//! with [`Workload::Named`].
//!
//! [`AgentCoverage`]: crate::load::AgentCoverage

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::load::{Part, Settings, Turn, Workload};

mod conduct;
mod merge;
mod program;
mod serve;
mod wire;

pub use conduct::{ConductError, Lost, conduct};
pub use merge::merge;
pub use program::{is_asked_for, listen, main};
pub use serve::serve;
pub use wire::WireError;

/// The agent's program, and the name under which a larger program acts as one: see [`is_asked_for`].
pub const PROGRAM: &str = "e2e-agent";
/// The variable that tells the program `e2e-agent` where to listen, as `address:port`.
pub const LISTEN: &str = "E2E_AGENT_LISTEN";
/// Where it listens otherwise.
pub const DEFAULT_LISTEN: &str = "0.0.0.0:7070";
/// The variable with the token that a conductor must present.
pub const TOKEN: &str = "E2E_AGENT_TOKEN";

/// How an agent's `look` ends when a name is not known.
pub const UNKNOWN_NAME: u8 = 3;

/// A load as a value: what, against which address, how much, and for how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The server as `host:port`; every agent looks the name up for itself.
    pub target: String,
    /// What clients do.
    pub workload: Workload,
    /// How much and how long, over all agents; the address is not used.
    pub settings: Settings,
}

impl Order {
    /// The order for the same load that these settings make in this process.
    pub fn new(target: impl Into<String>, workload: Workload, settings: &Settings) -> Self {
        Self { target: target.into(), workload, settings: settings.clone() }
    }

    fn settings(&self, address: SocketAddr, share: Share) -> Settings {
        let part = Part { first: share.first, of: self.settings.clients, turn: share.turn };
        Settings { address, clients: share.clients, part: Some(part), ..self.settings.clone() }
    }
}

/// The clients of one agent: `first` to `first + clients - 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Share {
    first: u32,
    clients: u32,
    turn: Turn,
}

/// Splits clients over agents without overlap, as evenly as whole numbers allow.
fn shares(clients: u32, agents: u32) -> impl Iterator<Item = Share> {
    // In u64, so that no product of the two overflows.
    let before = move |agent: u32| (u64::from(clients) * u64::from(agent) / u64::from(agents)) as u32;
    (0..agents).map(move |agent| Share {
        first: before(agent),
        clients: before(agent + 1) - before(agent),
        turn: Turn { number: agent, count: agents },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_every_client_once() {
        for (clients, agents) in [(40, 1), (40, 3), (8, 8), (1_000_000, 1_000), (u32::MAX, 7)] {
            let mut next = 0;
            for share in shares(clients, agents) {
                assert_eq!(share.first, next);
                assert!(share.clients.abs_diff(clients / agents) <= 1, "{share:?}");
                next += share.clients;
            }
            assert_eq!(next, clients);
        }
    }
}
