//! Whether the generator tells the truth on this machine, now: [`self_check`] measures a server whose stalls are known and compares
//! with what they must come to.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::load::scenarios::Fixed;
use crate::load::{self, Arrivals, Error, Model, RequestHead, Settings};
use crate::stats::rounded;

/// What the check found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SelfCheck {
    /// The 99th percentile of latency that follows from the server's stalls, in milliseconds.
    pub expected_ms_p99: f64,
    /// The one that was measured.
    pub measured_ms_p99: f64,
    /// How much of the expected one the measured one is off, as a share.
    pub deviation: f64,
    /// Requests that one second of the generator's CPU time makes, against a small server. A generator has one core at most.
    pub requests_per_cpu_second: Option<f64>,
}

/// The measured percentile may be this far off, as a share.
pub const ALLOWED_DEVIATION: f64 = 0.02;

/// A generator that is asked for more than this share of what it can do has no reserve for bursts.
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

    /// Whether this many generators can make this many requests per second with some reserve; true when that is not known.
    pub fn has_head_room(&self, rate: f64, generators: u32) -> bool {
        self.requests_per_cpu_second.is_none_or(|able| rate <= able * f64::from(generators) * ALLOWED_LOAD)
    }
}

/// Takes less than 3 s and blocks the thread, which must not be a runtime's.
///
/// # Errors
///
/// As [`load::start`]; or when the built-in server cannot listen on the loopback interface.
pub fn self_check() -> Result<SelfCheck, Error> {
    let server = Server::start().map_err(Error::Thread)?;
    let head = RequestHead::new("GET", "/", "self-check").expect("a fixed request is valid");
    let request = Fixed::new(&head, None).expect_status(200).expect_body("OK");
    let settings = Settings {
        clients: CLIENTS,
        duration: WINDOW,
        model: Model::Open(Arrivals::constant(RATE)),
        ..Settings::new(server.address)
    };
    // The stalls are planned from the common start, which all clients reach within milliseconds.
    server.stalls.send_replace(Some(Instant::now()));
    let result = load::start(settings.clone(), request.clone())?.wait()?;
    let lengths: Vec<Duration> = server.stalled.try_iter().collect();
    server.stalls.send_replace(None);
    let measured = result.measured.latency_ms.map_or(0.0, |latency| latency.p99);
    let expected = stall_quantile(&lengths, WINDOW, 0.99).as_secs_f64() * 1000.0;

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

/// The latency at a quantile when evenly spaced requests meet a server that answers at once but for its stalls: a request that
/// comes `x` into a stall of length `s` takes `s - x`. So the share of requests that take longer than `t` is the sum of
/// `max(0, s - t)` over the window, which this solves for `t`.
fn stall_quantile(stalls: &[Duration], window: Duration, quantile: f64) -> Duration {
    let mut lengths: Vec<f64> = stalls.iter().map(Duration::as_secs_f64).collect();
    lengths.sort_by(|a, b| b.total_cmp(a));
    let above = (1.0 - quantile) * window.as_secs_f64();
    let mut sum = 0.0;
    for (count, length) in (1..).zip(&lengths) {
        sum += length;
        let latency = (sum - above) / f64::from(count);
        // With the stalls that are longer than it, and no others.
        if lengths.get(count as usize).is_none_or(|next| *next <= latency) {
            return Duration::from_secs_f64(latency.max(0.0));
        }
    }
    Duration::ZERO
}

/// A server on a thread of its own that answers at once, and stands still as a whole when it is told to.
struct Server {
    address: SocketAddr,
    /// When the time of the stalls begins.
    stalls: watch::Sender<Option<Instant>>,
    /// How long each stall really was.
    stalled: mpsc::Receiver<Duration>,
    /// Ends when the sender above is dropped.
    _thread: JoinHandle<()>,
}

impl Server {
    fn start() -> std::io::Result<Self> {
        let listener = StdListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (stalls, told) = watch::channel(None);
        let (sender, stalled) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("self-check".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener) => {}
                    () = stall(told, sender) => {}
                }
            });
        })?;
        Ok(Self { address, stalls, stalled, _thread: thread })
    }
}

async fn serve(listener: StdListener) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut request = [0; 1024];
            // The generator sends a request in one piece.
            while let Ok(1..) = stream.read(&mut request).await {
                if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK").await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Blocks the server's only thread at the planned times; returns when nobody wants the server any more.
async fn stall(mut told: watch::Receiver<Option<Instant>>, stalled: mpsc::Sender<Duration>) {
    loop {
        let Ok(begun) = told.wait_for(Option::is_some).await.map(|begun| *begun) else { return };
        for at in STALLS {
            if let Some(begun) = begun {
                tokio::time::sleep_until((begun + at).into()).await;
            }
            let start = Instant::now();
            std::thread::sleep(STALL);
            let _ = stalled.send(start.elapsed());
        }
        if told.wait_for(Option::is_none).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn the_closed_form_is_that_of_the_literature() {
        // A stall of 200 ms in 4 s: 1% of 4 s is 40 ms, so the 99th percentile is 160 ms and the 99.9th 196 ms.
        let close = |found: Duration, milliseconds: u64| found.abs_diff(MS(milliseconds)) < Duration::from_micros(1);
        assert!(close(stall_quantile(&[MS(200)], MS(4000), 0.99), 160));
        assert!(close(stall_quantile(&[MS(200); 5], MS(20_000), 0.999), 196));
        // Only the longer stall reaches its own percentile: 2 s x 1% = 20 ms of it are above.
        assert!(close(stall_quantile(&[MS(10), MS(100)], MS(2000), 0.99), 80));
        // 100 - t + 90 - t = 20.
        assert!(close(stall_quantile(&[MS(90), MS(100)], MS(2000), 0.99), 85));
        assert_eq!(stall_quantile(&[], MS(2000), 0.99), Duration::ZERO);
        assert_eq!(stall_quantile(&[MS(5)], MS(2000), 0.99), Duration::ZERO);
    }

    #[test]
    fn head_room_is_for_all_generators_together() {
        let check = SelfCheck {
            expected_ms_p99: 90.0,
            measured_ms_p99: 91.0,
            deviation: 0.011,
            requests_per_cpu_second: Some(1000.0),
        };
        assert!(check.is_true() && check.has_head_room(700.0, 1) && !check.has_head_room(701.0, 1));
        assert!(check.has_head_room(1400.0, 2));
        assert!(!SelfCheck { deviation: -0.03, ..check }.is_true());
    }
}
