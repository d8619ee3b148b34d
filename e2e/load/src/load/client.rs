//! The loop of one client: ask for the next step, do it, show the response. [`Driver`] is the only place that waits.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::connection::{Connection, Deadline, Fault, Idle};
use super::gate::{Gate, Window};
use super::progress::Counters;
use super::recorder::{Recorder, Sample};
use super::response::{Decoder, Limits};
use super::scenario::{Client, Identity, Moment, Next, Phase, Step};
use super::schedule::LONGEST;
use super::tls::{Connector, Stream};
use e2e_figures::{Outcome, Random};

/// What all clients of a run share, on one thread.
pub(super) struct Shared {
    pub(super) address: SocketAddr,
    /// For HTTPS.
    pub(super) connector: Option<Connector>,
    pub(super) request_timeout: Duration,
    pub(super) limits: Limits,
    pub(super) run_start: Instant,
    pub(super) window: Cell<Option<Window>>,
    pub(super) stage: watch::Sender<Stage>,
    /// Clients that neither are ready nor have finished.
    pub(super) setting_up: watch::Sender<u32>,
    pub(super) recorder: RefCell<Recorder>,
    pub(super) counters: std::sync::Arc<Counters>,
    /// The open model's; the closed model has none.
    pub(super) gate: Option<Gate>,
}

/// How far the run is, for clients that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    SetUp,
    Running,
    Ended,
}

impl Shared {
    fn moment(&self, now: Instant) -> Moment {
        let Some(window) = self.window.get() else {
            return Moment { phase: Phase::SetUp, now, since_start: Duration::ZERO };
        };
        let phase = if now < window.measured_from { Phase::WarmUp } else { Phase::Measured };
        Moment { phase, now, since_start: now.saturating_duration_since(window.start) }
    }

    fn is_over(&self, now: Instant) -> bool {
        self.window.get().is_some_and(|window| now >= window.end)
    }
}

/// Drives one client to its end and returns its report.
pub(super) async fn drive<C: Client>(
    shared: Rc<Shared>,
    position: u32,
    identity: Identity,
    mut client: C,
) -> C::Report {
    let mut driver = Driver::new(shared, position, identity);
    let mut request = Vec::new();
    loop {
        let now = Instant::now();
        if driver.shared.is_over(now) {
            break;
        }
        request.clear();
        match client.next(&driver.shared.moment(now), &mut request) {
            Next::Send(step) => match driver.due(now).await {
                Some(due) => driver.send(&mut client, step, &request, due).await,
                None => break,
            },
            Next::Think(pause) => driver.pause_until(now + pause.min(LONGEST)).await,
            Next::Ready => driver.await_start().await,
            Next::Finish => break,
        }
    }
    driver.leave_set_up(false);
    let now = Instant::now();
    client.finish(&driver.shared.moment(now))
}

/// After a failed request the next one waits this long at first, and twice as long after each further one.
const FIRST_BACK_OFF: Duration = Duration::from_millis(10);

/// The longest wait between two requests to a server that fails: a client notices a recovery within a second.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(1);

/// Error bodies are quoted up to this many bytes: enough for a sentence.
const QUOTED_BYTES: usize = 200;

/// One client's connection and what is kept between requests.
struct Driver {
    shared: Rc<Shared>,
    /// Among this generator's clients.
    position: u32,
    identity: Identity,
    connection: Option<Connection<Stream>>,
    has_connected: bool,
    decoder: Decoder,
    deadline: Deadline,
    stage: watch::Receiver<Stage>,
    in_set_up: bool,
    has_paused: bool,
    failures_in_a_row: u32,
    jitter: Random,
}

impl Driver {
    fn new(shared: Rc<Shared>, position: u32, identity: Identity) -> Self {
        Self {
            position,
            identity,
            connection: None,
            has_connected: false,
            decoder: Decoder::new(shared.limits),
            deadline: Deadline::new(shared.run_start + shared.request_timeout),
            stage: shared.stage.subscribe(),
            in_set_up: true,
            has_paused: false,
            failures_in_a_row: 0,
            jitter: identity.random(),
            shared,
        }
    }

    /// When the next request is due: now, or in the open model when the schedule says; nothing when the run is over before. The
    /// set-up has no schedule.
    async fn due(&mut self, now: Instant) -> Option<Instant> {
        let gate = self.shared.gate.as_ref().filter(|_| self.shared.window.get().is_some());
        let Some(gate) = gate else {
            return Some(now);
        };
        self.has_paused = true;
        gate.pass(self.position).await
    }

