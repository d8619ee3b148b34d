//! What each component used over the time of the run, and when its containers ended: the data of charts. Main function: [`timeline`].

use std::collections::BTreeMap;

use e2e_plan::duration::millis;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    environment::Component,
    evidence::{Sample, Usage},
    expected::grown,
    run_data::RunData,
};

/// What each component used over the time of the run, and when its containers ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timeline {
    /// The first sample, in milliseconds since 1970: the times below count from it.
    pub start_unix_ms: u64,
    /// Each component of which something was measured.
    pub usage: Vec<UsageSeries>,
    /// Ends of containers, in order of time; none where the run did not record its start.
    pub ends: Vec<ContainerEnd>,
}

/// What one component used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UsageSeries {
    /// The component.
    pub component: String,
    /// In order of time; of a long run each point stands for a stretch.
    pub points: Vec<UsagePoint>,
}

/// What one component used at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UsagePoint {
    /// When.
    pub at_ms: u64,
    /// Memory of the largest replica, the highest of a stretch.
    pub memory_bytes: u64,
    /// Processors that all replicas used since the point before, the mean of a stretch; absent where that was not measured.
    pub cpus: Option<f64>,
}

/// A container ended while it should have run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContainerEnd {
    /// When.
    pub at_ms: u64,
    /// Its component.
    pub component: String,
    /// Why, as Kubernetes words it: `OOMKilled`, `Error`, `Completed`.
    pub reason: String,
}

/// A chart of 400 pixels shows no more.
const MOST_POINTS: usize = 200;

pub(super) fn timeline(data: &RunData) -> Timeline {
    let samples = &data.resources.samples;
    let start_unix_ms = samples.first().map_or(0, |sample| sample.at_unix_ms);
    let components = &data.environment.components;
    let series = components.iter().map(|component| UsageSeries {
        component: component.name.clone(),
        points: thinned(&points(samples, component, start_unix_ms)),
    });
    let usage = series.filter(|series| !series.points.is_empty()).collect();
    Timeline { start_unix_ms, usage, ends: ends(data, start_unix_ms) }
}

fn points(samples: &[Sample], component: &Component, start_unix_ms: u64) -> Vec<UsagePoint> {
    let mut last: BTreeMap<&str, (Usage, u64, Option<f64>)> = BTreeMap::new();
    let mut points = Vec::new();
    for sample in samples {
        let replicas = component.replicas.iter().filter_map(|replica| {
            let usage = *sample.pods.get(&replica.name)?;
            Some((replica.name.as_str(), usage))
        });
        let mut memory_bytes = None;
        let mut cpus = None;
        for (name, usage) in replicas {
            memory_bytes = memory_bytes.max(Some(usage.memory_bytes));
            let at = usage.measured_unix_ms.unwrap_or(sample.at_unix_ms);
            let rate = match last.get(name) {
                // A cluster is asked more often than it measures: what it said last still holds.
                Some((_, before, rate)) if *before >= at => *rate,
                Some((before, since, _)) => {
                    Some(grown(before.cpu_seconds, usage.cpu_seconds) * 1000.0 / (at - since) as f64)
                }
                None => None,
            };
            last.insert(name, (usage, at, rate));
            cpus = rate.map(|rate| rate + cpus.unwrap_or(0.0)).or(cpus);
        }
        points.extend(memory_bytes.map(|memory_bytes| UsagePoint {
            at_ms: sample.at_unix_ms.saturating_sub(start_unix_ms),
            memory_bytes,
            cpus: cpus.map(|cpus| e2e_figures::stats::rounded(cpus, 3)),
        }));
    }
    points
}

/// At most [`MOST_POINTS`] points: stretches of a long run become one each.
fn thinned(points: &[UsagePoint]) -> Vec<UsagePoint> {
    let stretch = points.len().div_ceil(MOST_POINTS).max(1);
    let of_stretch = |points: &[UsagePoint]| {
        let cpus: Vec<f64> = points.iter().filter_map(|point| point.cpus).collect();
        let mean = cpus.iter().sum::<f64>() / cpus.len() as f64;
        Some(UsagePoint {
            at_ms: points.first()?.at_ms,
            memory_bytes: points.iter().map(|point| point.memory_bytes).max()?,
            cpus: (!cpus.is_empty()).then(|| e2e_figures::stats::rounded(mean, 3)),
        })
    };
    points.chunks(stretch).filter_map(of_stretch).collect()
}

