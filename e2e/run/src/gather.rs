//! Gathers evidence into `evidence/` before teardown. Main functions: [`watch_resources`], [`gather`].

mod beside;
mod locks;
mod meter;
mod processes;
mod redis;
mod servers;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use e2e_kubelet::snapshot::Snapshot;
use e2e_load::clock::now_unix_ms;
use e2e_node::{doctor::PoolUse, node::ProbeLog};
use e2e_report::{
    evidence::{
        CLUSTER, IMAGES, LOCKS, PODS, PROBES, PROCESSES, REDIS, RESOURCES, Resources, SATURATION, Sample, Saturation,
        THROTTLING, log_file,
    },
    run_dir::{self, EVIDENCE, RunDir},
};
use serde_json::Value;
use tokio::{sync::watch, task::JoinHandle};

use crate::provider::{Provider, pods::PodSpec};

use self::redis::RedisServers;

pub use self::meter::Meter;

/// Once a second: sixty points per minute of load, at a cost of about 2 ms per container and reading on a container engine.
const PERIOD: Duration = Duration::from_secs(1);

async fn sample_of(provider: &Provider) -> Sample {
    let (pods, machines) = provider.usage().await;
    Sample { at_unix_ms: now_unix_ms(), pods, machines }
}

/// Samples until it is dropped.
#[derive(Debug)]
pub(crate) struct ResourceWatch {
    samples: Arc<Mutex<Vec<Sample>>>,
    saturation: Arc<Mutex<BTreeMap<(String, String), Saturation>>>,
    redis: RedisServers,
    locks: locks::Found,
    probes: ProbeLog,
    pods: Vec<PodSpec>,
    tasks: [JoinHandle<()>; 5],
}

/// Where each probe is kept, and what decides whether one is sent.
pub(crate) struct Probing {
    /// The kubelet in a box writes into it; in a cluster, [`beside`] does.
    pub(crate) log: ProbeLog,
    /// The pods.
    pub(crate) snapshots: watch::Receiver<Snapshot>,
}

/// Starts sampling the usage of every pod and of bounded resources.
pub(crate) fn watch_resources(
    provider: Arc<Provider>,
    meters: Vec<Meter>,
    pods: Vec<PodSpec>,
    probing: Probing,
) -> ResourceWatch {
    let probes = probing.log.clone();
    let locks = locks::Found::default();
    let snapshots = probing.snapshots.clone();
    let looking = tokio::spawn(locks::watch(Arc::clone(&provider), pods.clone(), snapshots, Arc::clone(&locks)));
    let beside = tokio::spawn(beside::probe(Arc::clone(&provider), pods.clone(), probing));
    let samples = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&samples);
    let used = Arc::clone(&provider);
    let usage = tokio::spawn(each_period(move || {
        let (provider, sink) = (Arc::clone(&used), Arc::clone(&sink));
        async move {
            let sample = sample_of(&provider).await;
            sink.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
        }
    }));
    let redis = RedisServers::of(&pods);
    let (used, servers) = (Arc::clone(&provider), redis.clone());
    let asking = tokio::spawn(each_period(move || {
        let (provider, servers) = (Arc::clone(&used), servers.clone());
        async move { servers.look(&provider).await }
    }));
    let saturation = Arc::new(Mutex::new(BTreeMap::new()));
    let (sink, metered) = (Arc::clone(&saturation), pods.clone());
    let metering = tokio::spawn(each_period(move || {
        // A pod may get its address only when it starts.
        let addresses = meters.iter().flat_map(|meter| addresses(&provider, meter, &metered)).collect::<Vec<_>>();
        let sink = Arc::clone(&sink);
        async move {
            let readings = addresses.iter().map(|(meter, pod, address)| meter::read(meter, pod, *address));
            for reading in futures_util::future::join_all(readings).await.into_iter().flatten() {
                reading.add_to(&mut sink.lock().unwrap_or_else(PoisonError::into_inner));
            }
        }
    }));
    ResourceWatch { samples, saturation, redis, locks, probes, pods, tasks: [usage, metering, beside, asking, looking] }
}

/// The addresses of the replicas of a meter's component.
fn addresses(provider: &Provider, meter: &Meter, pods: &[PodSpec]) -> Vec<(Meter, String, SocketAddr)> {
    let replicas = provider.replicas(&meter.component, pods).into_iter();
    replicas.filter_map(|replica| Some((meter.clone(), replica.name, replica.ports.first()?.address))).collect()
}

