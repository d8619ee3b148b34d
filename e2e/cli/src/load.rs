//! `cargo xtask load`: load for any HTTP server, with a live view.

mod agents;
mod live;
mod output;
mod target;

use std::time::Duration;

use anyhow::{Context, Result};
use e2e_load::{
    agent::Order,
    load::{
        Arrivals, ClientReport, LoadResult, Model, Outcome, Registry, Settings, Spacing, Tls, Totals, Trust, Workload,
        WorkloadError,
    },
    self_check::{SelfCheck, SelfCheckError, highest_rate, self_check},
};
use e2e_run::exit::ExitCode;
use live::Live;
use output::Format;
use target::{Header, Target};

use crate::options::{BadInput, block_on};

pub(crate) use agents::serve_parent;

/// Send one request again and again to any server and measure how it answers.
///
/// Without --rate every client sends its next request when the last one was answered. With --rate requests are due by a schedule,
/// and latency counts from there, so that a server that stands still cannot hide it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask load --url http://127.0.0.1:8080/health
  cargo xtask load --url http://127.0.0.1:8080/ --rate 2000 --format json
  cargo xtask load --url http://127.0.0.1:8080 --scenario operations
  cargo xtask load --url https://localhost:8443/items --method POST --body '{\"n\":1}' --header 'content-type: application/json'

Exit codes: 0 every answer was as expected, 1 some were not, 2 bad input, 3 nothing could be sent,
4 interrupted (figures up to then are printed, but for --agents, which give theirs at the end), 5 the figures cannot be trusted: the generator was the bottleneck, an agent was lost")]
pub(crate) struct Args {
    /// Where requests go: http or https.
    #[arg(long, value_parser = target::parse)]
    url: Target,
    /// Take the steps of [load.NAME] in .config/e2e.toml in place of one request.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["method", "body", "header", "expect_status", "expect_body", "rate"])]
    scenario: Option<String>,
    /// The request's method.
    #[arg(long, default_value = "GET")]
    method: String,
    /// The request's body; @FILE for what is in a file.
    #[arg(long, value_name = "TEXT|@FILE")]
    body: Option<String>,
    /// A header; may be given several times.
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<Header>,
    /// Clients, each with one connection.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
    /// The measured window.
    #[arg(long, default_value = "10s", value_parser = e2e_plan::duration::parse_positive)]
    duration: Duration,
    /// The time before it, in which requests are sent and not counted.
    #[arg(long, default_value = "0s", value_parser = e2e_plan::duration::parse)]
    warm_up: Duration,
    /// Requests per second over all clients, by a schedule.
    #[arg(long, value_parser = parse_rate)]
    rate: Option<f64>,
    /// The rate at the window's end, reached in a straight line.
    #[arg(long, value_name = "RATE", requires = "rate", value_parser = parse_rate)]
    ramp_to: Option<f64>,
    /// Exponentially distributed times between requests, as from many people, instead of even ones.
    #[arg(long, requires = "rate")]
    poisson: bool,
    /// Where all of the clients' data comes from.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Processes that share the load; 1 is this one.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    agents: u32,
    /// How long one request may take.
    #[arg(long, default_value = "5s", value_parser = e2e_plan::duration::parse_positive)]
    timeout: Duration,
    /// The status that counts as success; every one below 400 unless set.
    #[arg(long, value_name = "CODE", value_parser = clap::value_parser!(u16).range(100..=999))]
    expect_status: Option<u16>,
    /// The body that counts as success.
    #[arg(long, value_name = "TEXT")]
    expect_body: Option<String>,
    /// Trust only the authorities in this PEM file.
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    authorities: Option<std::path::PathBuf>,
    /// Do not check the server's certificate.
    #[arg(long)]
    insecure: bool,
    /// How the result is printed to standard output.
    #[arg(long, default_value = "text", value_enum)]
    format: Format,
    /// Start at once instead of checking for 3 s that this machine measures truly.
    #[arg(long)]
    no_self_check: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workload = args.workload()?;
    let settings = args.settings()?;
    let order = Order::new(settings.address.to_string(), workload, &settings);
    let check = (!args.no_self_check).then(self_check).transpose().map_err(of_check)?;
    if let Some(check) = &check {
        eprintln!("{}", output::self_check(check));
    }
    let Measured { result, interrupted } = block_on(measure(args, settings, order))??;
    println!("{}", output::render(&result, args.format)?);
    Ok(judge(args, &result, check.as_ref(), interrupted))
}

/// A result, and whether it was cut short.
struct Measured {
    result: LoadResult<ClientReport>,
    interrupted: bool,
}

async fn measure(args: &Args, settings: Settings, order: Order) -> Result<Measured> {
    let mut live = Live::new(order.warm_up + order.duration);
    if args.agents > 1 {
        agents::check(args.agents, settings).map_err(describe)?;
        return agents::measure(args.agents, &order, &mut live).await;
    }
    let run = order.workload.start_held(settings, &Registry::default()).map_err(|error| match error {
        WorkloadError::Load(error) => describe(error),
        error => BadInput(error.to_string()).into(),
    })?;
    run.release();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let mut interrupted = false;
    second.tick().await;
    while !run.is_finished() {
        tokio::select! {
            // A tenth of a second is how long the end may go unnoticed.
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
            _ = second.tick() => live.show(&run.snapshot()),
            signal = tokio::signal::ctrl_c(), if !interrupted => {
                signal.context("cannot listen for interrupts")?;
                interrupted = true;
                run.stop();
            }
        }
    }
    live.end();
    Ok(Measured { result: run.result().await.map_err(describe)?, interrupted })
}

