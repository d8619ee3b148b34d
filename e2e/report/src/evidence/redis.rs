//! The memory of Redis servers over time, as `evidence/redis.json`. Plain data. Main type: [`RedisServer`].

use std::ops::RangeBounds;

use serde::{Deserialize, Serialize};

/// What a server that speaks Redis's protocol says of its memory (`INFO`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedisServer {
    /// The component.
    pub component: String,
    /// The pod.
    pub pod: String,
    /// The port in the pod.
    pub port: u16,
    /// Its words, where it refused to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// `maxmemory` when it told last; 0 is no limit.
    pub maxmemory_bytes: u64,
    /// `maxmemory_policy` then, such as `allkeys-lru`.
    pub maxmemory_policy: String,
    /// In order of time, about one per second.
    pub samples: Vec<RedisSample>,
}

/// What it said at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedisSample {
    /// Milliseconds since 1970.
    pub at_unix_ms: u64,
    /// `used_memory`.
    pub memory_bytes: u64,
    /// Keys evicted since its start.
    pub evicted_keys: u64,
    /// Commands refused since its start because its memory was used up (`errorstat_OOM`); absent before Redis 6.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_commands: Option<u64>,
}

impl RedisServer {
    /// The number of keys that it evicted in a time span.
    pub(crate) fn evicted(&self, time: impl RangeBounds<u64>) -> u64 {
        self.grown(time, |sample| sample.evicted_keys)
    }

    /// The number of commands that it refused for want of memory in a time span.
    pub fn refused_commands(&self, time: impl RangeBounds<u64>) -> u64 {
        self.grown(time, |sample| sample.refused_commands.unwrap_or(0))
    }

    /// How much a counter grew, which begins at 0 with each start of the server.
    fn grown(&self, time: impl RangeBounds<u64>, counter: impl Fn(&RedisSample) -> u64) -> u64 {
        let mut before = 0;
        let mut grown = 0;
        for sample in &self.samples {
            let now = counter(sample);
            if time.contains(&sample.at_unix_ms) {
                grown += if now < before { now } else { now - before };
            }
            before = now;
        }
        grown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_began_anew_is_added() {
        let sample = |at_unix_ms, evicted_keys| RedisSample { at_unix_ms, evicted_keys, ..RedisSample::default() };
        let samples = vec![sample(1, 2), sample(2, 7), sample(3, 1), sample(4, 1)];
        let server = RedisServer { samples, ..RedisServer::default() };
        assert_eq!((server.evicted(..), server.evicted(2..), server.evicted(4..)), (8, 6, 0));
        assert_eq!(server.refused_commands(..), 0, "an old server does not count them");
    }
}
