//! Each component answers a real request of its own kind.

use std::time::Duration;

use e2e::{
    environment::{Component, Environment, Replica},
    fixture::environment,
    record::{Measured, check},
};
use redis::AsyncCommands;
use rstest::rstest;

/// Bound on one request; a healthy component needs a hundredth of it.
const TIMEOUT: Duration = Duration::from_secs(5);

type Error = Box<dyn std::error::Error + Send + Sync>;

#[rstest]
#[tokio::test]
async fn postgres_answers_a_query(environment: Environment) {
    check(&environment, "health", "postgres_answers_a_query", async {
        let mut versions = Vec::new();
        for (pod, address) in environment.pods_of("postgres")? {
            let client = e2e::scenario::postgres(&environment, "postgres", address).await?;
            let row = client.query_one("SELECT 6 * 7, current_setting('server_version')", &[]).await?;
            let (answer, version): (i32, String) = (row.get(0), row.get(1));
            if answer != 42 {
                return Err(format!("6 * 7 is {answer} in {pod}").into());
            }
            versions.push(version);
        }
        let version = versions.first().ok_or("no pod of postgres has an address")?;
        Ok::<_, Error>((format!("PostgreSQL {version} answered a query"), Measured::Nothing))
    })
    .await;
}

#[rstest]
#[tokio::test]
async fn redis_answers_ping(environment: Environment) {
    check(&environment, "health", "redis_answers_ping", async {
        let mut connection = redis(&environment).await?;
        let answer: String = redis::cmd("PING").query_async(&mut connection).await?;
        Ok::<_, Error>((format!("Redis answered {answer}"), Measured::Nothing))
    })
    .await;
}

#[rstest]
#[tokio::test]
async fn redis_takes_a_stream_entry(environment: Environment) {
    check(&environment, "health", "redis_takes_a_stream_entry", async {
        let mut connection = redis(&environment).await?;
        let key = "e2e:health";
        let id: String = connection.xadd(key, "*", &[("check", "health")]).await?;
        let length: u64 = connection.xlen(key).await?;
        let _: () = connection.del(key).await?;
        if length == 0 {
            return Err(format!("the stream is empty after XADD answered {id}").into());
        }
        Ok::<_, Error>(("an entry was added, counted and removed".to_owned(), Measured::Nothing))
    })
    .await;
}

#[rstest]
#[tokio::test]
async fn engine_heartbeat_is_fresh(environment: Environment) {
    check(&environment, "health", "engine_heartbeat_is_fresh", async {
        let mut connection = redis(&environment).await?;
        // The engine writes this key every second and lets it expire.
        let remaining_ms: i64 = redis::cmd("PTTL").arg("engine:heartbeat").query_async(&mut connection).await?;
        match remaining_ms {
            ..=0 => {
                Err::<_, Error>("there is no key engine:heartbeat in Redis, so the engine has not turned lately".into())
            }
            _ => Ok(("the heartbeat has not expired".to_owned(), Measured::Nothing)),
        }
    })
    .await;
}

#[rstest]
#[tokio::test]
async fn backend_replica_answers(
    environment: Environment,
    #[values("/health", "/livez", "/readyz", "/metrics")] path: &str,
) {
    let case = format!("backend_replicas_answer_{}", path.trim_start_matches('/'));
    check(&environment, "health", &case, async {
        let Component { replicas, desired, .. } = environment.component("backend")?;
        for replica in replicas {
            get(replica_url(replica, path)?).await.map_err(|error| format!("{}: {error}", replica.name))?;
        }
        let found = format!("{} of {desired} replicas answered 200", replicas.len());
        match replicas.len() {
            0 => Err("there is no replica to ask".into()),
            some if some < *desired as usize => Err(format!("{found}; there is no way to the others").into()),
            _ => Ok::<_, Error>((found, Measured::Nothing)),
        }
    })
    .await;
}

#[rstest]
#[case::nginx_itself("nginx_answers", "/healthz")]
#[case::backend("backend_answers_through_nginx", "/health")]
#[tokio::test]
async fn entrance_answers(environment: Environment, #[case] case: &str, #[case] path: &str) {
    check(&environment, "health", case, async {
        let address = environment.entrance()?.address;
        let body = get(format!("http://{address}{path}")).await?;
        Ok::<_, Error>((format!("GET {path} answered 200 {}", body.trim()), Measured::Nothing))
    })
    .await;
}

async fn redis(environment: &Environment) -> Result<redis::aio::MultiplexedConnection, Error> {
    let address = environment.service("redis")?.address;
    let client = redis::Client::open(format!("redis://{address}"))?;
    Ok(tokio::time::timeout(TIMEOUT, client.get_multiplexed_async_connection())
        .await
        .map_err(|_| format!("no connection to Redis at {address} within {TIMEOUT:?}"))??)
}

/// A path on a replica's first port.
pub(crate) fn replica_url(replica: &Replica, path: &str) -> Result<String, Error> {
    let port = replica.ports.first().ok_or_else(|| format!("{} declares no port", replica.name))?;
    Ok(format!("http://{}{path}", port.address))
}

pub(crate) fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build()
}

async fn get(url: String) -> Result<String, Error> {
    let response = client()?.get(&url).send().await?;
    let status = response.status();
    let body = response.text().await?;
    if !status.is_success() {
        // A page for people says no more than the status.
        let said = body.lines().next().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('<'));
        return Err(
            format!("GET {url} answered {status}{}", said.map(|said| format!(": {said}")).unwrap_or_default()).into()
        );
    }
    Ok(body)
}
