//! `cargo xtask bench load`: the load generator's cost against wrk, hey, ab and oha, alternating.

mod peers;
mod rate;
mod server;

use std::{
    ffi::OsStr,
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use e2e_cli::failure::Ended;
use e2e_plan::programs;
use e2e_run::exit::ExitCode;
use peers::{PEERS, Peer};
use regex::Regex;
use server::{ANSWER, Server};
use xshell::Shell;

use super::up::median;

/// Measure requests per second of CPU time for this generator and every installed peer, alternating, with GET and POST of JSON; the
/// cost of many connections; and the accuracy of a fixed rate.
///
/// Plain requests per second would measure the server; a generator's cost is part of every figure of a system on the same machine.
/// The servers, nginx for GET and hyper for POST, are pinned to the first processor, the generators to the second. Peers: apt
/// install wrk hey apache2-utils, cargo install oha.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Number of rounds. wrk itself varies by a tenth, so use at least five.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds of each measurement. Compared generators alternate every two seconds, because a shared machine's speed may change by
    /// a third.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// Connections.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Connections in the comparison with many.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=15_000))]
    many: u32,
}

/// The patterns of a generator's output.
struct Says {
    /// The number of requests.
    count: &'static str,
    /// The number of wrong answers.
    errors: &'static str,
    /// Exit codes of a valid measurement.
    codes: &'static [i32],
}

/// This generator. Exit code 5 means that it used up its processor, which is intended here.
const OURS: Says = Says { count: r#""requests": (\d+)"#, errors: r#""errors": (\d+)"#, codes: &[0, 5] };

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if processors < 2 {
        let text = "servers use the first processor and generators the second, but this machine has only one";
        return Err(Ended(ExitCode::NotUp, text.to_owned()).into());
    }
    let peers: Vec<&Peer> = PEERS.iter().filter(|peer| find(peer.name).is_some()).collect();
    if peers.is_empty() {
        let text = "no peer is installed: apt install wrk hey apache2-utils";
        return Err(Ended(ExitCode::NotUp, text.to_owned()).into());
    }
    // Removed with the bench.
    let directory = Shell::new()?.create_temp_dir()?;
    peers::write_files(directory.path())?;
    let (nginx, hyper) = (Server::nginx(directory.path())?, Server::hyper()?);
    let (get, post) = (format!("http://{}/", nginx.address), format!("http://{}/", hyper.address));
    println!(
        "requests per CPU-second, {} connections; in brackets this generator's ratio to the peer",
        args.connections
    );
    compare(args, "GET", &peers, || ours(args, &get, &["--expect-body", "OK"]), |peer| peer.get(args, &get))?;
    let body = format!("@{}", directory.path().join(peers::BODY).display());
    let ours_posts = ["--method", "POST", "--body", &body, "--header", "content-type: application/json"];
    let ours_posts = [&ours_posts[..], &["--expect-body", ANSWER]].concat();
    compare(args, "POST", &peers, || ours(args, &post, &ours_posts), |peer| peer.post(args, &post, directory.path()))?;
    connections(args, &peers, &get)?;
    drop((nginx, hyper));
    rate::compare(args)?;
    Ok(ExitCode::Pass)
}

/// The length of a generator's turn.
const TURN_SECONDS: u32 = 2;

/// The cost of requests.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    requests: f64,
    cpu_seconds: f64,
}

impl Cost {
    /// CPU seconds of the generator.
    fn requests_per_second(&self) -> f64 {
        self.requests / self.cpu_seconds
    }
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.cpu_seconds += other.cpu_seconds;
    }
}

