//! Runs a load and tells the run how it goes, once a second.

use std::time::Duration;

use e2e::{
    agent::Order,
    control::Control,
    environment::{Environment, LoadFrom},
    load::{
        self, ClientReport, LoadResult, Settings,
        scenarios::{Steps, StepsScenario},
    },
    scenario::ScenarioResult,
};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The result of the load, which is left as evidence, and its figures.
pub(crate) async fn watched(
    environment: &Environment,
    settings: Settings,
    steps: &Steps,
) -> Result<(LoadResult<ClientReport>, ScenarioResult), Error> {
    let scenario = StepsScenario::new(steps)?;
    let result = made(environment, settings, steps, scenario.clone()).await?;
    environment.run_dir()?.write_json(format!("evidence/{}.load.json", steps.name), &result)?;
    let figures = scenario.figures(&result);
    Ok((result, figures))
}

/// The load, watched while it runs: made by this process, or where the system runs.
async fn made(
    environment: &Environment,
    settings: Settings,
    steps: &Steps,
    scenario: StepsScenario,
) -> Result<LoadResult<ClientReport>, Error> {
    let control = Control::of(environment)?;
    if let LoadFrom::Inside { .. } = environment.load_from {
        let entrance = environment.entrance()?;
        let order = Order::new(format!("{}:{}", entrance.service, entrance.port), steps.clone().into(), &settings);
        return Ok(control.load(&steps.name, &order).await?);
    }
    let run = load::start(settings, scenario)?;
    let mut before = run.snapshot();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.tick().await;
    while !run.is_finished() {
        second.tick().await;
        let now = run.snapshot();
        let text = format!("{}: {} requests/s, {} errors", steps.name, now.requests - before.requests, now.errors);
        before = now;
        // The figures are complete without it; a run that went away shows in the records.
        let _ = control.progress(&text).await;
    }
    Ok(run.result().await?)
}
