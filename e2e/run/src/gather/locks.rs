//! Looks for locks in PostgreSQL that a pod holds and others wait for, while a probe of that pod gets no answer. Main function: [`watch()`].

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use e2e_kubelet::{observation::Kind, snapshot::Snapshot};
use e2e_load::clock::now_unix_ms;
use e2e_node::{node::Runtime, poll::every};
use e2e_plan::ProbeKind;
use e2e_report::evidence::locks::HeldLock;
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tokio_postgres::Row;

use super::servers::{WellKnown, ports_of, variable};
use crate::provider::{Provider, pods::PodSpec};

/// Often enough to see that a session does not go on.
const PERIOD: Duration = Duration::from_secs(1);
/// How long after a probe without an answer to look: more than a probe's usual period.
const SUSPECTED: Duration = Duration::from_secs(15);
/// What a database that hangs itself may take.
const LIMIT: Duration = Duration::from_secs(2);

const POSTGRES: WellKnown = WellKnown { port: 5432, images: &["postgres"] };

/// Sessions that are idle in a transaction, each with a session that waits for its locks.
const HELD: &str = "SELECT holder.pid, host(holder.client_addr), holder.client_port,
        (extract(epoch FROM holder.xact_start) * 1000)::bigint, host(waiter.client_addr), waiter.client_port
    FROM pg_stat_activity waiter, unnest(pg_blocking_pids(waiter.pid)) blocker, pg_stat_activity holder
    WHERE waiter.wait_event_type = 'Lock' AND holder.pid = blocker AND holder.state LIKE 'idle in transaction%'
        AND holder.client_addr IS NOT NULL AND waiter.client_addr IS NOT NULL";

/// Everything that was found, in order of time.
pub(super) type Found = Arc<Mutex<Vec<HeldLock>>>;

/// A PostgreSQL, and what its own manifest says of who may connect.
struct Database {
    pod: PodSpec,
    port: u16,
    user: String,
    name: String,
    password: Option<String>,
}

/// Looks until it is dropped. A system whose probes are answered is left alone: a look takes a connection.
pub(super) async fn watch(
    provider: Arc<Provider>,
    pods: Vec<PodSpec>,
    snapshots: watch::Receiver<Snapshot>,
    found: Found,
) {
    let databases: Vec<Database> = pods.iter().flat_map(databases).collect();
    if databases.is_empty() {
        return;
    }
    let mut silence = Silence::default();
    every(PERIOD, async move || {
        silence.note(&snapshots.borrow());
        if silence.last.is_none_or(|last| last.elapsed() > SUSPECTED) {
            return;
        }
        for database in &databases {
            // A database that does not answer is found by others.
            if let Ok(Some(held)) = timeout(LIMIT, look(&provider, &pods, database)).await {
                found.lock().extend(held);
            }
        }
    })
    .await;
}

/// When a probe last got no answer.
#[derive(Default)]
struct Silence {
    failed: BTreeMap<(String, String, ProbeKind), u32>,
    last: Option<Instant>,
}

impl Silence {
    fn note(&mut self, snapshot: &Snapshot) {
        for (pod, report) in &snapshot.pods {
            for container in &report.containers {
                for (which, tally) in &container.probes {
                    let known = self.failed.entry((pod.clone(), container.name.clone(), *which)).or_default();
                    let is_silent = tally.last_failure.as_ref().is_some_and(|last| last.kind == Kind::Timeout);
                    if is_silent && tally.failed > *known {
                        self.last = Some(Instant::now());
                    }
                    *known = tally.failed;
                }
            }
        }
    }
}

/// With the variables of the official image.
fn databases(pod: &PodSpec) -> Vec<Database> {
    let of = |(port, container)| {
        let text = |name| variable(&container, &[name]).map(str::to_owned);
        let user = text("POSTGRES_USER").unwrap_or_else(|| "postgres".to_owned());
        let name = text("POSTGRES_DB").unwrap_or_else(|| user.clone());
        Database { pod: pod.clone(), port, user, name, password: text("POSTGRES_PASSWORD") }
    };
    ports_of(pod, &POSTGRES).into_iter().map(of).collect()
}

async fn look(provider: &Provider, pods: &[PodSpec], database: &Database) -> Option<Vec<HeldLock>> {
    let address = *provider.target(&database.pod.name)?.ports.get(&database.port)?;
    let mut config = tokio_postgres::Config::new();
    config.host(address.ip().to_string()).port(address.port()).user(&database.user).dbname(&database.name);
    if let Some(password) = &database.password {
        config.password(password);
    }
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.ok()?;
    // Ends with the client.
    tokio::spawn(connection);
    let rows = client.query(HELD, &[]).await.ok()?;
    let at_unix_ms = now_unix_ms();
    let mut held: BTreeMap<i32, HeldLock> = BTreeMap::new();
    for row in &rows {
        let Some((session, holder, since_unix_ms, waiter)) = read(row) else { continue };
        let Some(pod) = provider.pod_at(pods, holder, address) else { continue };
        let lock = held.entry(session).or_insert_with(|| HeldLock {
            at_unix_ms,
            database: database.pod.name.clone(),
            session,
            since_unix_ms,
            pod: pod.name.clone(),
            ..HeldLock::default()
        });
        if let Some(waiter) = provider.pod_at(pods, waiter, address) {
            *lock.waiting.entry(waiter.name.clone()).or_default() += 1;
        }
    }
    for lock in held.values_mut() {
        if let Some(pod) = pods.iter().find(|pod| pod.name == lock.pod) {
            lock.states = provider.process_states(pod).await;
        }
    }
    Some(held.into_values().collect())
}

/// The session, its client, the begin of its transaction in milliseconds since 1970, and the client that waits.
fn read(row: &Row) -> Option<(i32, SocketAddr, u64, SocketAddr)> {
    let client = |at: usize| {
        let ip: IpAddr = row.try_get::<_, &str>(at).ok()?.parse().ok()?;
        Some(SocketAddr::new(ip, u16::try_from(row.try_get::<_, i32>(at + 1).ok()?).ok()?))
    };
    let since = u64::try_from(row.try_get::<_, i64>(3).ok()?).ok()?;
    Some((row.try_get(0).ok()?, client(1)?, since, client(4)?))
}
