//! `cargo xtask bench` where the programs that it compares with are not there.

mod support;

use std::process::Command;

use rstest::rstest;
use support::said;

#[rstest]
#[case::up("up", &["neither `docker compose` nor `docker-compose` was found; install one of them"])]
#[case::load("load", &["no peer is installed: apt install wrk", "servers use the first processor"])]
fn a_program_that_is_missing_is_named(#[case] what: &str, #[case] one_of: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let output = command.args(["bench", what]).env("PATH", "/nowhere").output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.starts_with("error: ") && one_of.iter().any(|phrase| said.contains(phrase)), "{said}");
}
