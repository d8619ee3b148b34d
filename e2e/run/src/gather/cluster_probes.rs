//! Sends the probes of a cluster's pods beside the kubelet, which does not report latencies. Main function: [`probe()`].

use std::{sync::Arc, time::SystemTime};

use e2e_kubelet::snapshot::Snapshot;
use e2e_node::{poll::ticks, probe};
use e2e_plan::{Probe, ProbeAction, ProbeKind};

use super::Probing;
use crate::provider::{Provider, pods::PodSpec};

/// Sends each readiness and liveness probe to each container that has started, once a period, until it is dropped. Only where pods are
/// reached at their own address: a way through the API server takes time of its own. A command is not run: that costs the container a
/// process for each.
pub(super) async fn probe(provider: Arc<Provider>, pods: Vec<PodSpec>, probing: Probing) {
    if !matches!(*provider, Provider::K8s(_)) {
        return;
    }
    let all = pods.iter().flat_map(|pod| {
        let containers = pod.component.pod.containers.iter();
        containers.flat_map(move |container| {
            let kinds = [ProbeKind::Readiness, ProbeKind::Liveness].into_iter();
            kinds.filter_map(move |which| Some((&pod.name, &container.name, which, which.of(&container.probes)?)))
        })
    });
    let sent = all
        .filter(|(.., probe)| !matches!(probe.action, ProbeAction::Exec { .. }))
        .map(|(pod, container, which, probe)| repeat(&provider, &probing, pod, container, which, probe));
    futures_util::future::join_all(sent).await;
}

async fn repeat(provider: &Provider, probing: &Probing, pod: &str, container: &str, which: ProbeKind, probe: &Probe) {
    let Provider::K8s(cluster) = provider else { return };
    // A period of zero would send probes without end; Kubernetes allows none below a second.
    let mut period = ticks(probe.period.max(std::time::Duration::from_secs(1)));
    loop {
        period.tick().await;
        let is_due = cluster.is_routed() && has_started(&probing.snapshots.borrow(), pod, container);
        let Some(target) = cluster.target(pod).filter(|_| is_due) else { continue };
        let sent = SystemTime::now();
        let observation = probe::send(&probe.action, &target, probe.timeout, &cluster.profile()).await;
        // What was stopped or replaced meanwhile had no time to answer.
        if has_started(&probing.snapshots.borrow(), pod, container) {
            probing.log.record(pod, container, which, sent, &observation);
        }
    }
}

fn has_started(snapshot: &Snapshot, pod: &str, container: &str) -> bool {
    let report = snapshot.pod(pod).and_then(|pod| pod.container(container));
    report.is_some_and(|report| report.status.started && report.status.state.is_running())
}
