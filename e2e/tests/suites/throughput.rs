//! Clients send operations in a closed loop; afterwards every acknowledged operation must be in the database, once.

use std::panic::AssertUnwindSafe;

use e2e::{
    environment::Environment,
    fixture::environment,
    load::{
        ClientReport, LoadResult, Settings, StoredKeys,
        scenarios::{Steps, StepsScenario},
    },
    record::{Conservation, Measured, Throughput, measure},
    scenario::ScenarioResult,
};
use futures_util::{FutureExt, TryStreamExt};
use rstest::rstest;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Load = LoadResult<ClientReport>;

#[rstest]
#[tokio::test]
async fn operations_are_committed_and_kept(environment: Environment) {
    let steps = crate::steps::throughput(&environment);
    let mut load = None;
    let throughput = measure(&environment, "throughput", "operations", async {
        let (result, seen) = crate::activity::watched(&environment, operate(&environment, &steps)).await;
        let (result, mut figures) = result?;
        seen.add_to(&mut figures, "operation");
        let figures = Throughput::from(&figures);
        let detail = format!("{} operations acknowledged, {} errors", figures.acknowledged, figures.errors);
        let failure = (figures.acknowledged == 0)
            .then(|| format!("no operation was acknowledged in the measured time: {:?}", figures.by_error));
        load = Some(result);
        Ok::<_, Error>((detail, Measured::Throughput(figures), failure))
    });
    // A load that failed has sent operations too: they are counted before the failure goes on.
    let throughput = AssertUnwindSafe(throughput).catch_unwind().await;
    measure(&environment, "conservation", "operations", async {
        let load = load.ok_or("there was no load, so there is nothing to count")?;
        let ledgers = load.client_reports.iter().filter_map(|report| report.ledger.as_ref());
        if ledgers.into_iter().all(|ledger| ledger.is_empty()) {
            let nothing = Measured::Conservation(Conservation::default());
            return Ok(("no operation was sent".to_owned(), nothing, None));
        }
        let figures = count(&environment, &steps, &load).await?;
        let detail = format!("{} acknowledged, {} stored", figures.acknowledged, figures.stored);
        let failure = (figures.missing > 0 || figures.duplicate > 0)
            .then(|| format!("{detail}, {} missing, {} stored twice", figures.missing, figures.duplicate));
        Ok::<_, Error>((detail, Measured::Conservation(figures), failure))
    })
    .await;
    if let Err(panic) = throughput {
        std::panic::resume_unwind(panic);
    }
}

async fn operate(environment: &Environment, steps: &Steps) -> Result<(Load, ScenarioResult), Error> {
    let wanted = &environment.scenario;
    let settings = Settings {
        clients: wanted.clients,
        duration: wanted.throughput,
        warm_up: wanted.warm_up,
        request_timeout: wanted.timeout,
        seed: wanted.seed,
        ..Settings::new(environment.entrance()?.address)
    };
    crate::load::watched(environment, settings, steps).await
}

/// Counts each operation of the run in the database against what the clients were told.
async fn count(environment: &Environment, steps: &Steps, load: &Load) -> Result<Conservation, Error> {
    let scenario = StepsScenario::new(steps)?;
    let client = postgres(environment).await?;
    let query = "SELECT operation, count(*) FROM operations WHERE operation LIKE $1 GROUP BY operation";
    let rows = client.query_raw(query, [scenario.key_pattern()]).await?;
    let mut rows = std::pin::pin!(rows);
    let mut stored = StoredKeys::default();
    while let Some(row) = rows.try_next().await? {
        stored.add(row.try_get(0)?, row.try_get::<_, i64>(1)?.unsigned_abs());
    }
    let ledger = stored.check(load, |client, round, key| scenario.write_key(client, round, key));
    Ok(Conservation::from(&ledger))
}

/// A connection to the system's PostgreSQL, made as its manifest says.
pub(crate) async fn postgres(environment: &Environment) -> Result<tokio_postgres::Client, Error> {
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
