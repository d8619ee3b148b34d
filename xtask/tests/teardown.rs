//! Whatever ends a run of plain processes, nothing of it stays. Takes the machine for itself: see `.config/nextest.toml`.

mod support;

use std::time::Duration;

use rstest::rstest;
use rustix::process::Signal;
use support::{Bench, SMALL, assert_nothing_left, lifecycle};

#[rstest]
#[case::while_it_comes_up("cut-up", "ContainerCreating", Signal::INT)]
#[case::when_the_suites_start("cut-suites", "running the suites", Signal::TERM)]
#[case::under_load("cut-load", "requests/s", Signal::INT)]
fn a_signal_leaves_nothing(#[case] id: &str, #[case] moment: &str, #[case] signal: Signal) {
    lifecycle::interrupt("local", &support::unique(id), moment, signal);
}

#[test]
fn what_a_killed_run_leaves_is_removed() {
    lifecycle::kill("local", &support::unique("killed"));
}

#[test]
fn a_kept_system_can_be_looked_into_and_removed() {
    lifecycle::keep("local");
}

/// A reader that goes away, as `head` does, ends the command at the next line of progress.
#[test]
fn a_reader_that_goes_away_leaves_nothing() {
    let (bench, id) = (Bench::of(SMALL), support::unique("unread"));
    let mut run = bench.start_unread_after("local", &id, "ContainerCreating");
    let (status, _) = run.wait(Duration::from_secs(60));
    // As a shell has it of a program that SIGPIPE ended: 128 and 13. It went on once everything was removed.
    assert_eq!(status.code(), Some(141));
    assert_nothing_left(&bench.run_directory(&id), false);
}

#[test]
fn a_system_has_the_id_that_was_asked_for() {
    let (bench, id) = (Bench::of(SMALL), support::unique("asked"));
    bench.succeed(&["up", "--target", "local", "--run-id", &id]);
    bench.succeed(&["down", &id]);
    assert_nothing_left(&bench.run_directory(&id), false);
}
