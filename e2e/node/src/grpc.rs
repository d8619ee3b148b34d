//! gRPC probes: requests to the health service over HTTP/2 without TLS (`pkg/probe/grpc/grpc.go`). Main function: [`check`].

use std::time::Duration;

use ::http::{HeaderMap, Method, Request, Version};
use e2e_kubelet::{
    observation::{Kind, Observation, Verdict},
    profile::Profile,
    protocol::Protocol,
};
use e2e_plan::duration;
use prost::Message;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, sleep, timeout_at},
};

use crate::{
    http::{self, Clock, Failure, Heard, Route, Secured, round_ms},
    opening::recognised,
};

/// A gRPC client redials after about this long (`backoff.DefaultConfig`); a kubelet waits for a success.
const REDIAL: Duration = Duration::from_secs(1);
/// grpc-go's version in a kubelet of 1.32; servers rarely read it.
const GRPC_GO: &str = "grpc-go/1.65.0";
/// How a kubelet begins to say that it got no connection in time.
pub(super) const NOT_CONNECTED: &str = "timeout: failed to connect service";
const PATH: &str = "/grpc.health.v1.Health/Check";
/// The maximum size of an answer, which has a few bytes.
const MAX_MESSAGE: usize = 4096;

/// Asks the health service for `service` by `route`, within `timeout`. `shown` is a kubelet's target address. A kubelet never uses
/// TLS.
pub(super) async fn check(
    route: &Route,
    shown: &str,
    service: &str,
    secured: bool,
    timeout: Duration,
    profile: &Profile,
) -> Observation {
    let clock = Clock::start(timeout);
    let mut call = Call {
        shown: shown.to_owned(),
        service: service.to_owned(),
        user_agent: format!("kube-probe/{} {GRPC_GO}", profile.version),
        secured,
        phases: Phases::default(),
        heard: Heard::default(),
        request: String::new(),
        answer: None,
        wants_certificate: false,
    };
    // On the heap, as an exchange over HTTP is.
    let ended = timeout_at(clock.deadline, Box::pin(call.run(route, clock))).await;
    let within = duration::as_go(timeout);
    let (verdict, kind, message) = match (ended, &call.answer) {
        (Ok(Ok(())), Some(Answer::Status(status))) => match health(*status) {
            "SERVING" => (Verdict::Success, Kind::Health, String::new()),
            other => (Verdict::Failure, Kind::Health, format!("service unhealthy (responded with {other:?})")),
        },
        (Ok(Ok(())), Some(answer @ (Answer::Error { code, message } | Answer::Http { code, message, .. }))) => {
            let kind = if answer.status().is_some() { Kind::Response } else { Kind::Health };
            let text = match *code {
                12 => format!(
                    "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {message}"
                ),
                _ => format!("error: health rpc probe failed: rpc error: code = {} desc = {message}", code_word(*code)),
            };
            (Verdict::Failure, kind, text)
        }
        (Ok(Ok(())), None) => (Verdict::Failure, Kind::Closed, unavailable("error reading from server: EOF")),
        (Ok(Err(failure)), _) => (Verdict::Failure, failure.kind, failure.text),
        (Err(_), _) if call.speaks_http2() => {
            (Verdict::Failure, Kind::Timeout, format!("timeout: health rpc did not complete within {within}"))
        }
        (Err(_), _) => {
            let kind = call.phases.refused.unwrap_or(Kind::Timeout);
            let text = format!("{NOT_CONNECTED} {shown:?} within {within}: context deadline exceeded");
            (Verdict::Failure, kind, text)
        }
    };
    let http2 = call.speaks_http2();
    let spoke = recognised(&call.heard.bytes()).filter(|spoke| !(http2 || secured && *spoke == Protocol::Tls));
    let Phases { connect, first_byte, .. } = call.phases;
    Observation {
        status: call.answer.as_ref().and_then(Answer::status),
        grpc: call.answer.and_then(|answer| answer.word()),
        http2,
        spoke,
        wants_certificate: call.wants_certificate,
        request: call.request,
        connect_ms: connect.map(round_ms),
        first_byte_ms: first_byte.map(round_ms),
        total_ms: round_ms(clock.start.elapsed()),
        ..Observation::new(verdict, kind, message)
    }
}

struct Call {
    shown: String,
    service: String,
    user_agent: String,
    secured: bool,
    phases: Phases,
    heard: Heard,
    request: String,
    answer: Option<Answer>,
    /// Whether the server asked for a certificate in the handshake.
    wants_certificate: bool,
}

