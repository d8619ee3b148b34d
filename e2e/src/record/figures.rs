//! What the load engine measured, as the figures that records and reports show. Pure.

use std::collections::BTreeMap;

use super::{Part, Registration, Throughput};
use crate::load::{
    LoadResult,
    scenarios::{RegistrationOutcome, RegistrationReport, ThroughputReport},
};

impl From<&LoadResult<RegistrationReport>> for Registration {
    fn from(load: &LoadResult<RegistrationReport>) -> Self {
        let clients = load.client_reports.len() as u64;
        let is_registered = |report: &&RegistrationReport| report.outcome == RegistrationOutcome::Registered;
        let registered = load.client_reports.iter().filter(is_registered).count() as u64;
        let mut by_outcome: BTreeMap<String, u64> = BTreeMap::new();
        for report in &load.client_reports {
            *by_outcome.entry(report.outcome.label()).or_default() += 1;
        }
        Self {
            clients,
            registered,
            failed: clients - registered,
            failure_rate: (clients > 0).then(|| (clients - registered) as f64 / clients as f64),
            retried: load.client_reports.iter().filter(is_registered).filter(|report| report.retries > 0).count()
                as u64,
            requests: load.measured.requests,
            by_error: load.measured.by_error.iter().map(|(kind, count)| (String::from(*kind), *count)).collect(),
            latency_ms: load.measured.latency_ms,
            by_outcome,
            generator: load.generator,
        }
    }
}

impl Part {
    /// The parts of a way, of which each was measured together with all behind it: name and milliseconds, the outermost first.
    pub fn of_way(way: &[(&str, f64)]) -> Vec<Self> {
        let behind = way.iter().skip(1).map(|(_, ms)| *ms).chain([0.0]);
        // Means of different moments may cross by a little.
        let own = way.iter().zip(behind).map(|((name, ms), behind)| (name, (ms - behind).max(0.0)));
        own.map(|(name, mean_ms)| Self { name: (*name).to_owned(), mean_ms }).collect()
    }
}

impl Throughput {
    /// The figures of a load whose measured window began at `window_start_unix_ms`.
    pub fn new(load: &LoadResult<ThroughputReport>, window_start_unix_ms: u64) -> Self {
        Self {
            clients: load.client_reports.len() as u64,
            window_start_unix_ms,
            duration_ms: load.duration_ms as u64,
            operations_per_second: load.succeeded_per_second.unwrap_or(0.0),
            acknowledged: load.measured.succeeded,
            errors: load.measured.errors,
            by_error: load.measured.by_error.iter().map(|(kind, count)| (String::from(*kind), *count)).collect(),
            latency_ms: load.measured.latency_ms,
            // Answers to the last requests arrive after the window; a second of them alone is no second.
            series: load
                .series
                .iter()
                .filter(|second| f64::from(second.second) * 1000.0 < load.duration_ms)
                .copied()
                .collect(),
            generator: load.generator,
            parts: Vec::new(),
            activity: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_what_the_ones_behind_do_not_take() {
        let parts = Part::of_way(&[("nginx", 10.0), ("backend", 8.0), ("redis", 8.5), ("postgres", 3.0)]);
        let shown: Vec<(&str, f64)> = parts.iter().map(|part| (part.name.as_str(), part.mean_ms)).collect();
        assert_eq!(shown, [("nginx", 2.0), ("backend", 0.0), ("redis", 5.5), ("postgres", 3.0)]);
    }
}
