//! What a fixed rate comes to: when the requests arrive, and what a server that stands still now and then does to the percentiles.
//! Main function: [`compare`].

use std::{
    net::{SocketAddr, TcpListener as StdListener},
    process::Command,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_setaffinity};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::oneshot,
};

use super::{Args, figure, median};

/// Requests per second, as the figures of peers in docs/load.md have it.
const RATE: f64 = 2000.0;
/// Five stalls fit.
const DURATION: Duration = Duration::from_secs(20);
/// The server stands still for so long, once in so long.
const STALL: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(4));
/// A request that comes `x` into a stall takes as long as is left of it: 1% of 4 s is 40 ms, so that 1% take longer than 200 - 40 ms.
const EXPECTED_MS_P99: f64 = 160.0;

/// A line for each round, and the medians.
pub(super) fn compare(args: &Args) -> Result<()> {
    println!(
        "a fixed rate of {RATE}/s for {DURATION:?}, as its server sees it; and p99 when that stands still for {STALL:?}"
    );
    println!(
        "{:<6} {:>10} {:>16} {:>10} {:>12} {:>8}",
        "round", "rate/s", "deviation ms", "dropped", "p99 ms", "off by"
    );
    let (mut rates, mut deviations, mut percentiles) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=args.rounds {
        let server = Server::start(None)?;
        let dropped = generate(args, server.address, r#""dropped": (\d+)"#)?;
        let (rate, deviation_ms) = spread(&server.finish()).context("fewer than two requests arrived")?;

        let stalling = Server::start(Some(STALL))?;
        let p99 = generate(args, stalling.address, r#""latency_ms": \{[^}]*"p99": ([\d.]+)"#)?;
        stalling.finish();

        let off = (p99 / EXPECTED_MS_P99 - 1.0) * 100.0;
        println!("{round:<6} {rate:>10.2} {deviation_ms:>16.3} {dropped:>10.0} {p99:>12.1} {off:>7.1}%");
        rates.push(rate);
        deviations.push(deviation_ms);
        percentiles.push(p99);
    }
    println!(
        "rate, median of {} rounds: {:.2}/s, standard deviation of the gaps {:.3} ms; p99 {:.1} ms of {EXPECTED_MS_P99}",
        args.rounds,
        median(&mut rates),
        median(&mut deviations),
        median(&mut percentiles)
    );
    Ok(())
}

/// Has the generator send at the rate, on the second processor, and reads a figure of what it says.
fn generate(args: &Args, address: SocketAddr, pattern: &str) -> Result<f64> {
    let (rate, duration, clients) =
        (RATE.to_string(), format!("{}s", DURATION.as_secs()), args.connections.to_string());
    let mut command = Command::new("taskset");
    command.args(["-c", "1"]).arg(std::env::current_exe().context("cannot find this program's own file")?);
    command.args(["load", "--no-self-check", "--format", "json", "--expect-status", "200"]);
    command.args([
        "--url",
        &format!("http://{address}/"),
        "--rate",
        &rate,
        "--duration",
        &duration,
        "--clients",
        &clients,
    ]);
    let output = command.output().context("cannot run taskset (util-linux)")?;
    let (text, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // It ends with 1 when something was dropped, which is a figure here.
    figure(&text, pattern)
        .with_context(|| format!("no figure {pattern} from a generator that ended with {}: {said}", output.status))
}

/// Arrivals per second, and the standard deviation of the times between them in milliseconds.
fn spread(arrivals: &[Instant]) -> Option<(f64, f64)> {
    let gaps: Vec<f64> = arrivals.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64() * 1000.0).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
    (!gaps.is_empty()).then(|| (1000.0 / mean, variance.sqrt()))
}

/// A server on a thread of its own that notes when each request arrives.
struct Server {
    address: SocketAddr,
    arrivals: Arc<Mutex<Vec<Instant>>>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Server {
    fn start(stall: Option<(Duration, Duration)>) -> Result<Self> {
        let listener = StdListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let arrivals = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&arrivals);
        let thread = std::thread::spawn(move || {
            let mut first = CpuSet::new();
            first.set(0);
            // Where it is not allowed the figures are a little worse.
            let _ = sched_setaffinity(None, &first);
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, noted) => {}
                    () = stand_still(stall) => {}
                    // The sender is gone or has sent: either way it is over.
                    _ = stopped => {}
                }
            });
        });
        Ok(Self { address, arrivals, stop, thread })
    }

    /// When each request arrived.
    fn finish(self) -> Vec<Instant> {
        drop(self.stop);
        // A thread that panicked has noted what it has noted; too few arrivals are an error.
        let _ = self.thread.join();
        std::mem::take(&mut *self.arrivals.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn serve(listener: StdListener, arrivals: Arc<Mutex<Vec<Instant>>>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    while let Ok((mut stream, _)) = listener.accept().await {
        let arrivals = Arc::clone(&arrivals);
        tokio::spawn(async move {
            let mut request = [0; 1024];
            // The generator sends a request in one piece.
            while let Ok(1..) = stream.read(&mut request).await {
                arrivals.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
                if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK").await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Blocks the server's only thread now and then, for ever; the first time in the middle of the first span.
async fn stand_still(stall: Option<(Duration, Duration)>) {
    let Some((length, every)) = stall else { return std::future::pending().await };
    let mut next = tokio::time::interval_at(tokio::time::Instant::now() + every / 2, every);
    loop {
        next.tick().await;
        std::thread::sleep(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_that_of_the_gaps() {
        let start = Instant::now();
        let at = |ms: &[u64]| -> Vec<Instant> { ms.iter().map(|ms| start + Duration::from_millis(*ms)).collect() };
        assert_eq!(spread(&at(&[0, 1, 2, 3])), Some((1000.0, 0.0)));
        let (rate, deviation) = spread(&at(&[0, 1, 4])).unwrap();
        assert!((rate - 500.0).abs() < 1e-9 && (deviation - 1.0).abs() < 1e-9, "{rate} {deviation}");
        assert_eq!(spread(&at(&[0])), None);
    }
}
