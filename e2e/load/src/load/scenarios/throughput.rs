//! Clients that register and then send one operation after the other: [`Throughput`] for the reference system.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::retry::Retry;
use super::session::{self, Session};
use crate::load::{
    Client, Failure, Identity, InvalidRequest, LoadResult, Moment, Next, Outcome, Phase, RequestHead, Response,
    Scenario, Step,
};

/// Every client registers during set-up and then sends operations in a closed loop. It numbers them from 1, and the n-th
/// operation of client c is called `<operation_prefix>-<c>-<n>`.
///
/// An operation that is not acknowledged is sent again under the same name, which is harmless, until it is acknowledged or
/// its attempts are used up. Steps: `register`, `operation`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throughput {
    /// How often a client tries to register before it gives up.
    pub registration_attempts: u32,
    /// How often a client sends one operation before it goes on to the next.
    pub operation_attempts: u32,
    host: String,
    key_prefix: String,
    operation_prefix: String,
    register: RequestHead,
}

/// What one client did: its operations are exactly the numbers 1 to `operations`, and each of them is acknowledged, or listed in
/// `unknown` or in `refused`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ThroughputReport {
    /// The client's index.
    pub client: u32,
    /// Whether it got a session; without one it has no operations.
    pub registered: bool,
    /// Requests that it needed for that, or made in vain.
    pub registration_attempts: u32,
    /// How many operations it sent at least once.
    pub operations: u64,
    /// How many were acknowledged, in the whole run. Each must be stored exactly once.
    pub acknowledged: u64,
    /// How many of these were sent in the measured window.
    pub acknowledged_measured: u64,
    /// What the entrance said of those.
    pub upstream: Upstream,
    /// How often an operation was sent again.
    pub retries: u64,
    /// Numbers of operations whose fate is unknown: they may be stored, at most once.
    pub unknown: Vec<u64>,
    /// Numbers of operations that the server refused each time: they must not be stored.
    pub refused: Vec<u64>,
}

/// How long a load balancer waited for its upstream, as its responses say in the header [`Upstream::HEADER`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Upstream {
    /// Responses that said it.
    pub responses: u64,
    /// In all of them, each to the millisecond.
    pub seconds: f64,
}

impl Upstream {
    /// In seconds; with a comma between several tries. What nginx's variable `$upstream_header_time` has.
    pub const HEADER: &str = "x-upstream-time";

    fn count(&mut self, response: &Response<'_>) {
        let text = response.header(Self::HEADER).and_then(|value| std::str::from_utf8(value).ok());
        // A try that had no answer is `-` and took what is not known.
        let tries = |text: &str| text.split([',', ':']).map(|one| one.trim().parse::<f64>()).sum::<Result<f64, _>>();
        if let Some(Ok(seconds)) = text.map(tries) {
            self.responses += 1;
            self.seconds += seconds;
        }
    }
}

impl ThroughputReport {
    /// Whether the operation of this number was acknowledged.
    pub fn is_acknowledged(&self, number: u64) -> bool {
        (1..=self.operations).contains(&number) && !self.unknown.contains(&number) && !self.refused.contains(&number)
    }
}

impl LoadResult<ThroughputReport> {
    /// How many operations were acknowledged in the whole run, warm-up included: what the database must contain at least.
    pub fn acknowledged(&self) -> u64 {
        self.client_reports.iter().map(|client| client.acknowledged).sum()
    }

    /// How long the entrance waited for its upstream in the mean, in milliseconds, for the measured window's operations. Nothing when
    /// it does not say so.
    pub fn upstream_mean_ms(&self) -> Option<f64> {
        let said = self.client_reports.iter().map(|client| client.upstream);
        let (responses, seconds) =
            said.fold((0, 0.0), |(responses, seconds), one| (responses + one.responses, seconds + one.seconds));
        (responses > 0).then(|| seconds * 1000.0 / responses as f64)
    }
}

