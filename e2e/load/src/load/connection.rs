//! One request and its response over one connection, within a deadline: [`Connection`].

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep_until};
use tokio_util::either::Either;

use super::response::{Decoder, Progress, Rejected};
use super::tls::{Connector, Stream};
use e2e_figures::Failure;

/// Why there is no response, with words for people.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) failure: Failure,
    pub(super) detail: String,
}

/// A stream that carries one request at a time.
#[derive(Debug)]
pub(super) struct Connection<S> {
    stream: S,
    /// Whether a response came before its request was sent whole, so that no other request can follow.
    is_cut_off: bool,
}

/// A deadline that moves with every request. The runtime's timer is set again only when it fires, so that a request that is
/// answered in time costs no timer operation.
#[derive(Debug)]
pub(super) struct Deadline {
    sleep: Pin<Box<Sleep>>,
    at: Instant,
}

/// The state of a connection between two requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Idle {
    Silent,
    /// Closed by the server.
    Closed,
    /// Bytes have come that belong to no response.
    Unsolicited,
}

impl Connection<Stream> {
    /// Connects before the deadline, encrypted when there is a connector.
    pub(super) async fn open(
        address: SocketAddr,
        connector: Option<&Connector>,
        deadline: &Deadline,
    ) -> Result<Self, Fault> {
        let connecting = tokio::time::timeout_at(deadline.at.into(), connect(address, connector));
        let stream = connecting.await.map_err(|_| Fault::new(Failure::ConnectTimedOut, "no connection in time"))??;
        Ok(Self { stream, is_cut_off: false })
    }
}

async fn connect(address: SocketAddr, connector: Option<&Connector>) -> Result<Stream, Fault> {
    let stream = TcpStream::connect(address).await.map_err(|error| Fault::connecting(&error))?;
    // Requests are written whole, so that waiting for more to send would only add latency.
    stream.set_nodelay(true).map_err(|error| Fault::connecting(&error))?;
    match connector {
        None => Ok(Either::Left(stream)),
        // The library's words name the cause: an unknown issuer, another name, an expired certificate.
        Some(connector) => connector.connect(stream).await.map_err(|error| Fault::new(Failure::Tls, error.to_string())),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Sends a request and waits for the response, which is then in the decoder.
    pub(super) async fn exchange(
        &mut self,
        request: &[u8],
        decoder: &mut Decoder,
        deadline: &mut Deadline,
    ) -> Result<(), Fault> {
        decoder.begin(request.starts_with(b"HEAD "));
        let mut unsent = request;
        poll_fn(|context| match self.poll_exchange(&mut unsent, decoder, context) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => {
                ready!(deadline.poll_passed(context));
                Poll::Ready(Err(Fault::new(Failure::TimedOut, "no whole response in time")))
            }
        })
        .await
    }

    /// Whether another request can follow, as far as the requests before it are concerned.
    pub(super) fn is_reusable(&self) -> bool {
        !self.is_cut_off
    }

    /// What an idle connection has to say. A server may close it between two requests, which is no error.
    pub(super) async fn idle(&mut self) -> Idle {
        let mut byte = [0];
        poll_fn(|context| {
            let mut buffer = ReadBuf::new(&mut byte);
            Poll::Ready(match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Pending => Idle::Silent,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => Idle::Unsolicited,
                Poll::Ready(_) => Idle::Closed,
            })
        })
        .await
    }

    fn poll_exchange(
        &mut self,
        unsent: &mut &[u8],
        decoder: &mut Decoder,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>> {
        while !unsent.is_empty() && !self.is_cut_off {
            match Pin::new(&mut self.stream).poll_write(context, unsent) {
                Poll::Ready(Ok(written @ 1..)) => *unsent = &unsent[written..],
                // The server may answer before it has read all, and close: the answer counts.
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => self.is_cut_off = true,
                Poll::Ready(Err(error)) if is_closed_by_peer(&error) => self.is_cut_off = true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Fault::exchanging(&error))),
            }
        }
        if let Poll::Ready(Err(error)) = Pin::new(&mut self.stream).poll_flush(context)
            && !is_closed_by_peer(&error)
        {
            return Poll::Ready(Err(Fault::exchanging(&error)));
        }
        loop {
            let mut buffer = ReadBuf::new(decoder.space());
            if let Err(error) = ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)) {
                return Poll::Ready(Err(Fault::exchanging(&error)));
            }
            let received = buffer.filled().len();
            if received == 0 {
                return Poll::Ready(decoder.end_of_stream().map_err(Fault::from));
            }
            match decoder.advance(received) {
                Ok(Progress::Complete) => {
                    self.is_cut_off |= !unsent.is_empty();
                    return Poll::Ready(Ok(()));
                }
                Ok(Progress::Partial) => {}
                Err(rejected) => return Poll::Ready(Err(rejected.into())),
            }
        }
    }
}

impl Deadline {
    /// Must be made within a runtime.
    pub(super) fn new(at: Instant) -> Self {
        Self { sleep: Box::pin(sleep_until(at.into())), at }
    }

    pub(super) fn set(&mut self, at: Instant) {
        self.at = at;
    }

    fn poll_passed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.sleep.deadline() > self.at.into() {
            self.sleep.as_mut().reset(self.at.into());
        }
        loop {
            ready!(self.sleep.as_mut().poll(context));
            if Instant::now() >= self.at {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(self.at.into());
        }
    }
}

impl Fault {
    fn new(failure: Failure, detail: impl Into<String>) -> Self {
        Self { failure, detail: detail.into() }
    }

    fn connecting(error: &io::Error) -> Self {
        let failure = match error.kind() {
            io::ErrorKind::ConnectionRefused => Failure::ConnectionRefused,
            io::ErrorKind::TimedOut => Failure::ConnectTimedOut,
            io::ErrorKind::ConnectionReset => Failure::ConnectionReset,
            _ => Failure::ConnectFailed,
        };
        Self::new(failure, error.to_string())
    }

    fn exchanging(error: &io::Error) -> Self {
        let failure = match error.kind() {
            // Only an encrypted stream can tell that it was cut off.
            io::ErrorKind::UnexpectedEof => Failure::ClosedEarly,
            _ if is_closed_by_peer(error) => Failure::ConnectionReset,
            _ => Failure::Io,
        };
        Self::new(failure, error.to_string())
    }
}

impl From<Rejected> for Fault {
    fn from(rejected: Rejected) -> Self {
        Self::new(rejected.failure, rejected.detail)
    }
}

fn is_closed_by_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
    )
}
