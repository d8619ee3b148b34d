//! Each overlay of `fixtures/overlays/` in a cluster: its report must name the fault. Only the nextest profile `k8s` runs them, where
//! KUBECONFIG names a cluster.

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
#[case::host_allow_list("host-allow-list")]
#[case::probe_timeout("probe-timeout")]
#[case::liveness_too_early("liveness-too-early")]
#[case::image_missing("image-missing")]
#[case::request_too_large("request-too-large")]
#[case::quota_exceeded("quota-exceeded")]
fn k8s_names_the_fault(#[case] overlay: &str) {
    expect_findings(overlay, Target::K8s);
}

#[test]
fn k8s_tells_the_founding_story() {
    expect_founding_story(Target::K8s);
}
