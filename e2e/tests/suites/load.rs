//! Runs a load and tells the run how it goes, once a second.

use std::time::Duration;

use e2e::{
    agent::Order,
    control::Control,
    environment::{Environment, LoadFrom},
    load::{self, Client, LoadResult, Scenario, Settings, Workload},
};
use serde::de::DeserializeOwned;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The result of the load, watched while it runs: made by this process, or where the system runs.
pub(crate) async fn watched<S: Scenario + Into<Workload>>(
    environment: &Environment,
    name: &str,
    settings: Settings,
    scenario: S,
) -> Result<LoadResult<<S::Client as Client>::Report>, Error>
where
    <S::Client as Client>::Report: DeserializeOwned,
{
    let control = Control::of(environment)?;
    if let LoadFrom::Inside { .. } = environment.load_from {
        let entrance = environment.entrance()?;
        let order = Order::new(format!("{}:{}", entrance.service, entrance.port), scenario.into(), &settings);
        return Ok(control.load(name, &order).await?);
    }
    let run = load::start(settings, scenario)?;
    let mut before = run.snapshot();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.tick().await;
    while !run.is_finished() {
        second.tick().await;
        let now = run.snapshot();
        let text = format!("{name}: {} requests/s, {} errors", now.requests - before.requests, now.errors);
        before = now;
        // The figures are complete without it; a run that went away shows in the records.
        let _ = control.progress(&text).await;
    }
    Ok(run.result().await?)
}
