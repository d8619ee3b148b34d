//! Keeps each probe with its time, beside the counts of the snapshot. Main type: [`ProbeLog`].

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use e2e_kubelet::{
    exchange::{Exchange, ProbeHistory},
    observation::Observation,
};
use e2e_plan::ProbeKind;
use parking_lot::Mutex;

/// Three hours of a probe that is sent once a second; a system that stays up for days forgets older ones.
const KEPT: usize = 10_800;

/// The exchanges of each probe of a pod's container, oldest first.
type Exchanges = BTreeMap<(String, String, ProbeKind), VecDeque<Exchange>>;

/// What was sent, by pod, container and probe. A clone shares the log.
#[derive(Debug, Clone, Default)]
pub struct ProbeLog(Arc<Mutex<Exchanges>>);

impl ProbeLog {
    /// Adds a probe that was sent at `sent`.
    pub fn record(&self, pod: &str, container: &str, which: ProbeKind, sent: SystemTime, observation: &Observation) {
        let at_unix_ms = sent.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let exchange = Exchange::new(u64::try_from(at_unix_ms).unwrap_or(u64::MAX), observation);
        let mut all = self.0.lock();
        let kept = all.entry((pod.to_owned(), container.to_owned(), which)).or_default();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(exchange);
    }

    /// Everything that is kept.
    #[must_use]
    pub fn histories(&self) -> Vec<ProbeHistory> {
        let all = self.0.lock();
        all.iter()
            .map(|((pod, container, which), exchanges)| ProbeHistory {
                pod: pod.clone(),
                container: container.clone(),
                which: *which,
                exchanges: exchanges.iter().copied().collect(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use e2e_kubelet::observation::{Kind, Verdict};

    use super::*;

    #[test]
    fn the_newest_are_kept() {
        let log = ProbeLog::default();
        let seen = Observation::new(Verdict::Success, Kind::Response, "");
        for number in 0..=KEPT as u64 {
            let sent = UNIX_EPOCH + Duration::from_millis(number);
            log.clone().record("app-0", "app", ProbeKind::Liveness, sent, &seen);
        }
        let histories = log.histories();
        let [ProbeHistory { exchanges, .. }] = histories.as_slice() else { panic!("{histories:?}") };
        assert_eq!((exchanges.len(), exchanges[0].at_unix_ms), (KEPT, 1));
    }
}
