//! Every declared probe is sent as a kubelet sends it, to every replica, and judged as a kubelet judges it.

use e2e::{
    Which,
    control::Control,
    environment::Environment,
    fixture::environment,
    record::{Measured, ProbeExchange, measure},
};
use e2e_plan::words::counted;
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
            .map(|exchange| format!("{}: {}", exchange.replica, exchange.observation.message))
            .collect();
        let asked = counted((specs.len() * declared.desired as usize) as u64, "probe");
        let detail = format!("{} of {asked} succeeded", exchanges.len() - failed.len());
        let without_way = (declared.desired as usize).saturating_sub(declared.replicas.len());
        if without_way > 0 {
            failed.push(format!("there is no way to {without_way} of {}", counted(declared.desired.into(), "replica")));
        }
        let failure = match (specs.is_empty(), declared.replicas.is_empty(), failed.is_empty()) {
            (true, ..) => Some(format!("{component} declares no {} probe", which.word())),
            (false, true, _) => Some(format!("{component} has no replica to ask")),
            (false, false, false) => Some(failed.join("; ")),
            (false, false, true) => None,
        };
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((detail, Measured::Probes(exchanges), failure))
    })
    .await;
}
