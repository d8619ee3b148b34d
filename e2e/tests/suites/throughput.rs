//! Clients send operations one after the other; afterwards every acknowledged operation must be in the database, once.

use e2e::{
    environment::Environment,
    fixture::environment,
    scenario::{self, Error},
};
use rstest::rstest;

#[rstest]
#[tokio::test]
async fn operations_are_committed_and_kept(environment: Environment) {
    scenario::record(&environment, "throughput", async {
        let (ran, seen) = crate::activity::watched(&environment, scenario::run(&environment, "throughput")).await;
        let mut ran = ran?;
        seen.add_to(&mut ran.figures, "operation");
        ran.check_ledger(&environment).await;
        Ok::<_, Error>(ran)
    })
    .await;
}

/// A connection to the system's PostgreSQL, made as its manifest says.
pub(crate) async fn postgres(
    environment: &Environment,
) -> Result<tokio_postgres::Client, Box<dyn std::error::Error + Send + Sync>> {
    let address = environment.service("postgres")?.address;
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