impl Throughput {
    /// Ten attempts for each. Clients register as `<key_prefix>-<index>`. Both prefixes should be the run's own.
    ///
    /// # Errors
    ///
    /// When the host cannot stand in a request.
    pub fn new(
        host: &str,
        key_prefix: impl Into<String>,
        operation_prefix: impl Into<String>,
    ) -> Result<Self, InvalidRequest> {
        Ok(Self {
            registration_attempts: 10,
            operation_attempts: 10,
            host: host.to_owned(),
            key_prefix: key_prefix.into(),
            operation_prefix: operation_prefix.into(),
            register: session::register_head(host)?,
        })
    }

    /// The name of an operation.
    pub fn operation(operation_prefix: &str, client: u32, number: u64) -> String {
        format!("{}{number}", name_prefix(operation_prefix, client))
    }
}

fn name_prefix(operation_prefix: &str, client: u32) -> String {
    format!("{operation_prefix}-{client}-")
}

const REGISTER: Step = Step(0);
const OPERATION: Step = Step(1);

/// What each operation adds. Any amount serves; the check is about operations, and about sums if the suite likes.
const AMOUNT: u32 = 5;

impl Scenario for Throughput {
    type Client = ThroughputClient;

    fn name(&self) -> &str {
        "throughput"
    }

    fn steps(&self) -> Vec<String> {
        vec!["register".to_owned(), "operation".to_owned()]
    }

    fn client(&self, identity: Identity) -> ThroughputClient {
        let mut register = Vec::new();
        let key = session::key(&self.key_prefix, identity.index);
        self.register.write_with_body(&session::register_body(&key), &mut register);
        ThroughputClient {
            host: self.host.clone(),
            register,
            registration_attempts: self.registration_attempts,
            operation_attempts: self.operation_attempts,
            retry: Retry::new(identity.random()),
            pause: None,
            operate: None,
            ready: false,
            name_prefix: name_prefix(&self.operation_prefix, identity.index),
            current: None,
            name: String::new(),
            body: Vec::new(),
            report: ThroughputReport { client: identity.index, ..ThroughputReport::default() },
        }
    }
}

/// A client of [`Throughput`].
#[derive(Debug)]
pub struct ThroughputClient {
    host: String,
    register: Vec<u8>,
    registration_attempts: u32,
    operation_attempts: u32,
    retry: Retry,
    pause: Option<Duration>,
    /// The head of an operation's request, once there is a session.
    operate: Option<RequestHead>,
    ready: bool,
    name_prefix: String,
    current: Option<Operation>,
    name: String,
    body: Vec<u8>,
    report: ThroughputReport,
}

/// An operation that is not acknowledged yet.
#[derive(Debug, Clone, Copy)]
struct Operation {
    number: u64,
    attempts: u32,
    /// Whether an attempt may have been applied.
    unknown: bool,
}

#[derive(Serialize)]
struct Request<'name> {
    operation: &'name str,
    amount: u32,
}

#[derive(Deserialize)]
struct Acknowledgement<'body> {
    #[serde(borrow)]
    operation: Cow<'body, str>,
    committed: bool,
}

impl ThroughputClient {
    fn write_operation(&mut self, request: &mut Vec<u8>) -> Next {
        let Some(head) = &self.operate else {
            return Next::Finish;
        };
        if self.current.is_none() {
            self.report.operations += 1;
            self.current = Some(Operation { number: self.report.operations, attempts: 0, unknown: false });
            self.name.clear();
            self.body.clear();
            write!(self.name, "{}{}", self.name_prefix, self.report.operations)
                .expect("writing to memory does not fail");
            let body = Request { operation: &self.name, amount: AMOUNT };
            serde_json::to_writer(&mut self.body, &body).expect("writing to memory does not fail");
        }
        head.write_with_body(&self.body, request);
        Next::Send(OPERATION)
    }

