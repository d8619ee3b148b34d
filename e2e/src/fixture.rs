//! The running system as an rstest fixture. Main function: [`environment`].

use e2e_report::environment::Environment;
use rstest::fixture;

/// The running system, as an rstest fixture.
///
/// ```no_run
/// use e2e::{environment::Environment, fixture::environment};
///
/// #[rstest::rstest]
/// fn the_entrance_is_known(environment: Environment) {
///     assert!(environment.entrance().is_ok());
/// }
/// ```
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
