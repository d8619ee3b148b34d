//! Several generators' results as one: [`merge`].

use crate::load::{Connections, FirstError, Generator, LoadResult, Phase, Second, StepResult, Totals};
use e2e_figures::{scenario::per_second, stats::Samples};

/// Merges the results of one scenario's parts, in the order of their clients; nothing when there are none.
///
/// Counts are added and percentiles taken from added histograms, so both are those of one generator that made all of the
/// load. Times of the run are the longest of the parts. Of the generators' own figures, costs are added and the
/// worst part's share, lag and saturation stand for all, since each part's clients met their own generator.
pub fn merge<C>(parts: impl IntoIterator<Item = LoadResult<C>>) -> Option<LoadResult<C>> {
    let mut parts = parts.into_iter();
    let mut merged = parts.next()?;
    for part in parts {
        add(&mut merged, part);
    }
    sort_steps(&mut merged.steps);
    merged.first_errors.sort_by_key(|error| error.outcome);
    for (phase, totals) in [
        (Phase::SetUp, &mut merged.set_up),
        (Phase::WarmUp, &mut merged.warm_up),
        (Phase::Measured, &mut merged.measured),
    ] {
        *totals = Totals::pooled(phase, std::mem::take(&mut totals.by_status), &merged.steps);
    }
    merged.succeeded_per_second = per_second(merged.measured.succeeded, merged.duration_ms);
    for (second, samples) in merged.series.iter_mut().zip(&merged.series_samples) {
        second.latency_ms_p50 = samples.quantile_ms(0.5);
        second.latency_ms_p99 = samples.quantile_ms(0.99);
    }
    merged.connections.connect_ms = merged.connecting.summary();
    Some(merged)
}

fn add<C>(merged: &mut LoadResult<C>, part: LoadResult<C>) {
    merged.clients += part.clients;
    merged.clients_ready += part.clients_ready;
    merged.set_up_ms = merged.set_up_ms.max(part.set_up_ms);
    merged.warm_up_ms = merged.warm_up_ms.max(part.warm_up_ms);
    merged.duration_ms = merged.duration_ms.max(part.duration_ms);
    merged.stopped |= part.stopped;
    for (totals, added) in
        [(&mut merged.set_up, part.set_up), (&mut merged.warm_up, part.warm_up), (&mut merged.measured, part.measured)]
    {
        for (status, count) in added.by_status {
            *totals.by_status.entry(status).or_default() += count;
        }
    }
    if let (Some(merged), Some(part)) = (&mut merged.open, part.open) {
        merged.due += part.due;
        merged.late += part.late;
        merged.dropped += part.dropped;
        merged.uncorrected.merge(&part.uncorrected);
        merged.latency_uncorrected_ms = merged.uncorrected.summary();
    }
    add_steps(&mut merged.steps, part.steps);
    add_series(merged, part.series, part.series_samples);
    for (index, (succeeded, failed)) in part.tenths.into_iter().enumerate() {
        match merged.tenths.get_mut(index) {
            Some(known) => *known = (known.0 + succeeded, known.1 + failed),
            None => merged.tenths.push((succeeded, failed)),
        }
    }
    add_connections(&mut merged.connections, &part.connections);
    merged.connecting.merge(&part.connecting);
    add_generator(&mut merged.generator, &part.generator);
    add_errors(&mut merged.first_errors, part.first_errors);
    merged.client_reports.extend(part.client_reports);
    merged.agents.extend(part.agents);
}

fn add_steps(merged: &mut Vec<StepResult>, added: Vec<StepResult>) {
    for step in added {
        let same = |known: &&mut StepResult| {
            (known.phase, &known.step, known.outcome) == (step.phase, &step.step, step.outcome)
        };
        let Some(known) = merged.iter_mut().find(same) else {
            merged.push(step);
            continue;
        };
        known.samples.merge(&step.samples);
        known.latency_ms = known.samples.summary().unwrap_or(known.latency_ms);
    }
}

/// The order of a generator's own result: phases, then the scenario's steps, then outcomes. A client's first steps come first.
fn sort_steps(steps: &mut [StepResult]) {
    let mut names: Vec<String> = Vec::new();
    for step in steps.iter() {
        if !names.contains(&step.step) {
            names.push(step.step.clone());
        }
    }
    let position = |step: &StepResult| names.iter().position(|name| *name == step.step);
    steps.sort_by_key(|step| (step.phase, position(step), step.outcome));
}

fn add_series<C>(merged: &mut LoadResult<C>, seconds: Vec<Second>, samples: Vec<Samples>) {
    for (index, (second, samples)) in seconds.into_iter().zip(samples).enumerate() {
        match (merged.series.get_mut(index), merged.series_samples.get_mut(index)) {
            (Some(known), Some(known_samples)) => {
                known.succeeded += second.succeeded;
                known.errors += second.errors;
                known_samples.merge(&samples);
            }
            _ => {
                merged.series.push(second);
                merged.series_samples.push(samples);
            }
        }
    }
}

fn add_connections(merged: &mut Connections, added: &Connections) {
    merged.opened += added.opened;
    merged.reopened += added.reopened;
    merged.failed += added.failed;
    merged.closed_by_server += added.closed_by_server;
    merged.abandoned += added.abandoned;
    merged.unsolicited += added.unsolicited;
}

fn add_generator(merged: &mut Generator, added: &Generator) {
    merged.cpu_seconds += added.cpu_seconds;
    merged.wall_seconds = merged.wall_seconds.max(added.wall_seconds);
    merged.cpu_share = merged.cpu_share.max(added.cpu_share);
    merged.cpu_wait_seconds = merged.cpu_wait_seconds.zip(added.cpu_wait_seconds).map(|(merged, added)| merged + added);
    let worst = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(f64::max);
    merged.wait_share = worst(merged.wait_share, added.wait_share);
    merged.lag_ms_p99 = worst(merged.lag_ms_p99, added.lag_ms_p99);
    merged.saturated |= added.saturated;
}

fn add_errors(merged: &mut Vec<FirstError>, added: Vec<FirstError>) {
    for error in added {
        match merged.iter_mut().find(|known| known.outcome == error.outcome) {
            Some(known) if error.at_ms < known.at_ms => *known = error,
            Some(_) => {}
            None => merged.push(error),
        }
    }
}

#[cfg(test)]
mod tests;
