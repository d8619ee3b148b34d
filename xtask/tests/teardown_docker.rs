//! Whatever ends a run in containers, nothing of it stays. Takes the machine for itself: see `.config/nextest.toml`.

mod support;

use rstest::rstest;
use rustix::process::Signal;
use support::{has_engine, lifecycle};

#[rstest]
#[case::while_it_comes_up("cut-up", "ContainerCreating", Signal::TERM)]
#[case::while_containers_start("cut-start", " started", Signal::INT)]
#[case::under_load("cut-load", "requests/s", Signal::TERM)]
fn a_signal_leaves_nothing(#[case] id: &str, #[case] moment: &str, #[case] signal: Signal) {
    if has_engine() {
        lifecycle::interrupt("docker", &support::unique(id), moment, signal);
    }
}

#[test]
fn what_a_killed_run_leaves_is_removed() {
    if has_engine() {
        lifecycle::kill("docker", &support::unique("killed"));
    }
}

#[test]
fn a_kept_system_can_be_looked_into_and_removed() {
    if has_engine() {
        lifecycle::keep("docker");
    }
}
