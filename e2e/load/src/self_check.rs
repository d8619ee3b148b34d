//! Whether the generator measures correctly on this machine, now: [`self_check`] measures a server with known stalls and compares
//! the result with the latency that they must cause.

use std::io;
use std::time::Duration;

use serde::Serialize;

use crate::load::scenarios::Fixed;
use crate::load::{self, Arrivals, Error, Model, RequestHead, Settings};
use crate::stall::{self, StallingServer};
use e2e_figures::stats::rounded;

/// What the check found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SelfCheck {
    /// The 99th percentile of latency that follows from the server's stalls, in milliseconds.
    pub expected_ms_p99: f64,
    /// The measured 99th percentile, in milliseconds.
    pub measured_ms_p99: f64,
    /// How far the measured percentile is off, as a share of the expected one.
    pub deviation: f64,
    /// Requests per second of the generator's CPU time, against a small server. A generator uses at most one core.
    pub requests_per_cpu_second: Option<f64>,
}

/// The measured percentile may be this far off, as a share.
pub const ALLOWED_DEVIATION: f64 = 0.02;

/// Above this share of its capacity, a generator has no reserve for bursts.
pub const ALLOWED_LOAD: f64 = 0.7;

/// 20 requests of the 2 s are above the 99th percentile, at a rate that costs next to nothing.
const RATE: f64 = 1000.0;
const WINDOW: Duration = Duration::from_secs(2);
/// Everything that is due during a stall finds a free client, so that the server's queue is the only one.
const CLIENTS: u32 = 128;
/// In the middle of each half of the window.
const STALLS: [Duration; 2] = [Duration::from_millis(400), Duration::from_millis(1400)];
const STALL: Duration = Duration::from_millis(100);
/// Long enough for thousands of requests.
const HEAD_ROOM_WINDOW: Duration = Duration::from_millis(400);

impl SelfCheck {
    /// Whether the percentile is right.
    pub fn is_true(&self) -> bool {
        self.deviation.abs() <= ALLOWED_DEVIATION
    }

    /// Whether this many generators on this many processors can make these arrivals with some reserve, at their highest rate; true
    /// if that is unknown. More generators than processors do not help, since each can use one processor.
    pub fn has_head_room(&self, arrivals: &Arrivals, generators: u32, processors: usize) -> bool {
        let highest = highest_rate(arrivals);
        let cores = (generators as usize).min(processors) as f64;
        self.requests_per_cpu_second.is_none_or(|able| highest <= able * cores * ALLOWED_LOAD)
    }
}

/// Requests per second at one end of the ramp, whichever has more.
pub fn highest_rate(arrivals: &Arrivals) -> f64 {
    arrivals.ramp_to.map_or(arrivals.rate, |last| last.max(arrivals.rate))
}

/// Why the check could not run.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum SelfCheckError {
    #[error(
        "the self-check's server cannot start on 127.0.0.1: {0}; free ports or file descriptors, or skip the check"
    )]
    Server(io::Error),
    #[error(transparent)]
    Load(#[from] Error),
}

/// Takes less than 3 s and blocks the thread, which must not be a runtime's.
///
/// # Errors
///
/// See [`SelfCheckError`].
pub fn self_check() -> Result<SelfCheck, SelfCheckError> {
    let server = StallingServer::start().map_err(SelfCheckError::Server)?;
    let head = RequestHead::new("GET", "/", "self-check").expect("a fixed request is valid");
    let request = Fixed::new(&head, None).expect_status(200).expect_body("OK");
    let settings = Settings {
        clients: CLIENTS,
        duration: WINDOW,
        model: Model::Open(Arrivals::constant(RATE)),
        ..Settings::new(server.address())
    };
    // The stalls are planned from the common start, which all clients reach within milliseconds.
    server.stall(STALLS, STALL);
    let result = load::start(settings.clone(), request.clone())?.wait()?;
    let stalls = server.take_seen().stalls;
    let measured = result.measured.latency_ms.map_or(0.0, |latency| latency.p99);
    let expected = stall::quantile(&stalls, WINDOW, 0.99).as_secs_f64() * 1000.0;

    let settings = Settings { clients: 16, duration: HEAD_ROOM_WINDOW, model: Model::Closed, ..settings };
    let closed = load::start(settings, request)?.wait()?;
    let cpu = closed.generator.cpu_seconds;
    Ok(SelfCheck {
        expected_ms_p99: rounded(expected, 3),
        measured_ms_p99: measured,
        deviation: if expected > 0.0 { rounded(measured / expected - 1.0, 4) } else { f64::MAX },
        requests_per_cpu_second: (cpu > 0.0).then(|| rounded(closed.measured.succeeded as f64 / cpu, 0)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_room_is_for_all_generators_together() {
        let check = SelfCheck {
            expected_ms_p99: 90.0,
            measured_ms_p99: 91.0,
            deviation: 0.011,
            requests_per_cpu_second: Some(1000.0),
        };
        let has_room = |rate, generators| check.has_head_room(&Arrivals::constant(rate), generators, 2);
        assert!(check.is_true() && has_room(700.0, 1) && !has_room(701.0, 1));
        assert!(has_room(1400.0, 2));
        // They share two processors.
        assert!(has_room(1400.0, 8) && !has_room(1401.0, 8));
        let ramp = |rate, last| Arrivals { ramp_to: Some(last), ..Arrivals::constant(rate) };
        assert!(!check.has_head_room(&ramp(10.0, 701.0), 1, 2) && !check.has_head_room(&ramp(701.0, 10.0), 1, 2));
        assert!(check.has_head_room(&ramp(10.0, 700.0), 1, 2));
        assert!(!SelfCheck { deviation: -0.03, ..check }.is_true());
    }
}
