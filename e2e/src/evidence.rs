//! What is gathered before anything is torn down, as files in `evidence/`. Main functions: [`watch_resources`], [`gather`].

pub mod cluster;
mod meter;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    ops::RangeBounds,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

pub use self::meter::Meter;
use crate::{
    kubelet::{Which, doctor::Diagnosis, node::Snapshot},
    provider::{Provider, Usage, pods::PodSpec},
    run_dir::{self, EVIDENCE, RunDir},
};

/// Statuses, events and probe counts of every pod.
pub const PODS: &str = "evidence/pods.json";
/// Memory and processor time over time.
pub const RESOURCES: &str = "evidence/resources.json";
/// Use of the bounded resources that the configuration names.
pub const SATURATION: &str = "evidence/saturation.json";
/// How often the kernel held containers back at their CPU limits.
pub const THROTTLING: &str = "evidence/throttling.json";
/// What the cluster says of itself and of the run.
pub const CLUSTER: &str = "evidence/cluster.json";
/// What the doctor found for each HTTP probe that fails.
pub const DOCTOR: &str = "evidence/doctor.json";

/// Once a second: a load of a minute gives sixty points, and reading them costs a container engine about 2 ms per container.
const PERIOD: Duration = Duration::from_secs(1);

/// Everything that was measured about resources.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// In order of time.
    pub samples: Vec<Sample>,
}

/// What every pod used at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Milliseconds since 1970.
    pub at_unix_ms: u64,
    /// By pod; pods that could not be measured are left out.
    pub pods: BTreeMap<String, Usage>,
    /// The machines that run the pods, by the names of nodes, or this one; those that do not tell are left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub machines: BTreeMap<String, Machine>,
}

/// How busy a machine has been, whoever with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Processor seconds since it started.
    pub busy_seconds: f64,
    /// When that was, as in [`Usage`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured_unix_ms: Option<u64>,
    /// How many processors that is about; absent where the cluster says it at another place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u64>,
}

impl Sample {
    async fn take(provider: &Provider) -> Self {
        let (pods, machines) = provider.usage().await;
        Self { at_unix_ms: unix_ms(), pods, machines }
    }
}

/// How often the kernel held a pod's containers back at their CPU limits, since the last start of each. A period is 100 ms in which
/// something wanted to run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttling {
    /// Periods.
    pub periods: u64,
    /// Periods in which the limit was used up before their end.
    pub throttled: u64,
}

impl std::ops::AddAssign for Throttling {
    fn add_assign(&mut self, other: Self) {
        self.periods += other.periods;
        self.throttled += other.throttled;
    }
}

/// What the doctor found for one probe of one pod.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DoctorEntry {
    /// The component.
    pub component: String,
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// Which probe.
    pub which: Which,
    /// When the doctor had looked, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// What was tried and what follows.
    pub diagnosis: Diagnosis,
}

/// How a bounded resource of one pod was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saturation {
    /// The component.
    pub component: String,
    /// The pod.
    pub pod: String,
    /// The resource, as the configuration names it.
    pub resource: String,
    /// How much of it there is.
    pub limit: u64,
    /// In order of time, about one a second.
    pub samples: Vec<InUse>,
}

/// How much of a bounded resource was in use at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InUse {
    /// Milliseconds since 1970.
    pub at_unix_ms: u64,
    /// How much was in use.
    pub used: u64,
    /// How many callers waited for some.
    pub waiting: u64,
}

impl Saturation {
    /// In how many of the samples of a time all of it was in use and callers waited, and how many there are.
    pub fn used_up(&self, time: impl RangeBounds<u64>) -> (usize, usize) {
        let samples: Vec<&InUse> = self.samples.iter().filter(|sample| time.contains(&sample.at_unix_ms)).collect();
        let used_up = samples.iter().filter(|sample| sample.used >= self.limit && sample.waiting > 0);
        (used_up.count(), samples.len())
    }
}

/// Samples until it is dropped.
#[derive(Debug)]
pub(crate) struct ResourceWatch {
    samples: Arc<Mutex<Vec<Sample>>>,
    saturation: Arc<Mutex<BTreeMap<(String, String), Saturation>>>,
    tasks: [JoinHandle<()>; 2],
}

