//! Bounded resources that components report about themselves, such as connection pools, read from their Prometheus metrics.
//! Main type: [`Meter`].

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

use super::Saturation;
use crate::prometheus::samples;

/// One resource of one component: which metrics say how far it is used up. `[[saturation]]` in `.config/e2e.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meter {
    /// The component.
    pub component: String,
    /// The resource, for people: `the database pool`.
    pub resource: String,
    /// Path of the metrics on the component's first port.
    pub path: String,
    /// The metric that says how much there is.
    pub limit: String,
    /// The metric that says how much is in use.
    pub used: String,
    /// The metric that says how many callers wait.
    pub waiting: String,
}

/// What one look saw.
pub(super) struct Reading {
    component: String,
    pod: String,
    resource: String,
    limit: u64,
    used: u64,
    waiting: u64,
}

/// Looks once; `None` when the component does not answer or does not report these metrics.
pub(super) async fn read(meter: &Meter, pod: &str, address: SocketAddr) -> Option<Reading> {
    // Well below the sampling period; what does not answer in that time is measured by the suites.
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_millis(500)).build().ok()?;
    // Under the name that a port-forward gives it: a component that refuses its own address must still be measured.
    let request = client.get(format!("http://{address}{}", meter.path)).header(reqwest::header::HOST, "localhost");
    let text = request.send().await.ok()?.text().await.ok()?;
    Some(Reading {
        component: meter.component.clone(),
        pod: pod.to_owned(),
        resource: meter.resource.clone(),
        limit: value(&text, &meter.limit)?,
        used: value(&text, &meter.used)?,
        waiting: value(&text, &meter.waiting)?,
    })
}

impl Reading {
    pub(super) fn add_to(self, all: &mut BTreeMap<(String, String), Saturation>) {
        let Self { component, pod, resource, limit, used, waiting } = self;
        let entry = all.entry((pod.clone(), resource.clone())).or_insert(Saturation {
            component,
            pod,
            resource,
            limit,
            used_max: 0,
            waiting_max: 0,
            samples: 0,
            samples_waiting: 0,
        });
        entry.limit = limit;
        entry.used_max = entry.used_max.max(used);
        entry.waiting_max = entry.waiting_max.max(waiting);
        entry.samples += 1;
        entry.samples_waiting += u64::from(used >= limit && waiting > 0);
    }
}

/// A metric without labels in Prometheus's text format.
fn value(text: &str, metric: &str) -> Option<u64> {
    let value = samples(text).find(|sample| sample.name == metric && !sample.has_labels())?.value;
    (value >= 0.0).then_some(value as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_found_by_its_whole_name() {
        let text = "# HELP pool x\npool_limit 8\npool_limit_old 3\npool 2.0\n";
        assert_eq!(value(text, "pool_limit"), Some(8));
        assert_eq!(value(text, "pool"), Some(2));
        assert_eq!(value(text, "poo"), None);
    }

    #[test]
    fn only_waiting_for_a_full_resource_counts() {
        let reading = |used, waiting| Reading {
            component: "backend".into(),
            pod: "backend-0".into(),
            resource: "pool".into(),
            limit: 2,
            used,
            waiting,
        };
        let mut all = BTreeMap::new();
        for (used, waiting) in [(1, 0), (2, 0), (2, 5), (1, 1)] {
            reading(used, waiting).add_to(&mut all);
        }
        let saturation = all.values().next().unwrap();
        assert_eq!((saturation.samples, saturation.samples_waiting, saturation.waiting_max), (4, 1, 5));
    }
}
