//! Concurrent clients register and keep their sessions; each client's outcome is recorded.

use e2e::{environment::Environment, fixture::environment};
use rstest::rstest;

#[rstest]
#[tokio::test]
async fn clients_register(environment: Environment) {
    e2e::scenario(&environment, "registration").await;
}
