//! What the system does while the throughput load runs: where the time of an operation goes, by the components' own metrics, and what
//! PostgreSQL's sessions wait for. Main function: [`watched`].

use std::{collections::BTreeMap, time::Duration};

use e2e::{
    environment::Environment,
    prometheus,
    record::{Activity, Part, Throughput},
};
use tokio::time::{Instant, MissedTickBehavior};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Ten looks a second cost PostgreSQL about a thousandth of a processor and see each wait of a load of some seconds many times.
const PERIOD: Duration = Duration::from_millis(100);
/// Bound on reading a component's metrics.
const TIMEOUT: Duration = Duration::from_secs(1);

const SESSIONS: &str = "SELECT coalesce(wait_event_type || ':' || wait_event, 'running'), count(*)
    FROM pg_stat_activity
    WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid()
    GROUP BY 1";
const COMMITS: &str = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()";

/// What was seen. A look that failed leaves its part out: the load's own figures do not depend on it, and the components that do not
/// answer are found by others.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    before: Spent,
    after: Spent,
    activity: Option<Activity>,
}

/// Does the work and looks on from the end of the warm-up.
pub(crate) async fn watched<T>(environment: &Environment, work: impl Future<Output = T>) -> (T, Seen) {
    let mut seen = Seen::default();
    let mut sampled = Sampled::default();
    let look_on = async {
        tokio::time::sleep(environment.scenario.warm_up).await;
        seen.before = Spent::read(environment).await;
        if let Err(error) = sampled.go_on(environment).await {
            eprintln!("PostgreSQL's sessions could not be looked at: {error}");
        }
        std::future::pending().await
    };
    let result = tokio::select! {
        result = work => result,
        never = look_on => never,
    };
    seen.after = Spent::read(environment).await;
    seen.activity = sampled.finish(environment).await;
    (result, seen)
}

impl Seen {
    /// Adds what was seen to the load's figures.
    pub(crate) fn add_to(self, figures: &mut Throughput) {
        let mean = figures.latency_ms.map(|latency| latency.mean);
        figures.parts = mean.and_then(|mean| parts(mean, &self.before, &self.after)).unwrap_or_default();
        figures.activity = self.activity.into_iter().collect();
    }
}

/// The metrics that say where an operation is, with the component that has each.
const METRICS: [(&str, &str); 3] = [("backend", ENGINE_WAIT), ("backend", APPEND), ("engine", APPLY)];
const ENGINE_WAIT: &str = "backend_engine_wait_seconds";
const APPEND: &str = "backend_append_seconds";
const APPLY: &str = "engine_apply_seconds";

/// Seconds and how often, by metric, over all replicas since they started.
#[derive(Debug, Default)]
struct Spent(BTreeMap<&'static str, (f64, f64)>);

impl Spent {
    async fn read(environment: &Environment) -> Self {
        let mut spent = BTreeMap::new();
        for component in ["backend", "engine"] {
            let metrics = METRICS.iter().filter(|(of, _)| *of == component).map(|(_, metric)| *metric);
            match read_all(environment, component).await {
                Ok(texts) => spent.extend(metrics.map(|metric| (metric, total(&texts, metric)))),
                Err(error) => eprintln!("the metrics of {component} could not be read: {error}"),
            }
        }
        Self(spent)
    }

    /// The mean duration since an earlier reading, in milliseconds; nothing when a replica has started anew since.
    fn mean_ms(&self, before: &Self, metric: &str) -> Option<f64> {
        let ((sum, count), (sum_before, count_before)) = (self.0.get(metric)?, before.0.get(metric)?);
        let (seconds, count) = (sum - sum_before, count - count_before);
        (seconds >= 0.0 && count > 0.0).then(|| seconds * 1000.0 / count)
    }
}

async fn read_all(environment: &Environment, component: &str) -> Result<Vec<String>, Error> {
    let client = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build()?;
    let mut texts = Vec::new();
    for replica in &environment.component(component)?.replicas {
        let url = crate::health::replica_url(replica, "/metrics")?;
        // A component that refuses its own address is measured all the same.
        let request = client.get(url).header(reqwest::header::HOST, crate::registration::HOST);
        texts.push(request.send().await?.error_for_status()?.text().await?);
    }
    Ok(texts)
}

fn total(texts: &[String], metric: &str) -> (f64, f64) {
    let sum = |suffix: &str| -> f64 {
        let name = format!("{metric}{suffix}");
        texts
            .iter()
            .flat_map(|text| prometheus::samples(text))
            .filter(|sample| sample.name == name)
            .map(|sample| sample.value)
            .sum()
    };
    (sum("_sum"), sum("_count"))
}

/// Where the time of an operation went whose client waited so long.
fn parts(client_ms: f64, before: &Spent, after: &Spent) -> Option<Vec<Part>> {
    let mean_ms = |metric| after.mean_ms(before, metric);
    let (engine_wait, append, apply) = (mean_ms(ENGINE_WAIT)?, mean_ms(APPEND)?, mean_ms(APPLY)?);
    // Redis has an operation until it is in the stream, and the engine from there until the transaction begins.
    let way = [
        ("nginx and backend", client_ms),
        ("redis", engine_wait),
        ("engine", engine_wait - append),
        ("postgres", apply),
    ];
    Some(Part::of_way(&way))
}

/// PostgreSQL's sessions over many looks.
#[derive(Debug, Default)]
struct Sampled {
    samples: u64,
    sessions: BTreeMap<String, u64>,
    /// When the first look was, and how many transactions had been committed by then.
    start: Option<(Instant, i64)>,
}

impl Sampled {
    /// Looks until it is dropped.
    async fn go_on(&mut self, environment: &Environment) -> Result<(), Error> {
        let client = crate::throughput::postgres(environment).await?;
        let statement = client.prepare(SESSIONS).await?;
        let commits: i64 = client.query_one(COMMITS, &[]).await?.get(0);
        self.start = Some((Instant::now(), commits));
        let mut period = tokio::time::interval(PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            period.tick().await;
            for row in client.query(&statement, &[]).await? {
                let (event, sessions): (String, i64) = (row.get(0), row.get(1));
                *self.sessions.entry(event).or_default() += sessions.unsigned_abs();
            }
            self.samples += 1;
        }
    }

    /// The means.
    async fn finish(self, environment: &Environment) -> Option<Activity> {
        let (began, before) = self.start.filter(|_| self.samples > 0)?;
        let seconds = began.elapsed().as_secs_f64();
        let client = crate::throughput::postgres(environment).await.ok()?;
        let after: i64 = client.query_one(COMMITS, &[]).await.ok()?.get(0);
        let mean = |sessions: u64| sessions as f64 / self.samples as f64;
        Some(Activity {
            component: "postgres".to_owned(),
            samples: self.samples,
            sessions: self.sessions.into_iter().map(|(event, sessions)| (event, mean(sessions))).collect(),
            // Each look is a transaction too.
            commits_per_second: ((after - before) as f64 - self.samples as f64).max(0.0) / seconds,
        })
    }
}
