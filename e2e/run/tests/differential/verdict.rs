//! What a kubelet made of a case, in a form that can be compared. Main type: [`Verdict`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// How long after the container's first start a case is judged: long enough for two restarts and the wait between them.
pub(crate) const WINDOW: std::time::Duration = std::time::Duration::from_secs(20);

/// A kubelet's verdict on one case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// The pod's condition Ready at the end of the window.
    pub(crate) ready: bool,
    /// Restarts within the window.
    pub(crate) restarts: u32,
    /// The events about probes: with what they begin, and the status where they tell one. The rest is words of Go's, which
    /// change with its version.
    pub(crate) events: BTreeSet<String>,
    /// The first request that the server saw, with the pod's address and the kubelet's version taken out.
    pub(crate) request: Option<String>,
}

/// All cases by name.
pub(crate) type Verdicts = BTreeMap<String, Verdict>;

/// The part of an event that a version of Kubernetes does not change; `None` for events that are not about probes.
pub(crate) fn event(reason: &str, message: &str) -> Option<String> {
    match reason {
        "Unhealthy" | "ProbeWarning" => {}
        "Killing" if message.contains("probe") => return Some(message.to_owned()),
        _ => return None,
    }
    let message = message.strip_prefix("(combined from similar events): ").unwrap_or(message);
    let begin = message.split(':').next().unwrap_or_default();
    let status = message.split("statuscode: ").nth(1).map_or(String::new(), |status| format!(" with {status}"));
    Some(format!("{begin}{status}"))
}

/// A request without what differs from pod to pod and from version to version.
pub(crate) fn request(text: &str, pod_ip: &str) -> String {
    let text = text.replace(pod_ip, "POD");
    let lines = text.split("\r\n").map(|line| {
        let is_version =
            ["User-Agent: kube-probe/", "user-agent: kube-probe/"].iter().any(|start| line.starts_with(start));
        if is_version { "User-Agent: kube-probe/VERSION" } else { line }
    });
    let mut lines: Vec<&str> = lines.collect();
    if lines[0].ends_with("HTTP/2") {
        // Go writes the header fields of HTTP/2 in the order of a map, which is none.
        lines[1..].sort_unstable();
    }
    lines.join("\r\n")
}

/// What two verdicts disagree in; restarts may differ by one, since a kubelet's probes tick from the pod's creation.
pub(crate) fn disagreements(kubelet: &Verdicts, ours: &Verdicts) -> Vec<String> {
    let mut found = Vec::new();
    for (name, kubelet) in kubelet {
        let Some(ours) = ours.get(name) else {
            found.push(format!("{name}: there is no such case any more"));
            continue;
        };
        // A pod that is being restarted without a readiness probe is ready while it runs: at one moment, that is chance.
        let is_steady = kubelet.restarts == 0 && ours.restarts == 0;
        if is_steady && kubelet.ready != ours.ready {
            found.push(format!("{name}: ready is {} to a kubelet and {} here", kubelet.ready, ours.ready));
        }
        if kubelet.restarts.abs_diff(ours.restarts) > 1 || (kubelet.restarts == 0) != (ours.restarts == 0) {
            found.push(format!("{name}: {} restarts by a kubelet and {} here", kubelet.restarts, ours.restarts));
        }
        // A kubelet sends five events a second, so some of what it saw may not have been told by the end of the window.
        if !kubelet.events.is_subset(&ours.events) {
            found.push(format!("{name}: events are {:?} of a kubelet and {:?} here", kubelet.events, ours.events));
        }
        if kubelet.request != ours.request {
            found
                .push(format!("{name}: the request is {:?} of a kubelet and {:?} here", kubelet.request, ours.request));
        }
    }
    found.extend(ours.keys().filter(|name| !kubelet.contains_key(*name)).map(|name| {
        format!("{name}: no kubelet has judged it; run the test differential_k8s with {RECORD}=1 and a kubeconfig")
    }));
    found
}

/// How many cases faults are about.
pub(crate) fn faulty(faults: &[String]) -> usize {
    faults.iter().filter_map(|fault| fault.split(':').next()).collect::<BTreeSet<_>>().len()
}

/// Set to 1, the test against a real kubelet writes what it saw to `recorded/<version>.json`.
pub(crate) const RECORD: &str = e2e_report::env_vars::E2E_RECORD_KUBELET;
