//! One request and its response, with a kubelet's verdict. Main type: [`Exchange`].

use std::time::Duration;

use e2e_kubelet::{
    observation::{Kind, Observation, Verdict, excerpt},
    protocol::Protocol,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout_at},
};

use super::{
    Clock, Failure, Heard, Route, Url, connect, http2, round_ms,
    tls::{self, Secured, Shown},
};
use crate::{
    opening::recognised,
    request::HttpRequest,
    response::{Broken, Head, Reader},
};

/// The protocols that a kubelet offers over TLS.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What was received so far; a timeout keeps it.
#[derive(Debug)]
pub(super) struct Exchange {
    /// The response over HTTP/1.
    http1: Reader,
    /// The response over HTTP/2, once that is spoken.
    http2: Option<http2::Arrived>,
    phases: Phases,
    heard: Heard,
    tls: Shown,
    end: Result<(), Failure>,
}

/// The time from the start to the end of each phase.
#[derive(Debug, Default, Clone, Copy)]
struct Phases {
    connect: Option<Duration>,
    tls: Option<Duration>,
    first_byte: Option<Duration>,
}

impl Exchange {
    pub(super) async fn run(route: &Route, url: &Url, request: &HttpRequest, clock: Clock) -> Self {
        let mut exchange = Self {
            http1: Reader::new(route.tolerance),
            http2: None,
            phases: Phases::default(),
            heard: Heard::default(),
            tls: Shown::default(),
            end: Ok(()),
        };
        // On the heap: futures around it, of which the doctor has many, would each hold the whole of TLS and HTTP/2.
        let talk = Box::pin(exchange.talk(route, url, request, clock.start));
        let ended = timeout_at(clock.deadline, talk).await;
        exchange.end = ended.unwrap_or_else(|_| Err(exchange.timed_out(&url.dialled())));
        exchange
    }

    async fn talk(&mut self, route: &Route, url: &Url, request: &HttpRequest, start: Instant) -> Result<(), Failure> {
        let shown = url.dialled();
        let (wire, heard) = connect(route, &shown).await?;
        self.phases.connect = Some(start.elapsed());
        self.heard = heard;
        if !url.is_tls() {
            return match route.http2 {
                true => self.read_http2(wire, url, request, start).await,
                false => self.read_http1(wire, request, &shown, start).await,
            };
        }
        let name = route.server_name.as_deref().unwrap_or(&url.host);
        let (seen, secured) = tls::handshake(wire, name, &PROTOCOLS, &shown, route, &self.heard).await;
        self.tls = seen;
        let Secured { stream, http2, broken } = secured?;
        self.phases.tls = Some(start.elapsed());
        match http2 {
            true => self.read_http2(stream, url, request, start).await.map_err(|failure| {
                let broken = broken.lock().take();
                broken.filter(|broken| broken.alert.is_some()).unwrap_or(failure)
            }),
            false => self.read_http1(stream, request, &shown, start).await,
        }
    }

