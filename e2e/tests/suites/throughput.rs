//! Clients send operations in a closed loop; afterwards every acknowledged operation must be in the database, once.

use std::{collections::BTreeMap, panic::AssertUnwindSafe};

use e2e::{
    environment::Environment,
    fixture::environment,
    load::{
        LoadResult, Settings,
        scenarios::{self, ThroughputReport},
    },
    record::{Conservation, Measured, Throughput, measure},
};
use futures_util::FutureExt;
use rstest::rstest;

type Error = Box<dyn std::error::Error + Send + Sync>;

#[rstest]
#[tokio::test]
async fn operations_are_committed_and_kept(environment: Environment) {
    let prefix = format!("{}-operation", environment.run_id);
    let mut load = None;
    let throughput = measure(&environment, "throughput", "operations", async {
        let (result, seen) = crate::activity::watched(&environment, operate(&environment, &prefix)).await;
        let result = result?;
        environment.run_dir()?.write_json("evidence/throughput.load.json", &result)?;
        let mut figures = Throughput::new(&result);
        seen.add_to(&mut figures, result.upstream_mean_ms());
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
        if load.client_reports.iter().all(|report| report.operations == 0) {
            let nothing = Measured::Conservation(Conservation::default());
            return Ok(("no operation was sent".to_owned(), nothing, None));
        }
        let figures = count(&environment, &prefix, &load).await?;
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

async fn operate(environment: &Environment, prefix: &str) -> Result<LoadResult<ThroughputReport>, Error> {
    let wanted = &environment.scenario;
    let mut scenario =
        scenarios::Throughput::new(crate::registration::HOST, format!("{}-throughput", environment.run_id), prefix)?;
    scenario.registration_attempts = wanted.attempts;
    let settings = Settings {
        clients: wanted.clients,
        duration: wanted.throughput,
        warm_up: wanted.warm_up,
        request_timeout: wanted.timeout,
        seed: wanted.seed,
        ..Settings::new(environment.entrance()?.address)
    };
    crate::load::watched(environment, "throughput", settings, scenario).await
}

/// Counts each operation of the run in the database against what the clients were told.
async fn count(
    environment: &Environment,
    prefix: &str,
    load: &LoadResult<ThroughputReport>,
) -> Result<Conservation, Error> {
    let client = postgres(environment).await?;
    let rows = client
        .query(
            "SELECT operation, count(*) FROM operations WHERE operation LIKE $1 GROUP BY operation",
            &[&format!("{prefix}-%")],
        )
        .await?;
    let stored: BTreeMap<String, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut figures = Conservation {
        stored: stored.values().map(|count| count.unsigned_abs()).sum(),
        duplicate: stored.values().filter(|count| **count > 1).count() as u64,
        ..Conservation::default()
    };
    for report in &load.client_reports {
        for number in (1..=report.operations).filter(|number| report.is_acknowledged(*number)) {
            figures.acknowledged += 1;
            let name = scenarios::Throughput::operation(prefix, report.client, number);
            figures.missing += u64::from(!stored.contains_key(&name));
        }
    }
    figures.unacknowledged = (stored.len() as u64 + figures.missing).saturating_sub(figures.acknowledged);
    Ok(figures)
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