/// Starts to sample what every pod uses, and how far bounded resources are used up.
pub(crate) fn watch_resources(provider: Arc<Provider>, meters: Vec<Meter>, pods: Vec<PodSpec>) -> ResourceWatch {
    let samples = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&samples);
    let used = Arc::clone(&provider);
    let usage = tokio::spawn(each_period(move || {
        let (provider, sink) = (Arc::clone(&used), Arc::clone(&sink));
        async move {
            let sample = Sample::take(&provider).await;
            sink.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
        }
    }));
    let saturation = Arc::new(Mutex::new(BTreeMap::new()));
    let sink = Arc::clone(&saturation);
    let metering = tokio::spawn(each_period(move || {
        // A pod may get its address only when it starts.
        let addresses = meters.iter().flat_map(|meter| addresses(&provider, meter, &pods)).collect::<Vec<_>>();
        let sink = Arc::clone(&sink);
        async move {
            let readings = addresses.iter().map(|(meter, pod, address)| meter::read(meter, pod, *address));
            for reading in futures_util::future::join_all(readings).await.into_iter().flatten() {
                reading.add_to(&mut sink.lock().unwrap_or_else(PoisonError::into_inner));
            }
        }
    }));
    ResourceWatch { samples, saturation, tasks: [usage, metering] }
}

/// Where each replica of a meter's component is reached.
fn addresses(provider: &Provider, meter: &Meter, pods: &[PodSpec]) -> Vec<(Meter, String, SocketAddr)> {
    let replicas = provider.replicas(&meter.component, pods).into_iter();
    replicas.filter_map(|replica| Some((meter.clone(), replica.name, replica.ports.first()?.address))).collect()
}

async fn each_period<F: Future<Output = ()>>(mut work: impl FnMut() -> F) {
    let mut period = tokio::time::interval(PERIOD);
    period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        period.tick().await;
        work().await;
    }
}

impl ResourceWatch {
    /// One more sample: a run may be over before the first period is.
    async fn sample(&self, provider: &Provider) {
        let sample = Sample::take(provider).await;
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
    }

    fn resources(&self) -> Resources {
        Resources { samples: self.samples.lock().unwrap_or_else(PoisonError::into_inner).clone() }
    }

    fn saturation(&self) -> Vec<Saturation> {
        self.saturation.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

impl Drop for ResourceWatch {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Writes statuses, resources and logs. Secret texts are replaced in logs: a component may print what it was given.
pub(crate) async fn gather(
    provider: &Provider,
    snapshot: &Snapshot,
    resources: &ResourceWatch,
    secrets: &[String],
    directory: &RunDir,
) -> Result<(), run_dir::Error> {
    directory.write_json(PODS, snapshot)?;
    resources.sample(provider).await;
    directory.write_json(RESOURCES, &resources.resources())?;
    directory.write_json(SATURATION, &resources.saturation())?;
    directory.write_json(THROTTLING, &provider.throttling().await)?;
    if let Some((cluster, objects)) = provider.cluster().await {
        directory.write_json(CLUSTER, &cluster)?;
        for (kind, objects) in objects {
            let text = serde_json::to_string_pretty(&objects).unwrap_or_default();
            directory.write(format!("{EVIDENCE}/objects/{kind}.json"), &redact(&text, secrets))?;
        }
    }
    for ((pod, container), text) in provider.logs().await {
        directory.write(log_file(&pod, &container), &redact(&text, secrets))?;
    }
    Ok(())
}

/// Milliseconds since 1970.
pub fn unix_ms() -> u64 {
    crate::clock::unix_ms(SystemTime::now())
}

/// Where the log of a container stands.
pub fn log_file(pod: &str, container: &str) -> String {
    format!("{EVIDENCE}/logs/{pod}.{container}.log")
}

/// Where a suite writes everything that its load generator counted.
pub fn load_file(suite: &str) -> String {
    format!("{EVIDENCE}/{suite}.load.json")
}

/// Replaces secret texts in everything that a report is made from: a probe's body or a test's output may hold one.
pub(crate) fn scrub(directory: &RunDir, secrets: &[String]) -> Result<(), run_dir::Error> {
    for folder in [run_dir::RESULTS, EVIDENCE] {
        for entry in std::fs::read_dir(directory.join(folder)).into_iter().flatten().flatten() {
            scrub_file(directory, &entry.path(), secrets)?;
        }
    }
    scrub_file(directory, &directory.join(run_dir::JUNIT), secrets)
}

fn scrub_file(directory: &RunDir, path: &std::path::Path, secrets: &[String]) -> Result<(), run_dir::Error> {
    // What is not text was written by nobody here and is left alone.
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(()) };
    let redacted = redact(&text, secrets);
    if redacted != text {
        directory.write(path, &redacted)?;
    }
    Ok(())
}

/// Text without secrets.
pub(crate) fn redact(text: &str, secrets: &[String]) -> String {
    // An empty secret would match everywhere.
    secrets
        .iter()
        .filter(|secret| !secret.is_empty())
        .fold(text.to_owned(), |text, secret| text.replace(secret, "<secret>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_survive() {
        let secrets = ["s3cret".to_owned(), String::new()];
        assert_eq!(redact("password s3cret, again s3cret", &secrets), "password <secret>, again <secret>");
    }
}
