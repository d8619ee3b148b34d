//! The agent's side: [`serve`].

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::time::timeout;

use super::wire::{FromAgent, FromConductor, PROTOCOL, SILENCE, Wire, WireError};
use super::{Order, Share};
use crate::load::{ClientReport, LoadResult, Milestone, Registry, Run};

/// Who does not know the token may make the agent read this much.
const LONGEST_HELLO: usize = 4 * 1024;
/// An order holds one request with its body at most.
const LONGEST_ORDER: usize = 16 * 1024 * 1024;

/// How long to leave alone a listener that cannot take a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves one conductor after the other, for ever. Whoever knows the token can make this process send requests to any address,
/// so a token belongs to one run. `registry` has the scenarios in Rust that a conductor may name. `say` gets a line for people about each
/// conductor. What a conductor does wrong ends its connection only.
pub async fn serve(listener: TcpListener, token: &str, registry: &Registry, mut say: impl FnMut(String)) -> Infallible {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            // Mostly a want of file descriptors, or a client that has gone: it says nothing of the connections after it.
            Err(error) => {
                say(format!("cannot accept a connection: {error}"));
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // Messages are written whole; a connection that has ended already shows below.
        let _ = stream.set_nodelay(true);
        match attend(Wire::new(stream), token, registry, &mut say).await {
            Ok(()) => {}
            // That is how a TCP probe looks.
            Err(Ended::Wire(WireError::Closed)) => {}
            Err(ended) => say(format!("conductor {peer}: {ended}")),
        }
    }
}

/// Why a conductor's connection ended without a result.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The conductor has been told as well.
    #[error("{0}")]
    Refused(String),
}

async fn attend(
    mut wire: Wire<TcpStream>,
    token: &str,
    registry: &Registry,
    say: &mut impl FnMut(String),
) -> Result<(), Ended> {
    let refused = match take_order(&mut wire, token).await {
        Ok((order, share)) => {
            say(format!("{} clients against {}", share.clients, order.target));
            match lookup(&order.target).await {
                Ok(address) => return work(wire, order, share, address, registry).await,
                Err(reason) => reason,
            }
        }
        Err(Ended::Refused(reason)) => reason,
        Err(ended) => return Err(ended),
    };
    refuse(&mut wire, refused).await
}

async fn refuse(wire: &mut Wire<TcpStream>, reason: String) -> Result<(), Ended> {
    wire.send(&FromAgent::Failed { reason: reason.clone() }).await?;
    Err(Ended::Refused(reason))
}

/// The order, once the conductor has shown that it knows the token.
async fn take_order(wire: &mut Wire<TcpStream>, token: &str) -> Result<(Order, Share), Ended> {
    let within = |_| WireError::Silent(SILENCE);
    // Who does not know the token has that long for all of it: the agent serves nobody else meanwhile.
    match timeout(SILENCE, wire.receive(LONGEST_HELLO)).await.map_err(within)?? {
        FromConductor::Hello { token: given, .. } if !same(&given, token) => {
            Err(Ended::Refused("the token is not this agent's".to_owned()))
        }
        FromConductor::Hello { protocol: PROTOCOL, .. } => {
            match timeout(SILENCE, wire.receive(LONGEST_ORDER)).await.map_err(within)?? {
                FromConductor::Order { order, share } => Ok((*order, share)),
                _ => Err(Ended::Refused("expected an order after the greeting".to_owned())),
            }
        }
        FromConductor::Hello { protocol, .. } => {
            let text = format!("this agent speaks protocol {PROTOCOL}, the conductor {protocol}: rebuild its image");
            Err(Ended::Refused(text))
        }
        _ => Err(Ended::Refused("expected a greeting with a token".to_owned())),
    }
}

/// Compares without telling, by the time it takes, how much of a guess was right.
fn same(given: &str, expected: &str) -> bool {
    let differences = given.bytes().zip(expected.bytes()).fold(0, |differences, (a, b)| differences | (a ^ b));
    given.len() == expected.len() && differences == 0
}

async fn lookup(target: &str) -> Result<SocketAddr, String> {
    let found = timeout(SILENCE, lookup_host(target)).await;
    let found = found.map_err(|_| format!("no address for {target} within {} s", SILENCE.as_secs()))?;
    let mut addresses = found.map_err(|error| format!("cannot look up {target}: {error}"))?;
    addresses.next().ok_or_else(|| format!("{target} has no address"))
}

async fn work(
    mut wire: Wire<TcpStream>,
    order: Order,
    share: Share,
    address: SocketAddr,
    registry: &Registry,
) -> Result<(), Ended> {
    let settings = order.settings(address, share);
    let mut run = match order.workload.start_held(settings, registry) {
        Ok(run) => run,
        Err(error) => return refuse(&mut wire, error.to_string()).await,
    };
    // When the conductor goes away the run is dropped, which stops it.
    watch(&mut wire, &mut run).await?;
    match run.result().await {
        Ok(result) => Ok(wire.send(&FromAgent::Result(Box::new(result))).await?),
        Err(error) => refuse(&mut wire, error.to_string()).await,
    }
}

/// Tells how the run goes until it is over, and starts it when told.
async fn watch(wire: &mut Wire<TcpStream>, run: &mut Run<LoadResult<ClientReport>>) -> Result<(), Ended> {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            biased;
            milestone = run.milestone() => match milestone {
                Milestone::Ready => wire.send(&FromAgent::Ready).await?,
                Milestone::Over => return Ok(()),
            },
            received = wire.receive(LONGEST_HELLO) => match received? {
                FromConductor::Start => run.release(),
                _ => return refuse(wire, "expected the start".to_owned()).await,
            },
            _ = second.tick() => wire.send(&FromAgent::Progress(run.snapshot())).await?,
        }
    }
}
