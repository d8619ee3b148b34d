//! What the system does while the throughput load runs: where the time of an operation goes, by the components' own metrics, and what
//! PostgreSQL's sessions wait for. Main function: [`watched`].
//!
//! Everything is looked at from before the load to its end, and cut to the measured window afterwards: only the load knows when its
//! clients were set up and warm.

use std::{collections::BTreeMap, convert::Infallible, ops::RangeInclusive, time::Duration};

use e2e::{
    clock::now_unix_ms,
    environment::Environment,
    prometheus,
    scenario::{Activity, Capacity, Part, ScenarioResult},
};
use tokio::time::{Interval, MissedTickBehavior};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Ten looks a second cost PostgreSQL about a thousandth of a processor and see each wait of a load of some seconds many times.
const SESSIONS_PERIOD: Duration = Duration::from_millis(100);
/// A window of some seconds has a reading near its start and one near its end.
const COUNTERS_PERIOD: Duration = Duration::from_secs(1);
/// Bound on reading a component's metrics.
const TIMEOUT: Duration = Duration::from_millis(500);

const SESSIONS: &str = "SELECT coalesce(wait_event_type || ':' || wait_event, 'running'), count(*)
    FROM pg_stat_activity
    WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid()
    GROUP BY 1";
const COMMITS: &str = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()";

/// What was seen, each with the time in milliseconds since 1970. Nothing that could not be seen fails the load: who does not answer is
/// found by others.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Sessions of PostgreSQL at work, of all shards, by what they wait for.
    sessions: Vec<(u64, BTreeMap<String, u64>)>,
    /// Transactions of PostgreSQL since it started.
    commits: Vec<(u64, i64)>,
    /// What the replicas say of durations since they started.
    spent: Vec<(u64, Reading)>,
}

/// Does the work and looks on.
pub(crate) async fn watched<T>(environment: &Environment, work: impl Future<Output = T>) -> (T, Seen) {
    let mut seen = Seen::default();
    let Seen { sessions, commits, spent } = &mut seen;
    let result = tokio::select! {
        result = work => result,
        never = look_at_postgres(environment, sessions, commits) => match never {},
        never = look_at_metrics(environment, spent) => match never {},
    };
    (result, seen)
}

impl Seen {
    /// Adds what was seen in the measured window to the load's figures, of which the step says how long the entrance waited for the
    /// backends.
    pub(crate) fn add_to(self, figures: &mut ScenarioResult, step: &str) {
        let upstream_mean_ms = figures.step(step).and_then(|step| step.server_time_ms_mean);
        let start = figures.window_start_unix_ms;
        let window = start..=start + figures.duration_ms;
        let client_mean_ms = figures.latency_ms.map(|latency| latency.mean);
        figures.parts = client_mean_ms
            .zip(upstream_mean_ms)
            .and_then(|(client, upstream)| parts(client, upstream, &cut(&self.spent, &window)))
            .unwrap_or_default();
        figures.activity = activity(&cut(&self.sessions, &window), &cut(&self.commits, &window)).into_iter().collect();
    }
}

fn cut<'a, T>(seen: &'a [(u64, T)], window: &RangeInclusive<u64>) -> Vec<&'a (u64, T)> {
    seen.iter().filter(|(at, _)| window.contains(at)).collect()
}

fn every(period: Duration) -> Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// The metrics that say where an operation is, with the component that has each. Every one but the last counts each operation.
const METRICS: [(&str, &str); 4] =
    [("backend", ENGINE_WAIT), ("backend", APPEND), ("engine", APPLY), ("engine", BATCH)];
const ENGINE_WAIT: &str = "backend_engine_wait_seconds";
const APPEND: &str = "backend_append_seconds";
const APPLY: &str = "engine_apply_seconds";
/// Counts each transaction.
const BATCH: &str = "engine_batch_seconds";
/// How many transactions the engine has at most at once.
const LANES: &str = "engine_lanes";
/// Stream entries in transactions, and how many one has at most.
const ENTRIES: &str = "engine_entries_total";
const BATCH_LIMIT: &str = "engine_batch_limit";

