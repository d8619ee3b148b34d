//! Runs a load and tells the run how it goes, once a second.

use std::time::Duration;

use e2e::{
    control::Control,
    environment::Environment,
    load::{self, Client, LoadResult, Scenario, Settings, Workload},
};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The result of the load, watched while it runs. The scenario is one that could be sent elsewhere, as a [`Workload`].
pub(crate) async fn watched<S: Scenario + Into<Workload>>(
    environment: &Environment,
    name: &str,
    settings: Settings,
    scenario: S,
) -> Result<LoadResult<<S::Client as Client>::Report>, Error> {
    let control = Control::of(environment)?;
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
