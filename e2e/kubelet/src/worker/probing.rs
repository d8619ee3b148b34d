//! The three probes of a running container: their schedule and their states.

use std::time::Duration;

use e2e_plan::{Probe, ProbeKind, Probes};

use crate::observation::Verdict;

/// A period of zero would send probes endlessly.
const MIN_PERIOD: Duration = Duration::from_millis(1);

/// The interval between a kubelet's syncs of an idle pod (`syncFrequency`).
const SYNC: Duration = Duration::from_secs(60);

/// The probes of one container.
#[derive(Debug, Clone)]
pub(super) struct Probing {
    slots: [Option<Slot>; 3],
    eager: Option<Duration>,
    acts_at_once: bool,
    /// The instance's start.
    since: Duration,
    /// The time at which the kubelet acts on the startup probe's result, if it waits for the pod's next sync.
    startup_heard_at: Option<Duration>,
}

/// One probe (`worker` in `pkg/kubelet/prober/worker.go`).
#[derive(Debug, Clone)]
struct Slot {
    spec: Probe,
    /// The next time it is due.
    due: Duration,
    /// The last time it was sent.
    sent: Duration,
    /// The earliest time for an extra probe within its period.
    extra_due: Duration,
    in_flight: bool,
    /// Whether the probe in flight is an extra one.
    extra: bool,
    /// The last result that counts, and the number of times in a row.
    last: Option<Verdict>,
    in_a_row: u32,
    /// The state, once a threshold was reached.
    state: Option<Verdict>,
    /// Whether it cannot be sent; the container then counts as one without this probe.
    left_out: bool,
}

/// Extra probes must not slow a start: the pause between two of them is this multiple of the last one's duration.
const REST: u32 = 2;

impl Slot {
    /// The probe in flight has ended; the next extra one waits at least for the pause.
    fn end(&mut self, now: Duration, eager: Option<Duration>) {
        let took = now.saturating_sub(self.sent);
        self.in_flight = false;
        self.extra = false;
        self.extra_due = now + eager.unwrap_or_default().max(took * REST);
    }
}

impl Probing {
    pub(super) fn new(probes: Probes, eager: Option<Duration>, acts_at_once: bool) -> Self {
        let slot = |spec: Option<Probe>| {
            spec.map(|spec| Slot {
                spec,
                due: Duration::ZERO,
                sent: Duration::ZERO,
                extra_due: Duration::ZERO,
                in_flight: false,
                extra: false,
                last: None,
                in_a_row: 0,
                state: None,
                left_out: false,
            })
        };
        let slots = [slot(probes.startup), slot(probes.readiness), slot(probes.liveness)];
        Self { slots, eager, acts_at_once, since: Duration::ZERO, startup_heard_at: None }
    }

    /// A new instance runs since `since` and is looked at from `now` on; its probes start over.
    pub(super) fn reset(&mut self, now: Duration, since: Duration) {
        self.since = since;
        self.startup_heard_at = None;
        for (which, slot) in ProbeKind::ALL.into_iter().zip(&mut self.slots) {
            let Some(slot) = slot else { continue };
            slot.extra_due = now.max(since + slot.spec.initial_delay);
            slot.due = slot.extra_due;
            if which == ProbeKind::Readiness && !self.acts_at_once {
                // The wait for its tick is at most one period, half a period on average.
                slot.due += slot.spec.period / 2;
            }
            slot.in_flight = false;
            slot.last = None;
            slot.in_a_row = 0;
            slot.state = None;
        }
    }

    /// Whether the startup probe has succeeded, or there is none.
    pub(super) fn started(&self) -> bool {
        self.passed(ProbeKind::Startup)
    }

    /// Whether the container has started and its readiness probe has succeeded, or there is none.
    pub(super) fn ready(&self) -> bool {
        // Without a readiness probe the container is ready at the sync that sees the start.
        let is_heard = self.startup_heard_at.is_none() || self.slot(ProbeKind::Readiness).is_some();
        self.started() && is_heard && self.passed(ProbeKind::Readiness)
    }

    /// Whether the sync that acts on a failed startup probe has come.
    pub(super) fn take_overdue_failure(&mut self, now: Duration) -> bool {
        let is_heard = self.startup_heard_at.take_if(|at| *at <= now).is_some();
        is_heard && !self.started()
    }