/// How one replica uses a resource now; `None` when it does not tell.
pub(crate) async fn look(provider: &Provider, meter: &Meter, pod: &PodSpec) -> Option<PoolUse> {
    let (meter, name, address) = addresses(provider, meter, std::slice::from_ref(pod)).into_iter().next()?;
    meter::read(&meter, &name, address).await.map(|reading| reading.pool_use())
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
        let sample = sample_of(provider).await;
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

/// Writes statuses, resources and logs. Secrets are replaced in logs, because a component may print them.
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
    let locks = resources.locks.lock().unwrap_or_else(PoisonError::into_inner).clone();
    directory.write_json(LOCKS, &locks)?;
    resources.redis.look(provider).await;
    directory.write_json(REDIS, &resources.redis.told())?;
    directory.write_json(PROBES, &resources.probes.histories())?;
    let throttling = provider.throttling().await;
    directory.write_json(THROTTLING, &throttling)?;
    directory.write_json(PROCESSES, &processes::of_throttled(provider, &resources.pods, &throttling).await)?;
    let mut images = provider.images().await;
    if let Some((cluster, objects)) = provider.cluster().await {
        images.extend(objects.get("pods").into_iter().flat_map(images_of));
        directory.write_json(CLUSTER, &cluster)?;
        for (kind, objects) in objects {
            let text = serde_json::to_string_pretty(&objects).unwrap_or_default();
            directory.write(format!("{EVIDENCE}/objects/{kind}.json"), &redact(&text, secrets))?;
        }
    }
    directory.write_json(IMAGES, &images)?;
    for ((pod, container), text) in provider.logs().await {
        directory.write(log_file(&pod, &container), &redact(&text, secrets))?;
    }
    Ok(())
}

/// The digest of each image that a cluster's pods run, by the image's name.
fn images_of(pods: &Value) -> BTreeMap<String, String> {
    let pods = pods.as_array().or_else(|| pods["items"].as_array()).into_iter().flatten();
    let statuses = pods.flat_map(|pod| pod["status"]["containerStatuses"].as_array().into_iter().flatten());
    let text = |status: &Value, key: &str| Some(status[key].as_str()?.to_owned()).filter(|text| !text.is_empty());
    statuses.filter_map(|status| Some((text(status, "image")?, text(status, "imageID")?))).collect()
}

/// Replaces secrets in all files behind the report: a probe's body or a test's output may contain one.
pub(crate) fn scrub(directory: &RunDir, secrets: &[String]) -> Result<(), run_dir::Error> {
    for folder in [run_dir::RESULTS, EVIDENCE] {
        for entry in std::fs::read_dir(directory.join(folder)).into_iter().flatten().flatten() {
            scrub_file(directory, &entry.path(), secrets)?;
        }
    }
    scrub_file(directory, &directory.join(run_dir::JUNIT), secrets)
}

fn scrub_file(directory: &RunDir, path: &std::path::Path, secrets: &[String]) -> Result<(), run_dir::Error> {
    // Files that are not text are not ours.
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(()) };
    let redacted = redact(&text, secrets);
    if redacted == text {
        return Ok(());
    }
    // Only text values, not the syntax: a secret may be `0` or a quotation mark.
    let whole = match path.extension().and_then(std::ffi::OsStr::to_str) {
        Some("json") => serde_json::from_str(&text).ok().and_then(|mut data| {
            redact_strings(&mut data, secrets);
            serde_json::to_string_pretty(&data).ok()
        }),
        Some("xml") => Some(redact_xml(&text, secrets)),
        _ => None,
    };
    directory.write(path, &whole.unwrap_or(redacted)).map(drop)
}

