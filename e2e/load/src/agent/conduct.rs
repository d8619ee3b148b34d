//! The conductor's side: [`conduct`].

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::wire::{FromAgent, FromConductor, PROTOCOL, SILENCE, Wire, WireError};
use super::{Order, Share, merge, shares};
use crate::clock::unix_ms;
use crate::load::{AgentCoverage, ClientReport, LoadResult, Snapshot};

/// A result grows with the clients' reports: a thousand operations whose fate is unknown take ten kilobytes.
const LONGEST_RESULT: usize = 256 * 1024 * 1024;

/// Why there is no result at all.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum ConductError {
    #[error("no agents, or more agents than clients: {agents} agents for {clients} clients")]
    Agents { agents: usize, clients: u32 },
    #[error("no agent gave a result: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    AllLost(Vec<Lost>),
}

/// An agent that gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("agent {agent}: {reason}")]
pub struct Lost {
    /// Its number, from 0.
    pub agent: u32,
    /// Why.
    pub reason: String,
}

/// Lets the agents at the other ends of `streams` share an order's clients, starts them together, and returns what they
/// measured as one result. `watch` sees the progress of all of them once a second. When the future is dropped, agents stop.
///
/// # Errors
///
/// When no agent gave a result. When only some did not, the result says so in [`LoadResult::agents`].
pub async fn conduct<S>(
    streams: Vec<S>,
    token: &str,
    order: &Order,
    mut watch: impl FnMut(&Snapshot),
) -> Result<LoadResult<ClientReport>, ConductError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let agents = u32::try_from(streams.len()).ok().filter(|agents| (1..=order.settings.clients).contains(agents));
    let agents = agents.ok_or(ConductError::Agents { agents: streams.len(), clients: order.settings.clients })?;
    let snapshots = Arc::new(Mutex::new(vec![Snapshot::default(); streams.len()]));
    let start = watch::Sender::new(false);
    // Every agent's task holds a sender until its agent is ready or lost; when all are gone the run starts.
    let (waiting, mut all_ready) = mpsc::channel::<()>(1);
    let mut tasks = JoinSet::new();
    for ((agent, share), stream) in (0..).zip(shares(order.settings.clients, agents)).zip(streams) {
        let hello = FromConductor::Hello { token: token.to_owned(), protocol: PROTOCOL };
        let assignment = FromConductor::Order { order: Box::new(order.clone()), share };
        let barrier = Barrier { waiting: waiting.clone(), start: start.subscribe() };
        let snapshots = snapshots.clone();
        let report = move |snapshot| snapshots.lock()[agent as usize] = snapshot;
        tasks.spawn(async move {
            let result = follow(Wire::new(stream), [hello, assignment], barrier, report).await;
            (agent, share, result)
        });
    }
    drop(waiting);

    let mut parts = Vec::new();
    let mut window_start = SystemTime::now();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            _ = all_ready.recv(), if !*start.borrow() => {
                window_start = SystemTime::now() + order.settings.warm_up;
                start.send_replace(true);
            }
            ended = tasks.join_next() => match ended {
                Some(ended) => parts.push(ended.expect("a task that follows an agent neither panics nor is aborted")),
                None => break,
            },
            _ = second.tick() => watch(&total(&snapshots.lock())),
        }
    }
    watch(&total(&snapshots.lock()));
    parts.sort_by_key(|(agent, ..)| *agent);
    collect(order, unix_ms(window_start), parts)
}

fn total(snapshots: &[Snapshot]) -> Snapshot {
    snapshots.iter().fold(Snapshot::default(), |mut total, snapshot| {
        total += *snapshot;
        total
    })
}

/// Where an agent's task waits for the others.
struct Barrier {
    waiting: mpsc::Sender<()>,
    start: watch::Receiver<bool>,
}

/// Talks to one agent, from the greeting to its result; otherwise the reason why there is none.
async fn follow<S>(
    mut wire: Wire<S>,
    greeting: [FromConductor; 2],
    barrier: Barrier,
    report: impl Fn(Snapshot),
) -> Result<LoadResult<ClientReport>, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Barrier { waiting, mut start } = barrier;
    let mut waiting = Some(waiting);
    let mut started = false;
    for message in &greeting {
        wire.send(message).await.map_err(text)?;
    }
    loop {
        tokio::select! {
            received = timeout(SILENCE, wire.receive(LONGEST_RESULT)) => {
                let message = received.map_err(|_| WireError::Silent(SILENCE)).and_then(|received| received);
                match message.map_err(text)? {
                    FromAgent::Progress(snapshot) => report(snapshot),
                    FromAgent::Ready => waiting = None,
                    FromAgent::Result(result) => return Ok(*result),
                    FromAgent::Failed { reason } => return Err(reason),
                }
            }
            () = told(&mut start), if !started && waiting.is_none() => {
                started = true;
                wire.send(&FromConductor::Start).await.map_err(text)?;
            }
        }
    }
}

/// Waits until the run is to start. The sender lives as long as every agent's task.
async fn told(start: &mut watch::Receiver<bool>) {
    let _ = start.wait_for(|start| *start).await;
}

fn text(error: WireError) -> String {
    error.to_string()
}

/// The merged result, with a hole for every agent that was lost. Its window is dated by this process, since agents' clocks may differ.
fn collect(
    order: &Order,
    window_start_unix_ms: u64,
    parts: Vec<(u32, Share, Result<LoadResult<ClientReport>, String>)>,
) -> Result<LoadResult<ClientReport>, ConductError> {
    let (mut results, mut agents, mut lost) = (Vec::new(), Vec::new(), Vec::new());
    for (agent, share, result) in parts {
        let missing = match result {
            Ok(result) => {
                results.push(result);
                None
            }
            Err(reason) => {
                lost.push(Lost { agent, reason: reason.clone() });
                Some(reason)
            }
        };
        agents.push(AgentCoverage { agent, first_client: share.first, clients: share.clients, missing });
    }
    let merged = merge(results).ok_or(ConductError::AllLost(lost))?;
    Ok(LoadResult { clients: order.settings.clients, window_start_unix_ms, agents, ..merged })
}
