//! Locks in PostgreSQL for which sessions of other pods wait, as `evidence/locks.json`. Plain data. Main type: [`HeldLock`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A session that holds locks in an open transaction, does nothing, and has others wait. Looked for once a second while a probe times out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldLock {
    /// Milliseconds since 1970.
    pub at_unix_ms: u64,
    /// The pod of PostgreSQL.
    pub database: String,
    /// The process id of the session in PostgreSQL.
    pub session: i32,
    /// When its transaction began, by PostgreSQL's clock.
    pub since_unix_ms: u64,
    /// The pod that the session belongs to.
    pub pod: String,
    /// The states of the processes of that pod, a letter for each as in `ps`; absent if they cannot be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub states: Option<String>,
    /// The number of sessions that wait for it, by their pods.
    pub waiting: BTreeMap<String, u64>,
}