    fn registered(&mut self, response: &Response<'_>) -> Outcome {
        self.report.registration_attempts += 1;
        if response.status != 200 {
            return Outcome::Status(response.status);
        }
        let head = Session::parse(response.body).and_then(|session| operation_head(&self.host, &session).ok());
        self.report.registered = head.is_some();
        self.operate = head;
        if self.report.registered { Outcome::Ok } else { Outcome::UnexpectedBody }
    }

    fn acknowledged(&mut self, at: &Moment, response: &Response<'_>) -> Outcome {
        let outcome = match (response.status, serde_json::from_slice::<Acknowledgement<'_>>(response.body)) {
            (200, Ok(answer)) if answer.committed && answer.operation == self.name => Outcome::Ok,
            (200, _) => Outcome::UnexpectedBody,
            (status, _) => Outcome::Status(status),
        };
        if outcome.is_ok() {
            self.current = None;
            self.report.acknowledged += 1;
            if at.phase == Phase::Measured {
                self.report.acknowledged_measured += 1;
                self.report.upstream.count(response);
            }
        } else {
            // 503 and 4xx say that nothing was done. After anything else the operation may be stored.
            self.not_acknowledged(!matches!(outcome, Outcome::Status(400..=499 | 503)));
        }
        outcome
    }

    fn count_retry(&mut self) {
        self.report.retries += u64::from(self.current.is_some_and(|operation| operation.attempts > 0));
    }

    /// Keeps the operation for another attempt, or gives it up.
    fn not_acknowledged(&mut self, unknown: bool) {
        let Some(operation) = &mut self.current else {
            return;
        };
        operation.attempts += 1;
        operation.unknown |= unknown;
        if operation.attempts >= self.operation_attempts {
            self.give_up();
        }
    }

    fn give_up(&mut self) {
        match self.current.take() {
            // The window ended before it was sent.
            Some(Operation { attempts: 0, .. }) => self.report.operations -= 1,
            Some(Operation { number, unknown: true, .. }) => self.report.unknown.push(number),
            Some(Operation { number, unknown: false, .. }) => self.report.refused.push(number),
            None => {}
        }
    }

    fn plan(&mut self, outcome: Outcome, response: Option<&Response<'_>>) {
        if outcome.is_ok() {
            self.retry.reset();
        } else {
            self.pause = Some(self.retry.delay(response));
        }
    }
}

impl Client for ThroughputClient {
    type Report = ThroughputReport;

    fn next(&mut self, _at: &Moment, request: &mut Vec<u8>) -> Next {
        if let Some(pause) = self.pause.take() {
            return Next::Think(pause);
        }
        if self.operate.is_none() {
            if self.report.registration_attempts >= self.registration_attempts {
                return Next::Finish;
            }
            request.extend_from_slice(&self.register);
            return Next::Send(REGISTER);
        }
        if !self.ready {
            self.ready = true;
            return Next::Ready;
        }
        self.write_operation(request)
    }

    fn receive(&mut self, at: &Moment, step: Step, response: &Response<'_>) -> Outcome {
        self.count_retry();
        let outcome = if step == REGISTER { self.registered(response) } else { self.acknowledged(at, response) };
        self.plan(outcome, Some(response));
        outcome
    }

    fn failed(&mut self, _at: &Moment, step: Step, failure: Failure) {
        self.count_retry();
        if step == REGISTER {
            self.report.registration_attempts += 1;
        } else {
            self.not_acknowledged(!failure.is_before_sending());
        }
        self.plan(Outcome::Failure(failure), None);
    }

    fn finish(mut self, _at: &Moment) -> ThroughputReport {
        self.give_up();
        self.report
    }
}

fn operation_head(host: &str, session: &Session) -> Result<RequestHead, InvalidRequest> {
    RequestHead::new("POST", "/ops", host)?
        .header("content-type", "application/json")?
        .header("authorization", &session.authorization())
}
