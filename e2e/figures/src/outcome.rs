//! How one request ended, told by type and not by text. The main type is [`Outcome`].

use std::fmt;

use schemars::JsonSchema;
use serde::{
    Deserialize, Serialize,
    de::{self, IntoDeserializer},
};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// Nobody listens at the address.
    ConnectionRefused,
    /// The connection was not established within the request's time.
    ConnectTimedOut,
    /// The connection could not be made for another reason: no route, no file descriptor or no local port left.
    ConnectFailed,
    /// The TLS handshake failed: mostly a certificate that does not verify.
    #[serde(rename = "tls_failed")]
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
    #[serde(rename = "io_error")]
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
            Outcome::Failure(failure) => failure.serialize(formatter),
        }
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
        match (text.as_str(), text.strip_prefix("status_").map(str::parse)) {
            ("ok", _) => Ok(Outcome::Ok),
            ("unexpected_body", _) => Ok(Outcome::UnexpectedBody),
            (_, Some(Ok(status))) => Ok(Outcome::Status(status)),
            _ => Failure::deserialize(text.as_str().into_deserializer()).map(Outcome::Failure),
        }
        .map_err(|_: de::value::Error| UnknownOutcome(text))
    }
}
