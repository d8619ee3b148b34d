//! What the load engine measured, as the figures that records and reports show. Pure.

use std::collections::BTreeMap;

use super::{Registration, Throughput};
use crate::load::{
    LoadResult,
    scenarios::{RegistrationOutcome, RegistrationReport, ThroughputReport},
};

impl From<&LoadResult<RegistrationReport>> for Registration {
    fn from(load: &LoadResult<RegistrationReport>) -> Self {
        let known = load.client_reports.len() as u64;
        let is_registered = |report: &&RegistrationReport| report.outcome == RegistrationOutcome::Registered;
        let registered = load.client_reports.iter().filter(is_registered).count() as u64;
        let mut by_outcome: BTreeMap<String, u64> = BTreeMap::new();
        for report in &load.client_reports {
            *by_outcome.entry(report.outcome.label()).or_default() += 1;
        }
        Self {
            clients: u64::from(load.clients),
            lost: lost(load),
            registered,
            failed: known - registered,
            failure_rate: (known > 0).then(|| (known - registered) as f64 / known as f64),
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

/// How many clients went with their agents.
fn lost<C>(load: &LoadResult<C>) -> u64 {
    load.missing_agents().map(|agent| u64::from(agent.clients)).sum()
}

impl Throughput {
    /// The figures of a load.
    pub fn new(load: &LoadResult<ThroughputReport>) -> Self {
        let lost = lost(load);
        let clients = u64::from(load.clients);
        Self {
            clients,
            lost,
            idle: clients.saturating_sub(u64::from(load.clients_ready) + lost),
            window_start_unix_ms: load.window_start_unix_ms,
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
    use crate::load::Generator;

    #[test]
    fn clients_that_are_lost_or_idle_are_in_no_figure_of_the_others() {
        let samples = serde_json::json!(crate::stats::Samples::default());
        let totals = serde_json::json!({"requests": 0, "succeeded": 0, "errors": 0, "by_status": {}, "by_error": {}, "latency_ms": null});
        // Of ten clients four went with their agent, and one of the others registered too late.
        let load = |reports: serde_json::Value| {
            serde_json::json!({
                "scenario": "test", "clients": 10, "clients_ready": 5, "seed": 1, "set_up_ms": 1.0, "warm_up_ms": 1.0,
                "window_start_unix_ms": 7, "duration_ms": 1.0, "stopped": false, "set_up": totals, "warm_up": totals,
                "measured": totals, "succeeded_per_second": null, "steps": [], "series": [], "series_samples": [],
                "connections": serde_json::json!(crate::load::Connections::default()), "connecting": samples,
                "generator": serde_json::json!(Generator::default()), "first_errors": [], "client_reports": reports,
                "agents": [
                    {"agent": 0, "first_client": 0, "clients": 6, "missing": null},
                    {"agent": 1, "first_client": 6, "clients": 4, "missing": "silent for 10 s"},
                ],
            })
        };
        let throughput: LoadResult<ThroughputReport> = serde_json::from_value(load(serde_json::json!([]))).unwrap();
        let figures = Throughput::new(&throughput);
        assert_eq!((figures.clients, figures.lost, figures.idle, figures.window_start_unix_ms), (10, 4, 1, 7));

        let report = |client: u32, kind: &str| {
            serde_json::json!({
                "client": client, "key": "k", "outcome": {"kind": kind}, "attempts": 1, "retries": 0,
                "first_registration_ms": null, "registering": {}, "keeping": {},
            })
        };
        let reports = serde_json::json!([report(0, "registered"), report(1, "timed_out")]);
        let registration: LoadResult<RegistrationReport> = serde_json::from_value(load(reports)).unwrap();
        let figures = Registration::from(&registration);
        assert_eq!((figures.clients, figures.lost, figures.registered, figures.failed), (10, 4, 1, 1));
        assert_eq!(figures.failure_rate, Some(0.5));
    }
}
