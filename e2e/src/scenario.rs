//! Runs declared scenarios and leaves their records. Main functions: [`scenario()`] for a one-line test, [`run`] and [`record`] for
//! more control.

mod ledger;

use std::{collections::VecDeque, fmt::Display, net::SocketAddr, time::Duration};

use e2e_load::{
    agent::Order,
    load::{
        self, Arrivals, ClientReport, LoadResult, Milestone, Model, Registry, Settings, StepLabel, StoredKeys,
        Workload,
        scenarios::{InvalidSteps, StepsScenario},
    },
};
use e2e_plan::words::{by_kind, sparkline};
use e2e_report::{
    environment::{self, Environment, LoadFrom},
    evidence::load_file,
    record::SCENARIOS,
    request::Scenario,
    run_dir,
};

use crate::{
    control::{self, Control},
    record::{Measured, measure},
};

pub use self::ledger::postgres;
pub use e2e_load::scenario::*;

/// Runs a declared scenario as one test: its record has the outcome, and the report the figures.
///
/// The test fails if clients fail beyond the thresholds, if no request succeeds, if an acknowledged key is missing or stored twice,
/// or if the ledger cannot be read. The report judges all other thresholds.
///
/// ```no_run
/// use e2e::{environment::Environment, fixture::environment};
///
/// #[rstest::rstest]
/// #[tokio::test]
/// async fn checkout(environment: Environment) {
///     e2e::scenario(&environment, "checkout").await;
/// }
/// ```
///
/// # Panics
///
/// When it fails: this is how a test fails.
pub async fn scenario(environment: &Environment, name: &str) {
    record(environment, name, async {
        let mut ran = run(environment, name).await?;
        ran.check_ledger(environment).await;
        Ok::<_, Error>(ran)
    })
    .await;
}

/// Writes the record of the scenario that `body` runs, unless the command line excludes it.
///
/// ```no_run
/// # async fn of(environment: e2e::environment::Environment) {
/// use e2e::scenario;
///
/// // The stored keys come from the system's own API, not from SQL.
/// scenario::record(&environment, "checkout", async {
///     let mut ran = scenario::run(&environment, "checkout").await?;
///     let stored = ["order-1", "order-2"].into_iter().map(|key| (key, 1)).collect();
///     ran.check_stored(stored);
///     println!("{:?} requests/s", ran.figures.rate_per_second);
///     Ok::<_, scenario::Error>(ran)
/// })
/// .await;
/// # }
/// ```
///
/// # Panics
///
/// As [`scenario()`].
pub async fn record<E: Display + From<Error>>(
    environment: &Environment,
    name: &str,
    body: impl Future<Output = Result<Ran, E>>,
) {
    if environment.some_scenarios && !environment.scenarios.contains_key(name) {
        println!("{name} was not selected");
        return;
    }
    measure(environment, SCENARIOS, name, async { Ok::<_, E>(body.await?.found()) }).await;
}

