//! Concurrent clients register and keep their sessions; each client's outcome is recorded.

use e2e::{
    environment::Environment,
    fixture::environment,
    load::{LoadResult, Settings, scenarios},
    record::{Measured, Registration, measure},
};
use rstest::rstest;

/// The name under which clients call the system, as through a port-forward on a developer's machine.
pub(crate) const HOST: &str = "localhost";

#[rstest]
#[tokio::test]
async fn clients_register(environment: Environment) {
    measure(&environment, "registration", "clients", async {
        let wanted = &environment.scenario;
        let mut scenario = scenarios::Registration::new(HOST, format!("{}-registration", environment.run_id))?;
        scenario.attempts = wanted.attempts;
        let settings = Settings {
            clients: wanted.clients,
            duration: wanted.registration,
            request_timeout: wanted.timeout,
            seed: wanted.seed,
            ..Settings::new(environment.entrance()?.address)
        };
        let result: LoadResult<_> = crate::load::watched(&environment, "registration", settings, scenario).await?;
        environment.run_dir()?.write_json("evidence/registration.load.json", &result)?;
        let figures = Registration::from(&result);
        let detail = format!("{} of {} clients registered", figures.registered, figures.clients);
        let failure = (figures.failed > 0).then(|| detail.clone());
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((detail, Measured::Registration(figures), failure))
    })
    .await;
}
