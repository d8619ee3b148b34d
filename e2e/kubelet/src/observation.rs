//! What one probe saw and how a kubelet judges it. Main type: [`Observation`].

use crate::protocol::Protocol;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many bytes of a body or of a command's output an [`Observation`] keeps.
pub const EXCERPT_BYTES: usize = 1024;

/// What a kubelet makes of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Counts towards `successThreshold`.
    Success,
    /// Counts towards `failureThreshold`.
    Failure,
    /// The kubelet reports it (`probe errored`) and then throws the result away: it counts for nothing. A response whose
    /// body ends early or stalls is such a case (`pkg/probe/http/http.go` returns an error for it, and `doProbe` in
    /// `pkg/kubelet/prober/worker.go` drops results with an error).
    Errored,
    /// This program cannot send such a probe. Neither a success nor a failure may be concluded from it.
    NotMeasured,
}

/// How the exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An HTTP response arrived.
    Response,
    /// A TCP connection was made (`tcpSocket`).
    Connected,
    /// The health service answered (`grpc`).
    Health,
    /// A command ended (`exec`).
    Exited,
    /// Nobody listens on the port.
    Refused,
    /// The peer reset the connection.
    Reset,
    /// The timeout went by.
    Timeout,
    /// The peer closed the connection before a whole response head had arrived.
    Closed,
    /// What arrived is not an HTTP/1 response.
    Malformed,
    /// TLS failed: an alert, or the peer speaks something else.
    Tls,
    /// The peer broke or ended HTTP/2.
    Http2,
    /// The head arrived, and the body ended early, stalled, or broke its framing.
    Truncated,
    /// More redirects than a kubelet follows, or one that cannot be read.
    Redirects,
    /// The host name could not be resolved.
    Dns,
    /// The network has no way to the address.
    Unreachable,
    /// The declaration cannot be written as a request, such as a header value with a newline.
    InvalidRequest,
    /// The command could not be run (`exec`).
    CannotExec,
    /// This program cannot send such a probe.
    Unsupported,
}

/// One header of a response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Header {
    /// The name, as the server wrote it.
    pub name: String,
    /// The value; bytes that are not UTF-8 are replaced.
    pub value: String,
}

/// What one probe sent, saw and means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Observation {
    /// What a kubelet makes of it.
    pub verdict: Verdict,
    /// How the exchange ended.
    pub kind: Kind,
    /// The status code of the last response (`httpGet`).
    pub status: Option<u16>,
    /// The command's exit status (`exec`).
    pub exit_code: Option<i32>,
    /// What the health service or gRPC itself answered, such as `SERVING` or `UNIMPLEMENTED` (`grpc`).
    pub grpc: Option<String>,
    /// Whether the response came over HTTP/2, which a TLS server may pick.
    pub http2: bool,
    /// The last request, byte for byte except that bytes outside UTF-8 are replaced; empty without HTTP. Over HTTP/2 it is
    /// the list of its header fields, whose bytes are compressed.
    pub request: String,
    /// The headers of the last response, in order.
    pub headers: Vec<Header>,
    /// The first KiB of the body or of the command's output; bytes outside UTF-8 are replaced.
    #[serde(rename = "body_excerpt")]
    pub body: String,
    /// Time from the start until the (last) connection stood.
    pub connect_ms: Option<f64>,
    /// Time from the start until the (last) TLS handshake was over.
    pub tls_ms: Option<f64>,
    /// Time from the start until the (last) response's first byte.
    pub first_byte_ms: Option<f64>,
    /// Time for everything, redirects and retries included.
    pub total_ms: f64,
    /// How many redirects were followed.
    pub redirects: u32,
    /// Where the redirects led that a kubelet follows, in order; the last one may have come to nothing.
    #[serde(default)]
    pub followed: Vec<String>,
    /// How often it was sent: a kubelet repeats a probe that errored, three times at most.
    pub attempts: u32,
    /// The alert with which the server ended TLS, in Go's words.
    pub tls_alert: Option<String>,
    /// The DNS names in the certificate that the server showed.
    #[serde(default)]
    pub certificate_names: Vec<String>,
    /// Whether the server asked for a client certificate.
    #[serde(default)]
    pub wants_certificate: bool,
    /// What the first bytes say that the server speaks, where that is not what was asked.
    #[serde(default)]
    pub spoke: Option<Protocol>,
    /// What a kubelet adds to a success, as `ProbeWarning` events say it.
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

    /// Whether the app itself answered well. A redirect that a kubelet does not follow counts as a success and answers nothing.
    #[must_use]
    pub fn answered(&self) -> bool {
        self.success() && self.warning.is_none()
    }

    /// The value of a header of the last response.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.as_str())
    }

    /// An observation of `kind` with `verdict` and `message`, and nothing else yet.
    #[must_use]
    pub fn new(verdict: Verdict, kind: Kind, message: impl Into<String>) -> Self {
        Self {
            verdict,
            kind,
            status: None,
            exit_code: None,
            grpc: None,
            http2: false,
            request: String::new(),
            headers: Vec::new(),
            body: String::new(),
            connect_ms: None,
            tls_ms: None,
            first_byte_ms: None,
            total_ms: 0.0,
            redirects: 0,
            followed: Vec::new(),
            attempts: 1,
            tls_alert: None,
            certificate_names: Vec::new(),
            wants_certificate: false,
            spoke: None,
            warning: None,
            message: message.into(),
        }
    }

    /// The observation of an exec probe: exit status 0 is success, and the output is the message of a failure
    /// (`pkg/probe/exec/exec.go`). `output` is what the command wrote to stdout and stderr.
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
    pub fn of_exec_timeout(command: &[String], timeout_ms: f64) -> Self {
        let seconds = timeout_ms / 1000.0;
        let message = format!("command timed out: {:?} timed out after {seconds}s", command.join(" "));
        Self { total_ms: timeout_ms, ..Self::new(Verdict::Failure, Kind::Timeout, message) }
    }

    /// What came back, in a few words that are the same each time.
    #[must_use]
    pub fn outcome(&self) -> String {
        match (self.status, self.exit_code) {
            (Some(status), _) if self.kind == Kind::Response => format!("status {status}"),
            (None, Some(code)) => format!("exit status {code}"),
            (_, None) if self.message.is_empty() => self.grpc.clone().unwrap_or_else(|| "connected".to_owned()),
            (_, _) => self.message.clone(),
        }
    }

    /// One line for people: what came back and how long it took.
    #[must_use]
    pub fn summary(&self) -> String {
        format!("{} after {:.1} ms", self.outcome(), self.total_ms)
    }
}

/// The first KiB of `bytes` as text.
pub fn excerpt(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(EXCERPT_BYTES)]).into_owned()
}
