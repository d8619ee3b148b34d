//! What a generator is checked against: a server that stalls at known times ([`StallingServer`]), and the latency that follows by
//! arithmetic ([`quantile`]).

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        oneshot,
    },
};

/// A server on its own thread that answers every request at once with `OK`, and stalls completely when told to. It takes whatever
/// arrives in one piece for a request, and ends when this is dropped.
#[derive(Debug)]
pub struct StallingServer {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    /// When each begins, and how long it is.
    stalls: UnboundedSender<(Instant, Duration)>,
    /// The thread ends when it is dropped.
    _wanted: oneshot::Sender<()>,
}

/// What a server saw.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// When each request arrived, in order.
    pub arrivals: Vec<Instant>,
    /// How long each stall really was: sleeping takes a little longer than asked.
    pub stalls: Vec<Duration>,
}

impl StallingServer {
    /// Listens on a free port of the loopback interface.
    ///
    /// # Errors
    ///
    /// When it cannot listen there, or the thread cannot be started.
    pub fn start() -> io::Result<Self> {
        let listener = StdListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (stalls, planned) = unbounded_channel();
        let (wanted, unwanted) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let notes = Arc::clone(&seen);
        std::thread::Builder::new().name("stalling-server".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, &notes) => {}
                    () = stand_still(planned, &notes) => {}
                    _ = unwanted => {}
                }
            });
        })?;
        Ok(Self { address, seen, stalls, _wanted: wanted })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Plans stalls of a length at these times from now, in order.
    pub fn stall(&self, after: impl IntoIterator<Item = Duration>, length: Duration) {
        let now = Instant::now();
        for after in after {
            // A thread that has ended has nothing to stall, and its missing answers show.
            let _ = self.stalls.send((now + after, length));
        }
    }

    /// What it has seen since it was last asked.
    pub fn take_seen(&self) -> Seen {
        std::mem::take(&mut self.seen.lock())
    }
}

async fn serve(listener: StdListener, seen: &Arc<Mutex<Seen>>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    while let Ok((mut stream, _)) = listener.accept().await {
        let seen = Arc::clone(seen);
        tokio::spawn(async move {
            let mut request = [0; 1024];
            while let Ok(1..) = stream.read(&mut request).await {
                seen.lock().arrivals.push(Instant::now());
                if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK").await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Blocks the server's only thread at the planned times.
async fn stand_still(mut planned: UnboundedReceiver<(Instant, Duration)>, seen: &Mutex<Seen>) {
    while let Some((at, length)) = planned.recv().await {
        tokio::time::sleep_until(at.into()).await;
        let start = Instant::now();
        std::thread::sleep(length);
        seen.lock().stalls.push(start.elapsed());
    }
}

/// The latency at a quantile when evenly spaced requests meet a server that answers at once except during its stalls: a request that
/// arrives `x` into a stall of length `s` takes `s - x`. So the share of requests that take longer than `t` is the sum of
/// `max(0, s - t)` over the window, which this solves for `t`. `quantile` is between 0 and 1.
pub fn quantile(stalls: &[Duration], window: Duration, quantile: f64) -> Duration {
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

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn the_closed_form_is_that_of_the_literature() {
        // A stall of 200 ms in 4 s: 1% of 4 s is 40 ms, so the 99th percentile is 160 ms and the 99.9th 196 ms.
        let close = |found: Duration, milliseconds: u64| found.abs_diff(MS(milliseconds)) < Duration::from_micros(1);
        assert!(close(quantile(&[MS(200)], MS(4000), 0.99), 160));
        assert!(close(quantile(&[MS(200); 5], MS(20_000), 0.999), 196));
        // Only the longer stall reaches its own percentile: 2 s x 1% = 20 ms of it are above.
        assert!(close(quantile(&[MS(10), MS(100)], MS(2000), 0.99), 80));
        // 100 - t + 90 - t = 20.
        assert!(close(quantile(&[MS(90), MS(100)], MS(2000), 0.99), 85));
        assert_eq!(quantile(&[], MS(2000), 0.99), Duration::ZERO);
        assert_eq!(quantile(&[MS(5)], MS(2000), 0.99), Duration::ZERO);
    }

    #[test]
    fn requests_and_stalls_are_noted() {
        use std::io::{Read, Write};

        let server = StallingServer::start().unwrap();
        let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
        let mut exchange = || {
            let started = Instant::now();
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
            let mut answer = [0; 64];
            assert!(stream.read(&mut answer).unwrap() > 0);
            started.elapsed()
        };
        exchange();
        server.stall([MS(0)], MS(200));
        // It answers until it hears of the stall; whatever else holds this machine up is shorter.
        let until = Instant::now() + MS(10_000);
        let quick =
            std::iter::repeat_with(exchange).take_while(|took| *took < MS(150) && Instant::now() < until).count();
        let seen = server.take_seen();
        // The first one and the one that met the stall are not among the quick ones.
        assert_eq!((seen.arrivals.len(), seen.stalls.len()), (1 + quick + 1, 1));
        assert!(seen.stalls[0] >= MS(200));
        assert!(server.take_seen().arrivals.is_empty());
    }
}
