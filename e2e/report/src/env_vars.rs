//! The environment variables that the framework reads or sets. Crates below this one have their own (`e2e_load::agent::TOKEN` and
//! `LISTEN`), and `programs.toml` those of local programs; docs/configuration.md lists all, which a test checks.

use std::ffi::OsString;

/// Path of `environment.json`; set by the run for the suites. Without it the suites fail, which is why no other profile selects them.
pub const E2E_ENVIRONMENT: &str = "E2E_ENVIRONMENT";

/// Prefix of the variables with the directory of a local program's binaries: `E2E_POSTGRES_BIN=/opt/pg/bin`, `E2E_REDIS_BIN`,
/// `E2E_NGINX_BIN`. Searched before `PATH`.
pub const E2E_BIN_PREFIX: &str = "E2E_";

/// Set to 1 to disable installing missing local programs with apt.
pub const E2E_NO_INSTALL: &str = "E2E_NO_INSTALL";

/// Set to 1 to make the test `differential_k8s` record a real kubelet's behaviour in
/// `e2e/run/tests/differential/recorded/<version>.json`.
pub const E2E_RECORD_KUBELET: &str = "E2E_RECORD_KUBELET";

/// Set to `true` by GitHub Actions.
pub const GITHUB_ACTIONS: &str = "GITHUB_ACTIONS";

/// Set by GitHub Actions: the file to which a step appends its part of the job's summary.
pub const GITHUB_STEP_SUMMARY: &str = "GITHUB_STEP_SUMMARY";

/// Set by GitHub Actions: where the repository is checked out.
pub const GITHUB_WORKSPACE: &str = "GITHUB_WORKSPACE";

/// Set by GitHub Actions and GitLab where a commit and no branch is checked out: the branch's name, that of a pull request first.
pub const BRANCHES: [&str; 4] =
    ["GITHUB_HEAD_REF", "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME"];

/// Cargo's directory for what it builds; `e2e` in it holds the runs.
pub const CARGO_TARGET_DIR: &str = "CARGO_TARGET_DIR";

/// Set to anything to print without colour: <https://no-color.org>.
pub const NO_COLOR: &str = "NO_COLOR";

/// Set by nextest: the name of the running test.
pub const NEXTEST_TEST_NAME: &str = "NEXTEST_TEST_NAME";

/// Reads a variable: `None` when unset, an error with its name when it is not UTF-8.
pub fn read(name: &'static str) -> Result<Option<String>, BadValue> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(BadValue(name)),
    }
}

/// A variable whose value is not UTF-8.
#[derive(Debug, thiserror::Error)]
#[error("the environment variable {0} is not UTF-8; set it to plain text or unset it")]
pub struct BadValue(&'static str);

/// Names of the variables that `cargo run` and `cargo test` set for a program's package.
///
/// Build scripts depend on some of them (ring's does), and cargo passes its environment on. Remove them before calling cargo, or it
/// rebuilds those crates and their dependents at each change between `cargo build` and such a call.
pub fn of_cargo() -> Vec<OsString> {
    among(std::env::vars_os().map(|(name, _)| name))
}

/// Those that cargo sets among the names of an environment.
fn among(names: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let is_of_package = |name: &OsString| {
        name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
    };
    // Set for packages with a build script; without the others it is somebody else's.
    let is_out_dir = |name: &OsString| name == "OUT_DIR";
    let found: Vec<OsString> = names.filter(|name| is_of_package(name) || is_out_dir(name)).collect();
    if found.iter().any(is_of_package) { found } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::of_a_package(&["PATH", "CARGO_HOME", "CARGO_PKG_NAME", "CARGO_MANIFEST_DIR"], &["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR"])]
    #[case::of_one_with_a_build_script(&["OUT_DIR", "CARGO_MANIFEST_DIR"], &["OUT_DIR", "CARGO_MANIFEST_DIR"])]
    #[case::of_a_user(&["OUT_DIR", "CARGO_HOME"], &[])]
    fn only_cargos_variables_are_removed(#[case] names: &[&str], #[case] removed: &[&str]) {
        assert_eq!(among(names.iter().map(OsString::from)), removed);
    }
}
