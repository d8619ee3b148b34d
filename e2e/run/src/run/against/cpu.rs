//! What a request costs in processor time. Main functions: [`seconds`], [`ms_per_request`].

use std::collections::BTreeMap;

use e2e_report::environment::Component;

use crate::provider::Provider;

/// The processor time of each pod since its start. Empty where the target measures it at times of its own.
pub(super) async fn seconds(provider: &Provider) -> BTreeMap<String, f64> {
    let (usage, _) = provider.usage().await;
    let of_now = usage.into_iter().filter(|(_, usage)| usage.measured_unix_ms.is_none());
    of_now.map(|(pod, usage)| (pod, usage.cpu_seconds)).collect()
}

/// Processor time per request by component. Empty unless all pods were measured twice and none was started anew in between.
pub(super) fn ms_per_request(
    components: &[Component],
    before: &BTreeMap<String, f64>,
    after: &BTreeMap<String, f64>,
    requests: f64,
) -> BTreeMap<String, f64> {
    let of_pod = |pod: &String| match (before.get(pod), after.get(pod)) {
        (Some(before), Some(after)) if after >= before => Some((after - before) * 1000.0 / requests),
        // One that has run to completion costs nothing.
        (None, None) => Some(0.0),
        _ => None,
    };
    let of_component = |component: &Component| {
        let pods = component.replicas.iter().map(|replica| of_pod(&replica.name));
        Some((component.name.clone(), pods.sum::<Option<f64>>()?))
    };
    let is_measured = !before.is_empty() && requests > 0.0;
    let components = is_measured.then(|| components.iter().map(of_component).collect::<Option<_>>());
    components.flatten().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn components() -> Vec<Component> {
        let component = |name: &str, replicas: &[&str]| {
            let replica = |name: &&str| json!({ "name": name, "pod_ip": "127.0.0.1", "ports": [] });
            let replicas = replicas.iter().map(replica).collect::<Vec<_>>();
            let json = json!({ "name": name, "kind": "Deployment", "desired": 1, "replicas": replicas, "env": {}, "probes": [] });
            serde_json::from_value(json).unwrap()
        };
        vec![
            component("app", &["app-0", "app-1"]),
            component("db", &["db-0"]),
            component("migration", &["migration-0"]),
        ]
    }

    fn pods<const N: usize>(pods: [(&str, f64); N]) -> BTreeMap<String, f64> {
        pods.into_iter().map(|(pod, seconds)| (pod.to_owned(), seconds)).collect()
    }

    #[test]
    fn the_pods_of_a_component_are_added_up() {
        let before = pods([("app-0", 1.0), ("app-1", 2.0), ("db-0", 3.0)]);
        let after = pods([("app-0", 1.5), ("app-1", 2.25), ("db-0", 4.0)]);
        let expected = pods([("app", 0.75), ("db", 1.0), ("migration", 0.0)]);
        assert_eq!(ms_per_request(&components(), &before, &after, 1000.0), expected);
    }

    #[test]
    fn a_pod_that_began_anew_or_was_not_measured_leaves_nothing() {
        let before = pods([("app-0", 1.0), ("app-1", 2.0), ("db-0", 3.0)]);
        let of = |after| ms_per_request(&components(), &before, &after, 1000.0);
        assert!(of(pods([("app-0", 1.5), ("app-1", 0.25), ("db-0", 4.0)])).is_empty());
        assert!(of(pods([("app-0", 1.5), ("db-0", 4.0)])).is_empty());
        assert!(ms_per_request(&components(), &pods([]), &pods([]), 1000.0).is_empty());
        assert!(ms_per_request(&components(), &before, &before, 0.0).is_empty());
    }
}
