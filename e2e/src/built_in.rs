//! The built-in checks for every system: each component is ready, the entrance answers, every declared probe of every replica
//! succeeds; and the declared scenarios. Main functions: [`run`], [`scenarios`], [`probe`].

use std::{error::Error, time::Duration};

use e2e_kubelet::snapshot::Snapshot;
use e2e_plan::{ProbeKind, duration, words::counted};
use e2e_report::{
    environment::{Component, Environment},
    record::{Measured, ProbeExchange, Record, SCENARIOS},
    run_dir,
};

use crate::{
    control::{self, Control},
    record::{Found, judged},
    scenario,
};

/// The timeout of a request; a healthy entrance needs a hundredth of it.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The checks could not run.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum BuiltInError {
    #[error(transparent)]
    Control(#[from] control::Error),
    #[error(transparent)]
    RunDir(#[from] run_dir::Error),
}

/// Runs every check and leaves a record of each.
///
/// # Errors
///
/// When the run does not answer, or a record cannot be written. A failed check is not an error.
pub async fn run(environment: &Environment) -> Result<(), BuiltInError> {
    let control = Control::of(environment)?;
    let snapshot = control.status().await?;
    for component in &environment.components {
        let case = format!("{}_ready", component.name);
        keep(environment, "health", &case, async { Ok(ready(component, &snapshot)) }).await?;
    }
    if environment.entrance.is_some() {
        keep(environment, "health", "entrance_answers", entrance(environment)).await?;
    }
    for component in &environment.components {
        for which in ProbeKind::ALL.into_iter().filter(|which| component.probes.iter().any(|spec| spec.which == *which))
        {
            let case = format!("{}_{which}", component.name);
            keep(environment, "probes", &case, probe(environment, &component.name, which)).await?;
        }
    }
    scenarios(environment).await
}

/// Runs the declared scenarios that no suite ran, each with its ledger, and leaves a record of each. Only a suite can run a scenario in
/// Rust.
///
/// # Errors
///
/// As [`run`].
pub async fn scenarios(environment: &Environment) -> Result<(), BuiltInError> {
    let (records, _) = Record::read_all(&run_dir::RunDir::open(&environment.run_dir)?);
    let ran = |name: &str| records.iter().any(|record| record.is_of_scenario(name));
    for (name, _) in environment.scenarios.iter().filter(|(name, scenario)| !scenario.rust && !ran(name)) {
        let check = async {
            let mut ran = scenario::run(environment, name).await?;
            ran.check_ledger(environment).await;
            Ok(ran.found())
        };
        keep(environment, SCENARIOS, name, check).await?;
    }
    Ok(())
}

async fn keep(
    environment: &Environment,
    suite: &str,
    case: &str,
    check: impl Future<Output = Result<Found, Box<dyn Error + Send + Sync>>>,
) -> Result<(), run_dir::Error> {
    let started = std::time::Instant::now();
    let (outcome, detail, measured) = judged(check.await);
    let record = Record {
        suite: suite.to_owned(),
        case: case.to_owned(),
        test: format!("{suite}::{case}"),
        outcome,
        detail,
        duration_ms: duration::millis(started.elapsed()),
        measured,
    };
    let directory = run_dir::RunDir::open(&environment.run_dir)?;
    directory.write_json(record.file(), &record).map(drop)
}

/// Whether all replicas are ready, as those are that have run to completion.
fn ready(component: &Component, snapshot: &Snapshot) -> Found {
    let of = |name: &String| snapshot.pods.get(name).map_or("unknown".to_owned(), |pod| pod.status.clone());
    let is_fine = |name: &String| snapshot.pods.get(name).is_some_and(|pod| pod.ready);
    let (fine, rest): (Vec<String>, Vec<String>) = component.pod_names().partition(is_fine);
    let desired = counted(component.desired, "replica");
    let detail = format!("{} of {desired} ready", fine.len());
    let states: Vec<String> = rest.iter().map(|name| format!("{name} is {}", of(name))).collect();
    let failure = match (component.desired, states.is_empty()) {
        (0, _) => Some("it has no replicas".to_owned()),
        (_, true) => None,
        (_, false) => Some(format!("{detail}: {}", states.join(", "))),
    };
    (detail, Measured::Nothing, failure)
}

/// A first request to the entrance. If it does not speak HTTP, an accepted connection is the answer.
async fn entrance(environment: &Environment) -> Result<Found, Box<dyn Error + Send + Sync>> {
    let endpoint = environment.entrance()?;
    let url = format!("http://{}/", endpoint.address);
    // A redirect is an answer.
    let policy = reqwest::redirect::Policy::none();
    let client = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().redirect(policy).build()?;
    let asked = format!("GET / of {} port {}", endpoint.service, endpoint.port);
    match client.get(&url).send().await {
        Ok(response) if response.status().is_server_error() => {
            let failure = format!("{asked} answered {}", response.status());
            Ok((failure.clone(), Measured::Nothing, Some(failure)))
        }
        Ok(response) => Ok((format!("{asked} answered {}", response.status()), Measured::Nothing, None)),
        Err(error) if error.is_connect() || error.is_timeout() => {
            Err(format!("{asked}: {}", root_cause(&error.without_url())).into())
        }
        Err(_) => {
            let detail =
                format!("{} port {} accepts connections and does not speak HTTP", endpoint.service, endpoint.port);
            Ok((detail, Measured::Nothing, None))
        }
    }
}

fn root_cause(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), root_cause)
}

