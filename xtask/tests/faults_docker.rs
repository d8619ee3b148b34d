//! Each overlay of `fixtures/overlays/` in containers: its report must name the fault. A run takes the whole machine for half a
//! minute, so only the nextest profile `faults` runs them, where a Docker engine answers.

mod fault_cases;
mod fault_run;
mod planned_run;

use e2e_plan::target::Target;

fault_run::fault_tests!(docker_names_the_fault, docker_tells_the_founding_story, Target::Docker);

planned_run::planned_tests!(docker_bears_a_planned_fault, Target::Docker);

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

#[rstest::rstest]
#[case::cpu_limit("cpu-limit")]
#[case::hang("hang")]
fn docker_names_what_else_is_wrong(#[case] overlay: &str) {
    fault_run::expect_findings(overlay, Target::Docker);
}
