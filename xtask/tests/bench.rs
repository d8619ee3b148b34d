//! `cargo xtask bench` where the programs that it compares with are not there.

mod support;

use rstest::rstest;
use support::{said, xtask};

#[rstest]
#[case::up("up", &["neither `docker compose` nor `docker-compose` was found; install one of them"])]
#[case::load("load", &["no peer is installed: apt install wrk", "servers use the first processor"])]
fn a_program_that_is_missing_is_named(#[case] what: &str, #[case] one_of: &[&str]) {
    let output = xtask(&["bench", what]).env("PATH", "/nowhere").output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.starts_with("error: ") && one_of.iter().any(|phrase| said.contains(phrase)), "{said}");
}