fn redact_strings(data: &mut Value, secrets: &[String]) {
    match data {
        // A word that is longer than the secret is the format's own, such as `passed`, or a name.
        Value::String(text) if is_word(text) && !secrets.contains(text) => {}
        Value::String(text) => *text = redact(text, secrets),
        Value::Array(items) => items.iter_mut().for_each(|item| redact_strings(item, secrets)),
        Value::Object(fields) => fields.values_mut().for_each(|field| redact_strings(field, secrets)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Before text of XML in which nothing is escaped.
const CDATA: &str = "<![CDATA[";

/// Whether a text is a single word, as enumerations are written.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphabetic() || matches!(c, '-' | '_'))
}

/// The same of XML: text between tags and the values of attributes, and no names of either.
fn redact_xml(text: &str, secrets: &[String]) -> String {
    let hide = |text: &str| redact(text, secrets).replace(REDACTED, "&lt;secret&gt;");
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(tag) = rest.find('<') {
        redacted.push_str(&hide(&rest[..tag]));
        rest = &rest[tag..];
        if rest.starts_with(CDATA) {
            let end = rest.find("]]>").unwrap_or(rest.len());
            redacted.push_str(CDATA);
            redacted.push_str(&redact(&rest[CDATA.len()..end], secrets));
            rest = &rest[end..];
            continue;
        }
        let mut is_quoted = false;
        let end = rest.find(|c| {
            is_quoted ^= c == '"';
            c == '>' && !is_quoted
        });
        let (tag, after) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
        rest = after;
        for (index, part) in tag.split('"').enumerate() {
            let quote = if index > 0 { "\"" } else { "" };
            redacted.push_str(quote);
            redacted.push_str(&if index % 2 == 1 { hide(part) } else { part.to_owned() });
        }
    }
    redacted + &hide(rest)
}

/// Those texts that `environment.json` does not show. A user's name or a database's is often kept in a Secret and is also the name of a
/// component, without which nobody can read a report.
pub(crate) fn hidden(secrets: impl IntoIterator<Item = String>, environment: &str) -> Vec<String> {
    let is_inside = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric());
    let is_shown = |secret: &str| {
        environment.match_indices(secret).any(|(at, _)| {
            !is_inside(environment[..at].chars().next_back())
                && !is_inside(environment[at + secret.len()..].chars().next())
        })
    };
    secrets.into_iter().filter(|secret| !secret.is_empty() && !is_shown(secret)).collect()
}

/// What stands in place of a secret text.
const REDACTED: &str = "<secret>";

/// Text without secrets.
pub(crate) fn redact(text: &str, secrets: &[String]) -> String {
    // An empty secret would match everywhere.
    secrets
        .iter()
        .filter(|secret| !secret.is_empty())
        .fold(text.to_owned(), |text, secret| text.replace(secret, REDACTED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_survive() {
        let secrets = ["s3cret".to_owned(), String::new()];
        assert_eq!(redact("password s3cret, again s3cret", &secrets), "password <secret>, again <secret>");
    }

    #[test]
    fn what_the_environment_shows_is_no_secret() {
        let environment = r#"{"name": "shop", "env": {"MODE": {"plain": "fast-lane"}}}"#;
        let secrets = ["shop", "sho", "lane", "s3cret", ""].map(str::to_owned);
        assert_eq!(hidden(secrets, environment), ["sho", "s3cret"]);
    }

    /// A password may be part of the words of a format.
    #[test]
    fn words_that_hold_a_secret_are_no_secrets() {
        let secrets = ["pass".to_owned(), "test".to_owned()];
        let mut record = serde_json::json!({ "outcome": "passed", "detail": "pass, passed on", "env": "pass" });
        redact_strings(&mut record, &secrets);
        let expected =
            serde_json::json!({ "outcome": "passed", "detail": "<secret>, <secret>ed on", "env": "<secret>" });
        assert_eq!(record, expected);
        let xml = "<testsuite name=\"a test > b\"><testcase name=\"test\"/>test<![CDATA[\"test <b>]]></testsuite>";
        let expected = "<testsuite name=\"a &lt;secret&gt; > b\"><testcase name=\"&lt;secret&gt;\"/>&lt;secret&gt;<![CDATA[\"<secret> <b>]]></testsuite>";
        assert_eq!(redact_xml(xml, &secrets), expected);
    }

    #[test]
    fn a_redacted_file_is_read_as_before() {
        let parent = tempfile::tempdir().unwrap();
        let run = RunDir::create(parent.path(), "one", |_| Ok(())).unwrap();
        run.write("results/a.json", r#"{"duration_ms": 50, "detail": "port 50 of \"50\"", "50": [50]}"#).unwrap();
        run.write(run_dir::JUNIT, r#"<testcase name="asked 50"/>"#).unwrap();
        scrub(&run, &["50".to_owned()]).unwrap();
        let record: Value = run.read_json("results/a.json").unwrap();
        let expected = r#"{"duration_ms": 50, "detail": "port <secret> of \"<secret>\"", "50": [50]}"#;
        assert_eq!(record, serde_json::from_str::<Value>(expected).unwrap());
        assert_eq!(run.read(run_dir::JUNIT).unwrap(), r#"<testcase name="asked &lt;secret&gt;"/>"#);
    }
}
