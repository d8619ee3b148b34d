//! The keys that a system stores, read by SQL. Main functions: [`stored`], [`postgres`].

use std::net::SocketAddr;

use e2e_load::load::StoredKeys;
use e2e_report::{environment::Environment, request::Sql};
use futures_util::TryStreamExt;

/// The timeout; other checks report an unresponsive database.
const CONNECT_LIMIT: std::time::Duration = std::time::Duration::from_secs(5);

type Error = Box<dyn std::error::Error + Send + Sync>;

/// A connection to a PostgreSQL of a component, made as its manifest says. It ends with the client; its errors show in the next query.
///
/// # Errors
///
/// When the component lacks a variable of the image, or the database does not answer within 5 s.
pub async fn postgres(
    environment: &Environment,
    component: &str,
    address: SocketAddr,
) -> Result<tokio_postgres::Client, Error> {
    let mut config = tokio_postgres::Config::new();
    config
        .host(address.ip().to_string())
        .port(address.port())
        .user(environment.env(component, "POSTGRES_USER")?)
        .dbname(environment.env(component, "POSTGRES_DB")?)
        .password(environment.env(component, "POSTGRES_PASSWORD")?)
        .connect_timeout(CONNECT_LIMIT);
    let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The keys of a query, of each pod where each stores its own part.
pub(super) async fn stored(environment: &Environment, sql: &Sql, pattern: &str) -> Result<StoredKeys, Error> {
    let mut stored = StoredKeys::default();
    if !sql.sharded {
        add(&mut stored, environment, sql, pattern, environment.service(&sql.service)?.address).await?;
        return Ok(stored);
    }
    for (pod, address) in environment.pods_of(&sql.service)? {
        stored.begin_pod(pod);
        add(&mut stored, environment, sql, pattern, address).await.map_err(|error| format!("{pod}: {error}"))?;
    }
    Ok(stored)
}

/// Adds the keys of one database, row by row, to save memory.
async fn add(
    stored: &mut StoredKeys,
    environment: &Environment,
    sql: &Sql,
    pattern: &str,
    address: SocketAddr,
) -> Result<(), Error> {
    let client = postgres(environment, sql.component.as_deref().unwrap_or(&sql.service), address).await?;
    let statement = client.prepare(&sql.query).await?;
    let parameters: &[&str] = if statement.params().is_empty() { &[] } else { &[pattern] };
    let rows = client.query_raw(&statement, parameters.iter()).await?;
    let mut rows = std::pin::pin!(rows);
    while let Some(row) = rows.try_next().await? {
        let columns = row.try_get(0).and_then(|key| Ok((key, row.try_get::<_, i64>(1)?)));
        let (key, count): (&str, i64) = columns.map_err(|error| {
            format!("the query's columns must be a text and a bigint, for example `id::text, count(*)`: {error}")
        })?;
        stored.add(key, count.unsigned_abs());
    }
    Ok(())
}
