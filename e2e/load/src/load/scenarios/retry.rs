//! How long a client waits before it tries a step again: [`Retry`].

use std::time::Duration;

use crate::load::{Random, Response};

/// Delays between attempts: what the server asks for, otherwise twice as long each time.
#[derive(Debug)]
pub(super) struct Retry {
    in_a_row: u32,
    random: Random,
}

/// The first delay when the server asks for none.
const FIRST: Duration = Duration::from_millis(100);
/// The longest delay when the server asks for none.
const LONGEST: Duration = Duration::from_secs(5);
/// Even `Retry-After: 0` is not followed at once, so that a failing server does not make the generator spin.
const SHORTEST: Duration = Duration::from_millis(10);

impl Retry {
    pub(super) fn new(random: Random) -> Self {
        Self { in_a_row: 0, random }
    }

    /// Starts again after a success.
    pub(super) fn reset(&mut self) {
        self.in_a_row = 0;
    }

    /// The delay before the next attempt. A tenth more at most spreads clients that were refused together; it is never less
    /// than the server asks for.
    pub(super) fn delay(&mut self, response: Option<&Response<'_>>) -> Duration {
        let asked = response.and_then(Response::retry_after);
        // Doubled at most so often that the shift fits.
        let own = (FIRST * (1 << self.in_a_row.min(16))).min(LONGEST);
        self.in_a_row = self.in_a_row.saturating_add(1);
        asked.unwrap_or(own).max(SHORTEST).mul_f64(1.0 + self.random.fraction() / 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_a_bound_and_starts_again() {
        let mut retry = Retry::new(Random::new(1, 1));
        let mut delays: Vec<Duration> = (0..20).map(|_| retry.delay(None)).collect();
        retry.reset();
        delays.push(retry.delay(None));
        let within = |delay: Duration, milliseconds: u64| {
            let asked = Duration::from_millis(milliseconds);
            asked <= delay && delay <= asked.mul_f64(1.1)
        };
        assert!(within(delays[0], 100) && within(delays[1], 200) && within(delays[2], 400), "{delays:?}");
        assert!(within(delays[6], 5000) && within(delays[19], 5000) && within(delays[20], 100), "{delays:?}");
    }
}
