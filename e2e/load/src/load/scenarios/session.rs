//! Registering with the reference system: the request, and the [`Session`] that its answer gives.

use serde::{Deserialize, Serialize};

use crate::load::{InvalidRequest, RequestHead};

/// What a client gets by registering, and needs for its operations.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Session {
    id: u64,
    token: String,
}

#[derive(Serialize)]
struct Register<'key> {
    client: &'key str,
}

/// The request that registers a client.
///
/// # Errors
///
/// When the host cannot stand in a request.
pub(super) fn register_head(host: &str) -> Result<RequestHead, InvalidRequest> {
    RequestHead::new("POST", "/register", host)?.header("content-type", "application/json")
}

/// The body of that request.
pub(super) fn register_body(key: &str) -> Vec<u8> {
    serde_json::to_vec(&Register { client: key }).expect("a string is always JSON")
}

/// A client's key, unique within the run by its index and between runs by the prefix.
pub(super) fn key(prefix: &str, client: u32) -> String {
    format!("{prefix}-{client}")
}

impl Session {
    /// Reads the answer to a registration; nothing when it is not one.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let session: Session = serde_json::from_slice(body).ok()?;
        (!session.token.is_empty()).then_some(session)
    }

    /// The value of the `Authorization` header.
    pub(super) fn authorization(&self) -> String {
        format!("Bearer {}.{}", self.id, self.token)
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token is a secret.
        formatter.debug_struct("Session").field("id", &self.id).finish_non_exhaustive()
    }
}
