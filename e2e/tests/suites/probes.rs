//! Every declared probe is sent as a kubelet sends it, to every replica, and judged as a kubelet judges it.

use e2e::{
    control::Control,
    environment::Environment,
    fixture::environment,
    kubelet::Which,
    record::{Measured, ProbeExchange, measure},
};
use rstest::rstest;

#[rstest]
#[tokio::test]
async fn probe_succeeds(
    environment: Environment,
    #[values("postgres", "redis", "engine", "backend", "nginx")] component: &str,
    #[values(Which::Startup, Which::Readiness, Which::Liveness)] which: Which,
) {
    measure(&environment, "probes", &format!("{component}_{}", which.word().to_lowercase()), async {
        let control = Control::of(&environment)?;
        let declared = environment.component(component)?;
        let mut exchanges = Vec::new();
        for spec in declared.probes.iter().filter(|spec| spec.which == which) {
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
        let failed: Vec<String> = exchanges
            .iter()
            .filter(|exchange| !exchange.observation.success())
            .map(|exchange| format!("{}: {}", exchange.replica, exchange.observation.message))
            .collect();
        let failure = match (exchanges.is_empty(), failed.is_empty()) {
            (true, _) => Some(format!("{component} declares no {} probe", which.word())),
            (false, false) => Some(failed.join("; ")),
            (false, true) => None,
        };
        let detail = format!("{} of {} replicas succeeded", exchanges.len() - failed.len(), exchanges.len());
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((detail, Measured::Probes(exchanges), failure))
    })
    .await;
}
