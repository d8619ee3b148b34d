//! A scenario's figures as those that the reference system's records have. Pure.

use super::{Conservation, Registration, Throughput};
use e2e_figures::scenario::{LedgerResult, ScenarioResult};

fn by_kind(figures: &ScenarioResult) -> std::collections::BTreeMap<String, u64> {
    figures.by_error.iter().map(|(kind, count)| (String::from(*kind), *count)).collect()
}

impl From<&ScenarioResult> for Registration {
    fn from(figures: &ScenarioResult) -> Self {
        let known = figures.client_outcomes.values().sum::<u64>();
        Self {
            clients: figures.clients,
            lost: figures.clients_lost,
            registered: known - figures.clients_failed,
            failed: figures.clients_failed,
            failure_rate: (known > 0).then(|| figures.clients_failed as f64 / known as f64),
            retried: figures.clients_retried,
            requests: figures.requests,
            by_error: by_kind(figures),
            latency_ms: figures.latency_ms,
            by_outcome: figures.client_outcomes.clone(),
            generator: figures.generator,
        }
    }
}

impl From<&ScenarioResult> for Throughput {
    fn from(figures: &ScenarioResult) -> Self {
        Self {
            clients: figures.clients,
            lost: figures.clients_lost,
            idle: figures.clients_idle,
            window_start_unix_ms: figures.window_start_unix_ms,
            duration_ms: figures.duration_ms,
            operations_per_second: figures.rate_per_second.unwrap_or(0.0),
            acknowledged: figures.succeeded,
            errors: figures.errors,
            by_error: by_kind(figures),
            latency_ms: figures.latency_ms,
            series: figures.series.clone(),
            generator: figures.generator,
            parts: figures.parts.clone(),
            activity: figures.activity.clone(),
        }
    }
}

impl From<&LedgerResult> for Conservation {
    fn from(ledger: &LedgerResult) -> Self {
        Self {
            acknowledged: ledger.acknowledged,
            stored: ledger.stored,
            missing: ledger.missing,
            duplicate: ledger.duplicate,
            unacknowledged: ledger.unacknowledged,
        }
    }
}