/// What the replicas say.
#[derive(Debug, Default)]
struct Reading {
    /// Seconds and how many they are about, by replica and metric.
    spent: BTreeMap<(String, &'static str), (f64, f64)>,
    /// Lanes of all engines.
    lanes: f64,
    /// Stream entries in all transactions.
    entries: f64,
    /// Most entries of one transaction.
    batch_limit: f64,
}

async fn look_at_metrics(environment: &Environment, seen: &mut Vec<(u64, Reading)>) -> Infallible {
    let mut period = every(COUNTERS_PERIOD);
    let mut is_said = false;
    loop {
        period.tick().await;
        match read_metrics(environment).await {
            Ok(reading) => seen.push((now_unix_ms(), reading)),
            Err(error) if !is_said => {
                eprintln!("metrics could not be read: {error}");
                is_said = true;
            }
            Err(_) => {}
        }
    }
}

async fn read_metrics(environment: &Environment) -> Result<Reading, Error> {
    let client = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build()?;
    let mut reading = Reading::default();
    for component in ["backend", "engine"] {
        for replica in &environment.component(component)?.replicas {
            let url = crate::health::replica_url(replica, "/metrics")?;
            // A component that refuses its own address is measured all the same.
            let request = client.get(url).header(reqwest::header::HOST, "localhost");
            let text = request.send().await?.error_for_status()?.text().await?;
            let value =
                |name: &str| prometheus::samples(&text).find(|sample| sample.name == name).map(|sample| sample.value);
            reading.lanes += value(LANES).unwrap_or_default();
            reading.entries += value(ENTRIES).unwrap_or_default();
            reading.batch_limit = value(BATCH_LIMIT).unwrap_or(reading.batch_limit);
            for (_, metric) in METRICS.iter().filter(|(of, _)| *of == component) {
                let seconds_and_count = value(&format!("{metric}_sum")).zip(value(&format!("{metric}_count")));
                let figures = seconds_and_count.ok_or_else(|| format!("{} has no metric {metric}", replica.name))?;
                reading.spent.insert((replica.name.clone(), metric), figures);
            }
        }
    }
    Ok(reading)
}

/// Where the time of an operation went for which its client and the entrance waited so long; nothing when a replica has started anew
/// meanwhile.
fn parts(client_ms: f64, upstream_ms: f64, readings: &[&(u64, Reading)]) -> Option<Vec<Part>> {
    let ((began, before), (ended, after)) = (readings.first()?, readings.last()?);
    let grown = |metric: &str| {
        let (mut seconds, mut count) = (0.0, 0.0);
        for (key, (seconds_after, count_after)) in after.spent.iter().filter(|((_, of), _)| *of == metric) {
            let (seconds_before, count_before) = before.spent.get(key)?;
            seconds += Some(seconds_after - seconds_before).filter(|grown| *grown >= 0.0)?;
            count += Some(count_after - count_before).filter(|grown| *grown >= 0.0)?;
        }
        (count > 0.0).then_some((seconds, count))
    };
    let mean_ms = |metric: &str| grown(metric).map(|(seconds, count)| seconds * 1000.0 / count);
    let (engine_wait, append, apply) = (mean_ms(ENGINE_WAIT)?, mean_ms(APPEND)?, mean_ms(APPLY)?);
    let seconds = ended.saturating_sub(*began) as f64 / 1000.0;
    // Redis has an operation until it is in the stream, and the engine from there until the transaction begins. Meanwhile it waits for a
    // lane, and as far as the lanes wait for PostgreSQL, so does it.
    let engine = engine_wait - append;
    let ((in_transactions, batches), (_, operations)) = (grown(BATCH)?, grown(APPLY)?);
    let available = Some(after.lanes * seconds).filter(|available| *available > 0.0)?;
    let busy = (in_transactions / available).min(1.0);
    let waiting_ms = (engine - apply).max(0.0);
    let postgres = apply + waiting_ms * busy;
    let way = [
        ("nginx", client_ms),
        ("backend", upstream_ms),
        ("redis", engine_wait),
        ("engine", engine),
        ("postgres", postgres),
    ];
    let mut parts = Part::of_way(&way);
    // A lane that is busy still has room while its transactions could take more entries. Where as many wait as all lanes take at once, there
    // is none, whatever a lane does between two transactions.
    let entries = after.entries - before.entries;
    if let Some(part) = parts.last_mut().filter(|_| entries > 0.0 && after.batch_limit > 0.0) {
        let queue = entries / seconds * waiting_ms / 1000.0;
        let full = busy * entries / (batches * after.batch_limit);
        let used = full.max(queue / (after.lanes * after.batch_limit)).min(1.0);
        part.capacity = Some(Capacity { per_second: operations / seconds / used, waiting_ms });
    }
    Some(parts)
}

async fn look_at_postgres(
    environment: &Environment,
    sessions: &mut Vec<(u64, BTreeMap<String, u64>)>,
    commits: &mut Vec<(u64, i64)>,
) -> Infallible {
    loop {
        let Err(error) = look_while_it_answers(environment, sessions, commits).await;
        eprintln!("PostgreSQL's sessions could not be looked at: {error}");
        tokio::time::sleep(COUNTERS_PERIOD).await;
    }
}

async fn look_while_it_answers(
    environment: &Environment,
    sessions: &mut Vec<(u64, BTreeMap<String, u64>)>,
    commits: &mut Vec<(u64, i64)>,
) -> Result<Infallible, Error> {
    let mut shards = Vec::new();
    for (_, address) in environment.pods_of("postgres")? {
        let client = e2e::scenario::postgres(environment, "postgres", address).await?;
        let statement = client.prepare(SESSIONS).await?;
        shards.push((client, statement));
    }
    let (mut look, mut count) = (every(SESSIONS_PERIOD), every(COUNTERS_PERIOD));
    loop {
        tokio::select! {
            _ = look.tick() => {
                let mut at_work: BTreeMap<String, u64> = BTreeMap::new();
                for (client, statement) in &shards {
                    for row in client.query(statement, &[]).await? {
                        *at_work.entry(row.get(0)).or_default() += row.get::<_, i64>(1).unsigned_abs();
                    }
                }
                sessions.push((now_unix_ms(), at_work));
            }
            _ = count.tick() => {
                let mut sum = 0;
                for (client, _) in &shards {
                    sum += client.query_one(COMMITS, &[]).await?.get::<_, i64>(0);
                }
                commits.push((now_unix_ms(), sum));
            }
        }
    }
}

/// The means over all looks; nothing without a look.
fn activity(sessions: &[&(u64, BTreeMap<String, u64>)], commits: &[&(u64, i64)]) -> Option<Activity> {
    let samples = sessions.len() as u64;
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for (event, count) in sessions.iter().flat_map(|(_, at_work)| at_work) {
        *sums.entry(event.clone()).or_default() += count;
    }
    (samples > 0).then(|| Activity {
        component: "postgres".to_owned(),
        samples,
        sessions: sums.into_iter().map(|(event, sum)| (event, sum as f64 / samples as f64)).collect(),
        commits_per_second: per_second(commits),
    })
}

/// How fast a counter grew; nothing when it began anew or was seen once.
fn per_second(counter: &[&(u64, i64)]) -> Option<f64> {
    let ((start, before), (end, after)) = (counter.first()?, counter.last()?);
    let grown = u64::try_from(after - before).ok()?;
    (end > start).then(|| grown as f64 * 1000.0 / (end - start) as f64)
}
