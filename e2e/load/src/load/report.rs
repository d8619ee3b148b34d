//! What one client of a scenario tells at its end: [`ClientReport`], and its fate as a [`ClientOutcome`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LoadResult;
use super::ledger::ClientLedger;
use e2e_figures::{Failure, Outcome};

/// What became of one client. Scenarios whose results stand in a report, and those that run on agents, report this.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ClientReport {
    /// The client's index.
    pub client: u32,
    /// What became of it; nothing when its scenario has no steps that a client takes once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<ClientOutcome>,
    /// Attempts at steps that are taken once, after the first of each.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: u32,
    /// The keys that it was told about; nothing when its scenario has no ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger: Option<ClientLedger>,
    /// How long servers said that they took, by step, for the measured window's successes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub server_time: BTreeMap<String, ServerTime>,
}

impl LoadResult<ClientReport> {
    /// What each client was told of its keys.
    pub fn ledgers(&self) -> impl Iterator<Item = (u32, &ClientLedger)> {
        self.client_reports.iter().filter_map(|report| Some((report.client, report.ledger.as_ref()?)))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// How long a server says that it took, such as a load balancer that waited for its upstream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerTime {
    /// Answers that said it.
    pub answers: u64,
    /// The sum of what they said.
    pub seconds: f64,
}

impl ServerTime {
    /// Adds what a header's value says in seconds, such as nginx's `$upstream_header_time`: several tries are separated by a comma or a
    /// colon. A value with anything else in it, such as `-` for a try without an answer, is passed over.
    pub fn add(&mut self, value: &[u8]) {
        let text = std::str::from_utf8(value).ok();
        let tries = |text: &str| text.split([',', ':']).map(|one| one.trim().parse::<f64>()).sum::<Result<f64, _>>();
        // JSON has no word for infinity or what is no number.
        if let Some(Ok(seconds)) = text.map(tries)
            && (self.seconds + seconds).is_finite()
        {
            self.answers += 1;
            self.seconds += seconds;
        }
    }
}

/// What became of a client that had steps to take once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ClientOutcome {
    /// Every one of them succeeded.
    Succeeded,
    /// Every one of them succeeded, and a later answer contradicted what the client had captured.
    Inconsistent,
    /// The last attempt was answered with this status.
    Rejected {
        /// The status code.
        status: u16,
    },
    /// The last attempt took too long.
    TimedOut,
    /// The last attempt failed on its connection.
    ConnectionFailed,
    /// The last answer was no HTTP, or another than the step expects.
    InvalidAnswer,
    /// The run ended before the first attempt at one of them did.
    NotAttempted,
}

impl ClientOutcome {
    /// What a last attempt that ended so makes of its client.
    pub fn of_last_attempt(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Ok => Self::Succeeded,
            Outcome::Status(status) => Self::Rejected { status },
            Outcome::Failure(Failure::TimedOut | Failure::ConnectTimedOut) => Self::TimedOut,
            Outcome::UnexpectedBody | Outcome::Failure(Failure::MalformedResponse | Failure::ResponseTooLarge) => {
                Self::InvalidAnswer
            }
            Outcome::Failure(_) => Self::ConnectionFailed,
        }
    }

    /// The outcome as one word for tables and maps, such as `rejected_503`; a success is called as the scenario says.
    pub fn label(self, success: &str) -> String {
        match self {
            Self::Succeeded => success.to_owned(),
            Self::Inconsistent => "inconsistent".to_owned(),
            Self::Rejected { status } => format!("rejected_{status}"),
            Self::TimedOut => "timed_out".to_owned(),
            Self::ConnectionFailed => "connection_failed".to_owned(),
            Self::InvalidAnswer => "invalid_answer".to_owned(),
            Self::NotAttempted => "not_attempted".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_of_its_time_is_added_up() {
        let mut time = ServerTime::default();
        for value in ["0.002", "0.004, 0.006", "-", "", "0.001, -", "soon", "nan", "inf", "1e999", "-inf"] {
            time.add(value.as_bytes());
        }
        assert_eq!(time.answers, 2);
        assert!((time.seconds - 0.012).abs() < 1e-12, "{time:?}");
    }
}
