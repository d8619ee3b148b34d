use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::provider::k8s::testing::component;

/// A pod with one container `app` and a liveness probe.
fn declared() -> e2e_plan::Pod {
    component("app", 1).pod
}

/// A pod as the API server gives it, with this status.
fn pod(status: Value) -> Pod {
    serde_json::from_value(json!({ "metadata": { "name": "app-1", "uid": "u" }, "status": status })).unwrap()
}

fn event(reason: &str, message: &str, count: i32, container: Option<&str>) -> ClusterEvent {
    serde_json::from_value(json!({
        "metadata": { "name": "x" },
        "involvedObject": { "kind": "Pod", "uid": "u", "fieldPath": container.map(|name| format!("spec.containers{{{name}}}")) },
        "reason": reason, "message": message, "count": count, "type": "Warning",
        "firstTimestamp": "2026-01-01T00:00:05Z", "lastTimestamp": "2026-01-01T00:00:09Z",
    }))
    .unwrap()
}

fn epoch() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn report(pod: &Pod, events: &[&ClusterEvent], before: Option<&PodReport>) -> PodReport {
    pod_report(&declared(), Some(pod), events, before, epoch())
}

fn running(restarts: i32, last: Value) -> Pod {
    pod(json!({
        "phase": "Running", "podIP": "10.244.0.9",
        "conditions": [{ "type": "Ready", "status": "True" }],
        "containerStatuses": [{
            "name": "app", "image": "", "imageID": "", "ready": true, "started": true, "restartCount": restarts,
            "state": { "running": { "startedAt": "2026-01-01T00:00:03Z" } }, "lastState": last,
        }],
    }))
}

#[test]
fn a_running_pod_reads_as_on_every_target() {
    let report = report(&running(0, json!({})), &[], None);
    assert!(report.ready && report.started);
    assert_eq!((report.status.as_str(), report.restarts), ("Running", 0));
    assert_eq!(report.ip, Some("10.244.0.9".parse().unwrap()));
    assert_eq!(report.containers[0].status.state, ContainerState::Running { since: Duration::from_secs(3) });
}

#[test]
fn terminations_that_the_cluster_forgets_are_kept() {
    let ended = |second: u32, reason: &str, code: i32| {
        let time = format!("2026-01-01T00:00:{second:02}Z");
        json!({ "terminated": { "exitCode": code, "reason": reason, "startedAt": time, "finishedAt": time } })
    };
    let first = report(&running(1, ended(10, "OOMKilled", 137)), &[], None);
    let second = report(&running(2, ended(20, "Error", 1)), &[], Some(&first));
    let ends: Vec<_> = second.containers[0].terminations.iter().map(|end| (end.reason.as_str(), end.signal)).collect();
    assert_eq!(ends, [("OOMKilled", Some(9)), ("Error", None)]);
    assert_eq!(second.restarts, 2);
    let again = report(&running(2, ended(20, "Error", 1)), &[], Some(&second));
    assert_eq!(again.containers[0].terminations.len(), 2, "the same end is told once");
}

#[rstest]
#[case::status("Liveness probe failed: HTTP probe failed with statuscode: 400", Kind::Response, Some(400))]
#[case::refused("Liveness probe failed: dial tcp 10.244.0.9:80: connect: connection refused", Kind::Refused, None)]
#[case::late(
    "Liveness probe failed: Get \"http://10.244.0.9:80/\": context deadline exceeded (Client.Timeout exceeded)",
    Kind::Timeout,
    None
)]
fn a_probes_failures_are_read_from_events(#[case] message: &str, #[case] kind: Kind, #[case] status: Option<u16>) {
    let unhealthy = event("Unhealthy", message, 3, Some("app"));
    let other = event("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503", 9, Some("app"));
    let report = report(&running(0, json!({})), &[&unhealthy, &other], None);
    let probe = &report.containers[0].probes[&ProbeKind::Liveness];
    let last = probe.last_failure.as_ref().unwrap();
    assert_eq!((probe.failed, last.kind, last.status, last.verdict), (3, kind, status, Verdict::Failure));
    assert_eq!(probe.sent, None, "a kubelet does not tell");
    assert_eq!(report.containers[0].events.len(), 2);
    assert_eq!((report.containers[0].events[0].first, report.containers[0].events[0].last), {
        (Duration::from_secs(5), Duration::from_secs(9))
    });
}

#[rstest]
#[case::old("Readiness probe errored: rpc error: no such file", "rpc error: no such file")]
#[case::since_1_33("Readiness probe errored and resulted in unknown state: exec: no such file", "exec: no such file")]
#[case::broken_off("Readiness probe errored and resulted in failure state: unexpected EOF", "unexpected EOF")]
#[case::combined(
    "(combined from similar events): Readiness probe errored and resulted in unknown state: id 7: no such file",
    "id 7: no such file"
)]
fn a_probe_that_errors_is_read_as_each_version_words_it(#[case] message: &str, #[case] text: &str) {
    let unhealthy = event("Unhealthy", message, 5, Some("app"));
    let mut declared = declared();
    declared.containers[0].probes.readiness = declared.containers[0].probes.liveness.clone();
    let pod = running(0, json!({}));
    let report = pod_report(&declared, Some(&pod), &[&unhealthy], None, epoch());
    let probe = &report.containers[0].probes[&ProbeKind::Readiness];
    let last = probe.last_failure.as_ref().unwrap();
    assert_eq!((probe.failed, probe.errored, last.verdict, last.message.as_str()), (0, 5, Verdict::Errored, text));
}

#[test]
fn pods_without_containers_have_the_words_of_kubectl() {
    let pending = pod(json!({ "phase": "Pending" }));
    assert_eq!(report(&pending, &[], None).status, "Pending");
    let evicted = pod(json!({ "phase": "Failed", "reason": "Evicted" }));
    assert_eq!(report(&evicted, &[], None).status, "Evicted");
    let mut leaving = running(0, json!({}));
    leaving.metadata.deletion_timestamp = Some(Time(epoch()));
    assert_eq!(report(&leaving, &[], None).status, "Terminating");
    assert_eq!(pod_report(&declared(), None, &[], None, epoch()).status, "NoPod");
}

#[test]
fn an_event_of_the_new_kind_counts_its_series() {
    let new: ClusterEvent = serde_json::from_value(json!({
        "metadata": { "name": "x", "creationTimestamp": "2026-01-01T00:00:01Z" }, "involvedObject": {},
        "reason": "FailedScheduling", "message": "0/1 nodes", "type": "Warning",
        "eventTime": "2026-01-01T00:00:02.500000Z",
        "series": { "count": 4, "lastObservedTime": "2026-01-01T00:00:07.000000Z" },
    }))
    .unwrap();
    let event = to_event(&new, epoch());
    assert_eq!((event.count, event.first), (4, Duration::from_millis(2500)));
    assert_eq!(event.last, Duration::from_secs(7));
}