/// A line for each round, and the medians of the ratios.
fn compare(
    args: &Args,
    what: &str,
    peers: &[&Peer],
    ours: impl Fn() -> Result<Cost>,
    arguments: impl Fn(&Peer) -> Vec<String>,
) -> Result<()> {
    let names: Vec<&str> = peers.iter().map(|peer| peer.name).collect();
    println!("{what:<6} {:>10} {}", "e2e", names.iter().map(|name| format!("{name:>18}")).collect::<String>());
    let mut ratios = vec![Vec::new(); peers.len()];
    for round in 1..=args.rounds {
        let mut of_ours = Cost::default();
        let mut of_peers = vec![Cost::default(); peers.len()];
        for _ in 0..args.seconds.div_ceil(TURN_SECONDS) {
            of_ours += ours()?;
            for (peer, cost) in peers.iter().zip(&mut of_peers) {
                *cost += measure(on_second(peer.name).args(arguments(peer)), peer.name, &peer.says)?;
            }
        }
        let ours = of_ours.requests_per_second();
        let mut line = format!("{round:<6} {ours:>10.0} ");
        for (theirs, ratios) in of_peers.iter().map(Cost::requests_per_second).zip(&mut ratios) {
            ratios.push(ours / theirs);
            line += &format!("{:>18}", format!("{theirs:.0} ({:.2})", ours / theirs));
        }
        println!("{line}");
    }
    let medians: Vec<String> =
        names.iter().zip(&ratios).map(|(name, ratios)| format!("{:.2} x {name}", median(ratios))).collect();
    println!("{what}, median of {} rounds: {}", args.rounds, medians.join(", "));
    Ok(())
}

/// This generator, with histograms, outcomes and a check of each body.
fn ours(args: &Args, url: &str, arguments: &[&str]) -> Result<Cost> {
    measure(generator(url, args.connections, TURN_SECONDS)?.args(arguments), "this generator", &OURS)
}

fn generator(url: &str, connections: u32, seconds: u32) -> Result<Command> {
    let mut command = on_second(std::env::current_exe().context("cannot find this program's own file")?);
    let (clients, duration) = (connections.to_string(), format!("{seconds}s"));
    command.args(["load", "--no-self-check", "--format", "json", "--expect-status", "200"]);
    command.args(["--url", url, "--clients", &clients, "--duration", &duration]);
    Ok(command)
}

/// A program on the second processor; taskset (util-linux) executes it in place.
fn on_second(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "1"]).arg(program);
    command
}

