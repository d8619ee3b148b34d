//! Clients send operations one after the other; afterwards every acknowledged operation must be in the database, once, and with shards in
//! that of its client.

use std::net::SocketAddr;

use e2e::{environment::Environment, fixture::environment, scenario};
use rstest::rstest;

#[rstest]
#[tokio::test]
async fn operations_are_committed_and_kept(environment: Environment) {
    scenario::record(&environment, "throughput", async {
        let (ran, seen) = crate::activity::watched(&environment, scenario::run(&environment, "throughput")).await;
        let mut ran = ran?;
        seen.add_to(&mut ran.figures, "operation");
        ran.check_ledger(&environment).await;
        // A ledger that could not be read, or lacks operations, fails the test by itself; clients are gone with them.
        if ran.figures.ledger.as_ref().is_some_and(|ledger| ledger.missing == 0) {
            check_shards(&environment).await?;
        }
        Ok::<_, SqlError>(ran)
    })
    .await;
}

type SqlError = Box<dyn std::error::Error + Send + Sync>;

/// Operations of clients that a database does not have.
const STRAYS: &str = "SELECT count(*) FROM operations WHERE client NOT IN (SELECT id FROM clients)";

/// A client operates where it registered.
async fn check_shards(environment: &Environment) -> Result<(), SqlError> {
    // A fault may have moved a database.
    let environment = &environment.again()?;
    for (pod, address) in environment.pods_of("postgres")? {
        let strays: i64 = postgres(environment, address).await?.query_one(STRAYS, &[]).await?.get(0);
        if strays > 0 {
            return Err(format!("{strays} operations in {pod} are of clients that it does not have").into());
        }
    }
    Ok(())
}

/// A connection to one of the system's PostgreSQLs, made as its manifest says.
pub(crate) async fn postgres(
    environment: &Environment,
    address: SocketAddr,
) -> Result<tokio_postgres::Client, SqlError> {
    let mut config = tokio_postgres::Config::new();
    config
        .host(address.ip().to_string())
        .port(address.port())
        .user(environment.env("postgres", "POSTGRES_USER")?)
        .dbname(environment.env("postgres", "POSTGRES_DB")?)
        .password(environment.env("postgres", "POSTGRES_PASSWORD")?)
        .connect_timeout(std::time::Duration::from_secs(5));
    let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
    // Ends with the client; an error of the connection shows in the next query.
    tokio::spawn(connection);
    Ok(client)
}
