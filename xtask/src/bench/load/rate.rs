//! The accuracy of a fixed rate: the arrivals, and the percentiles with a server that stalls. Main function: [`compare`].

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use e2e_load::stall::{self, StallingServer};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::{Args, OURS, Says, answered, generator, median, pointed};

/// Requests per second, as for the peers in docs/load.md.
const RATE: f64 = 2000.0;
/// Five stalls fit.
const DURATION: Duration = Duration::from_secs(20);
/// The length of a stall, one in each fifth of the run: 5% of the due requests meet a stall.
const STALL: Duration = Duration::from_millis(200);
const STALLS_AT_SECONDS: [u64; 5] = [2, 6, 10, 14, 18];

/// Prints a line for each round, and the medians. This thread stays on the first processor, as its servers do.
pub(super) fn compare(args: &Args) -> Result<()> {
    let mut first = CpuSet::new();
    first.set(0);
    // Without permission the figures are slightly worse.
    let _ = sched_setaffinity(None, &first);
    println!(
        "a fixed rate of {RATE}/s for {DURATION:?}, as its server sees it; and p99 with {STALL:?} stalls, {} times",
        STALLS_AT_SECONDS.len()
    );
    println!(
        "{:<6} {:>10} {:>16} {:>10} {:>12} {:>12} {:>8}",
        "round", "rate/s", "deviation ms", "dropped", "p99 ms", "expected ms", "off by"
    );
    let (mut rates, mut deviations, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=args.rounds {
        let server = StallingServer::start()?;
        let dropped = generate(args, server.address(), "/dropped")?;
        let (rate, deviation_ms) = spread(&server.take_seen().arrivals).context("fewer than two requests arrived")?;

        server.stall(STALLS_AT_SECONDS.map(Duration::from_secs), STALL);
        let p99 = generate(args, server.address(), "/latency_ms/p99")?;
        let stalls = server.take_seen().stalls;
        ensure!(
            stalls.len() == STALLS_AT_SECONDS.len(),
            "the server stalled {} times instead of {}",
            stalls.len(),
            STALLS_AT_SECONDS.len()
        );

        let expected = stall::quantile(&stalls, DURATION, 0.99).as_secs_f64() * 1000.0;
        let off = (p99 / expected - 1.0) * 100.0;
        println!(
            "{round:<6} {rate:>10.2} {deviation_ms:>16.3} {dropped:>10.0} {p99:>12.1} {expected:>12.1} {off:>7.1}%"
        );
        rates.push(rate);
        deviations.push(deviation_ms);
        errors.push(off);
    }
    println!(
        "rate, median of {} rounds: {:.2}/s, standard deviation of the gaps {:.3} ms; p99 off by {:.1}%",
        args.rounds,
        median(&rates),
        median(&deviations),
        median(&errors)
    );
    Ok(())
}

/// Runs the generator at the rate, on the second processor, and reads a figure from its output.
fn generate(args: &Args, address: SocketAddr, pointer: &str) -> Result<f64> {
    let mut command = generator(&format!("http://{address}/"), args.connections, DURATION.as_secs() as u32)?;
    let output = command.args(["--rate", &RATE.to_string()]).output().context("cannot run taskset (util-linux)")?;
    // Exit code 1 means dropped requests, which is a figure here.
    let text = answered("this generator", &output, &Says { codes: &[0, 1, 5], ..OURS })?;
    let said = String::from_utf8_lossy(&output.stderr);
    pointed(&text, pointer)
        .with_context(|| format!("no figure {pointer} from a generator that ended with {}: {said}", output.status))
}

/// Arrivals per second, and the standard deviation of the times between them in milliseconds.
fn spread(arrivals: &[Instant]) -> Option<(f64, f64)> {
    let gaps: Vec<f64> = arrivals.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64() * 1000.0).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
    (!gaps.is_empty()).then(|| (1000.0 / mean, variance.sqrt()))
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
