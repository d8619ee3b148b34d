//! `cargo xtask bench load`: requests per CPU-second of the load generator, against wrk, hey, ab and oha, in turns.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use e2e::exit::ExitCode;
use regex::Regex;

use super::up::median;
use crate::options::BadInput;

/// Requests per second of CPU time: this generator and every peer that is installed, in turns, against one nginx.
///
/// Requests per second would measure the server here; what a generator costs is part of every figure of a system that shares the
/// machine with it. The server is pinned to the first processor and generators to the second. Peers: apt install wrk hey
/// apache2-utils, cargo install oha.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How often each is measured. wrk differs from itself by a tenth, so that fewer than five say little.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// Connections.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
}

/// A generator: how it is called, and how it says how many requests it made.
struct Peer {
    name: &'static str,
    arguments: fn(&Args, &str) -> Vec<String>,
    count: &'static str,
}

const PEERS: [Peer; 4] = [
    Peer {
        name: "wrk",
        arguments: |args, url| words(&format!("-t1 -c{} -d{}s {url}", args.connections, args.seconds)),
        count: r"(\d+) requests in",
    },
    Peer {
        name: "ab",
        arguments: |args, url| words(&format!("-q -k -c {} -t {} -n 100000000 {url}", args.connections, args.seconds)),
        count: r"Complete requests:\s+(\d+)",
    },
    Peer {
        name: "hey",
        arguments: |args, url| words(&format!("-c {} -z {}s {url}", args.connections, args.seconds)),
        count: r"\[200\]\s+(\d+) responses",
    },
    Peer {
        name: "oha",
        arguments: |args, url| words(&format!("--no-tui -c {} -z {}s {url}", args.connections, args.seconds)),
        count: r"\[200\] (\d+) responses",
    },
];

fn words(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let nginx = Nginx::start()?;
    let url = format!("http://{}/", nginx.address);
    let peers: Vec<&Peer> = PEERS.iter().filter(|peer| find(peer.name).is_some()).collect();
    if peers.is_empty() {
        return Err(BadInput("no peer is installed: apt install wrk hey apache2-utils".to_owned()).into());
    }
    let names: Vec<&str> = peers.iter().map(|peer| peer.name).collect();
    println!(
        "requests per CPU-second, {} connections; in brackets this generator's ratio to the peer",
        args.connections
    );
    println!("{:<6} {:>10} {}", "round", "e2e", names.iter().map(|name| format!("{name:>18}")).collect::<String>());
    let mut ratios = vec![Vec::new(); peers.len()];
    for round in 1..=args.rounds {
        let ours = ours(args, &url)?;
        let mut line = format!("{round:<6} {ours:>10.0} ");
        for (peer, ratios) in peers.iter().zip(&mut ratios) {
            let theirs = measure(Command::new(peer.name).args((peer.arguments)(args, &url)), peer.count)?;
            ratios.push(ours / theirs);
            line += &format!("{:>18}", format!("{theirs:.0} ({:.2})", ours / theirs));
        }
        println!("{line}");
    }
    let medians: Vec<String> =
        names.iter().zip(&mut ratios).map(|(name, ratios)| format!("{:.2} x {name}", median(ratios))).collect();
    println!("median of {} rounds: {}", args.rounds, medians.join(", "));
    Ok(ExitCode::Pass)
}

/// This generator, with histograms, outcomes and a check of each body.
fn ours(args: &Args, url: &str) -> Result<f64> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let (clients, duration) = (args.connections.to_string(), format!("{}s", args.seconds));
    let mut command = Command::new(program);
    command.args(["load", "--no-self-check", "--format", "json", "--expect-status", "200", "--expect-body", "OK"]);
    command.args(["--url", url, "--clients", &clients, "--duration", &duration]);
    measure(&mut command, r#""requests": (\d+)"#)
}

/// Runs a generator on the second processor. Requests per second of its CPU time, as the shell counts it.
fn measure(generator: &mut Command, count: &str) -> Result<f64> {
    let name = generator.get_program().to_string_lossy().into_owned();
    let mut command = Command::new("bash");
    // `time` is the shell's own, which gives milliseconds.
    command.args(["-c", r#"TIMEFORMAT="cpu %3U %3S"; time taskset -c 1 "$@" 2>/dev/null"#, "bash"]);
    command.arg(generator.get_program()).args(generator.get_args());
    let output = command.output().context("cannot run bash")?;
    let (text, times) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let count =
        Regex::new(count)?.captures(&text).with_context(|| format!("{name} does not say how many requests: {text}"))?;
    let requests: f64 = count[1].parse()?;
    let times =
        Regex::new(r"cpu (\d+\.\d+) (\d+\.\d+)")?.captures(&times).with_context(|| format!("no times: {times}"))?;
    let cpu = times[1].parse::<f64>()? + times[2].parse::<f64>()?;
    ensure!(requests > 0.0 && cpu > 0.0, "{name} made {requests} requests in {cpu} s of CPU");
    Ok(requests / cpu)
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// An nginx that answers `OK`, on the first processor.
struct Nginx {
    child: Child,
    address: SocketAddr,
    directory: PathBuf,
}

impl Nginx {
    fn start() -> Result<Self> {
        let program =
            find("nginx").ok_or_else(|| BadInput("nginx is not installed: apt install nginx-light".to_owned()))?;
        let directory = std::env::temp_dir().join(format!("e2e-bench-{}", e2e::run_dir::random_hex()));
        std::fs::create_dir(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        // Free now; nginx takes it at once.
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        std::fs::write(directory.join("nginx.conf"), configuration(address))?;
        let child = Command::new("taskset")
            .args(["-c", "0"])
            .arg(program)
            .args(["-e", "stderr", "-c", "nginx.conf", "-p"])
            .arg(&directory)
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start nginx with taskset (util-linux)")?;
        let nginx = Self { child, address, directory };
        nginx.wait()?;
        Ok(nginx)
    }

    fn wait(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(5);
        while std::net::TcpStream::connect(self.address).is_err() {
            if Instant::now() > deadline {
                bail!("nginx does not answer at {} within 5 s", self.address);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // It holds what this function's owner wrote and nginx's empty directories.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn configuration(address: SocketAddr) -> String {
    let temporary =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path {kind};"));
    format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr crit;\n\
         events {{ worker_connections 20000; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; {}\n\
         server {{ listen {address} backlog=16384; location / {{ return 200 \"OK\"; }} }} }}\n",
        temporary.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generators_count_and_cpu_time_are_read() {
        let mut command = Command::new("bash");
        command.args(["-c", "for i in {1..20000}; do :; done; echo '  \"requests\": 5000,'"]);
        assert!(measure(&mut command, r#""requests": (\d+)"#).unwrap() > 1000.0);
        assert!(measure(Command::new("bash").args(["-c", "echo nothing"]), r"(\d+) requests").is_err());
    }
}
