//! The load of `cargo xtask doctor --under-load`. Main function: [`diagnose`].

use std::time::Duration;

use anyhow::{Context, Result};
use e2e_kubelet::diagnosis::Diagnosis;
use e2e_load::load::{self, Arrivals, Model, RequestHead, Settings, scenarios::Fixed};
use e2e_node::{
    doctor::{self, Case, diagnose_under_load, margin_by_rate},
    probe::{Profile, Target},
};
use e2e_plan::ProbeAction;
use e2e_report::environment::Environment;

/// How long clients load the app: long enough for a dozen probes.
const BUSY: Duration = Duration::from_secs(5);

/// How long each rate is kept up: a queue that grows shows within a second or two.
const STEP: Duration = Duration::from_secs(3);

/// Examines a probe at rest and, if it is an HTTP probe, while clients request `path`, or the probe's own path, on the same port; then
/// beside a rate that grows until the probe fails. All of the load goes to the pod's own port.
pub(super) async fn diagnose(
    case: &Case,
    target: &Target,
    profile: &Profile,
    environment: &Environment,
    path: &str,
) -> Result<Diagnosis> {
    let at_rest = doctor::diagnose(case, target, profile).await;
    let ProbeAction::HttpGet { https: false, port, path: own, .. } = &case.probe.action else { return Ok(at_rest) };
    let (true, Some(address)) = (at_rest.success(), target.ports.get(port)) else { return Ok(at_rest) };
    let path = if path.is_empty() { own } else { path };
    let head = RequestHead::new("GET", path, "localhost").context("--under-load")?;
    let clients = environment.scenarios.values().map(|scenario| scenario.clients).max().unwrap_or(40);
    let settings = Settings { clients, duration: BUSY, ..Settings::new(*address) };
    let running = load::start(settings, Fixed::new(&head, None))?;
    let who = format!("{clients} clients sending GET {path}");
    let mut result = None;
    let load = async { result = Some(running.result().await) };
    let found = diagnose_under_load(case, target, profile, at_rest, &who, load).await;
    // The clients' answers do not matter, but the load must have run.
    result.context("the load did not finish")??;
    let head = &head;
    let rate_margin = margin_by_rate(case, target, profile, |rate| async move {
        let model = Model::Open(Arrivals::constant(rate));
        let settings = Settings { clients, model, duration: STEP, ..Settings::new(*address) };
        let result = load::start(settings, Fixed::new(head, None))?.result().await?;
        anyhow::Ok(result.succeeded_per_second.unwrap_or_default())
    });
    Ok(Diagnosis { rate_margin: rate_margin.await?, ..found })
}
