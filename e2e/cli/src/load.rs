//! `cargo xtask load`: load for any HTTP server, with a live view.

mod agents;
mod live;
mod output;
mod target;

use std::time::Duration;

use anyhow::Result;
use e2e::scenario::settings;
use e2e_load::{
    agent::Order,
    load::{
        ClientReport, LoadResult, Milestone, Outcome, Registry, Settings, Spacing, Tls, Totals, Trust, Workload,
        WorkloadError,
    },
    self_check::{SelfCheck, SelfCheckError, highest_rate, self_check},
};
use e2e_report::request::Scenario;
use e2e_run::{Options, config::RATE_MIN, exit::ExitCode};
use live::Live;
use target::{Header, Target};

use crate::{
    failure::{BadInput, bad_input},
    interrupts::Interrupts,
    options::{Format, block_on},
};

pub(crate) use agents::serve_parent;

/// Load any HTTP server with one request or a scenario, and measure its answers.
///
/// Without --rate, each client sends its next request once the previous one is answered. With it, requests follow a schedule and
/// latency counts from the scheduled time, so a server cannot hide a stall.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask load --url http://127.0.0.1:8080/health
  cargo xtask load --url http://127.0.0.1:8080/ --rate 2000 --format json
  cargo xtask load --url http://127.0.0.1:8080 --scenario throughput
  cargo xtask load --url https://localhost:8443/items --method POST --body '{\"n\":1}' --header 'content-type: application/json'

Exit codes: 0 all answers as expected, 1 some were not, 2 bad input, 3 nothing could be sent, 4 interrupted (prints the
figures so far, except with --agents), 5 the figures cannot be trusted (the generator was the bottleneck, or an agent was lost)")]
pub(crate) struct Args {
    /// http or https URL to load.
    #[arg(long, value_parser = target::parse)]
    url: Target,
    /// Run [scenario.NAME] of .config/e2e.toml instead of a single request: its steps, clients, rate, durations, timeout and seed;
    /// flags override them. Its thresholds, ledger and faults are ignored.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["method", "body", "header", "expect_status", "expect_body"])]
    scenario: Option<String>,
    /// Request method.
    #[arg(long, default_value = "GET")]
    method: String,
    /// Request body; @FILE reads it from a file.
    #[arg(long, value_name = "TEXT|@FILE")]
    body: Option<String>,
    /// Request header; repeatable.
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<Header>,
    /// Number of clients, one connection each [default: 40].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    clients: Option<u32>,
    /// Length of the measured window [default: 10s].
    #[arg(long, value_parser = e2e_plan::duration::parse_positive)]
    duration: Option<Duration>,
    /// Warm-up before the window; its requests are not counted [default: none].
    #[arg(long, value_parser = e2e_plan::duration::parse)]
    warm_up: Option<Duration>,
    /// Requests per second over all clients (open model); replaces a scenario's rate, ramp and spacing.
    #[arg(long, value_parser = parse_rate)]
    rate: Option<f64>,
    /// Rate at the end of the window, reached linearly.
    #[arg(long, value_name = "RATE", requires = "rate", value_parser = parse_rate)]
    ramp_to: Option<f64>,
    /// Poisson arrivals instead of even intervals between requests.
    #[arg(long, requires = "rate")]
    poisson: bool,
    /// Seed of the clients' data [default: 0].
    #[arg(long)]
    seed: Option<u64>,
    /// Number of processes that share the load; 1 means this one.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    agents: u32,
    /// Timeout of a request [default: 5s].
    #[arg(long, value_parser = e2e_plan::duration::parse_positive)]
    timeout: Option<Duration>,
    /// Status that counts as success [default: any below 400].
    #[arg(long, value_name = "CODE", value_parser = clap::value_parser!(u16).range(100..=999))]
    expect_status: Option<u16>,
    /// Body that counts as success.
    #[arg(long, value_name = "TEXT")]
    expect_body: Option<String>,
    /// Trust only the CA certificates in this PEM file.
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    authorities: Option<std::path::PathBuf>,
    /// Do not verify the server's certificate.
    #[arg(long)]
    insecure: bool,
    /// Output format.
    #[arg(long, default_value = "text", value_enum)]
    format: Format,
    /// Skip the 3 s self-check of this machine's accuracy.
    #[arg(long)]
    no_self_check: bool,
}

