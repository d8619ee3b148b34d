//! The open model's gate: requests that are due are given to clients that are free. The main type is [`Gate`].

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::schedule::Schedule;
use super::timer::PreciseTimer;

/// The run's times, known from the common start on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) start: Instant,
    pub(super) measured_from: Instant,
    pub(super) end: Instant,
}

/// One schedule for all clients of a generator. An arrival that finds no free client waits: it is taken late, or dropped when the
/// window ends before. As the next arrival is always known from the schedule, the queue of those that wait is a number.
pub(super) struct Gate {
    state: RefCell<State>,
    /// A client has become free where there was none.
    freed: Notify,
}

struct State {
    schedule: Schedule,
    window: Option<Window>,
    closed: bool,
    clients: Vec<Waiting>,
    /// Positions of the clients that are free, the longest free one first, so that all connections are used.
    free: VecDeque<u32>,
    late: u64,
    /// Requests that were handed out and never sent.
    dropped: u64,
}

/// What a client that waits has been given.
#[derive(Debug, Default)]
enum Waiting {
    #[default]
    Nothing,
    For(Waker),
    Given(Instant),
}

/// Timers are set at most this often: at high rates arrivals are handed out in batches, because a wake-up costs more than a request.
const BATCH: Duration = Duration::from_micros(100);

impl Gate {
    pub(super) fn new(schedule: Schedule, clients: u32) -> Self {
        let waiting = (0..clients).map(|_| Waiting::Nothing).collect();
        let free = VecDeque::with_capacity(clients as usize);
        let state = State { schedule, window: None, closed: false, clients: waiting, free, late: 0, dropped: 0 };
        Self { state: RefCell::new(state), freed: Notify::new() }
    }

    /// Lets requests pass from the window's start on.
    pub(super) fn open(&self, window: Window) {
        self.state.borrow_mut().window = Some(window);
    }

    pub(super) fn close(&self) {
        let mut state = self.state.borrow_mut();
        state.closed = true;
        for position in 0..state.clients.len() {
            match std::mem::take(&mut state.clients[position]) {
                Waiting::For(waker) => waker.wake(),
                Waiting::Given(due) => state.drop_request(due),
                Waiting::Nothing => {}
            }
        }
        self.freed.notify_one();
    }

    /// A client that was given a request has not sent it before the end.
    pub(super) fn drop_request(&self, due: Instant) {
        self.state.borrow_mut().drop_request(due);
    }

    /// Waits for the time of the request that this client is to send now; nothing when the gate is closed.
    pub(super) async fn pass(&self, client: u32) -> Option<Instant> {
        let mut is_queued = false;
        poll_fn(|context| {
            let mut state = self.state.borrow_mut();
            if state.closed {
                return Poll::Ready(None);
            }
            if !std::mem::replace(&mut is_queued, true) {
                if let Some(due) = state.take_due(Instant::now()) {
                    return Poll::Ready(Some(due));
                }
                if state.free.is_empty() {
                    self.freed.notify_one();
                }
                state.free.push_back(client);
            }
            match std::mem::take(&mut state.clients[client as usize]) {
                Waiting::Given(due) => Poll::Ready(Some(due)),
                _ => {
                    state.clients[client as usize] = Waiting::For(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Hands requests out when they are due, until the gate is closed. `handed` hears how long after its time each one was.
    pub(super) async fn dispatch(&self, mut handed: impl FnMut(Duration)) -> io::Result<()> {
        let timer = PreciseTimer::new()?;
        let mut last = Instant::now();
        loop {
            let (next, somebody_is_free) = self.state.borrow().outlook();
            match next {
                None => return Ok(()),
                Some(_) if !somebody_is_free => self.freed.notified().await,
                Some(next) => {
                    tokio::select! {
                        slept = timer.sleep_until(next.max(last + BATCH)) => slept?,
                        // Closed, perhaps long before the next request.
                        () = self.freed.notified() => continue,
                    }
                    last = Instant::now();
                    while let Some(due) = self.hand_out(last) {
                        handed(last - due);
                    }
                }
            }
        }
    }

    /// How many requests of the window were late because no client was free, and how many were never sent.
    pub(super) fn finish(&self, end: Instant) -> (u64, u64) {
        let mut state = self.state.borrow_mut();
        let mut dropped = state.dropped;
        while let Some(next) = state.next().filter(|next| *next < end) {
            state.schedule.advance();
            dropped += u64::from(state.is_measured(next));
        }
        (state.late, dropped)
    }

    fn hand_out(&self, now: Instant) -> Option<Instant> {
        self.state.borrow_mut().hand_out(now)
    }
}

impl State {
    fn next(&self) -> Option<Instant> {
        self.window.map(|window| window.start + self.schedule.peek())
    }

    fn next_within_run(&self) -> Option<Instant> {
        let end = self.window?.end;
        self.next().filter(|next| *next < end && !self.closed)
    }

    fn outlook(&self) -> (Option<Instant>, bool) {
        (self.next_within_run(), !self.free.is_empty())
    }

    fn is_measured(&self, due: Instant) -> bool {
        self.window.is_some_and(|window| due >= window.measured_from)
    }

    /// An arrival that is overdue, for a client that has just become free.
    fn take_due(&mut self, now: Instant) -> Option<Instant> {
        let due = self.next_within_run().filter(|due| *due <= now)?;
        self.schedule.advance();
        // With free clients the dispatcher was about to hand it out.
        self.late += u64::from(self.free.is_empty() && self.is_measured(due));
        Some(due)
    }

    fn drop_request(&mut self, due: Instant) {
        self.dropped += u64::from(self.is_measured(due));
    }

    fn hand_out(&mut self, now: Instant) -> Option<Instant> {
        let due = self.next_within_run().filter(|due| *due <= now)?;
        let client = self.free.pop_front()?;
        self.schedule.advance();
        if let Waiting::For(waker) = std::mem::replace(&mut self.clients[client as usize], Waiting::Given(due)) {
            waker.wake();
        }
        Some(due)
    }
}
