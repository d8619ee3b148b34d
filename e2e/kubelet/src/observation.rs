//! The result of one probe and a kubelet's verdict. Main type: [`Observation`].

use std::time::Duration;

use e2e_plan::duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::protocol::Protocol;

/// The maximum bytes of a body or a command's output in an [`Observation`].
pub const EXCERPT_BYTES: usize = 1024;

/// How the message of a command begins that was still running at its timeout.
pub const COMMAND_TIMED_OUT: &str = "command timed out";

/// A kubelet's verdict on a probe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Counts towards `successThreshold`.
    Success,
    /// Counts towards `failureThreshold`.
    Failure,
    /// The kubelet reports it (`probe errored`) and ignores the result. A response whose body ends early or stalls is one case
    /// (`pkg/probe/http/http.go` returns an error for it, and `doProbe` in `pkg/kubelet/prober/worker.go` drops results with an
    /// error).
    Errored,
    /// This program cannot send such a probe; it is neither a success nor a failure.
    #[default]
    NotMeasured,
}

/// The end of the exchange.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An HTTP response arrived.
    Response,
    /// A TCP connection was established (`tcpSocket`).
    Connected,
    /// The health service answered (`grpc`).
    Health,
    /// A command ended (`exec`).
    Exited,
    /// Nothing listens on the port.
    Refused,
    /// The peer reset the connection.
    Reset,
    /// The timeout expired.
    Timeout,
    /// The peer closed the connection before a complete response head.
    Closed,
    /// The answer is not an HTTP/1 response.
    Malformed,
    /// TLS failed: an alert, or the peer speaks another protocol.
    Tls,
    /// The peer violated or ended HTTP/2.
    Http2,
    /// The head arrived, and the body ended early, stalled, or broke its framing.
    Truncated,
    /// More redirects than a kubelet follows, or an unreadable one.
    Redirects,
    /// The host name could not be resolved.
    Dns,
    /// The network has no route to the address.
    Unreachable,
    /// The declaration is not a valid request, for example a header value with a newline.
    InvalidRequest,
    /// The command could not be run (`exec`).
    CannotExec,
    /// This program cannot send such a probe.
    #[default]
    Unsupported,
}

/// One header of a response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Header {
    /// The name as sent by the server.
    pub name: String,
    /// The value; bytes that are not UTF-8 are replaced.
    pub value: String,
}

/// One probe: its request, its answer and the verdict.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Observation {
    /// The kubelet's verdict.
    pub verdict: Verdict,
    /// The end of the exchange.
    pub kind: Kind,
    /// The status code of the last response (`httpGet`).
    pub status: Option<u16>,
    /// The command's exit status (`exec`).
    pub exit_code: Option<i32>,
    /// The answer of the health service or of gRPC itself: `SERVING`, `Unimplemented` (`grpc`).
    pub grpc: Option<String>,
    /// Whether the response came over HTTP/2, which a TLS server may choose.
    pub http2: bool,
    /// The last request, byte for byte except that bytes outside UTF-8 are replaced; empty without HTTP. Over HTTP/2 it lists the
    /// header fields, because their bytes are compressed.
    pub request: String,
    /// The headers of the last response, in order.
    pub headers: Vec<Header>,
    /// The first KiB of the body or of the command's output; bytes outside UTF-8 are replaced.
    #[serde(rename = "body_excerpt")]
    pub body: String,
    /// Time from the start to the (last) established connection.
    pub connect_ms: Option<f64>,
    /// Time from the start to the end of the (last) TLS handshake.
    pub tls_ms: Option<f64>,
    /// Time from the start to the (last) response's first byte.
    pub first_byte_ms: Option<f64>,
    /// Total time, including redirects and retries.
    pub total_ms: f64,
    /// The number of redirects followed.
    pub redirects: u32,
    /// The targets of the redirects that a kubelet follows, in order; the last one may have failed.
    #[serde(default)]
    pub followed: Vec<String>,
    /// The number of attempts: a kubelet repeats a probe that errored up to three times.
    pub attempts: u32,
    /// The alert that ended TLS, in Go's words.
    pub tls_alert: Option<String>,
    /// The DNS names in the server's certificate.
    #[serde(default)]
    pub certificate_names: Vec<String>,
    /// Whether the server requested a client certificate.
    #[serde(default)]
    pub wants_certificate: bool,
    /// The server's protocol by its first bytes, if it is not the requested one.
    #[serde(default)]
    pub spoke: Option<Protocol>,
    /// A kubelet's warning for a success, as in `ProbeWarning` events.
    pub warning: Option<String>,
    /// The kubelet's own words for a failure; empty for a success.
    #[serde(rename = "error")]
    pub message: String,
}

impl Observation {
    /// Whether a kubelet counts it as a success.
    #[must_use]
    pub fn success(&self) -> bool {
        self.verdict == Verdict::Success
    }

    /// Whether the app itself answered successfully. A redirect that a kubelet does not follow counts as a success but is no
    /// answer.
    #[must_use]
    pub fn answered(&self) -> bool {
        self.success() && self.warning.is_none()
    }

    /// The total time.
    #[must_use]
    pub fn took(&self) -> Duration {
        Duration::from_secs_f64(self.total_ms / 1000.0)
    }

    /// The value of a header of the last response.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.as_str())
    }

    /// An observation with only `kind`, `verdict` and `message`.
    #[must_use]
    pub fn new(verdict: Verdict, kind: Kind, message: impl Into<String>) -> Self {
        Self { verdict, kind, attempts: 1, message: message.into(), ..Self::default() }
    }

    /// The observation of an exec probe: exit status 0 is success, and the output is the message of a failure
    /// (`pkg/probe/exec/exec.go`). `output` holds the command's stdout and stderr.
    #[must_use]
    pub fn of_exec(exit_code: i32, output: &[u8], total_ms: f64) -> Self {
        let success = exit_code == 0;
        let body = excerpt(output);
        let message = if success { String::new() } else { body.clone() };
        Self {
            exit_code: Some(exit_code),
            body,
            total_ms,
            ..Self::new(if success { Verdict::Success } else { Verdict::Failure }, Kind::Exited, message)
        }
    }

    /// The observation of an exec probe whose command was still running at the timeout: a failure since Kubernetes 1.20.
    #[must_use]
    pub fn of_exec_timeout(command: &[String], timeout: Duration) -> Self {
        let after = duration::as_go(timeout);
        let message = format!("{COMMAND_TIMED_OUT}: {:?} timed out after {after}", command.join(" "));
        Self { total_ms: timeout.as_secs_f64() * 1000.0, ..Self::new(Verdict::Failure, Kind::Timeout, message) }
    }

    /// The outcome in a few words, equal for equal outcomes.
    #[must_use]
    pub fn outcome(&self) -> String {
        match (self.status, self.exit_code) {
            (Some(status), _) if self.kind == Kind::Response => format!("status {status}"),
            (None, Some(code)) => format!("exit status {code}"),
            (_, None) if self.message.is_empty() => self.grpc.clone().unwrap_or_else(|| "connected".to_owned()),
            (_, _) => self.message.clone(),
        }
    }

    /// One line for people: the outcome and the duration.
    #[must_use]
    pub fn summary(&self) -> String {
        format!("{} after {:.1} ms", self.outcome(), self.total_ms)
    }
}

/// The first KiB of `bytes` as text.
pub fn excerpt(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(EXCERPT_BYTES)]).into_owned()
}
