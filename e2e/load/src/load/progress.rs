//! What a run has done so far, readable from any thread while it runs: [`Snapshot`].

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// Totals since the run's start, set-up and warm-up included. Take one each second and subtract, for a rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Requests that ended.
    pub requests: u64,
    /// Those without the expected answer.
    pub errors: u64,
    /// Clients that were ready at the common start.
    pub clients_ready: u32,
    /// Clients that still set up.
    pub clients_setting_up: u32,
    /// Whether the common start has been.
    pub started: bool,
    /// Median latency of the last whole second's successes, in milliseconds; of several generators the highest one.
    pub latency_ms_p50: Option<f64>,
    /// The 99th percentile, likewise.
    pub latency_ms_p99: Option<f64>,
}

impl std::ops::AddAssign for Snapshot {
    /// Several generators' progress together; they have started when one has.
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.clients_ready += other.clients_ready;
        self.clients_setting_up += other.clients_setting_up;
        self.started |= other.started;
        let highest = |one: Option<f64>, other: Option<f64>| one.into_iter().chain(other).reduce(f64::max);
        self.latency_ms_p50 = highest(self.latency_ms_p50, other.latency_ms_p50);
        self.latency_ms_p99 = highest(self.latency_ms_p99, other.latency_ms_p99);
    }
}

/// Counters that the generator's thread writes and others read.
#[derive(Debug, Default)]
pub(super) struct Counters {
    requests: AtomicU64,
    errors: AtomicU64,
    ready: AtomicU32,
    setting_up: AtomicU32,
    started: AtomicBool,
    /// Bits of an f64, of which 0 means that there is none.
    p50: AtomicU64,
    p99: AtomicU64,
}

impl Counters {
    pub(super) fn new(clients: u32) -> Self {
        Self { setting_up: AtomicU32::new(clients), ..Self::default() }
    }

    pub(super) fn count(&self, ok: bool) {
        add(&self.requests);
        if !ok {
            add(&self.errors);
        }
    }

    pub(super) fn leave_set_up(&self, ready: bool) {
        self.setting_up.fetch_sub(1, Ordering::Relaxed);
        self.ready.fetch_add(u32::from(ready), Ordering::Relaxed);
    }

    pub(super) fn start(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    pub(super) fn show(&self, p50: f64, p99: f64) {
        self.p50.store(p50.to_bits(), Ordering::Relaxed);
        self.p99.store(p99.to_bits(), Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        // Errors first: a request is counted before its error, so that errors never exceed requests.
        let errors = self.errors.load(Ordering::Acquire);
        Snapshot {
            requests: self.requests.load(Ordering::Acquire),
            errors,
            clients_ready: self.ready.load(Ordering::Relaxed),
            clients_setting_up: self.setting_up.load(Ordering::Relaxed),
            started: self.started.load(Ordering::Relaxed),
            latency_ms_p50: shown(&self.p50),
            latency_ms_p99: shown(&self.p99),
        }
    }
}

fn shown(bits: &AtomicU64) -> Option<f64> {
    Some(f64::from_bits(bits.load(Ordering::Relaxed))).filter(|figure| *figure > 0.0)
}

/// One thread writes, so that a plain load and store do for an increment what a locked instruction would do at ten times the cost.
fn add(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Release);
}
