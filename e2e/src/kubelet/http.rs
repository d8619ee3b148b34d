//! One GET over HTTP/1 on a connection of its own, redirects as a kubelet follows them. Main function: [`get`].

mod url;

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::{
    observation::{Kind, Observation, Verdict, excerpt},
    probe::Target,
    request::HttpRequest,
    response::{Broken, Reader},
};

use url::Joined;
pub(super) use url::Url;

/// A client that has sent this many requests follows no further redirect (`RedirectChecker` in `pkg/probe/http/http.go`).
const MAX_REQUESTS: u32 = 10;

/// Sends `request` to `url`, follows redirects to the same host name, and judges the end as a kubelet does.
/// `dial` is where the first request goes; ports of later ones are looked up in `target`. `timeout` bounds everything.
pub(super) async fn get(
    url: Url,
    mut request: HttpRequest,
    dial: SocketAddr,
    target: &Target,
    timeout: Duration,
) -> Observation {
    let start = Instant::now();
    let deadline = start + timeout;
    let first_host = url.host.clone();
    let (mut url, mut dial, mut sent) = (url, dial, 0);
    loop {
        let exchange = Exchange::run(dial, &url.authority(), &request.bytes(), start, deadline).await;
        sent += 1;
        let observation = Observation { redirects: sent - 1, ..exchange.observation(&request, &url, start) };
        let Some(location) = exchange.location() else {
            return observation;
        };
        let hop = match Hop::to(&location, &url, &first_host, sent, target) {
            Ok(hop) => hop,
            // Not followed is a success with a warning, which the observation already says.
            Err(NoHop::AnotherHost) => return observation,
            Err(NoHop::Failed(message)) => {
                return Observation {
                    verdict: Verdict::Failure,
                    kind: Kind::Redirects,
                    message,
                    warning: None,
                    ..observation
                };
            }
            Err(NoHop::NotMeasured(message)) => {
                return Observation {
                    verdict: Verdict::NotMeasured,
                    kind: Kind::Unsupported,
                    message,
                    warning: None,
                    ..observation
                };
            }
        };
        // A Host of one's own outlives relative redirects only (`Client.do` in net/http/client.go).
        if hop.absolute || request.host == url.authority() {
            request.host = hop.url.authority();
        }
        request.set("Referer", url.to_string());
        request.target.clone_from(&hop.url.target);
        (url, dial) = (hop.url, hop.dial);
    }
}

/// Where a redirect that is followed leads.
struct Hop {
    url: Url,
    absolute: bool,
    dial: SocketAddr,
}

/// Why a redirect is not followed.
enum NoHop {
    AnotherHost,
    Failed(String),
    NotMeasured(String),
}

impl Hop {
    fn to(location: &str, from: &Url, first_host: &str, sent: u32, target: &Target) -> Result<Self, NoHop> {
        let Joined { url, absolute } = from.join(location).map_err(|error| {
            NoHop::Failed(format!("Get {:?}: failed to parse Location header {location:?}: {error}", from.to_string()))
        })?;
        if url.host != first_host {
            return Err(NoHop::AnotherHost);
        }
        if sent >= MAX_REQUESTS {
            return Err(NoHop::Failed(format!("Get {location:?}: stopped after 10 redirects")));
        }
        match url.scheme.as_str() {
            "http" => {}
            "https" => {
                return Err(NoHop::NotMeasured(format!("redirected to {url}: probes over TLS cannot be sent yet")));
            }
            other => return Err(NoHop::Failed(format!("Get {location:?}: unsupported protocol scheme {other:?}"))),
        }
        let unknown =
            || NoHop::NotMeasured(format!("redirected to {url}: no way to port {} of the pod is known", url.port()));
        let dial = target.ports.get(&url.port()).copied().ok_or_else(unknown)?;
        Ok(Self { url, absolute, dial })
    }
}