pub(crate) fn run(args: &Args, project: &Options) -> Result<ExitCode> {
    let scenario = args.scenario(project)?;
    let workload = args.workload(&scenario)?;
    let settings = Settings { tls: args.tls()?, ..settings(&scenario, args.url.address(scenario.timeout)?) };
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
    let mut live = Live::new(order.settings.warm_up + order.settings.duration);
    if args.agents > 1 {
        agents::check(args.agents, settings).map_err(describe)?;
        return agents::measure(args.agents, &order, &mut live).await;
    }
    let mut run = order.workload.start_held(settings, &Registry::default()).map_err(|error| match error {
        WorkloadError::Load(error) => describe(error),
        error => BadInput(error.to_string()).into(),
    })?;
    run.release();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let (mut interrupts, mut interrupted) = (Interrupts::install()?, false);
    second.tick().await;
    loop {
        tokio::select! {
            milestone = run.milestone() => if milestone == Milestone::Over { break },
            _ = second.tick() => live.show(&run.snapshot()),
            () = interrupts.recv(), if !interrupted => {
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
            "only {} of {present} clients were ready when the load began: the figures describe a smaller load",
            result.clients_ready
        ));
    }
    if result.generator.saturated {
        let (described, lag) = (result.generator.described(), result.generator.lag_ms_p99.unwrap_or_default());
        doubts.push(format!(
            "the generator was the bottleneck (it {described}, lag p99 {lag:.1} ms), so the figures describe the generator: \
             use more --agents or a less busy machine"
        ));
    }
    if let Some(check) = check.filter(|check| !check.is_true()) {
        let off = check.deviation.abs() * 100.0;
        doubts
            .push(format!("this machine measured a known latency {off:.1}% off: it is too busy for accurate figures"));
    }
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let arrivals = result.open.as_ref().map(|open| &open.arrivals);
    if let Some((check, arrivals)) = check.zip(arrivals)
        && !check.has_head_room(arrivals, args.agents, processors)
    {
        let (able, highest) = (check.requests_per_cpu_second.unwrap_or_default(), highest_rate(arrivals));
        doubts.push(format!(
            "{highest} requests/s leave no headroom: one core generates {able}/s and this machine has {processors}; use more \
             --agents or a machine with more cores"
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

/// Whether no request left this machine: no listener, or a failed TLS handshake.
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

/// How long a single request is repeated for.
const DURATION: Duration = Duration::from_secs(10);

impl Args {
    /// The load of the configured scenario, or that of a single request, with the changes of the flags.
    fn scenario(&self, project: &Options) -> Result<Scenario> {
        let Some(name) = &self.scenario else {
            return Ok(self.changed(&Scenario { duration: DURATION, seed: 0, ..Scenario::default() }));
        };
        let mut config = project.read_config()?;
        let scenario = self.changed(config.scenario(name)?);
        config.scenario.insert(name.clone(), scenario.clone());
        config.check_scenarios()?;
        Ok(scenario)
    }

    fn changed(&self, declared: &Scenario) -> Scenario {
        let spacing = if self.poisson { Spacing::Poisson } else { Spacing::Uniform };
        let own = (declared.rate, declared.ramp_to, declared.spacing);
        let (rate, ramp_to, spacing) = self.rate.map_or(own, |rate| (Some(rate), self.ramp_to, spacing));
        Scenario {
            clients: self.clients.unwrap_or(declared.clients),
            rate,
            ramp_to,
            spacing,
            warm_up: self.warm_up.unwrap_or(declared.warm_up),
            duration: self.duration.unwrap_or(declared.duration),
            timeout: self.timeout.unwrap_or(declared.timeout),
            seed: self.seed.unwrap_or(declared.seed),
            ..declared.clone()
        }
    }

    /// What each client sends.
    fn workload(&self, scenario: &Scenario) -> Result<Workload> {
        if self.agents > scenario.clients {
            let (agents, clients) = (self.agents, scenario.clients);
            let text = format!("--agents {agents} exceeds --clients {clients}: each agent needs a client");
            return bad_input(text);
        }
        if let Some(name) = &self.scenario {
            return Ok(Workload::Steps(target::steps(&self.url, name, scenario)?));
        }
        let request = target::request(&self.url, &self.method, self.body.as_deref(), &self.header)?;
        let request = self.expect_status.into_iter().fold(request, |request, status| request.expect_status(status));
        let request = self.expect_body.iter().fold(request, |request, body| request.expect_body(body.as_bytes()));
        Ok(Workload::Fixed(request))
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

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("`{text}` is not a number of requests per second"))?;
    if rate.is_finite() && rate >= RATE_MIN {
        Ok(rate)
    } else {
        Err(format!("a rate must be finite and at least {RATE_MIN} requests per second"))
    }
}

fn of_check(error: SelfCheckError) -> anyhow::Error {
    match error {
        SelfCheckError::Load(error) => describe(error),
        error => error.into(),
    }
}

/// Impossible settings are bad input.
fn describe(error: e2e_load::load::Error) -> anyhow::Error {
    use e2e_load::load::Error;
    match error {
        Error::NothingToDo(_) | Error::Rate | Error::TooManyClients { .. } | Error::Tls(_) => {
            BadInput(error.to_string()).into()
        }
        error => error.into(),
    }
}
