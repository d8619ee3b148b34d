//! The way from the entrance to the backends carries traffic to every one of them. That they reach their stores is what their
//! readiness says, a case of `health`.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use e2e::{
    environment::{Environment, Replica},
    fixture::environment,
    prometheus::{Sample, samples},
    record::{Measured, check},
};
use rstest::rstest;

use crate::health::{client, replica_url};

/// Enough that every replica gets its turn many times over, however the entrance chooses.
const REQUESTS: u64 = 40;
/// More than an entrance is likely to keep open, and far below the limits on file descriptors.
const MOST_AT_ONCE: u64 = 400;
/// How long a replica that is ready may be left out: each node of a cluster has to hear of it, and a busy one takes seconds.
const SPREAD: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(500);

type Error = Box<dyn std::error::Error + Send + Sync>;

#[rstest]
#[tokio::test]
async fn entrance_reaches_every_backend(environment: Environment) {
    check(&environment, "network", "entrance_reaches_every_backend", async {
        let client = client()?;
        let replicas = &environment.component("backend")?.replicas;
        let before = served(&client, replicas).await?;
        let url = format!("http://{}/health", environment.entrance()?.address);
        let (mut sent, mut at_once, begun) = (0, REQUESTS, Instant::now());
        let hits = loop {
            // At the same time: an entrance that keeps its connections open would serve one request after the other from the first.
            let requests = (0..at_once).map(|_| async { client.get(&url).send().await?.error_for_status() });
            futures_util::future::try_join_all(requests).await?;
            sent += at_once;
            // What the entrance keeps open may all lead to the replica that was ready first; more at once make it open others.
            at_once = (at_once * 2).min(MOST_AT_ONCE);
            let after = served(&client, replicas).await?;
            let grown = |(name, count): (&String, &u64)| (name.clone(), count - before.get(name).copied().unwrap_or(0));
            let hits: BTreeMap<String, u64> = after.iter().map(grown).collect();
            let reached_all = !hits.is_empty() && hits.values().all(|count| *count > 0);
            if reached_all || begun.elapsed() > SPREAD {
                break hits;
            }
            tokio::time::sleep(PAUSE).await;
        };
        let detail = format!("{sent} requests through the entrance");
        if hits.is_empty() || hits.values().any(|count| *count == 0) {
            return Err::<_, Error>(format!("not every replica was reached by {detail}: {hits:?}").into());
        }
        let figures = hits.into_iter().map(|(name, count)| (name, count as f64));
        Ok((detail, Measured::Figures(figures.collect())))
    })
    .await;
}

/// How many requests for `/health` each replica has answered, by its own count.
async fn served(client: &reqwest::Client, replicas: &[Replica]) -> Result<BTreeMap<String, u64>, Error> {
    let mut served = BTreeMap::new();
    for replica in replicas {
        let metrics = client.get(replica_url(replica, "/metrics")?).send().await?.error_for_status()?.text().await?;
        let is_it =
            |sample: &Sample<'_>| sample.name == "backend_requests_total" && sample.label("route") == Some("/health");
        let count = samples(&metrics).filter(is_it).map(|sample| sample.value as u64).sum();
        served.insert(replica.name.clone(), count);
    }
    Ok(served)
}
