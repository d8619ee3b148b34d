//! Servers for tests, made of raw bytes.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK";

/// An address at which nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A server whose every connection is given to `serve` with its number, from 0.
pub(crate) async fn server<F, S>(serve: S) -> SocketAddr
where
    S: Fn(Peer, usize) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(Peer { stream, received: Vec::new() }, number));
        }
    });
    address
}

/// A server that takes so long for a connection's request of this number, from 0.
pub(crate) async fn slow(delay: impl Fn(usize) -> u64 + Clone + Send + Sync + 'static) -> SocketAddr {
    server(move |mut peer, _| {
        let delay = delay.clone();
        async move {
            let mut number = 0;
            while peer.request().await.is_some() {
                tokio::time::sleep(Duration::from_millis(delay(number))).await;
                peer.write(OK).await;
                number += 1;
            }
        }
    })
    .await
}

/// A server that answers each request by a function of the request's number, from 0, and its text.
pub(crate) async fn answering(answer: impl Fn(usize, &str) -> String + Send + Sync + 'static) -> SocketAddr {
    let answer = Arc::new(answer);
    let requests = Arc::new(AtomicUsize::new(0));
    server(move |mut peer, _| {
        let (answer, requests) = (answer.clone(), requests.clone());
        async move {
            while let Some(request) = peer.request().await {
                let number = requests.fetch_add(1, Ordering::Relaxed);
                peer.write(answer(number, &request)).await;
            }
        }
    })
    .await
}

/// A whole response with a length.
pub(crate) fn response(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

/// One connection of a server.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
}

impl Peer {
    /// The next request, head and body; nothing when the client has closed.
    pub(crate) async fn request(&mut self) -> Option<String> {
        loop {
            let text = String::from_utf8_lossy(&self.received).into_owned();
            if let Some(head) = text.find("\r\n\r\n") {
                let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
                let whole = head + 4 + length.map_or(0, |length| length.parse().unwrap());
                if self.received.len() >= whole {
                    self.received.drain(..whole);
                    return Some(text[..whole].to_owned());
                }
            }
            if self.stream.read_buf(&mut self.received).await.ok()? == 0 {
                return None;
            }
        }
    }

    /// Writes and ignores a client that has gone.
    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }
}