    /// The grace period that a probe declares for its kills.
    pub(super) fn grace(&self, which: ProbeKind) -> Option<Duration> {
        self.slot(which).and_then(|slot| slot.spec.termination_grace)
    }

    /// Calls `send` for each probe due at `now`, with whether it is an extra one.
    pub(super) fn take_due(&mut self, now: Duration, killing: bool, mut send: impl FnMut(ProbeKind, bool)) {
        for which in ProbeKind::ALL {
            if self.waits_for(which, killing).is_none_or(|due| due > now) {
                continue;
            }
            let Some(slot) = &mut self.slots[which as usize] else {
                continue;
            };
            slot.in_flight = true;
            slot.sent = now;
            slot.extra = slot.due > now;
            if !slot.extra {
                // Probes keep to their grid. One tick missed during a long probe is made up for, as with Go's ticker, which buffers
                // one.
                let period = slot.spec.period.max(MIN_PERIOD);
                let steps = (now - slot.due).as_nanos() / period.as_nanos() + 1;
                slot.due += period.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX));
            }
            send(which, slot.extra);
        }
    }

    /// The next time a probe is due, ignoring those in flight.
    pub(super) fn next_due(&self, killing: bool) -> Option<Duration> {
        let probes = ProbeKind::ALL.into_iter().filter_map(|which| self.waits_for(which, killing));
        probes.chain(self.startup_heard_at).min()
    }

    /// Whether the probe that just failed is an extra one, whose failure does not count.
    pub(super) fn drop_extra(&mut self, now: Duration, which: ProbeKind) -> bool {
        let eager = self.eager;
        match &mut self.slots[which as usize] {
            Some(slot) if slot.extra => {
                slot.end(now, eager);
                true
            }
            _ => false,
        }
    }

    /// Applies a result; `true` if it turns the probe's state to failure.
    pub(super) fn result(&mut self, now: Duration, which: ProbeKind, verdict: Verdict) -> bool {
        let eager = self.eager;
        let Some(slot) = &mut self.slots[which as usize] else {
            return false;
        };
        slot.end(now, eager);
        match verdict {
            Verdict::Errored => return false,
            Verdict::NotMeasured => {
                slot.left_out = true;
                return false;
            }
            Verdict::Success | Verdict::Failure => {}
        }
        slot.in_a_row = if slot.last == Some(verdict) { slot.in_a_row + 1 } else { 1 };
        slot.last = Some(verdict);
        let success = verdict == Verdict::Success;
        let threshold = if success { slot.spec.success_threshold } else { slot.spec.failure_threshold };
        if slot.in_a_row < threshold {
            return false;
        }
        slot.state = Some(verdict);
        if which == ProbeKind::Startup && !self.acts_at_once {
            let syncs = now.saturating_sub(self.since).as_secs() / SYNC.as_secs() + 1;
            self.startup_heard_at = Some(self.since + SYNC * u32::try_from(syncs).unwrap_or(u32::MAX));
            return false;
        }
        !success
    }

    fn slot(&self, which: ProbeKind) -> Option<&Slot> {
        self.slots[which as usize].as_ref()
    }

    fn passed(&self, which: ProbeKind) -> bool {
        self.slot(which).is_none_or(|slot| slot.left_out || slot.state == Some(Verdict::Success))
    }

    /// The earliest time for a probe, if it may be sent now. A container that is being killed gets only readiness probes.
    fn waits_for(&self, which: ProbeKind, killing: bool) -> Option<Duration> {
        let allowed = match which {
            ProbeKind::Startup => !self.started() && !killing && self.startup_heard_at.is_none(),
            ProbeKind::Readiness => self.started(),
            ProbeKind::Liveness => self.started() && !killing,
        };
        let slot = self.slot(which).filter(|slot| allowed && !slot.in_flight && !slot.left_out)?;
        let wants_more = which != ProbeKind::Liveness && !killing && slot.state != Some(Verdict::Success);
        match self.eager {
            Some(_) if wants_more => Some(slot.due.min(slot.extra_due)),
            _ => Some(slot.due),
        }
    }
}
