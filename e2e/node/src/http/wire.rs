//! A TCP connection that keeps the first received bytes, and failures in Go's words. Main type: [`Wire`].

use std::{io, sync::Arc};

use e2e_kubelet::observation::Kind;
use parking_lot::Mutex;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
};
use tokio_util::io::InspectReader;

use super::Route;

/// Enough bytes to distinguish protocols.
const REMEMBERED: usize = 128;

/// A connection that says what it hears.
pub(crate) type Wire = InspectReader<TcpStream, Box<dyn FnMut(&[u8]) + Send>>;

/// The server's first bytes; they outlive the connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Vec<u8>>>);

impl Heard {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().clone()
    }

    fn add(&self, bytes: &[u8]) {
        let mut heard = self.0.lock();
        let room = REMEMBERED - heard.len().min(REMEMBERED);
        heard.extend_from_slice(&bytes[..room.min(bytes.len())]);
    }
}

/// The reason for an incomplete response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) text: String,
    /// The alert that ended TLS.
    pub(crate) alert: Option<String>,
}

impl Failure {
    pub(crate) fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), alert: None }
    }

    /// A failure to read or write. Go also names the local port, which varies; it is omitted so that equal failures have equal
    /// words.
    pub(crate) fn of_io(verb: &str, shown: &str, error: &io::Error) -> Self {
        Self::new(kind_of(error), format!("{verb} tcp {shown}: {verb}: {}", words_of(error)))
    }
}

/// Connects; failures are in Go's words. `shown` is a kubelet's target address.
pub(crate) async fn connect(route: &Route, shown: &str) -> Result<(Wire, Heard), Failure> {
    match open(route).await {
        Ok(tcp) => {
            let heard = Heard::default();
            let hears = heard.clone();
            Ok((Wire::new(tcp, Box::new(move |bytes: &[u8]| hears.add(bytes))), heard))
        }
        Err(error) => Err(Failure::new(kind_of(&error), format!("dial tcp {shown}: connect: {}", words_of(&error)))),
    }
}

async fn open(route: &Route) -> io::Result<TcpStream> {
    let mut stream = match route.source {
        None => TcpStream::connect(route.address).await?,
        Some(source) => {
            let socket = if source.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.bind((source, 0).into())?;
            socket.connect(route.address).await?
        }
    };
    // A probe is one small write, which must not be delayed. A failure to set the option is harmless.
    let _ = stream.set_nodelay(true);
    stream.write_all(&route.preamble).await?;
    Ok(stream)
}

fn kind_of(error: &io::Error) -> Kind {
    use io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => Kind::Refused,
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => Kind::Reset,
        ErrorKind::TimedOut => Kind::Timeout,
        ErrorKind::UnexpectedEof => Kind::Closed,
        _ => Kind::Unreachable,
    }
}

/// The system's error as Go prints it: in lower case, without Rust's `(os error N)`.
fn words_of(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}