/// One request and what came back.
struct Exchange {
    reader: Reader,
    connect: Option<Duration>,
    first_byte: Option<Duration>,
    end: Result<(), Failure>,
}

/// Why an exchange ended without a whole response.
struct Failure {
    kind: Kind,
    text: String,
}

impl Exchange {
    async fn run(dial: SocketAddr, shown: &str, request: &[u8], start: Instant, deadline: Instant) -> Self {
        let mut exchange = Self { reader: Reader::default(), connect: None, first_byte: None, end: Ok(()) };
        exchange.end = match timeout_at(deadline, connect(dial, shown)).await {
            Ok(Ok(stream)) => {
                exchange.connect = Some(start.elapsed());
                let read = exchange.read(stream, request, shown, start);
                match timeout_at(deadline, read).await {
                    Ok(end) => end,
                    Err(_) => Err(exchange.timed_out()),
                }
            }
            Ok(Err(failure)) => Err(failure),
            Err(_) => {
                let text = format!("dial tcp {shown}: i/o timeout (Client.Timeout exceeded while awaiting headers)");
                Err(Failure { kind: Kind::Timeout, text })
            }
        };
        exchange
    }

    /// Writes the request and reads until the response is whole.
    async fn read(
        &mut self,
        mut stream: TcpStream,
        request: &[u8],
        shown: &str,
        start: Instant,
    ) -> Result<(), Failure> {
        // A server may answer and close before it has read the request: what it said still counts.
        let written = stream.write_all(request).await;
        let mut buffer = [0; 4096];
        loop {
            let count = match stream.read(&mut buffer).await {
                Ok(count) => count,
                Err(error) if self.reader.head().is_some() => {
                    return Err(Failure { kind: Kind::Truncated, text: io_text("read", shown, &error) });
                }
                Err(error) => {
                    let (verb, error) = written.err().map_or(("read", error), |write_error| ("write", write_error));
                    return Err(Failure { kind: io_kind(&error), text: io_text(verb, shown, &error) });
                }
            };
            if count > 0 && self.first_byte.is_none() {
                self.first_byte = Some(start.elapsed());
            }
            if count == 0 {
                return self.reader.end().map_err(Failure::of_broken_end);
            }
            if self.reader.push(&buffer[..count]).map_err(Failure::of_broken)? {
                return Ok(());
            }
        }
    }

    fn timed_out(&self) -> Failure {
        let (kind, phase) = match self.reader.head() {
            Some(_) => (Kind::Truncated, "(Client.Timeout or context cancellation while reading body)"),
            None => (Kind::Timeout, "(Client.Timeout exceeded while awaiting headers)"),
        };
        Failure { kind, text: format!("context deadline exceeded {phase}") }
    }

    /// Where a redirect leads, if this is one that Go's client follows.
    fn location(&self) -> Option<String> {
        let head = self.reader.head().filter(|head| matches!(head.status, 301 | 302 | 303 | 307 | 308))?;
        head.values("location").next().filter(|location| !location.is_empty()).map(str::to_owned)
    }

    fn observation(&self, request: &HttpRequest, url: &Url, start: Instant) -> Observation {
        let millis = |time: Duration| round_ms(time);
        let (verdict, kind, message, warning) = self.judge(url);
        let head = self.reader.head();
        Observation {
            status: head.map(|head| head.status),
            request: String::from_utf8_lossy(&request.bytes()).into_owned(),
            headers: head.map(|head| head.headers.clone()).unwrap_or_default(),
            body: excerpt(self.reader.body()),
            connect_ms: self.connect.map(millis),
            first_byte_ms: self.first_byte.map(millis),
            total_ms: round_ms(start.elapsed()),
            warning,
            ..Observation::new(verdict, kind, message)
        }
    }

