//! A kubelet's wait before it restarts a container. Pure. Main type: [`BackOff`].
//!
//! Source: `Backoff` in client-go's `util/flowcontrol/backoff.go` as `doBackOff` in
//! `pkg/kubelet/kuberuntime/kuberuntime_manager.go` uses it. The first exit creates an entry without a wait, each further start
//! doubles it, and `HandlePodCleanups` drops entries unchanged for twice the maximum.

use std::time::Duration;

/// The first wait (`backOffPeriod` in `pkg/kubelet/kubelet.go`).
pub(super) const INITIAL: Duration = Duration::from_secs(10);
/// The longest wait (`MaxContainerBackOff`).
pub(super) const MAX: Duration = Duration::from_secs(300);

/// The wait of one container.
#[derive(Debug, Clone, Default)]
pub(super) struct BackOff {
    entry: Option<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    delay: Duration,
    updated: Duration,
}

impl BackOff {
    /// The earliest start of a container that ended at `finished`.
    pub(super) fn allowed_at(&self, finished: Duration) -> Duration {
        match self.entry {
            // The entry can expire while a start waits.
            Some(entry) => (finished + entry.delay).min(entry.updated + 2 * MAX),
            None => finished,
        }
    }

    pub(super) fn delay(&self) -> Duration {
        self.entry.map_or(Duration::ZERO, |entry| entry.delay)
    }

    /// Records a start at `now`: the next wait is longer, or starts over after a long quiet time.
    pub(super) fn next(&mut self, now: Duration) {
        let delay = match self.entry {
            Some(entry) if now < entry.updated + 2 * MAX => (entry.delay * 2).min(MAX),
            _ => INITIAL,
        };
        self.entry = Some(Entry { delay, updated: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn doubles_from_ten_seconds_to_five_minutes() {
        let mut back_off = BackOff::default();
        let mut now = s(0);
        let mut waits = Vec::new();
        for _ in 0..8 {
            let allowed = back_off.allowed_at(now);
            waits.push((allowed - now).as_secs());
            back_off.next(allowed);
            now = allowed + s(1);
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn begins_anew_after_ten_minutes() {
        let mut back_off = BackOff::default();
        back_off.next(s(0));
        back_off.next(s(10));
        assert_eq!(back_off.delay(), s(20));
        assert_eq!(back_off.allowed_at(s(609)), s(610), "the entry is dropped before its wait is over");
        back_off.next(s(611));
        assert_eq!(back_off.delay(), INITIAL);
    }
}
