//! The running system as an rstest fixture. Main function: [`environment`].

use e2e_report::environment::Environment;
use rstest::fixture;

/// The running system, for `#[rstest] fn case(environment: Environment)`.
///
/// # Panics
///
/// Without `E2E_ENVIRONMENT`, because a suite needs a system. The message has the command.
#[fixture]
pub fn environment() -> Environment {
    match Environment::from_env() {
        Ok(environment) => environment,
        Err(error) => panic!("{error}"),
    }
}
