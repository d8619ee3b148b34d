//! A client that takes steps: [`StepsClient`].

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::super::retry::Retry;
use super::compiled::{Compiled, CompiledStep, Key};
use super::template::Values;
use super::{CLIENT, RANDOM, ROUND};
use crate::load::{
    Client, ClientLedger, ClientOutcome, ClientReport, Failure, Fate, Identity, Moment, Next, Outcome, Phase, Random,
    Response, ServerTime, Step,
};

/// A client of [`StepsScenario`](super::StepsScenario).
#[derive(Debug)]
pub struct StepsClient {
    steps: Arc<Compiled>,
    state: State,
}

#[derive(Debug)]
struct State {
    client: u32,
    values: Values,
    /// The position in the order of steps.
    at: usize,
    round: u64,
    /// Whether a request was sent in this round.
    has_sent: bool,
    /// Failed attempts at the step that is being taken.
    attempts: u32,
    ready: bool,
    pause: Option<Duration>,
    random: Random,
    retry: Retry,
    scratch: Vec<u8>,
    /// The last attempt at a step that is taken once.
    last_once: Option<Outcome>,
    is_inconsistent: bool,
    retries: u32,
    ledger: ClientLedger,
    /// A key without an acknowledgement so far, and whether an attempt may have been applied.
    open_key: Option<bool>,
    /// By step.
    server_time: Vec<ServerTime>,
}

impl StepsClient {
    pub(super) fn new(steps: Arc<Compiled>, identity: Identity) -> Self {
        let mut values = Values::new(steps.slots);
        write!(values.space(CLIENT), "{}", identity.index).expect("writing to memory does not fail");
        let mut state = State {
            client: identity.index,
            values,
            at: 0,
            round: 0,
            has_sent: false,
            attempts: 0,
            ready: false,
            pause: None,
            random: identity.random(),
            retry: Retry::new(identity.random()),
            scratch: Vec::new(),
            last_once: None,
            is_inconsistent: false,
            retries: 0,
            ledger: ClientLedger::default(),
            open_key: None,
            server_time: vec![ServerTime::default(); steps.steps.len()],
        };
        state.begin_round();
        Self { steps, state }
    }
}

impl Client for StepsClient {
    type Report = ClientReport;

    fn next(&mut self, _at: &Moment, request: &mut Vec<u8>) -> Next {
        let Self { steps, state } = self;
        loop {
            if let Some(pause) = state.pause.take() {
                return Next::Think(pause);
            }
            if state.at == steps.ready_at && !std::mem::replace(&mut state.ready, true) {
                return Next::Ready;
            }
            let Some(index) = steps.order.get(state.at).copied() else { return Next::Finish };
            let step = &steps.steps[index];
            if step.once && state.attempts >= step.attempts {
                return Next::Finish;
            }
            if step.request.write(&state.values, &mut state.scratch, request) {
                state.has_sent = true;
                return Next::Send(Step(index));
            }
            // It needs what a step that was given up would have captured.
            let was_idle = !state.has_sent;
            state.advance(steps);
            state.pause = None;
            if was_idle && state.at == steps.rounds_from {
                // No step of a whole round could be taken.
                return Next::Finish;
            }
        }
    }

    fn receive(&mut self, at: &Moment, step: Step, response: &Response<'_>) -> Outcome {
        let Self { steps, state } = self;
        let taken = &steps.steps[step.0];
        let verdict = taken.answer.judge(response, &mut state.values, &mut state.scratch);
        state.is_inconsistent |= verdict.contradicts && !taken.once;
        if let Some(header) = &taken.server_time
            && verdict.outcome.is_ok()
            && at.phase == Phase::Measured
            && let Some(value) = response.header(header)
        {
            state.server_time[step.0].add(value);
        }
        state.settle(steps, step.0, verdict.outcome, Some(response));
        verdict.outcome
    }

    fn failed(&mut self, _at: &Moment, step: Step, failure: Failure) {
        self.state.settle(&self.steps, step.0, Outcome::Failure(failure), None);
    }

