//! Each overlay of `fixtures/overlays/` on plain processes: its report must name the fault. A run takes the whole machine for half a
//! minute, so only the nextest profile `faults` runs them.

mod fault_cases;
mod fault_run;

use e2e::target::Target;
use fault_run::{expect_findings, expect_founding_story};
use rstest::rstest;

#[rstest]
#[case::slow_start("slow-start")]
#[case::oom("oom")]
#[case::pool_exhausted("pool-exhausted")]
#[case::engine_down("engine-down")]
#[case::redis_down("redis-down")]
#[case::wrong_probe_path("wrong-probe-path")]
fn local_names_the_fault(#[case] overlay: &str) {
    expect_findings(overlay, Target::Local);
}

#[test]
fn local_tells_the_founding_story() {
    expect_founding_story(Target::Local);
}
