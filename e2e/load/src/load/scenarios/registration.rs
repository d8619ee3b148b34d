//! Clients that register at once and keep their sessions: [`Registration`] for the reference system.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::retry::Retry;
use super::session::{self, Session};
use crate::load::{
    Client, Failure, Identity, InvalidRequest, Moment, Next, Outcome, Phase, RequestHead, Response, Scenario, Step,
};
use crate::stats::milliseconds;

/// Every client registers at the common start, with a bounded number of attempts. Once it is registered it registers again with
/// the same key from time to time, and must get the same session each time.
///
/// Steps: `register` until the first success, `keep_session` afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// How often a client tries before it gives up.
    pub attempts: u32,
    /// The pause between two checks of the session.
    pub keep_interval: Duration,
    key_prefix: String,
    head: RequestHead,
}

/// What became of one client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RegistrationReport {
    /// The client's index.
    pub client: u32,
    /// The key that it registered with.
    pub key: String,
    /// What became of it.
    pub outcome: RegistrationOutcome,
    /// Requests up to the first success, or all when there was none.
    pub attempts: u32,
    /// Attempts after the first one.
    pub retries: u32,
    /// From the common start to the first success: attempts, and the waits between them.
    pub first_registration_ms: Option<f64>,
    /// The outcomes of the attempts.
    pub registering: BTreeMap<Outcome, u64>,
    /// The outcomes of the later checks; `unexpected_body` is another session than the first.
    pub keeping: BTreeMap<Outcome, u64>,
}

/// What became of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RegistrationOutcome {
    /// Registered, and each later answer that came was the same.
    Registered,
    /// Registered, and later given another session for the same key.
    Inconsistent,
    /// Never registered; the last attempt was answered with this status.
    Rejected {
        /// The status code.
        status: u16,
    },
    /// Never registered; the last attempt took too long.
    TimedOut,
    /// Never registered; the last attempt failed on its connection.
    ConnectionFailed,
    /// Never registered; the last answer was no HTTP or no session.
    InvalidAnswer,
    /// The run ended before the first attempt did.
    NotAttempted,
}

impl RegistrationOutcome {
    /// The outcome as one word for tables and maps: `registered`, `rejected_503`.
    pub fn label(self) -> String {
        match self {
            Self::Registered => "registered".to_owned(),
            Self::Inconsistent => "inconsistent".to_owned(),
            Self::Rejected { status } => format!("rejected_{status}"),
            Self::TimedOut => "timed_out".to_owned(),
            Self::ConnectionFailed => "connection_failed".to_owned(),
            Self::InvalidAnswer => "invalid_answer".to_owned(),
            Self::NotAttempted => "not_attempted".to_owned(),
        }
    }

    fn of_last_attempt(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Ok => Self::Registered,
            Outcome::Status(status) => Self::Rejected { status },
            Outcome::Failure(Failure::TimedOut | Failure::ConnectTimedOut) => Self::TimedOut,
            Outcome::UnexpectedBody | Outcome::Failure(Failure::MalformedResponse | Failure::ResponseTooLarge) => {
                Self::InvalidAnswer
            }
            Outcome::Failure(_) => Self::ConnectionFailed,
        }
    }
}

impl Registration {
    /// Ten attempts, and a check each 250 ms. Clients register as `<key_prefix>-<index>`, so the prefix should be the run's own.
    ///
    /// # Errors
    ///
    /// When the host cannot stand in a request.
    pub fn new(host: &str, key_prefix: impl Into<String>) -> Result<Self, InvalidRequest> {
        Ok(Self {
            attempts: 10,
            keep_interval: Duration::from_millis(250),
            key_prefix: key_prefix.into(),
            head: session::register_head(host)?,
        })
    }
}

const REGISTER: Step = Step(0);
const KEEP_SESSION: Step = Step(1);

impl Scenario for Registration {
    type Client = RegistrationClient;

    fn name(&self) -> &str {
        "registration"
    }

    fn steps(&self) -> Vec<String> {
        vec!["register".to_owned(), "keep_session".to_owned()]
    }

    fn client(&self, identity: Identity) -> RegistrationClient {
        let key = session::key(&self.key_prefix, identity.index);
        let mut request = Vec::new();
        self.head.write_with_body(&session::register_body(&key), &mut request);
        RegistrationClient {
            request,
            attempts_allowed: self.attempts,
            keep_interval: self.keep_interval,
            retry: Retry::new(identity.random()),
            pause: None,
            session: None,
            inconsistent: false,
            last: None,
            report: RegistrationReport {
                client: identity.index,
                key,
                outcome: RegistrationOutcome::NotAttempted,
                attempts: 0,
                retries: 0,
                first_registration_ms: None,
                registering: BTreeMap::new(),
                keeping: BTreeMap::new(),
            },
        }
    }
}

/// A client of [`Registration`].
#[derive(Debug)]
pub struct RegistrationClient {
    request: Vec<u8>,
    attempts_allowed: u32,
    keep_interval: Duration,
    retry: Retry,
    pause: Option<Duration>,
    session: Option<Session>,
    inconsistent: bool,
    last: Option<Outcome>,
    report: RegistrationReport,
}

impl RegistrationClient {
    /// Counts an outcome and plans what follows.
    fn note(&mut self, at: &Moment, step: Step, outcome: Outcome, response: Option<&Response<'_>>) {
        if step == KEEP_SESSION {
            *self.report.keeping.entry(outcome).or_default() += 1;
            self.inconsistent |= outcome == Outcome::UnexpectedBody;
        } else {
            *self.report.registering.entry(outcome).or_default() += 1;
            self.report.attempts += 1;
            self.last = Some(outcome);
            if outcome.is_ok() {
                self.report.first_registration_ms = Some(milliseconds(at.since_start));
            }
        }
        self.pause = Some(if outcome.is_ok() {
            self.retry.reset();
            self.keep_interval
        } else {
            self.retry.delay(response)
        });
    }
}

impl Client for RegistrationClient {
    type Report = RegistrationReport;

    fn next(&mut self, at: &Moment, request: &mut Vec<u8>) -> Next {
        if at.phase == Phase::SetUp {
            return Next::Ready;
        }
        if self.session.is_none() && self.report.attempts >= self.attempts_allowed {
            return Next::Finish;
        }
        if let Some(pause) = self.pause.take() {
            return Next::Think(pause);
        }
        request.extend_from_slice(&self.request);
        Next::Send(if self.session.is_some() { KEEP_SESSION } else { REGISTER })
    }

    fn receive(&mut self, at: &Moment, step: Step, response: &Response<'_>) -> Outcome {
        let outcome = if response.status != 200 {
            Outcome::Status(response.status)
        } else {
            match (Session::parse(response.body), &self.session) {
                (Some(given), None) => {
                    self.session = Some(given);
                    Outcome::Ok
                }
                (Some(given), Some(known)) if given == *known => Outcome::Ok,
                _ => Outcome::UnexpectedBody,
            }
        };
        self.note(at, step, outcome, Some(response));
        outcome
    }

    fn failed(&mut self, at: &Moment, step: Step, failure: Failure) {
        self.note(at, step, Outcome::Failure(failure), None);
    }

    fn finish(mut self, _at: &Moment) -> RegistrationReport {
        self.report.retries = self.report.attempts.saturating_sub(1);
        self.report.outcome = match self.last {
            _ if self.inconsistent => RegistrationOutcome::Inconsistent,
            Some(outcome) => RegistrationOutcome::of_last_attempt(outcome),
            None => RegistrationOutcome::NotAttempted,
        };
        self.report
    }
}
