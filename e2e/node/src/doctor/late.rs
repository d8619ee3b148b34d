//! Experiments with an app that changes while it is examined: answers that are late at times or after a pause, and a success that was
//! the last one. A part of [`Lab`].

use std::time::Duration;

use e2e_kubelet::{diagnosis::Cause, observation::Observation};
use tokio::time::{Instant, sleep};

use super::{
    Found,
    lab::{Lab, Tried},
    rounds::FLIPS,
    seconds,
    time::{SILENCE, WATCHED, WATCHED_AT_MOST, patiently},
};

/// The number of timeouts that a late answer may take.
const PATIENCE: u32 = 10;
/// The least number of right answers that show that some are only late, where each takes long.
const RIGHT: usize = 3;
/// The number of failures in a row at the end of a series that may be for good.
const LAST: usize = 2;

impl Lab<'_> {
    /// Of a probe that was late and in time: whether each answer is right if one waits for it, and how long the slowest takes. If even
    /// the quickest takes most of the time, the app is too slow; else something delays it now and then.
    pub(super) async fn late_at_times(&mut self) -> Option<Found> {
        let end = Instant::now() + WATCHED_AT_MOST.max(self.timeout() * WATCHED);
        let (mut right, mut longest) = (0, Duration::ZERO);
        while right < FLIPS && (right < RIGHT || Instant::now() < end) {
            longest = longest.max(self.awaited().await?);
            right += 1;
        }
        if longest <= self.timeout() {
            return None;
        }
        let waits = seconds(self.timeout());
        let text = format!("{}: it waits {waits}, and right answers take up to {}", self.counted()?, seconds(longest));
        let found = Found::too_slow(longest, self.timeout(), text);
        let cause = if self.is_close() { Cause::TooSlow } else { Cause::Flaky };
        Some(Found { cause, ..found })
    }

    /// Of a probe that was late after this pause, and in time without one: whether the same happens again.
    pub(super) async fn late_after(&mut self, pause: Duration) -> Option<Found> {
        let is_in_time = self.repeat(0).await.answered();
        sleep(pause).await;
        let took = self.awaited().await?;
        if !is_in_time || took <= self.timeout() {
            return None;
        }
        let text = format!(
            "after a pause of {} the right answer takes {}, but the probe waits only {}; without a pause it is in time",
            seconds(pause),
            seconds(took),
            seconds(self.timeout())
        );
        Some(Found::too_slow(took, self.timeout(), text))
    }

    /// The probe's last failure, if it succeeded first and has failed since, even after a pause: most limits that only the doctor's
    /// requests reach would accept it then.
    pub(super) async fn fails_since(&mut self) -> Option<Observation> {
        let failures = |tried: &Tried| tried.series.iter().rev().take_while(|success| !**success).count();
        if self.wavering != Some(0) || failures(&self.tried[0]) < LAST {
            return None;
        }
        sleep(SILENCE).await;
        let now = self.repeat(0).await;
        let probe = &self.tried[0];
        if now.answered() {
            return None;
        }
        let text = format!(
            "the probe succeeded {} of {} times, and failed the last {} times ({}), once after a pause of {}",
            probe.succeeded(),
            probe.series.len(),
            failures(probe),
            now.outcome(),
            seconds(SILENCE)
        );
        let remedy = "find out from the app's log what changed at the first failure: each probe may use something up, or reach a limit";
        self.remark = Some((text, remedy));
        Some(now)
    }

    /// Whether even the quickest answer to the probe takes most of the time it has.
    pub(super) fn is_close(&self) -> bool {
        self.tried[0].quickest > self.timeout() / 2
    }

    /// How long the right answer to the probe takes, if it comes.
    async fn awaited(&mut self) -> Option<Duration> {
        let patient = patiently(self.tried[0].experiment.sends.clone());
        let answer = self.exchange(&self.tried[0].experiment.sends, self.timeout() * PATIENCE).await;
        self.note(patient, answer.clone());
        answer.answered().then(|| answer.took())
    }
}
