//! How one request ended, told by type and not by text. The main type is [`Outcome`].

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How one request ended. In JSON it is a string, so that it can be a map's key: `ok`, `status_503`, `unexpected_body`, or
/// the name of a [`Failure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(into = "String", try_from = "String")]
#[schemars(with = "String")]
pub enum Outcome {
    /// The answer is the one that the step expects.
    Ok,
    /// A whole response with another status than the step expects.
    Status(u16),
    /// The expected status with another body than the step expects.
    UnexpectedBody,
    /// No whole response.
    Failure(Failure),
}

/// Why there was no whole response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// Nobody listens at the address.
    ConnectionRefused,
    /// The connection was not established within the request's time.
    ConnectTimedOut,
    /// The connection could not be made for another reason: no route, no file descriptor or no local port left.
    ConnectFailed,
    /// The TLS handshake failed: mostly a certificate that does not verify.
    Tls,
    /// The peer reset the connection.
    ConnectionReset,
    /// The peer closed the connection before the response was whole.
    ClosedEarly,
    /// The response was not whole within the request's time.
    TimedOut,
    /// What came is not HTTP/1.1.
    MalformedResponse,
    /// The head or the body is larger than the load engine's limits allow.
    ResponseTooLarge,
    /// Any other error of the operating system.
    Io,
}

/// A text that names no [`Outcome`].
#[derive(Debug, thiserror::Error)]
#[error("unknown outcome {0:?}, expected ok, unexpected_body, status_<code> or the name of a failure")]
pub struct UnknownOutcome(String);

impl Outcome {
    /// Whether the request did what it was for.
    pub fn is_ok(self) -> bool {
        self == Outcome::Ok
    }
}

impl Failure {
    /// Every failure, in the order of a request's life.
    pub const ALL: [Failure; 10] = [
        Failure::ConnectionRefused,
        Failure::ConnectTimedOut,
        Failure::ConnectFailed,
        Failure::Tls,
        Failure::ConnectionReset,
        Failure::ClosedEarly,
        Failure::TimedOut,
        Failure::MalformedResponse,
        Failure::ResponseTooLarge,
        Failure::Io,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Failure::ConnectionRefused => "connection_refused",
            Failure::ConnectTimedOut => "connect_timed_out",
            Failure::ConnectFailed => "connect_failed",
            Failure::Tls => "tls_failed",
            Failure::ConnectionReset => "connection_reset",
            Failure::ClosedEarly => "closed_early",
            Failure::TimedOut => "timed_out",
            Failure::MalformedResponse => "malformed_response",
            Failure::ResponseTooLarge => "response_too_large",
            Failure::Io => "io_error",
        }
    }

    /// Whether the request certainly never reached the peer, because there was no connection.
    pub fn is_before_sending(self) -> bool {
        matches!(self, Failure::ConnectionRefused | Failure::ConnectTimedOut | Failure::ConnectFailed | Failure::Tls)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Ok => formatter.write_str("ok"),
            Outcome::Status(status) => write!(formatter, "status_{status}"),
            Outcome::UnexpectedBody => formatter.write_str("unexpected_body"),
            Outcome::Failure(failure) => formatter.write_str(failure.name()),
        }
    }
}

impl FromStr for Outcome {
    type Err = UnknownOutcome;

    fn from_str(text: &str) -> Result<Self, UnknownOutcome> {
        let failure = || Failure::ALL.into_iter().find(|failure| failure.name() == text).map(Outcome::Failure);
        let status = || text.strip_prefix("status_")?.parse().ok().map(Outcome::Status);
        match text {
            "ok" => Some(Outcome::Ok),
            "unexpected_body" => Some(Outcome::UnexpectedBody),
            _ => status().or_else(failure),
        }
        .ok_or_else(|| UnknownOutcome(text.to_owned()))
    }
}

impl From<Outcome> for String {
    fn from(outcome: Outcome) -> Self {
        outcome.to_string()
    }
}

impl TryFrom<String> for Outcome {
    type Error = UnknownOutcome;

    fn try_from(text: String) -> Result<Self, UnknownOutcome> {
        text.parse()
    }
}
