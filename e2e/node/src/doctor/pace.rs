//! A rate limit that looks like an app that fails at random: it accepts a request after a pause, and refuses it right after a refusal. Main
//! function: [`Lab::is_paced`]. A part of [`Lab`].

use tokio::time::{Instant, sleep};

use super::{
    lab::Lab,
    proof::SPREAD,
    rounds::{STARTED, Side, sides},
};

/// The number of requests in a row that use up what a limit accepts at once. An app that fails for moments outlasts them.
const BURST: usize = 40;
/// A limit that has just refused a request refuses as many more.
const AT_ONCE: usize = 3;
/// The least number of requests that were accepted after a pause: that all are refused right after a refusal shows no limit.
const ACCEPTED: usize = 2;
/// The number of timeouts from the start of the search: half of the requests wait for a second.
const WITHIN: u32 = 9;

impl Lab<'_> {
    /// Whether the request with different outcomes is accepted after a second, the least that a kubelet waits between two probes, and refused right
    /// after a refusal. A fair coin picks one of the two each time: an app that ignores the pause passes with a probability of 2^-14, or of 2^-7
    /// at most where the time is too short.
    pub(super) async fn is_paced(&mut self) -> bool {
        let Some(index) = self.wavering else { return false };
        let end = self.begun + self.timeout() * WITHIN;
        if !self.is_used_up(index, end).await {
            return false;
        }
        // Most apps that fail at random are told without a pause.
        for _ in 0..AT_ONCE {
            if self.repeat(index).await.answered() {
                return false;
            }
        }
        let (mut matched, mut accepted) = (0, 0);
        for side in sides(&mut self.coin) {
            let accepts = side == Side::Succeeds;
            if accepts && Instant::now() + SPREAD > end {
                break;
            }
            if accepts {
                sleep(SPREAD).await;
            }
            if self.repeat(index).await.answered() != accepts || accepts && !self.is_used_up(index, end).await {
                return false;
            }
            matched += 1;
            accepted += usize::from(accepts);
        }
        matched >= STARTED && accepted >= ACCEPTED
    }

    /// Repeats a request until it is refused.
    async fn is_used_up(&mut self, index: usize, end: Instant) -> bool {
        for _ in 0..BURST {
            if !self.repeat(index).await.answered() {
                return true;
            }
            if Instant::now() >= end {
                break;
            }
        }
        false
    }
}
