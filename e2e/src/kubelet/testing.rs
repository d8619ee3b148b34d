//! Small raw servers for tests of probes and of the doctor. Main type: [`Server`].

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// What a server does with a connection.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    /// Writes these bytes and closes.
    Bytes(Vec<u8>),
    /// Writes these bytes and keeps the connection open without another word.
    ThenNothing(Vec<u8>),
    /// Waits, then writes these bytes and closes.
    After(Duration, Vec<u8>),
    /// Closes with the request unread, which makes the system send a reset.
    Reset,
}

impl Reply {
    /// A response with a status and a body.
    pub(super) fn status(status: u16, body: &str) -> Self {
        Self::Bytes(response(status, body))
    }

    /// A redirect.
    pub(super) fn redirect(status: u16, location: &str) -> Self {
        let text = format!("HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        Self::Bytes(text.into_bytes())
    }
}

/// The bytes of a response.
pub(super) fn response(status: u16, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} Whatever\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A server on a free port that answers each request as its function says. Dropping it stops it.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(super) async fn start(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let reply = Arc::new(reply);
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (reply, seen) = (Arc::clone(&reply), Arc::clone(&seen));
                connections.spawn(async move {
                    // A client that went away is no failure of the server's.
                    let _ = answer(stream, &*reply, &seen).await;
                });
            }
        });
        Self { address, requests, _tasks: tasks }
    }

    /// The requests that have arrived.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// A port on which nobody listens.
pub(super) fn closed_port() -> SocketAddr {
    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// The value of a request's header.
pub(super) fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let lines = request.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
}

async fn answer(
    mut stream: TcpStream,
    reply: &(impl Fn(&str) -> Reply + Send + Sync),
    seen: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    // Peeked at first, so that a reset can leave it unread.
    let mut buffer = [0; 8192];
    let count = stream.peek(&mut buffer).await?;
    let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
    seen.lock().unwrap().push(text.clone());
    let reply = reply(&text);
    if let Reply::Reset = reply {
        return Ok(());
    }
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    match reply {
        Reply::Bytes(bytes) => stream.write_all(&bytes).await?,
        Reply::ThenNothing(bytes) => {
            stream.write_all(&bytes).await?;
            // Ends when the client closes.
            stream.read_buf(&mut request).await?;
        }
        Reply::After(delay, bytes) => {
            tokio::time::sleep(delay).await;
            stream.write_all(&bytes).await?;
        }
        Reply::Reset => {}
    }
    Ok(())
}
