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
fn docker_keeps_only_the_claims_of_a_deleted_pod() {
    planned_run::expect_that_claims_outlive_pods(Target::Docker);
}

#[test]
fn docker_fails_no_request_in_a_planned_rollout() {
    planned_run::expect_no_failure_in_a_rollout(Target::Docker);
}

/// Nothing passes between the backends and Redis for two seconds: no operation ends well meanwhile, all is as before afterwards, and nothing
/// that was acknowledged is lost.
#[test]
fn docker_is_silent_in_a_planned_partition() {
    let (report, context) = planned_run::passed(Target::Docker, "partition backend from redis for 2s at 2s");
    let partition = planned_run::nothing_is_lost(&report, &context);
    // What was under way when it began still ends.
    assert!(partition.outage_ms.is_some_and(|outage| outage >= 1_500), "{partition:?}\n{context}");
    assert!(partition.recovery_ms.is_some_and(|recovery| recovery >= 1_500), "{partition:?}\n{context}");
}

/// What the backends send to Redis arrives 300 ms later for most of the window, and nothing else is late. An operation may have to wait for
/// those before it, and Redis answers each in turn: up to four delays.
#[test]
fn docker_is_late_in_a_planned_delay() {
    let (report, context) = planned_run::passed(Target::Docker, "delay backend to redis by 300ms for 6s at 1s");
    let delay = planned_run::nothing_is_lost(&report, &context);
    let figures = &planned_run::throughput(&report).figures;
    assert_eq!((delay.failed, figures.errors), (0, 0), "{context}");
    let latency = figures.latency_ms.as_ref().expect("operations ended");
    // The delayed ones are a few hundred of tens of thousands.
    assert!((300.0..1500.0).contains(&latency.p999), "{latency:?}\n{context}");
}

#[test]
fn docker_names_the_cpu_limit() {
    fault_run::expect_findings("cpu-limit", Target::Docker);
}

#[test]
fn docker_names_a_hang() {
    fault_run::expect_findings("hang", Target::Docker);
}
