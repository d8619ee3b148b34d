//! What clients do, in plain Rust: a [`Scenario`] makes one [`Client`] per connection, and the engine asks each client for its
//! next step and shows it the response.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::response::Response;
use e2e_figures::{Failure, Outcome, Random};

/// A kind of load. The engine takes it to its own thread and makes the clients there.
pub trait Scenario: Send + 'static {
    /// One client's state.
    type Client: Client;

    /// The name in reports.
    fn name(&self) -> &str;

    /// The names of the steps; [`Step`] is an index into them.
    fn steps(&self) -> Vec<String>;

    /// Makes one client.
    fn client(&self, identity: Identity) -> Self::Client;
}

/// One client: a state machine that the engine drives over one keep-alive connection.
///
/// After each [`Next::Send`] exactly one of [`Client::receive`] and [`Client::failed`] is called before the next step is asked
/// for; neither when the run ends before the request was sent.
pub trait Client: 'static {
    /// What the client tells at the end.
    type Report: Send + 'static;

    /// The next step. To send a request, write all of its bytes to `request`, which is empty and keeps its memory.
    fn next(&mut self, at: &Moment, request: &mut Vec<u8>) -> Next;

    /// Judges the response to the last request, and takes from it what later requests need.
    fn receive(&mut self, at: &Moment, step: Step, response: &Response<'_>) -> Outcome;

    /// Hears that there was no whole response to the last request. The engine counts the failure and slows down by itself.
    fn failed(&mut self, _at: &Moment, _step: Step, _failure: Failure) {}

    /// Reports, when the client has finished or the window is over.
    fn finish(self, at: &Moment) -> Self::Report;
}

/// The index of a step in [`Scenario::steps`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step(pub usize);

/// What a client wants to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Send the request that was written to the buffer.
    Send(Step),
    /// Do nothing for a while; cut short when the run ends.
    Think(Duration),
    /// Set-up is done: wait until every client is ready, or the set-up's limit has passed. Later, it waits for nothing.
    Ready,
    /// Nothing more to do.
    Finish,
}

/// Who a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Its number, from 0.
    pub index: u32,
    /// How many clients there are.
    pub clients: u32,
    /// The run's seed.
    pub seed: u64,
}

impl Identity {
    /// Random numbers that depend on the seed and the client only.
    pub fn random(&self) -> Random {
        Random::new(self.seed, self.index)
    }
}

/// The part of the run that a request belongs to, decided by when it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Before every client was [`Next::Ready`].
    SetUp,
    /// After the common start, not measured yet.
    WarmUp,
    /// The window that figures are about.
    Measured,
}

/// When a client is asked.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The phase: of the request for a response or a failure, of the moment otherwise.
    pub phase: Phase,
    /// Now.
    pub now: Instant,
    /// Time since the common start; zero before it.
    pub since_start: Duration,
}