    /// `DoHTTPProbe` in `pkg/probe/http/http.go`: errors before the head are failures, errors in the body are errors of the
    /// prober, and then the status decides.
    fn judge(&self, url: &Url) -> (Verdict, Kind, String, Option<String>) {
        let status = self.reader.head().map(|head| head.status);
        match (&self.end, status) {
            (Err(failure), None) => {
                (Verdict::Failure, failure.kind, format!("Get {:?}: {}", url.to_string(), failure.text), None)
            }
            (Err(failure), Some(_)) if failure.kind == Kind::Truncated => {
                (Verdict::Errored, failure.kind, failure.text.clone(), None)
            }
            (Err(failure), Some(_)) => {
                (Verdict::Failure, failure.kind, format!("Get {:?}: {}", url.to_string(), failure.text), None)
            }
            (Ok(()), Some(status @ 200..=399)) => {
                let warning = (status >= 300).then(|| {
                    format!(
                        "Probe terminated redirects, Response body: {}",
                        String::from_utf8_lossy(self.reader.body())
                    )
                });
                (Verdict::Success, Kind::Response, String::new(), warning)
            }
            (Ok(()), Some(status)) => {
                (Verdict::Failure, Kind::Response, format!("HTTP probe failed with statuscode: {status}"), None)
            }
            (Ok(()), None) => (Verdict::Failure, Kind::Closed, format!("Get {:?}: EOF", url.to_string()), None),
        }
    }
}

impl Failure {
    fn of_broken(broken: Broken) -> Self {
        match broken {
            Broken::Head(text) => Self { kind: Kind::Malformed, text },
            Broken::Empty => Self { kind: Kind::Closed, text: "EOF".to_owned() },
            Broken::Body(text) => Self { kind: Kind::Truncated, text },
        }
    }

    /// As [`Self::of_broken`], where the end of the connection is what broke the head.
    fn of_broken_end(broken: Broken) -> Self {
        match broken {
            Broken::Head(text) if text == "unexpected EOF" => Self { kind: Kind::Closed, text },
            other => Self::of_broken(other),
        }
    }
}

/// Connects, with a failure worded as Go words it. `shown` is the address that a kubelet would dial.
async fn connect(dial: SocketAddr, shown: &str) -> Result<TcpStream, Failure> {
    match TcpStream::connect(dial).await {
        Ok(stream) => {
            // A probe is one small write; waiting for more to send would only add to its time. Failing to say so is harmless.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Err(error) => {
            Err(Failure { kind: io_kind(&error), text: format!("dial tcp {shown}: connect: {}", io_words(&error)) })
        }
    }
}

/// Connects and closes: a tcpSocket probe (`pkg/probe/tcp/tcp.go`).
pub(super) async fn connect_only(dial: SocketAddr, shown: &str, timeout: Duration) -> Observation {
    let start = Instant::now();
    let result = timeout_at(start + timeout, connect(dial, shown)).await;
    let total_ms = round_ms(start.elapsed());
    let observation = match result {
        Ok(Ok(_stream)) => {
            Observation { connect_ms: Some(total_ms), ..Observation::new(Verdict::Success, Kind::Connected, "") }
        }
        Ok(Err(failure)) => Observation::new(Verdict::Failure, failure.kind, failure.text),
        Err(_) => Observation::new(Verdict::Failure, Kind::Timeout, format!("dial tcp {shown}: i/o timeout")),
    };
    Observation { total_ms, ..observation }
}

/// Milliseconds with three decimals: finer would be noise, and three survive JSON unchanged.
pub(super) fn round_ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn io_kind(error: &std::io::Error) -> Kind {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => Kind::Refused,
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => Kind::Reset,
        ErrorKind::TimedOut => Kind::Timeout,
        _ => Kind::Unreachable,
    }
}

/// The system's words as Go prints them: without Rust's `(os error N)`, in lower case.
fn io_words(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}

/// Go also names the local port, which differs each time; it is left out so that equal failures have equal words.
fn io_text(verb: &str, shown: &str, error: &std::io::Error) -> String {
    format!("{verb} tcp {shown}: {verb}: {}", io_words(error))
}