/// A scenario without figures.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum Error {
    #[error("no scenario [scenario.{name}] in .config/e2e.toml; declared: {declared}")]
    NotDeclared { name: String, declared: String },
    #[error("scenario.{name}: {source}")]
    Steps { name: String, source: InvalidSteps },
    #[error(transparent)]
    Environment(#[from] environment::Error),
    #[error(transparent)]
    Load(#[from] load::Error),
    #[error(transparent)]
    Control(#[from] control::Error),
    #[error(transparent)]
    RunDir(#[from] run_dir::Error),
    #[error(transparent)]
    Workload(#[from] load::WorkloadError),
}

/// A scenario that ran.
#[derive(Debug)]
pub struct Ran {
    /// What it measured; a suite may add what only it knows.
    pub figures: ScenarioResult,
    /// Everything that the load generator counted.
    pub load: LoadResult<ClientReport>,
    declared: Scenario,
    /// Nothing for a scenario in Rust.
    steps: Option<StepsScenario>,
    /// Why the ledger could not be checked.
    unchecked: Option<String>,
}

/// Runs a declared scenario, in this process or on the run's agents, and writes everything that was counted as evidence.
///
/// # Errors
///
/// When there are no figures. Failures of the system are in the figures.
pub async fn run(environment: &Environment, name: &str) -> Result<Ran, Error> {
    let declared = declared(environment, name)?;
    let steps = declared.steps(name, &environment.run_id);
    let scenario = StepsScenario::new(&steps).map_err(|source| Error::Steps { name: name.to_owned(), source })?;
    let load = make(environment, name, &declared, Workload::Steps(steps), &Registry::default()).await?;
    let figures = with_tenths(scenario.figures(&load), &declared, &load);
    Ok(Ran { figures, load, declared, steps: Some(scenario), unchecked: None })
}

/// Runs a scenario written in Rust and declared with `rust = true`: `registry` makes it from `parameters`, by its name. If the load comes
/// from inside a cluster, the project's own agent must know it, too.
///
/// ```no_run
/// # async fn of(environment: e2e::environment::Environment) {
/// use e2e::{load::{InvalidRequest, Registry, RequestHead, scenarios::Fixed}, scenario};
///
/// let registry = Registry::default().with("ping", |path: String| {
///     let head = RequestHead::new("GET", &path, "localhost")?;
///     Ok::<_, InvalidRequest>(Fixed::new(&head, None))
/// });
/// scenario::record(&environment, "ping", scenario::run_rust(&environment, "ping", "/livez".into(), &registry)).await;
/// # }
/// ```
///
/// # Errors
///
/// As [`run`].
pub async fn run_rust(
    environment: &Environment,
    name: &str,
    parameters: serde_json::Value,
    registry: &Registry,
) -> Result<Ran, Error> {
    let declared = declared(environment, name)?;
    let workload = Workload::Named { name: name.to_owned(), parameters };
    let load = make(environment, name, &declared, workload, registry).await?;
    let mut names: Vec<String> = load.steps.iter().map(|step| step.step.clone()).collect();
    names.dedup();
    let labels: Vec<StepLabel> = names.into_iter().map(|name| StepLabel { name, once: false }).collect();
    let figures = ScenarioResult { name: name.to_owned(), ..load.figures(&labels, "succeeded") };
    let figures = with_tenths(figures, &declared, &load);
    Ok(Ran { figures, load, declared, steps: None, unchecked: None })
}

/// Only the impact of planned faults needs so fine a series.
fn with_tenths(figures: ScenarioResult, declared: &Scenario, load: &LoadResult<ClientReport>) -> ScenarioResult {
    let tenths = if declared.during.is_empty() { Vec::new() } else { load.tenths.clone() };
    ScenarioResult { tenths, ..figures }
}

fn declared(environment: &Environment, name: &str) -> Result<Scenario, Error> {
    environment.scenarios.get(name).cloned().ok_or_else(|| {
        let names: Vec<&str> = environment.scenarios.keys().map(String::as_str).collect();
        let declared = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        Error::NotDeclared { name: name.to_owned(), declared }
    })
}

/// The load generator's settings for a declared scenario, except its steps.
#[must_use]
pub fn settings(declared: &Scenario, address: SocketAddr) -> Settings {
    let Scenario { rate, ramp_to, spacing, .. } = *declared;
    Settings {
        clients: declared.clients,
        model: rate.map_or(Model::Closed, |rate| Model::Open(Arrivals { rate, ramp_to, spacing })),
        duration: declared.duration,
        warm_up: declared.warm_up,
        request_timeout: declared.timeout,
        seed: declared.seed,
        ..Settings::new(address)
    }
}

/// Generates the load, in this process or where the system runs, and reports its progress to the run.
async fn make(
    environment: &Environment,
    name: &str,
    declared: &Scenario,
    workload: Workload,
    registry: &Registry,
) -> Result<LoadResult<ClientReport>, Error> {
    let control = Control::of(environment)?;
    let endpoint = match &declared.service {
        Some(service) => environment.service(service)?,
        None => environment.entrance()?,
    };
    let settings = settings(declared, endpoint.address);
    let load = match environment.load_from {
        LoadFrom::Inside { .. } => {
            let target = format!("{}:{}", endpoint.service, endpoint.port);
            control.load(name, &Order::new(target, workload, &settings)).await?
        }
        LoadFrom::Host => {
            let window_in = (!declared.during.is_empty()).then_some(declared.warm_up);
            watched(&control, name, workload.start_held(settings, registry)?, window_in).await?
        }
    };
    if !declared.during.is_empty() {
        control.end_faults(name).await?;
    }
    environment.run_dir()?.write_json(load_file(name), &load)?;
    Ok(load)
}

/// Seconds of a load whose rates are shown side by side.
const SHOWN_SECONDS: usize = 20;

/// Reports this process's load once a second, and starts the planned faults with it, if any; `window_in` is its warm-up.
async fn watched(
    control: &Control,
    name: &str,
    mut run: load::Run<LoadResult<ClientReport>>,
    window_in: Option<Duration>,
) -> Result<LoadResult<ClientReport>, Error> {
    run.release();
    if let Some(window_in) = window_in {
        // Clients that are ready start at once.
        run.milestone().await;
        control.begin_faults(name, window_in).await?;
    }
    let mut before = run.snapshot();
    let mut rates = VecDeque::new();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.tick().await;
    loop {
        tokio::select! {
            milestone = run.milestone() => match milestone {
                Milestone::Ready => continue,
                Milestone::Over => break,
            },
            _ = second.tick() => {}
        }
        let now = run.snapshot();
        let rate = now.requests - before.requests;
        if rates.len() == SHOWN_SECONDS {
            rates.pop_front();
        }
        rates.push_back(rate as f64);
        let course = sparkline(rates.make_contiguous(), 0.0);
        let text = format!("{name}: {rate} requests/s {course}, {} errors", now.errors);
        before = now;
        // The figures are complete without it; a run that went away shows in the records.
        let _ = control.progress(&text).await;
    }
    Ok(run.result().await?)
}

impl Ran {
    /// Checks the ledger, if the scenario has one with an SQL query for the stored keys.
    pub async fn check_ledger(&mut self, environment: &Environment) {
        let Some(sql) = self.declared.ledger.as_ref().and_then(|ledger| ledger.postgres.as_ref()) else { return };
        if self.has_no_keys() {
            self.figures.ledger = Some(LedgerResult::default());
            return;
        }
        let pattern = self.steps.as_ref().and_then(StepsScenario::key_pattern).unwrap_or_else(|| "%".to_owned());
        let stored = async { ledger::stored(&environment.again()?, sql, &pattern).await };
        match stored.await {
            Ok(stored) => self.check_stored(stored),
            Err(error) => self.unchecked = Some(format!("the stored keys could not be read: {error}")),
        }
    }

    /// Checks the ledger against the stored keys that the suite passes.
    pub fn check_stored(&mut self, stored: StoredKeys) {
        let ledger = stored.check(self.load.ledgers(), |client, round, key| {
            if let Some(steps) = &self.steps {
                steps.write_key(client, round, key);
            }
        });
        self.figures.ledger = Some(ledger);
    }

    fn has_no_keys(&self) -> bool {
        let mut ledgers = self.load.client_reports.iter().filter_map(|report| report.ledger.as_ref());
        ledgers.all(load::ClientLedger::is_empty)
    }

    /// The content of its record: one line, the figures, and why it failed, if it did.
    pub(crate) fn found(self) -> (String, Measured, Option<String>) {
        let (detail, failures) =
            (self.detail(), failures(&self.figures, &self.declared.thresholds, self.unchecked.as_deref()));
        let failure = (!failures.is_empty()).then(|| failures.join("; "));
        (detail, Measured::Scenario(Box::new(self.figures)), failure)
    }

    /// What was found, in one line.
    fn detail(&self) -> String {
        let figures = &self.figures;
        let mut words = vec![format!("{} requests succeeded, {} errors", figures.succeeded, figures.errors)];
        if let Some(succeeded) = figures.client_outcomes.get(&figures.success) {
            words.push(format!("{succeeded} of {} clients {}", figures.clients, figures.success));
        }
        if let Some(ledger) = &figures.ledger {
            words.push(format!("{} acknowledged, {} stored", ledger.acknowledged, ledger.stored));
        }
        words.join("; ")
    }
}

/// Why the scenario's test fails. The report judges the thresholds.
fn failures(figures: &ScenarioResult, lines: &Thresholds, unchecked: Option<&str>) -> Vec<String> {
    let ScenarioResult { clients, clients_failed, by_error, .. } = figures;
    let mut failures = Vec::new();
    if figures.succeeded == 0 {
        let kinds = if by_error.is_empty() { "no answer at all".to_owned() } else { by_kind(by_error) };
        failures.push(format!("no request succeeded in the measured time: {kinds}"));
    }
    if *clients_failed > 0 && lines.client_failure_rate_max.is_none() {
        failures.push(format!("{clients_failed} of {clients} clients failed"));
    }
    if let Some(ledger) = figures.ledger.as_ref().filter(|ledger| ledger.missing > 0 || ledger.duplicate > 0) {
        failures.push(format!(
            "{} keys acknowledged, {} rows stored, {} missing, {} stored twice",
            ledger.acknowledged, ledger.stored, ledger.missing, ledger.duplicate
        ));
    }
    failures.extend(unchecked.map(str::to_owned));
    failures
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures_of(figures: ScenarioResult, client_failure_rate_max: Option<f64>) -> Vec<String> {
        let lines = Thresholds { client_failure_rate_max, ..Thresholds::default() };
        failures(&figures, &lines, None)
    }

    #[test]
    fn a_test_fails_for_what_no_line_can_allow() {
        let healthy = || ScenarioResult { clients: 4, succeeded: 9, ..ScenarioResult::default() };
        assert!(failures_of(ScenarioResult { errors: 3, ..healthy() }, None).is_empty(), "errors are the report's");
        let failed = || ScenarioResult { clients_failed: 1, ..healthy() };
        assert_eq!(failures_of(failed(), None), ["1 of 4 clients failed"]);
        assert!(failures_of(failed(), Some(0.5)).is_empty(), "a line judges them");
        let by_error = [(load::Outcome::Status(503), 2)].into();
        let nothing = ScenarioResult { by_error, ..ScenarioResult::default() };
        assert_eq!(failures_of(nothing, None), ["no request succeeded in the measured time: 2 × status_503"]);
        let lost = LedgerResult { acknowledged: 5, stored: 4, missing: 1, ..LedgerResult::default() };
        let lost = failures_of(ScenarioResult { ledger: Some(lost), ..healthy() }, Some(0.5));
        assert_eq!(lost, ["5 keys acknowledged, 4 rows stored, 1 missing, 0 stored twice"]);
        let unread = failures(&healthy(), &Thresholds::default(), Some("the stored keys could not be read"));
        assert_eq!(unread, ["the stored keys could not be read"]);
    }
}