#[derive(Default)]
struct Phases {
    connect: Option<Duration>,
    first_byte: Option<Duration>,
    /// The reason of the last failed dial.
    refused: Option<Kind>,
}

enum Answer {
    Status(u64),
    /// gRPC's own status, other than OK.
    Error {
        code: u32,
        message: String,
    },
    /// Not gRPC's: a response of HTTP, which a client translates.
    Http {
        status: u16,
        code: u32,
        message: String,
    },
}

impl Answer {
    fn word(&self) -> Option<String> {
        match self {
            Self::Status(status) => Some(health(*status).to_owned()),
            Self::Error { code, .. } => Some(code_word(*code).to_owned()),
            Self::Http { .. } => None,
        }
    }

    /// The status of a response that is not gRPC's.
    fn status(&self) -> Option<u16> {
        match self {
            Self::Http { status, .. } => Some(*status),
            Self::Status(_) | Self::Error { .. } => None,
        }
    }
}

impl Call {
    /// Dials until the server speaks HTTP/2, like a blocking client, and asks once.
    async fn run(&mut self, route: &Route, clock: Clock) -> Result<(), Failure> {
        loop {
            match self.dial_and_ask(route, clock.start).await {
                Err(failure) if !self.speaks_http2() && failure.kind != Kind::InvalidRequest => {
                    self.phases.refused = Some(failure.kind);
                    sleep(REDIAL).await;
                }
                ended => return ended,
            }
        }
    }

    async fn dial_and_ask(&mut self, route: &Route, start: Instant) -> Result<(), Failure> {
        let (wire, heard) = http::connect(route, &self.shown).await?;
        self.phases.connect = Some(start.elapsed());
        self.heard = heard;
        if !self.secured {
            return self.ask(wire, start).await;
        }
        let name = route.address.ip().to_string();
        let (seen, secured) = http::handshake(wire, &name, &[b"h2"], &self.shown, route, &self.heard).await;
        self.wants_certificate = seen.wants_certificate;
        let Secured { stream, http2, .. } = secured?;
        match http2 {
            true => self.ask(stream, start).await,
            false => Err(Failure::new(Kind::Tls, "the server does not pick HTTP/2")),
        }
    }

    async fn ask<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &mut self,
        stream: S,
        start: Instant,
    ) -> Result<(), Failure> {
        let broken = |error: &h2::Error| Failure::new(Kind::Http2, unavailable(&error.to_string()));
        let (mut sender, _driver) = http::begin(stream).await.map_err(|error| broken(&error))?;
        let message = self.message()?;
        let (response, mut body) = sender.send_request(message, false).map_err(|error| broken(&error))?;
        // A server may answer before it has read the message, and end the stream: the answer counts, or the reason for its absence.
        let _ = body.send_data(encode(&self.service).into(), true);
        let response = response.await.map_err(|error| broken(&error))?;
        self.phases.first_byte = Some(start.elapsed());
        self.answer = self.read(response).await.map_err(|error| broken(&error))?;
        Ok(())
    }

    /// Whether the server's first frame is SETTINGS, at which a kubelet's client counts as connected.
    fn speaks_http2(&self) -> bool {
        match self.secured {
            // TLS hides the bytes.
            true => self.phases.first_byte.is_some(),
            false => recognised(&self.heard.bytes()) == Some(Protocol::Http2),
        }
    }

    fn message(&mut self) -> Result<Request<()>, Failure> {
        let Self { user_agent, shown: authority, .. } = self;
        let scheme = if self.secured { "https" } else { "http" };
        self.request = format!(
            ":method: POST\r\n:scheme: {scheme}\r\n:path: {PATH}\r\n:authority: {authority}\r\n\
             content-type: application/grpc\r\nuser-agent: {user_agent}\r\nte: trailers\r\n"
        );
        Request::builder()
            .method(Method::POST)
            .version(Version::HTTP_2)
            .uri(format!("{scheme}://{authority}{PATH}"))
            .header("content-type", "application/grpc")
            .header("user-agent", user_agent.as_str())
            .header("te", "trailers")
            .body(())
            .map_err(|error| Failure::new(Kind::InvalidRequest, error.to_string()))
    }

    async fn read(&self, response: ::http::Response<h2::RecvStream>) -> Result<Option<Answer>, h2::Error> {
        let (head, mut body) = response.into_parts();
        let kind = head.headers.get("content-type").map(|kind| String::from_utf8_lossy(kind.as_bytes()).into_owned());
        // gRPC's clients take any subtype (`ContentSubtype` in grpc-go's internal/grpcutil/method.go).
        let is_grpc = kind.as_ref().is_some_and(|kind| kind.to_ascii_lowercase().starts_with("application/grpc"));
        if head.status != 200 || !is_grpc {
            let reason = head.status.canonical_reason().unwrap_or_default();
            let mut message =
                format!("unexpected HTTP status code received from server: {} ({reason})", head.status.as_u16());
            match kind {
                _ if is_grpc => {}
                Some(kind) => message += &format!("; transport: received unexpected content-type {kind:?}"),
                None => message += "; malformed header: missing HTTP content-type",
            }
            let (status, code) = (head.status.as_u16(), of_http(head.status.as_u16()));
            return Ok(Some(if is_grpc {
                Answer::Error { code, message }
            } else {
                Answer::Http { status, code, message }
            }));
        }
        if let Some(error) = error_of(&head.headers) {
            return Ok(Some(error));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk?;
            let _ = body.flow_control().release_capacity(chunk.len());
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_MESSAGE {
                let message = format!("received message larger than max ({} vs. {MAX_MESSAGE})", bytes.len());
                return Ok(Some(Answer::Error { code: 8, message }));
            }
        }
        let trailers = body.trailers().await?.unwrap_or_default();
        if let Some(error) = error_of(&trailers) {
            return Ok(Some(error));
        }
        let broken = || Answer::Error { code: 13, message: "the message cannot be decoded".to_owned() };
        Ok(Some(decode(&bytes).map_or_else(broken, Answer::Status)))
    }
}

