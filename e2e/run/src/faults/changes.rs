//! What happens to pods, as it happens. Main function: [`record`].

use std::sync::Arc;

use e2e_kubelet::snapshot::{PodReport, Snapshot};
use e2e_load::clock::now_unix_ms;
use e2e_report::evidence::faults::{PodChange, PodEvent};
use parking_lot::Mutex;
use tokio::sync::watch;

/// Writes down what changes, until it is aborted or no pod is looked after any more.
pub(super) async fn record(mut snapshots: watch::Receiver<Snapshot>, events: Arc<Mutex<Vec<PodEvent>>>) {
    let mut before = snapshots.borrow_and_update().clone();
    while snapshots.changed().await.is_ok() {
        let now = snapshots.borrow_and_update().clone();
        let unix_ms = now_unix_ms();
        let mut events = events.lock();
        for (pod, report) in &now.pods {
            let changes = before.pods.get(pod).map(|before| changes(before, report)).unwrap_or_default();
            events.extend(changes.into_iter().map(|what| PodEvent { unix_ms, pod: pod.clone(), what }));
        }
        before = now;
    }
}

/// What happened between two looks at a pod, in the order in which it can only have happened.
fn changes(before: &PodReport, now: &PodReport) -> Vec<PodChange> {
    let mut changes = Vec::new();
    let is_replaced = now.replacements() > before.replacements();
    if !is_replaced && kills(now) > kills(before) {
        changes.push(PodChange::Stopping);
    }
    if before.ready && !now.ready {
        changes.push(PodChange::NotReady);
    }
    if is_replaced {
        changes.push(PodChange::Replaced);
    } else {
        for (before, now) in before.containers.iter().zip(&now.containers) {
            let ends = now.terminations.iter().skip(before.terminations.len());
            changes.extend(ends.map(|end| PodChange::Ended(end.exit_code)));
            if now.status.restart_count > before.status.restart_count {
                changes.push(PodChange::Started);
            }
        }
    }
    if now.ready && !before.ready {
        changes.push(PodChange::Ready);
    }
    changes
}

fn kills(pod: &PodReport) -> u32 {
    let events = pod.containers.iter().flat_map(|container| &container.events).chain(&pod.events);
    events.filter(|event| event.is_killing()).map(|event| event.count).sum()
}

#[cfg(test)]
mod tests {
    use e2e_kubelet::{
        snapshot::ContainerReport,
        status::{Event, Termination},
    };
    use e2e_plan::Probes;

    use super::*;

    #[test]
    fn two_looks_tell_what_happened_between_them() {
        let container = || ContainerReport::declared("app", &Probes::default(), "ContainerCreating");
        let running = PodReport { ready: true, containers: vec![container()], ..PodReport::default() };
        let mut stopping = PodReport { ready: false, ..running.clone() };
        stopping.containers[0].events.push(Event::normal("Killing", "Stopping container app"));
        assert_eq!(changes(&running, &stopping), [PodChange::Stopping, PodChange::NotReady]);
        let mut again = PodReport { ready: true, ..stopping.clone() };
        again.containers[0].terminations.push(Termination {
            exit_code: 143,
            signal: Some(15),
            reason: "Error".to_owned(),
            ..Termination::default()
        });
        again.containers[0].status.restart_count = 1;
        assert_eq!(changes(&stopping, &again), [PodChange::Ended(143), PodChange::Started, PodChange::Ready]);
        assert_eq!(changes(&again, &again), []);
    }
}