/// Runs a generator. The shell measures its CPU time.
fn measure(generator: &mut Command, name: &str, says: &Says) -> Result<Cost> {
    let mut command = Command::new("bash");
    // The shell's own `time` has milliseconds.
    command.args(["-c", r#"TIMEFORMAT="cpu %3U %3S"; time "$@""#, "bash"]);
    command.arg(generator.get_program()).args(generator.get_args());
    let output = command.output().context("cannot run bash")?;
    let text = answered(name, &output, says)?;
    let requests: f64 =
        figure(&text, says.count).with_context(|| format!("{name} printed no number of requests: {text}"))?;
    // They follow the generator's output.
    let times = String::from_utf8_lossy(&output.stderr);
    let times =
        Regex::new(r"cpu (\d+\.\d+) (\d+\.\d+)\s*$")?.captures(&times).with_context(|| format!("no times: {times}"))?;
    let cpu_seconds = times[1].parse::<f64>()? + times[2].parse::<f64>()?;
    ensure!(requests > 0.0 && cpu_seconds > 0.0, "{name} made {requests} requests in {cpu_seconds} s of CPU");
    Ok(Cost { requests, cpu_seconds })
}

/// A generator's output, if all answers were right: wrong ones may be faster.
fn answered(name: &str, output: &Output, says: &Says) -> Result<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    let is_expected = output.status.code().is_some_and(|code| says.codes.contains(&code));
    ensure!(is_expected, "{name} ended with {}: {}", output.status, said.trim());
    let errors = figure(&text, says.errors).unwrap_or_default();
    ensure!(errors == 0.0, "{name} got {errors} wrong answers: {text}");
    Ok(text)
}

/// The first match of a pattern's group, as a number.
fn figure(text: &str, pattern: &str) -> Option<f64> {
    Regex::new(pattern).ok()?.captures(text)?.get(1)?.as_str().parse().ok()
}

/// A number of this generator's own result.
fn pointed(json: &str, pointer: &str) -> Option<f64> {
    serde_json::from_str::<serde_json::Value>(json).ok()?.pointer(pointer)?.as_f64()
}

/// The same load over few and over many connections, alternating. wrk's loss shows the share of the machine and the server.
fn connections(args: &Args, peers: &[&Peer], url: &str) -> Result<()> {
    let few = args.connections;
    let wrk = peers.iter().find(|peer| peer.name == "wrk");
    println!("{:<6} {:>14} {:>14} {:>8} {:>12} {:>10}", "round", few, args.many, "ratio", "peak MiB", "wrk ratio");
    let (mut ratios, mut peaks, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=args.rounds {
        let (rate, _) = rate_and_memory(args, url, few)?;
        let (many, peak) = rate_and_memory(args, url, args.many)?;
        let wrk = wrk
            .map(|wrk| Ok::<_, anyhow::Error>(wrk_rate(wrk, args, url, args.many)? / wrk_rate(wrk, args, url, few)?));
        let wrk = wrk.transpose()?;
        let shown = wrk.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
        println!("{round:<6} {rate:>12.0}/s {many:>12.0}/s {:>8.2} {peak:>12.0} {shown:>10}", many / rate);
        ratios.push(many / rate);
        peaks.push(peak);
        theirs.extend(wrk);
    }
    let theirs = if theirs.is_empty() { String::new() } else { format!(" (wrk: {:.2})", median(&theirs)) };
    println!(
        "{} connections, median of {} rounds: {:.2} x the rate of {few}{theirs}, at most {:.0} MiB",
        args.many,
        args.rounds,
        median(&ratios),
        peaks.into_iter().fold(0.0, f64::max)
    );
    Ok(())
}

/// Requests per second, including the connection set-up: wrk has no warm-up.
fn wrk_rate(wrk: &Peer, args: &Args, url: &str, connections: u32) -> Result<f64> {
    let output = on_second(wrk.name).args(wrk.get_with(connections, args.seconds, url)).output();
    let text = answered(wrk.name, &output.context("cannot run taskset (util-linux)")?, &wrk.says)?;
    figure(&text, r"Requests/sec:\s+([\d.]+)").with_context(|| format!("wrk printed no rate: {text}"))
}

/// Requests per second, and the generator's peak memory in MiB.
fn rate_and_memory(args: &Args, url: &str, connections: u32) -> Result<(f64, f64)> {
    let mut command = generator(url, connections, args.seconds)?;
    // Connection set-up is not compared.
    command.args(["--warm-up", "2s"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().context("cannot run taskset (util-linux)")?;
    // taskset executes the generator in place, so this is the generator's pid.
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let peak = std::thread::spawn(move || {
        let mut peak = 0.0;
        // The file exists as long as the process, and has no memory figures after its end.
        while let Some(held) = std::fs::read_to_string(&status).ok().and_then(|text| figure(&text, r"VmHWM:\s+(\d+)")) {
            peak = held / 1024.0;
            std::thread::sleep(Duration::from_millis(50));
        }
        peak
    });
    let name = format!("this generator with {connections} connections");
    let text = answered(&name, &child.wait_with_output()?, &OURS)?;
    let rate = pointed(&text, "/requests_per_second")
        .with_context(|| format!("no rate over {connections} connections: {text}"))?;
    Ok((rate, peak.join().unwrap_or_default()))
}

fn find(program: &str) -> Option<PathBuf> {
    programs::find(program, programs::path().into_iter().chain(["/usr/sbin".into()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bash(script: &str) -> Command {
        let mut command = Command::new("bash");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_generators_count_and_cpu_time_are_read() {
        let busy =
            "for i in {1..20000}; do :; done; echo cpu 0.001 0.001 >&2; echo '\"requests\": 5000, \"errors\": 0'";
        let rate = measure(&mut bash(busy), "it", &OURS).unwrap().requests_per_second();
        assert!((1000.0..2_000_000.0).contains(&rate), "{rate}");
    }

    #[test]
    fn what_is_no_measurement_says_why() {
        for (script, expected) in [
            ("echo nothing", "it printed no number of requests: nothing"),
            ("echo '\"requests\": 5000, \"errors\": 3'", "it got 3 wrong answers"),
            ("echo 'raise the limit' >&2; exit 2", "it ended with exit status: 2: raise the limit"),
            ("kill -9 $$", "it ended with"),
        ] {
            let error = measure(&mut bash(script), "it", &OURS).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{script}: {error}");
        }
    }
}
