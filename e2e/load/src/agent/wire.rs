//! What conductor and agent say to each other, as lines of JSON over any stream: [`Wire`].

use std::io;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::{Order, Share};
use crate::load::{ClientReport, LoadResult, Snapshot};

/// Raised when messages change: an agent's image may be older than the conductor.
pub(super) const PROTOCOL: u32 = 3;

/// Agents tell their progress each second, so that ten silent seconds mean that one is gone, or that its machine stands still.
pub(super) const SILENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FromConductor {
    Hello { token: String, protocol: u32 },
    Order { order: Box<Order>, share: Share },
    Start,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FromAgent {
    Progress(Snapshot),
    Ready,
    Result(Box<LoadResult<ClientReport>>),
    Failed { reason: String },
}

/// Why the other side can no longer be understood.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum WireError {
    #[error("connection closed")]
    Closed,
    #[error("connection failed: {0}")]
    Io(#[from] io::Error),
    /// Nothing came, or nothing could be sent, for this long.
    #[error("silent for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("a message of more than {0} bytes")]
    TooLong(usize),
    #[error("not a message: {0}")]
    Unknown(#[from] serde_json::Error),
}

/// One connection between conductor and agent.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: S,
    received: Vec<u8>,
    /// How much of `received` has been searched for a line's end.
    searched: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, received: Vec::new(), searched: 0 }
    }

    /// The next message, of at most `limit` bytes. Nothing is lost when the future is dropped.
    pub(super) async fn receive<M: DeserializeOwned>(&mut self, limit: usize) -> Result<M, WireError> {
        loop {
            let end = self.received[self.searched..].iter().position(|byte| *byte == b'\n');
            if let Some(end) = end.map(|end| self.searched + end) {
                let message = serde_json::from_slice(&self.received[..end]);
                self.received.drain(..=end);
                self.searched = 0;
                return Ok(message?);
            }
            self.searched = self.received.len();
            if self.searched > limit {
                return Err(WireError::TooLong(limit));
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(WireError::Closed);
            }
        }
    }

    pub(super) async fn send<M: Serialize>(&mut self, message: &M) -> Result<(), WireError> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        let sent = timeout(SILENCE, async {
            self.stream.write_all(&line).await?;
            self.stream.flush().await
        });
        Ok(sent.await.map_err(|_| WireError::Silent(SILENCE))??)
    }
}