    async fn read_http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &mut self,
        stream: S,
        url: &Url,
        request: &HttpRequest,
        start: Instant,
    ) -> Result<(), Failure> {
        let Self { http2, phases, .. } = self;
        let arrived = http2.insert(http2::Arrived::default());
        http2::exchange(stream, url, request, arrived, || phases.first_byte = Some(start.elapsed())).await
    }

    /// Writes the request and reads until the response is complete.
    async fn read_http1<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        mut stream: S,
        request: &HttpRequest,
        shown: &str,
        start: Instant,
    ) -> Result<(), Failure> {
        let Self { http1: reader, phases, .. } = self;
        // A server may answer and close before it has read the request: the answer counts.
        let written = match stream.write_all(&request.bytes()).await {
            Ok(()) => stream.flush().await,
            failed => failed,
        };
        let mut buffer = [0; 4096];
        loop {
            let count = match stream.read(&mut buffer).await {
                Ok(count) => count,
                // A TLS peer may close without close_notify.
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => 0,
                Err(error) if reader.head().is_some() => {
                    let failure = Failure::of_tls(&error, &[], shown);
                    return Err(Failure { kind: Kind::Truncated, ..failure });
                }
                Err(error) => {
                    return Err(match written.err() {
                        Some(write) if write.get_ref().is_none() => Failure::of_io("write", shown, &write),
                        _ => Failure::of_tls(&error, &[], shown),
                    });
                }
            };
            if count > 0 && phases.first_byte.is_none() {
                phases.first_byte = Some(start.elapsed());
            }
            if count == 0 {
                return reader.end().map_err(Failure::of_broken);
            }
            if reader.push(&buffer[..count]).map_err(Failure::of_broken)? {
                return Ok(());
            }
        }
    }

    fn head(&self) -> Option<&Head> {
        self.http2.as_ref().map_or_else(|| self.http1.head(), |arrived| arrived.head.as_ref())
    }

    fn body(&self) -> &[u8] {
        self.http2.as_ref().map_or_else(|| self.http1.body(), |arrived| &arrived.body)
    }

    fn timed_out(&self, shown: &str) -> Failure {
        if self.phases.connect.is_none() {
            let text = format!("dial tcp {shown}: i/o timeout (Client.Timeout exceeded while awaiting headers)");
            return Failure::new(Kind::Timeout, text);
        }
        let (kind, phase) = match self.head() {
            Some(_) => (Kind::Truncated, "(Client.Timeout or context cancellation while reading body)"),
            None => (Kind::Timeout, "(Client.Timeout exceeded while awaiting headers)"),
        };
        Failure::new(kind, format!("context deadline exceeded {phase}"))
    }

    /// The target of a redirect that Go's client follows.
    pub(super) fn location(&self) -> Option<String> {
        let head = self.head().filter(|head| matches!(head.status, 301 | 302 | 303 | 307 | 308))?;
        head.values("location").next().filter(|location| !location.is_empty()).map(str::to_owned)
    }

    pub(super) fn observation(&self, request: &HttpRequest, url: &Url, start: Instant) -> Observation {
        let (verdict, kind, message, warning) = self.judge(url);
        let head = self.head();
        let sent = match self.http2 {
            None => request.bytes(),
            Some(_) => request.http2_text(&url.scheme).into_bytes(),
        };
        let Phases { connect, tls, first_byte } = self.phases;
        Observation {
            status: head.map(|head| head.status),
            http2: self.http2.is_some(),
            request: String::from_utf8_lossy(&sent).into_owned(),
            headers: head.map(|head| head.headers.clone()).unwrap_or_default(),
            body: match head {
                Some(_) => excerpt(self.body()),
                // Bytes that are not a response are shown escaped.
                None if !url.is_tls() => self.heard.bytes().escape_ascii().to_string(),
                None => String::new(),
            },
            connect_ms: connect.map(round_ms),
            tls_ms: tls.map(round_ms),
            first_byte_ms: first_byte.map(round_ms),
            total_ms: round_ms(start.elapsed()),
            tls_alert: self.end.as_ref().err().and_then(|failure| failure.alert.clone()),
            certificate_names: self.tls.names.clone(),
            wants_certificate: self.tls.wants_certificate,
            spoke: self.spoke(url),
            warning,
            ..Observation::new(verdict, kind, message)
        }
    }

    /// The server's protocol by its first bytes, if unexpected. TLS hides the bytes.
    fn spoke(&self, url: &Url) -> Option<Protocol> {
        let spoke = recognised(&self.heard.bytes())?;
        let expected = url.is_tls() && spoke == Protocol::Tls;
        (self.head().is_none() && !expected).then_some(spoke)
    }

    /// `DoHTTPProbe` in `pkg/probe/http/http.go`: errors before the head are failures, errors in the body are errors of the prober;
    /// otherwise the status decides.
    fn judge(&self, url: &Url) -> (Verdict, Kind, String, Option<String>) {
        let status = self.head().map(|head| head.status);
        let failed = |kind, text: &str| (Verdict::Failure, kind, format!("Get {:?}: {text}", url.to_string()), None);
        match (&self.end, status) {
            (Err(failure), Some(_)) => (Verdict::Errored, failure.kind, failure.text.clone(), None),
            (Err(failure), None) => failed(failure.kind, &failure.text),
            (Ok(()), None) => failed(Kind::Closed, "EOF"),
            (Ok(()), Some(status @ 200..=399)) => {
                let body = String::from_utf8_lossy(self.body());
                let warning = (status >= 300).then(|| format!("Probe terminated redirects, Response body: {body}"));
                (Verdict::Success, Kind::Response, String::new(), warning)
            }
            (Ok(()), Some(status)) => {
                (Verdict::Failure, Kind::Response, format!("HTTP probe failed with statuscode: {status}"), None)
            }
        }
    }
}

impl Failure {
    fn of_broken(broken: Broken) -> Self {
        match broken {
            Broken::Head(text) => Self::new(Kind::Malformed, of_transport(&text)),
            Broken::Empty => Self::new(Kind::Closed, "EOF"),
            Broken::CutOff => Self::new(Kind::Closed, of_transport("unexpected EOF")),
            Broken::Body(text) => Self::new(Kind::Malformed, text),
            Broken::BodyCutOff(text) => Self::new(Kind::Truncated, text),
        }
    }
}

/// An error before the head is complete, in the words of Go's transport.
fn of_transport(text: &str) -> String {
    format!("net/http: HTTP/1.x transport connection broken: {text}")
}
