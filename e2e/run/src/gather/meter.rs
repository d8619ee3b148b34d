//! Bounded resources that components report about themselves, such as connection pools, read from their Prometheus metrics.
//! Main type: [`Meter`].

use std::{collections::BTreeMap, net::SocketAddr, sync::LazyLock, time::Duration};

use e2e::prometheus::samples;
use e2e_load::clock::now_unix_ms;
use e2e_node::doctor::PoolUse;
use e2e_report::evidence::{InUse, Saturation};
use serde::Deserialize;

/// One resource of one component: which metrics say how far it is used up. `[[saturation]]` in `.config/e2e.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
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
    sample: InUse,
}

/// Each look has its own connection, as a connection that stays open may be one of those that are counted.
static CLIENT: LazyLock<Option<reqwest::Client>> = LazyLock::new(|| {
    // Well below the sampling period; what does not answer in that time is measured by the suites.
    let builder = reqwest::Client::builder().no_proxy().timeout(Duration::from_millis(500));
    builder.pool_max_idle_per_host(0).build().ok()
});

/// Looks once; `None` when the component does not answer or does not report these metrics.
pub(super) async fn read(meter: &Meter, pod: &str, address: SocketAddr) -> Option<Reading> {
    // Under the name that a port-forward gives it: a component that refuses its own address must still be measured.
    let request =
        CLIENT.as_ref()?.get(format!("http://{address}{}", meter.path)).header(reqwest::header::HOST, "localhost");
    let text = request.send().await.ok()?.text().await.ok()?;
    Some(Reading {
        component: meter.component.clone(),
        pod: pod.to_owned(),
        resource: meter.resource.clone(),
        limit: value(&text, &meter.limit)?,
        sample: InUse {
            at_unix_ms: now_unix_ms(),
            used: value(&text, &meter.used)?,
            waiting: value(&text, &meter.waiting)?,
        },
    })
}

impl Reading {
    /// What the doctor asks of it.
    pub(super) fn pool_use(&self) -> PoolUse {
        PoolUse { limit: self.limit, used: self.sample.used, waiting: self.sample.waiting }
    }

    pub(super) fn add_to(self, all: &mut BTreeMap<(String, String), Saturation>) {
        let Self { component, pod, resource, limit, sample } = self;
        let key = (pod.clone(), resource.clone());
        let known = all.entry(key).or_insert(Saturation { component, pod, resource, limit, samples: Vec::new() });
        known.limit = limit;
        known.samples.push(sample);
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
        let reading = |at_unix_ms, used, waiting| Reading {
            component: "backend".into(),
            pod: "backend-0".into(),
            resource: "pool".into(),
            limit: 2,
            sample: InUse { at_unix_ms, used, waiting },
        };
        let mut all = BTreeMap::new();
        for (at, used, waiting) in [(1, 1, 0), (2, 2, 0), (3, 2, 5), (4, 1, 1)] {
            reading(at, used, waiting).add_to(&mut all);
        }
        let saturation = all.values().next().unwrap();
        assert_eq!(
            (saturation.used_up(..), saturation.used_up(2..=3), saturation.used_up(..3)),
            ((1, 4), (1, 2), (0, 2))
        );
    }
}