/// The exit code, with the reasons on standard error.
fn judge(args: &Args, result: &LoadResult<ClientReport>, check: Option<&SelfCheck>, interrupted: bool) -> ExitCode {
    let mut doubts = Vec::new();
    let mut present = result.clients;
    for agent in result.missing_agents() {
        let reason = agent.missing.as_deref().unwrap_or_default();
        doubts.push(format!("the {} clients of agent {} are missing: {reason}", agent.clients, agent.agent));
        present -= agent.clients;
    }
    if result.clients_ready < present {
        doubts.push(format!(
            "{} of {present} clients ready when the load began: the figures are those of a smaller load",
            result.clients_ready
        ));
    }
    if result.generator.saturated {
        let (described, lag) = (result.generator.described(), result.generator.lag_ms_p99.unwrap_or_default());
        doubts.push(format!(
            "the generator was the bottleneck (it {described}, lag p99 {lag:.1} ms), so its figures tell about itself: \
             use more --agents or a machine that is less busy"
        ));
    }
    if let Some(check) = check.filter(|check| !check.is_true()) {
        let off = check.deviation.abs() * 100.0;
        doubts.push(format!("this machine measured a known latency {off:.1}% wrong: it is too busy for true figures"));
    }
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let arrivals = result.open.as_ref().map(|open| &open.arrivals);
    if let Some((check, arrivals)) = check.zip(arrivals)
        && !check.has_head_room(arrivals, args.agents, processors)
    {
        let (able, highest) = (check.requests_per_cpu_second.unwrap_or_default(), highest_rate(arrivals));
        doubts.push(format!(
            "{highest} requests/s leave no head-room, a core makes {able} and there are {processors}: use more --agents, \
             or a machine with more cores"
        ));
    }
    for doubt in &doubts {
        eprintln!("warning: {doubt}");
    }
    match () {
        () if interrupted => ExitCode::Interrupted,
        () if nothing_was_sent(result) => ExitCode::NotUp,
        () if result.set_up.errors + result.measured.errors > 0 => ExitCode::Fail,
        () if result.open.as_ref().is_some_and(|open| open.dropped > 0) => ExitCode::Fail,
        () if !doubts.is_empty() => ExitCode::Incomplete,
        () => ExitCode::Pass,
    }
}

/// Whether no request has left: nobody listens, or the connection cannot be encrypted.
fn nothing_was_sent(result: &LoadResult<ClientReport>) -> bool {
    let sent = |totals: &Totals| {
        let unsent = totals.by_error.iter().filter_map(|(outcome, count)| match outcome {
            Outcome::Failure(failure) if failure.is_before_sending() => Some(count),
            _ => None,
        });
        totals.requests - unsent.sum::<u64>()
    };
    [&result.set_up, &result.warm_up, &result.measured].into_iter().map(sent).sum::<u64>() == 0
}

impl Args {
    /// What clients do.
    fn workload(&self) -> Result<Workload> {
        if self.agents > self.clients {
            let text = format!("--agents {} is more than --clients {}: give each a client", self.agents, self.clients);
            return Err(BadInput(text).into());
        }
        if let Some(name) = &self.scenario {
            return Ok(target::steps(&self.url, name)?.into());
        }
        let request = target::request(&self.url, &self.method, self.body.as_deref(), &self.header)?;
        let request = self.expect_status.into_iter().fold(request, |request, status| request.expect_status(status));
        let request = self.expect_body.iter().fold(request, |request, body| request.expect_body(body.as_bytes()));
        Ok(request.into())
    }

    /// Everything but what is sent. The address is that of a server that is there.
    fn settings(&self) -> Result<Settings> {
        let spacing = if self.poisson { Spacing::Poisson } else { Spacing::Uniform };
        let open = |rate| Model::Open(Arrivals { rate, ramp_to: self.ramp_to, spacing });
        Ok(Settings {
            clients: self.clients,
            model: self.rate.map_or(Model::Closed, open),
            tls: self.tls()?,
            duration: self.duration,
            warm_up: self.warm_up,
            request_timeout: self.timeout,
            seed: self.seed,
            ..Settings::new(self.url.address(self.timeout)?)
        })
    }

    fn tls(&self) -> Result<Option<Tls>> {
        let Some(server_name) = self.url.server_name() else {
            return Ok(None);
        };
        let trust = match &self.authorities {
            _ if self.insecure => Trust::Anybody,
            None => Trust::System,
            Some(path) => Trust::Authorities(
                std::fs::read_to_string(path)
                    .map_err(|error| BadInput(format!("cannot read --authorities {}: {error}", path.display())))?,
            ),
        };
        Ok(Some(Tls { server_name, trust }))
    }
}

/// One request in eleven days; the times of a schedule far below do not fit into a clock.
const LOWEST_RATE: f64 = 0.000_001;

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("`{text}` is not a number of requests per second"))?;
    if rate.is_finite() && rate >= LOWEST_RATE {
        Ok(rate)
    } else {
        Err(format!("a rate is finite and at least {LOWEST_RATE} requests per second"))
    }
}

fn of_check(error: SelfCheckError) -> anyhow::Error {
    match error {
        SelfCheckError::Load(error) => describe(error),
        error => error.into(),
    }
}

/// Settings that cannot be are the input's fault.
fn describe(error: e2e_load::load::Error) -> anyhow::Error {
    use e2e_load::load::Error;
    match error {
        Error::NothingToDo(_) | Error::Rate | Error::TooManyClients { .. } | Error::Tls(_) => {
            BadInput(error.to_string()).into()
        }
        error => error.into(),
    }
}
