//! Each overlay of `fixtures/overlays/` in a cluster: its report must name the fault. Only the nextest profile `k8s` runs them, where
//! KUBECONFIG names a cluster.

mod fault_cases;
mod fault_run;

use e2e::target::Target;
use rstest::rstest;

fault_run::fault_tests!(k8s_names_the_fault, k8s_tells_the_founding_story, Target::K8s);

/// What only a cluster can show: it refuses the pods, and the run ends before its suites.
#[rstest]
#[case::image_missing("image-missing")]
#[case::request_too_large("request-too-large")]
#[case::quota_exceeded("quota-exceeded")]
fn k8s_names_what_else_is_wrong(#[case] overlay: &str) {
    fault_run::expect_findings(overlay, Target::K8s);
}