/// Sends one kind of probe to every replica of a component like a kubelet, and judges it like a kubelet.
///
/// ```no_run
/// # async fn of(environment: e2e::environment::Environment) {
/// use e2e::{ProbeKind, built_in::probe, record::measure};
///
/// let body = probe(&environment, "backend", ProbeKind::Readiness);
/// measure(&environment, "probes", "backend_readiness", body).await;
/// # }
/// ```
///
/// # Errors
///
/// When the component is unknown, or the run does not answer.
pub async fn probe(
    environment: &Environment,
    component: &str,
    which: ProbeKind,
) -> Result<Found, Box<dyn Error + Send + Sync>> {
    let control = Control::of(environment)?;
    let declared = environment.component(component)?;
    let mut exchanges = Vec::new();
    let specs: Vec<_> = declared.probes.iter().filter(|spec| spec.which == which).collect();
    for spec in &specs {
        for replica in &declared.replicas {
            exchanges.push(ProbeExchange {
                component: component.to_owned(),
                container: spec.container.clone(),
                replica: replica.name.clone(),
                which,
                observation: control.probe(&replica.name, &spec.container, which).await?,
            });
        }
    }
    let mut failed: Vec<String> = exchanges
        .iter()
        .filter(|exchange| !exchange.observation.success())
        .map(|exchange| format!("{}: {}", exchange.replica, exchange.observation.outcome()))
        .collect();
    let asked = counted(specs.len() * declared.desired as usize, "probe");
    let detail = format!("{} of {asked} succeeded", exchanges.len() - failed.len());
    let without_way = (declared.desired as usize).saturating_sub(declared.replicas.len());
    if without_way > 0 {
        failed.push(format!("{without_way} of {} cannot be reached", counted(declared.desired, "replica")));
    }
    let failure = match (specs.is_empty(), declared.replicas.is_empty(), failed.is_empty()) {
        (true, ..) => Some(format!("{component} declares no {} probe", which.word())),
        (false, true, _) => Some(format!("{component} has no replica to ask")),
        (false, false, false) => Some(failed.join("; ")),
        (false, false, true) => None,
    };
    Ok((detail, Measured::Probes(exchanges), failure))
}

#[cfg(test)]
mod tests {
    use e2e_kubelet::snapshot::PodReport;

    use super::*;

    #[test]
    fn a_pod_that_has_ended_is_ready_only_if_it_should_end() {
        let component = serde_json::json!({"name": "web", "kind": "Deployment", "desired": 1, "replicas": [], "env": {}, "probes": []});
        let component: Component = serde_json::from_value(component).expect("a component");
        let failure = |is_ready: bool| {
            let pod = PodReport { status: "Completed".to_owned(), ready: is_ready, ..PodReport::default() };
            ready(&component, &Snapshot { pods: [("web-0".to_owned(), pod)].into() }).2
        };
        assert_eq!(failure(true), None);
        assert_eq!(failure(false).as_deref(), Some("0 of 1 replica ready: web-0 is Completed"));
    }
}
