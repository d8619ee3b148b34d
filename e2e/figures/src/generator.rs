//! What a load generator used itself, and each second of what it measured. Main types: [`Generator`], [`Second`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One second of the measured window. After the window come the seconds in which its last requests ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Second {
    /// Whole seconds since the window's start.
    pub second: u32,
    /// Requests that ended with the expected answer.
    pub succeeded: u64,
    /// Requests that ended otherwise.
    pub errors: u64,
    /// The median of the successful ones' latency, within 1%.
    #[serde(default)]
    pub latency_ms_p50: Option<f64>,
    /// The 99th percentile of the same.
    pub latency_ms_p99: Option<f64>,
}

/// What the generator itself used and how late it was. It runs on one thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Generator {
    /// CPU time of its thread.
    pub cpu_seconds: f64,
    /// Wall-clock time over which that was measured.
    pub wall_seconds: f64,
    /// The share of one core.
    pub cpu_share: f64,
    /// How long its thread was ready to run and had no core; nothing where the kernel does not tell.
    pub cpu_wait_seconds: Option<f64>,
    /// The same as a share of the time.
    #[serde(default)]
    pub wait_share: Option<f64>,
    /// How late wake-ups were, 99th percentile. The timer's own grain is 1 ms.
    pub lag_ms_p99: Option<f64>,
    /// Whether the thread used more than [`SATURATED_CPU_SHARE`] of a core, waited for one for more than [`SATURATED_WAIT_SHARE`] of
    /// the time or, in the open model, was later than [`SATURATED_LAG_MS`]: the figures then tell about the generator. Never of less
    /// than [`JUDGED_SECONDS`] or [`JUDGED_REQUESTS`].
    pub saturated: bool,
}

impl Generator {
    /// Whether its own limits show in the figures of so many requests.
    pub fn is_saturated(&self, requests: u64, is_open: bool) -> bool {
        let is_enough = self.wall_seconds >= JUDGED_SECONDS && requests >= JUDGED_REQUESTS;
        is_enough
            && (self.cpu_share > SATURATED_CPU_SHARE
                || self.wait_share > Some(SATURATED_WAIT_SHARE)
                || is_open && self.lag_ms_p99 > Some(SATURATED_LAG_MS))
    }

    /// What it used and waited for, as the end of a sentence that begins with it.
    pub fn described(&self) -> String {
        let used = format!("used {:.0}% of one CPU", self.cpu_share * 100.0);
        match self.wait_share {
            Some(share) => format!("{used} and waited for one {:.0}% of the time", share * 100.0),
            None => used,
        }
    }
}

/// Above this share of a core a single thread has no reserve left for bursts, so that its figures cannot be trusted.
pub const SATURATED_CPU_SHARE: f64 = 0.9;

/// Above this share of the time without a core although there was something to do, most of a latency may be the generator's own wait.
pub const SATURATED_WAIT_SHARE: f64 = 0.5;

/// Above this 99th percentile of the schedule's lag the generator is no longer on time: it is a tenth of the latencies that
/// people notice. In the closed model nothing is due, so that lag only delays the next request.
pub const SATURATED_LAG_MS: f64 = 5.0;

/// A shorter window says nothing about the generator: within a few turns of the kernel's scheduler, of some milliseconds each, a thread
/// either has a core or has none.
pub const JUDGED_SECONDS: f64 = 0.1;

/// Fewer requests are no load that could be too much for it.
pub const JUDGED_REQUESTS: u64 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    /// Clients that give up before the window leave one of a tenth of a millisecond, over which a thread is busy or is not.
    #[test]
    fn a_generator_is_judged_by_enough() {
        for (wall_seconds, requests, cpu_share, saturated) in [
            (5.0, 10_000, 0.95, true),
            (5.0, 10_000, 0.5, false),
            (0.0001, 0, 1.0, false),
            (0.05, 10_000, 1.0, false),
            (5.0, 3, 1.0, false),
        ] {
            let generator = Generator { wall_seconds, cpu_share, ..Generator::default() };
            assert_eq!(generator.is_saturated(requests, false), saturated);
            let waits = Generator { wall_seconds, wait_share: Some(cpu_share), ..Generator::default() };
            assert_eq!(waits.is_saturated(requests, false), saturated);
            let late = Generator { wall_seconds, lag_ms_p99: Some(cpu_share * 6.0), ..Generator::default() };
            assert_eq!((late.is_saturated(requests, true), late.is_saturated(requests, false)), (saturated, false));
        }
    }
}
