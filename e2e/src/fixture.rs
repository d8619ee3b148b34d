//! The running system as an rstest fixture. Main function: [`environment`].

use e2e_report::environment::Environment;
use rstest::fixture;

/// The system that `cargo xtask e2e` brought up, for `#[rstest] fn case(environment: Environment)`.
///
/// # Panics
///
/// Without `E2E_ENVIRONMENT`: a suite without a system cannot pass. The message says what to run.
#[fixture]
pub fn environment() -> Environment {
    match Environment::from_env() {
        Ok(environment) => environment,
        Err(error) => panic!("{error}"),
    }
}
