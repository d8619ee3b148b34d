//! Each overlay of `fixtures/overlays/` in containers: its report must name the fault. A run takes the whole machine for half a
//! minute, so only the nextest profile `faults` runs them, where a Docker engine answers.

mod fault_cases;
mod fault_run;
mod planned_run;

use e2e_plan::target::Target;

fault_run::fault_tests!(docker_names_the_fault, docker_tells_the_founding_story, Target::Docker);

#[test]
fn docker_loses_nothing_on_a_planned_kill() {
    planned_run::expect_nothing_lost_on_kill(Target::Docker);
}

#[test]
fn docker_fails_no_request_in_a_planned_rollout() {
    planned_run::expect_no_failure_in_a_rollout(Target::Docker);
}

#[test]
fn docker_names_the_cpu_limit() {
    fault_run::expect_findings("cpu-limit", Target::Docker);
}