fn ends(data: &RunData, start_unix_ms: u64) -> Vec<ContainerEnd> {
    let Some(started) = data.environment.started_unix_ms else { return Vec::new() };
    let mut ends: Vec<ContainerEnd> = Vec::new();
    for component in &data.environment.components {
        for (_, pod) in data.pods_of(component).filter(|(_, pod)| !pod.completes) {
            let terminations = pod.containers.iter().flat_map(|container| &container.terminations);
            ends.extend(terminations.map(|end| ContainerEnd {
                at_ms: (started + millis(end.at)).saturating_sub(start_unix_ms),
                component: component.name.clone(),
                reason: end.reason.clone(),
            }));
        }
    }
    ends.sort_by_key(|end| end.at_ms);
    ends
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use e2e_kubelet::status::Termination;

    use super::*;
    use crate::{evidence::Resources, testing::quiet};

    fn sample(at_unix_ms: u64, memory_bytes: u64, cpu_seconds: f64, measured_unix_ms: Option<u64>) -> Sample {
        let usage = Usage { memory_bytes, cpu_seconds, measured_unix_ms };
        Sample { at_unix_ms, pods: [("app-0".to_owned(), usage)].into(), machines: BTreeMap::new() }
    }

    fn data(samples: Vec<Sample>) -> RunData {
        let mut data = quiet();
        data.resources = Resources { samples };
        data
    }

    /// Half a second of processor time in a second is half a processor; a restart begins to count at 0 again.
    #[test]
    fn processors_are_the_growth_of_processor_time() {
        let samples = vec![sample(5000, 10, 1.0, None), sample(6000, 30, 1.5, None), sample(8000, 20, 0.4, None)];
        let timeline = timeline(&data(samples));
        let point = |at_ms, memory_bytes, cpus| UsagePoint { at_ms, memory_bytes, cpus };
        assert_eq!(timeline.start_unix_ms, 5000);
        assert_eq!(
            timeline.usage[0].points,
            [point(0, 10, None), point(1000, 30, Some(0.5)), point(3000, 20, Some(0.2))]
        );
    }

    #[test]
    fn what_a_cluster_measured_once_is_not_divided_by_nothing() {
        let samples =
            vec![sample(1000, 1, 1.0, Some(500)), sample(2000, 1, 3.0, Some(1500)), sample(3000, 1, 3.0, Some(1500))];
        let cpus: Vec<_> = timeline(&data(samples)).usage[0].points.iter().map(|point| point.cpus).collect();
        assert_eq!(cpus, [None, Some(2.0), Some(2.0)]);
    }

    #[test]
    fn a_long_run_keeps_its_peaks() {
        let samples = (0..1000).map(|at| sample(at * 1000, if at == 501 { 99 } else { 1 }, at as f64, None)).collect();
        let points = &timeline(&data(samples)).usage[0].points;
        assert_eq!(points.len(), MOST_POINTS);
        assert_eq!(points.iter().map(|point| point.memory_bytes).max(), Some(99));
        assert_eq!(points[7].cpus, Some(1.0));
    }

    #[test]
    fn ends_are_told_by_the_clock_of_the_samples() {
        let mut data = data(vec![sample(10_000, 1, 0.0, None)]);
        let end = Termination {
            exit_code: 137,
            signal: Some(9),
            reason: "OOMKilled".to_owned(),
            started: Duration::ZERO,
            at: Duration::from_millis(2500),
        };
        data.snapshot.pods.get_mut("app-0").unwrap().containers[0].terminations = vec![end];
        assert_eq!(timeline(&data).ends, [], "the run did not record its start");
        data.environment.started_unix_ms = Some(9000);
        let end = ContainerEnd { at_ms: 1500, component: "app".to_owned(), reason: "OOMKilled".to_owned() };
        assert_eq!(timeline(&data).ends, [end]);
    }
}
