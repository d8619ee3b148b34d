//! Concurrent clients register and keep their sessions; each client's outcome is recorded.

use e2e::{
    environment::Environment,
    fixture::environment,
    load::Settings,
    record::{Measured, Registration, measure},
};
use rstest::rstest;

#[rstest]
#[tokio::test]
async fn clients_register(environment: Environment) {
    measure(&environment, "registration", "clients", async {
        let wanted = &environment.scenario;
        let settings = Settings {
            clients: wanted.clients,
            duration: wanted.registration,
            request_timeout: wanted.timeout,
            seed: wanted.seed,
            ..Settings::new(environment.entrance()?.address)
        };
        let steps = crate::steps::registration(&environment);
        let (_, figures) = crate::load::watched(&environment, settings, &steps).await?;
        let figures = Registration::from(&figures);
        let detail = format!("{} of {} clients registered", figures.registered, figures.clients);
        let failure = (figures.failed > 0).then(|| detail.clone());
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((detail, Measured::Registration(figures), failure))
    })
    .await;
}
