//! How a verb fails: what is printed, and the exit code. Main functions: [`describe`], [`exit_code`].

use e2e::control;
use e2e_run::exit::ExitCode;

/// An error with its causes, each once: many messages already include their cause.
pub(crate) fn describe(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        match text.is_empty() {
            true => text = cause,
            false if text.contains(&cause) => {}
            false => text = format!("{text}: {cause}"),
        }
    }
    text
}

/// Bad input that clap cannot detect.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadInput(pub(crate) String);

pub(crate) fn bad_input<T>(text: impl Into<String>) -> anyhow::Result<T> {
    Err(BadInput(text.into()).into())
}

/// An error with its own exit code.
#[derive(Debug, thiserror::Error)]
#[error("{1}")]
pub struct Ended(pub ExitCode, pub String);

/// The exit code of an error, by its type.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    let is_input = error.is::<BadInput>()
        || error.is::<e2e_run::config::Error>()
        || error.is::<e2e_report::run_dir::Error>()
        || error.is::<e2e_report::environment::Error>()
        || error.is::<e2e_node::doctor::AskError>();
    if let Some(Ended(code, _)) = error.downcast_ref() {
        return *code;
    }
    match (error.downcast_ref::<e2e_run::Error>(), error.downcast_ref::<control::Error>()) {
        (Some(error), _) => error.exit_code(),
        (None, Some(error)) => of_control(error),
        (None, None) if is_input => ExitCode::BadInput,
        (None, None) => ExitCode::Fail,
    }
}

/// The exit code of a request to a run.
fn of_control(error: &control::Error) -> ExitCode {
    const UNAUTHORISED: u16 = 401;
    const NOT_FOUND: u16 = 404;
    match error {
        // The secrets go with the system, and another run may listen at its address by now.
        control::Error::Environment(_)
        | control::Error::NoAnswer { .. }
        | control::Error::Refused { status: UNAUTHORISED, .. } => ExitCode::NotUp,
        control::Error::Refused { status: NOT_FOUND, .. } => ExitCode::BadInput,
        control::Error::Refused { .. } => ExitCode::Fail,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[rstest::rstest]
    #[case::no_such_component(404, ExitCode::BadInput)]
    #[case::another_run_at_its_address(401, ExitCode::NotUp)]
    #[case::a_build_that_failed(502, ExitCode::Fail)]
    fn a_refusal_has_the_exit_code_of_its_status(#[case] status: u16, #[case] expected: ExitCode) {
        let refused = || control::Error::Refused { url: "/redeploy/db".to_owned(), status, body: String::new() };
        assert_eq!(exit_code(&refused().into()), expected);
        assert_eq!(exit_code(&Err::<(), _>(refused()).context("what was asked").unwrap_err()), expected);
    }

    #[test]
    fn a_malformed_configuration_is_bad_input() {
        let malformed = e2e_run::config::Error::Malformed { place: "e2e.toml:1".to_owned(), message: "no".to_owned() };
        assert_eq!(exit_code(&malformed.into()), ExitCode::BadInput);
    }

    #[test]
    fn each_cause_is_said_once() {
        let error = anyhow::anyhow!("no room").context("cannot write a: no room; free some").context("no report");
        assert_eq!(describe(&error), "no report: cannot write a: no room; free some");
    }
}
