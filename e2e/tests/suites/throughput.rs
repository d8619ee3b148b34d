//! Clients send operations one after the other; afterwards every acknowledged operation must be in the database, once, and with shards in
//! that of its client.

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
        let strays: i64 =
            scenario::postgres(environment, "postgres", address).await?.query_one(STRAYS, &[]).await?.get(0);
        if strays > 0 {
            return Err(format!("{strays} operations in {pod} are of clients that it does not have").into());
        }
    }
    Ok(())
}
