//! Every declared probe is sent as a kubelet sends it, to every replica, and judged as a kubelet judges it.

use e2e::{ProbeKind, built_in, environment::Environment, fixture::environment, record::measure};
use rstest::rstest;

#[rstest]
#[tokio::test]
async fn probe_succeeds(
    environment: Environment,
    #[values("postgres", "redis", "engine", "backend", "nginx")] component: &str,
    #[values(ProbeKind::Startup, ProbeKind::Readiness, ProbeKind::Liveness)] which: ProbeKind,
) {
    let case = format!("{component}_{which}");
    measure(&environment, "probes", &case, built_in::probe(&environment, component, which)).await;
}