    fn finish(self, _at: &Moment) -> ClientReport {
        let Self { steps, mut state } = self;
        if let Some(key) = &steps.ledger {
            state.close_key(key);
        }
        let said = steps.steps.iter().zip(state.server_time.iter()).filter(|(_, time)| time.answers > 0);
        let server_time: BTreeMap<_, _> = said.map(|(step, time)| (step.name.clone(), *time)).collect();
        ClientReport {
            client: state.client,
            outcome: state.outcome(&steps),
            retries: state.retries,
            ledger: steps.ledger.is_some().then_some(state.ledger),
            server_time,
        }
    }
}

impl State {
    fn begin_round(&mut self) {
        self.round += 1;
        self.has_sent = false;
        let random = self.random.below(1_000_000);
        write!(self.values.space(ROUND), "{}", self.round).expect("writing to memory does not fail");
        write!(self.values.space(RANDOM), "{random}").expect("writing to memory does not fail");
    }

    /// Goes on to the next step, if there is one.
    fn advance(&mut self, steps: &Compiled) {
        (self.at, self.attempts) = (self.at + 1, 0);
        if self.at == steps.order.len() && steps.rounds_from < self.at {
            self.at = steps.rounds_from;
            self.begin_round();
        }
        let next = steps.order.get(self.at).map(|index| steps.steps[*index].think);
        self.pause = next.filter(|think| !think.is_zero());
    }

    /// What comes of an answer, or of none.
    fn settle(&mut self, steps: &Compiled, index: usize, outcome: Outcome, response: Option<&Response<'_>>) {
        let step = &steps.steps[index];
        if step.once {
            self.last_once = Some(outcome);
            self.retries += u32::from(self.attempts > 0);
        }
        self.attempts += u32::from(!outcome.is_ok());
        let is_given_up = self.attempts >= step.attempts;
        if let Some(key) = steps.ledger.as_ref().filter(|key| key.step == index) {
            self.enter(key, Fate::of(outcome), is_given_up);
        }
        if outcome.is_ok() {
            self.retry.reset();
            self.advance(steps);
            return;
        }
        // Without its set-up a client can do nothing; one step of many may fail.
        if is_given_up && !step.once {
            self.give_up(steps, step);
        }
        self.pause = Some(self.retry.delay(response));
    }

    fn give_up(&mut self, steps: &Compiled, step: &CompiledStep) {
        for slot in step.answer.captured() {
            self.values.unset(*slot);
        }
        self.advance(steps);
    }

    /// Enters what became of an attempt with a key.
    fn enter(&mut self, key: &Key, fate: Fate, is_given_up: bool) {
        if fate == Fate::Acknowledged {
            self.open_key = None;
            key.enter(self.round, &self.values, &mut self.scratch, &mut self.ledger.acknowledged, true);
            return;
        }
        self.open_key = Some(self.open_key.unwrap_or(false) || fate == Fate::Unknown);
        if is_given_up {
            self.close_key(key);
        }
    }

    /// Records a key that can no longer be acknowledged.
    fn close_key(&mut self, key: &Key) {
        let keys = match self.open_key.take() {
            Some(true) => &mut self.ledger.unknown,
            Some(false) => &mut self.ledger.refused,
            None => return,
        };
        key.enter(self.round, &self.values, &mut self.scratch, keys, false);
    }

    fn outcome(&self, steps: &Compiled) -> Option<ClientOutcome> {
        let last = match self.last_once {
            _ if !steps.steps.iter().any(|step| step.once) => return None,
            _ if self.is_inconsistent => return Some(ClientOutcome::Inconsistent),
            None => ClientOutcome::NotAttempted,
            Some(outcome) => ClientOutcome::of_last_attempt(outcome),
        };
        let is_between = last == ClientOutcome::Succeeded && self.at < steps.rounds_from;
        Some(if is_between { ClientOutcome::NotAttempted } else { last })
    }
}