/// `HealthCheckRequest` of grpc.health.v1.
#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// `HealthCheckResponse` of grpc.health.v1.
#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckResponse {
    #[prost(uint64, tag = "1")]
    status: u64,
}

/// The request in gRPC's frame: uncompressed, with its length.
fn encode(service: &str) -> Vec<u8> {
    let message = HealthCheckRequest { service: service.to_owned() }.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0], length.as_slice(), &message].concat()
}

/// The status of a response in gRPC's frame; `None` if it is not such a message.
fn decode(frame: &[u8]) -> Option<u64> {
    let (&[0, a, b, c, d], message) = frame.split_first_chunk::<5>()? else {
        return None;
    };
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
    HealthCheckResponse::decode(message.get(..length)?).ok().map(|response| response.status)
}

/// `ServingStatus` of grpc.health.v1.
fn health(status: u64) -> &'static str {
    match status {
        0 => "UNKNOWN",
        1 => "SERVING",
        2 => "NOT_SERVING",
        3 => "SERVICE_UNKNOWN",
        _ => "UNRECOGNIZED",
    }
}

/// `grpc-status` and `grpc-message` of an error.
fn error_of(headers: &HeaderMap) -> Option<Answer> {
    let text = |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let code = text("grpc-status")?.parse().unwrap_or(2);
    (code != 0).then(|| Answer::Error { code, message: text("grpc-message").unwrap_or_default() })
}

/// gRPC's code for an HTTP status (`HTTPStatusConvTab` in grpc-go's internal/transport/http_util.go).
fn of_http(status: u16) -> u32 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

fn code_word(code: u32) -> &'static str {
    const WORDS: [&str; 17] = [
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    WORDS.get(code as usize).copied().unwrap_or("Unknown")
}

fn unavailable(what: &str) -> String {
    format!("error: health rpc probe failed: rpc error: code = Unavailable desc = {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_of_the_health_protocol() {
        assert_eq!(encode(""), [0, 0, 0, 0, 0]);
        assert_eq!(encode("db"), [0, 0, 0, 0, 4, 0x0a, 2, b'd', b'b']);
        assert_eq!(decode(&[0, 0, 0, 0, 2, 0x08, 1]), Some(1));
        assert_eq!(decode(&[0, 0, 0, 0, 0]), Some(0));
        // Field 2, of wire type 2, is none of ours.
        assert_eq!(decode(&[0, 0, 0, 0, 5, 0x12, 1, 7, 0x08, 2]), Some(2));
        assert_eq!(decode(&[1, 0, 0, 0, 2, 0x08, 1]), None);
        assert_eq!(decode(&[0, 0, 0, 0, 9, 0x08, 1]), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes: Vec<u8>) {
            let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
            decode(&[&[0], length.as_slice(), &bytes].concat());
            decode(&bytes);
        }
    }
}
