//! Writes one record per test. Main functions: [`check`], [`measure`].

pub use e2e_report::record::*;

use std::{fmt::Display, future::Future, time::Instant};

use e2e_plan::duration;
use e2e_report::{env_vars, environment::Environment, run_dir::RunDir};

/// Runs one test's body and writes its record in any case, even after a panic.
///
/// The body returns a line of detail and figures, or an error. An error fails the test after the record is written. [The crate](crate) has an example.
///
/// # Panics
///
/// When the body fails or the record cannot be written: this is how a test fails.
pub async fn check<E: Display>(
    environment: &Environment,
    suite: &str,
    case: &str,
    body: impl Future<Output = Result<(String, Measured), E>>,
) {
    let body = async { body.await.map(|(detail, measured)| (detail, measured, None)) };
    measure(environment, suite, case, body).await;
}

/// [`check`] for a body that may fail with measurements: the third part is the reason of the failure.
///
/// ```no_run
/// # async fn of(environment: e2e::environment::Environment) {
/// use e2e::record::{Measured, measure};
///
/// measure(&environment, "web", "answers_in_time", async {
///     let address = environment.entrance()?.address;
///     let start = std::time::Instant::now();
///     tokio::net::TcpStream::connect(address).await?;
///     let took = start.elapsed();
///     let failure = (took.as_millis() > 100).then(|| format!("connecting took {took:?}"));
///     Ok::<_, Box<dyn std::error::Error>>((format!("connected in {took:?}"), Measured::Nothing, failure))
/// })
/// .await;
/// # }
/// ```
///
/// # Panics
///
/// Like [`check`].
pub async fn measure<E: Display>(
    environment: &Environment,
    suite: &str,
    case: &str,
    body: impl Future<Output = Result<Found, E>>,
) {
    let directory = match environment.run_dir() {
        Ok(directory) => directory,
        Err(error) => panic!("no record of {suite}/{case}: {error}"),
    };
    let mut guard = Guard { directory, started: Instant::now(), record: Some(unfinished(suite, case)) };
    let (outcome, detail, measured) = judged(body.await);
    guard.finish(outcome, detail.clone(), measured);
    assert!(outcome == Outcome::Passed, "{suite}/{case}: {detail}");
}

/// A check's detail, its measurements, and the reason if it failed.
pub type Found = (String, Measured, Option<String>);

pub(crate) fn judged<E: Display>(found: Result<Found, E>) -> (Outcome, String, Measured) {
    match found {
        Ok((detail, measured, None)) => (Outcome::Passed, detail, measured),
        Ok((_, measured, Some(failure))) => (Outcome::Failed, failure, measured),
        Err(error) => (Outcome::Failed, error.to_string(), Measured::Nothing),
    }
}

fn unfinished(suite: &str, case: &str) -> Record {
    Record {
        suite: suite.to_owned(),
        case: case.to_owned(),
        test: test_name(),
        outcome: Outcome::Failed,
        detail: "the test panicked; junit.xml has its output".to_owned(),
        duration_ms: 0,
        measured: Measured::Nothing,
    }
}

/// The name of the running test: nextest's, or the thread's name from libtest.
fn test_name() -> String {
    let nextest = env_vars::read(env_vars::NEXTEST_TEST_NAME).ok().flatten();
    nextest.or_else(|| std::thread::current().name().map(str::to_owned)).unwrap_or_default()
}

/// Writes the record as failed when the body panics.
struct Guard {
    directory: RunDir,
    started: Instant,
    record: Option<Record>,
}

impl Guard {
    fn finish(&mut self, outcome: Outcome, detail: String, measured: Measured) {
        if let Some(record) = self.record.take() {
            self.write(&Record { outcome, detail, measured, ..record });
        }
    }

    fn write(&self, record: &Record) {
        let duration_ms = duration::millis(self.started.elapsed());
        let record = Record { duration_ms, ..record.clone() };
        if let Err(error) = self.directory.write_json(record.file(), &record) {
            // Not a panic: this may run during one. The run detects the missing record.
            eprintln!("no record of {}/{}: {error}", record.suite, record.case);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(record) = self.record.take() {
            self.write(&record);
        }
    }
}