    /// One request that was due at a time, from the connection to the record.
    async fn send<C: Client>(&mut self, client: &mut C, step: Step, request: &[u8], due: Instant) {
        let is_scheduled = self.shared.gate.is_some() && self.shared.window.get().is_some();
        let mut sent = if is_scheduled { Instant::now() } else { due };
        if self.failures_in_a_row > 0 {
            self.back_off().await;
            sent = Instant::now();
            if self.shared.is_over(sent) {
                // The back-off has lasted until the end: nothing is sent, and the client hears nothing.
                if let Some(gate) = self.shared.gate.as_ref().filter(|_| is_scheduled) {
                    gate.drop_request(due);
                }
                return;
            }
        }
        let intended = if is_scheduled { due } else { sent };
        let at = self.shared.moment(intended);
        self.deadline.set(sent + self.shared.request_timeout);
        let exchanged = self.exchange(request).await;
        let completed = Instant::now();
        let at = Moment { phase: at.phase, ..self.shared.moment(completed) };
        let mut sample =
            Sample { phase: at.phase, step, outcome: Outcome::Ok, status: None, intended, sent, completed };
        match exchanged {
            Ok(()) => {
                self.failures_in_a_row = 0;
                self.judge(client, &at, &mut sample);
            }
            Err(fault) => {
                self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
                sample.outcome = Outcome::Failure(fault.failure);
                self.give_up_connection();
                self.record(&sample, || fault.detail);
                client.failed(&at, step, fault.failure);
            }
        }
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<(), Fault> {
        if self.has_paused {
            self.has_paused = false;
            self.drop_dead_connection().await;
        }
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => self.connection.insert(connect(&self.shared, &self.deadline, &mut self.has_connected).await?),
        };
        connection.exchange(request, &mut self.decoder, &mut self.deadline).await
    }

    fn judge<C: Client>(&mut self, client: &mut C, at: &Moment, sample: &mut Sample) {
        let response = self.decoder.response().expect("an exchange that succeeds leaves a whole response");
        sample.status = Some(response.status);
        sample.outcome = client.receive(at, sample.step, &response);
        self.record(sample, || quote(sample.outcome, response.body));
        if !self.decoder.is_reusable() || !self.connection.as_ref().is_some_and(Connection::is_reusable) {
            self.connection = None;
            self.count_end(self.decoder.has_excess());
        }
    }

    fn record(&self, sample: &Sample, detail: impl FnOnce() -> String) {
        let mut recorder = self.shared.recorder.borrow_mut();
        recorder.record(sample);
        if !sample.outcome.is_ok() {
            let since_run_start = sample.completed.saturating_duration_since(self.shared.run_start);
            recorder.explain(sample, self.identity.index, since_run_start, detail);
        }
        self.shared.counters.count(sample.outcome.is_ok());
    }

    fn give_up_connection(&mut self) {
        if self.connection.take().is_some() {
            self.shared.recorder.borrow_mut().connections.abandoned += 1;
        }
    }

    /// Looks at the connection before it is used again, which costs a system call only when there is something to see.
    async fn drop_dead_connection(&mut self) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        let idle = connection.idle().await;
        if idle != Idle::Silent {
            self.connection = None;
            self.count_end(idle == Idle::Unsolicited);
        }
    }

    fn count_end(&self, unsolicited: bool) {
        let connections = &mut self.shared.recorder.borrow_mut().connections;
        if unsolicited {
            connections.unsolicited += 1;
        } else {
            connections.closed_by_server += 1;
        }
    }

    async fn back_off(&mut self) {
        // Doubled at most so often that the shift fits; the longest wait is reached long before.
        let doubled = FIRST_BACK_OFF * (1 << (self.failures_in_a_row - 1).min(16));
        // Between half and all of it, so that clients that failed together do not come back together.
        let pause = doubled.min(LONGEST_BACK_OFF).mul_f64(0.5 + self.jitter.fraction() / 2.0);
        self.pause_until(Instant::now() + pause).await;
    }

    async fn pause_until(&mut self, wake: Instant) {
        self.has_paused = true;
        tokio::select! {
            () = tokio::time::sleep_until(wake.into()) => {
                self.shared.recorder.borrow_mut().lag.record(wake.elapsed());
            }
            _ = self.stage.wait_for(|stage| *stage == Stage::Ended) => {}
        }
    }

    async fn await_start(&mut self) {
        self.leave_set_up(true);
        self.has_paused = true;
        // The sender lives as long as this client, so that an error cannot occur.
        let _ = self.stage.wait_for(|stage| *stage != Stage::SetUp).await;
    }

    fn leave_set_up(&mut self, ready: bool) {
        if std::mem::take(&mut self.in_set_up) {
            self.shared.setting_up.send_modify(|clients| *clients -= 1);
            self.shared.counters.leave_set_up(ready && self.shared.window.get().is_none());
        }
    }
}

async fn connect(shared: &Shared, deadline: &Deadline, has_connected: &mut bool) -> Result<Connection<Stream>, Fault> {
    let started = Instant::now();
    let opened = Connection::open(shared.address, shared.connector.as_ref(), deadline).await;
    let mut recorder = shared.recorder.borrow_mut();
    match opened {
        Ok(connection) => {
            recorder.connecting.record(started.elapsed());
            recorder.connections.opened += 1;
            recorder.connections.reopened += u64::from(std::mem::replace(has_connected, true));
            Ok(connection)
        }
        Err(fault) => {
            recorder.connections.failed += 1;
            Err(fault)
        }
    }
}

/// The start of an error's body. Other bodies may hold secrets.
fn quote(outcome: Outcome, body: &[u8]) -> String {
    match outcome {
        Outcome::Status(400..) => {
            let text = String::from_utf8_lossy(&body[..body.len().min(QUOTED_BYTES)]);
            text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
        }
        _ => String::new(),
    }
}
