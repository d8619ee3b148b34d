use e2e_figures::Generator;
use e2e_plan::target::Target;
use rstest::rstest;

use super::*;
use crate::{
    evidence::{InUse, Throttling},
    finding::Severity,
    testing::quiet,
};

/// What a run at 1,000 operations per second on 2 processors, which are `host` busy in all, comes to.
fn busy(host: f64) -> Expected {
    Expected { cpus: 2.0, host_bound: 1000.0 / host, host_utilisation: host, ..Expected::default() }
}

fn finding_of(component: &str, code: Code) -> Finding {
    Finding { claim: "what was seen".to_owned(), ..Finding::of(component, code, Severity::Error) }
}

/// A run at 1,000 operations per second on 2 processors, which are `host` busy in all, with components that could do so much.
fn named(host: f64, bounds: &[(&str, f64)], finding: Option<Code>, saturated: bool) -> Bottleneck {
    let throughput = ScenarioResult {
        clients: 40,
        rate_per_second: Some(1000.0),
        generator: Generator { cpu_share: 0.95, saturated, ..Generator::default() },
        ..ScenarioResult::default()
    };
    let expected = Expected {
        cpu_ms_per_request: [("backend".to_owned(), 2.0 * host)].into(),
        replica_bound: bounds.iter().map(|(name, bound)| ((*name).to_owned(), *bound)).collect(),
        ..busy(host)
    };
    let finding = finding.map(|code| finding_of("backend", code));
    name(&quiet(), &throughput, Some(&expected), finding.as_slice()).unwrap()
}

/// A run whose processors are `host` busy, by what its sessions do and where an operation's time goes.
fn named_by_waits(host: f64, sessions: &[(&str, f64)], parts: &[(&str, f64)]) -> Bottleneck {
    let sessions = sessions.iter().map(|(event, count)| ((*event).to_owned(), *count)).collect();
    let throughput = ScenarioResult {
        rate_per_second: Some(1000.0),
        parts: parts
            .iter()
            .map(|(name, mean_ms)| Part { name: (*name).to_owned(), mean_ms: *mean_ms, capacity: None })
            .collect(),
        activity: vec![Activity { component: "postgres".to_owned(), samples: 50, sessions, commits_per_second: None }],
        ..ScenarioResult::default()
    };
    name(&quiet(), &throughput, Some(&busy(host)), &[]).unwrap()
}

#[rstest]
#[case::memory(0.9, &[("backend", 1010.0)], Some(Code::OomKilled), false, "memory of backend")]
// One thread is used up and the host is not.
#[case::thread(0.6, &[("backend", 1050.0), ("engine", 4000.0)], None, false, "backend")]
#[case::engine(0.6, &[("backend", 3000.0), ("engine", 1100.0)], None, false, "engine")]
// Three processors are no thread that is used up.
#[case::many_threads(0.6, &[("postgres", 333.0), ("engine", 2000.0)], None, false, "waiting")]
#[case::host(0.96, &[("backend", 1050.0)], None, false, "the host")]
// Everybody waits, nothing is busy, and nobody said where the time goes.
#[case::nobody(0.1, &[("backend", 20_000.0)], None, false, "waiting")]
// At some time callers waited for a pool, or a component was held back at its limit, but not in the measured window.
#[case::pool_before(0.96, &[("backend", 5000.0)], Some(Code::PoolExhausted), false, "the host")]
#[case::throttled_before(0.96, &[("backend", 5000.0)], Some(Code::CpuThrottled), false, "the host")]
// Nobody told how much of its limit it used then.
#[case::throttled(0.6, &[], Some(Code::CpuThrottled), false, "the CPU limit of backend")]
// Other findings say nothing about the throughput.
#[case::other(0.96, &[("backend", 5000.0)], Some(Code::ProbeFailing), false, "the host")]
#[case::generator(0.9, &[("backend", 1010.0)], Some(Code::PoolExhausted), true, "the load generator")]
fn a_planted_bottleneck_is_named(
    #[case] host: f64,
    #[case] bounds: &[(&str, f64)],
    #[case] finding: Option<Code>,
    #[case] saturated: bool,
    #[case] expected: &str,
) {
    assert_eq!(named(host, bounds, finding, saturated).name, expected);
}

/// Ten seconds from 1000 on, with a sample each second; a pool of 1 was used up between two of them.
fn named_by_pool(used_up: std::ops::Range<u64>) -> Option<String> {
    let sample = |second| InUse { at_unix_ms: second * 1000, used: 1, waiting: u64::from(used_up.contains(&second)) };
    let mut data = quiet();
    data.saturation.push(Saturation {
        component: "app".to_owned(),
        pod: "app-0".to_owned(),
        resource: "the database pool".to_owned(),
        limit: 1,
        samples: (991..1020).map(sample).collect(),
    });
    let window = ScenarioResult { window_start_unix_ms: 1_000_000, duration_ms: 9_999, ..ScenarioResult::default() };
    name(&data, &window, None, &[]).map(|Bottleneck { name, evidence }| format!("{name}: {evidence}"))
}

#[test]
fn a_pool_counts_in_the_measured_window() {
    let said = "a pool of app: all 1 of the database pool of app-0 were in use while callers waited in 5 of the 10 samples of \
                the measured window";
    assert_eq!(named_by_pool(1005..1015).as_deref(), Some(said));
    assert_eq!(named_by_pool(1006..1015), None, "less than most of the time");
    assert_eq!(named_by_pool(990..1000), None, "before");
}

#[rstest]
#[case::used_up(Target::Docker, 48.0, None, Some("the CPU limit of app"))]
#[case::left(Target::Docker, 42.0, None, None)]
// A limit has no effect there: the same time is a twentieth of a processor.
#[case::no_limit(Target::Local, 48.0, None, None)]
// Half of its limit on average, but the kernel stops it.
#[case::in_most_periods(Target::Docker, 25.0, Some(117), Some("the CPU limit of app"))]
#[case::in_some_periods(Target::Docker, 25.0, Some(95), None)]
fn a_cpu_limit_counts_by_its_use(
    #[case] target: Target,
    #[case] used_millis: f64,
    #[case] throttled: Option<u64>,
    #[case] expected: Option<&str>,
) {
    let mut data = quiet();
    data.environment.target = target;
    let component = &mut data.environment.components[0];
    component.cpu_limit_millis = Some(50);
    let processors = component.enforced_cpu_limit(target).unwrap_or(1.0);
    let pod = component.pod_names().next().unwrap();
    data.throttling.extend(throttled.map(|throttled| (pod, Throttling { periods: 204, throttled })));
    let finding = throttled.map(|_| finding_of("app", Code::CpuThrottled));
    let throughput = ScenarioResult { rate_per_second: Some(1000.0), ..ScenarioResult::default() };
    let figures = Expected {
        // Nothing else is named for a run in which something was not measured.
        replica_bound: [("app".to_owned(), 1000.0 * processors / (used_millis / 1000.0))].into(),
        not_measured: vec!["other".to_owned()],
        ..busy(0.1)
    };
    let named = name(&data, &throughput, Some(&figures), finding.as_slice());
    assert_eq!(named.map(|bottleneck| bottleneck.name).as_deref(), expected);
}

#[rstest]
#[case::lock(0.2, &[("Lock:relation", 2.9), ("running", 0.2)], &[("postgres", 80.0), ("engine", 1.0)], "a lock in postgres")]
// A short wait for a lock now and then is no queue.
#[case::some_lock(0.2, &[("Lock:relation", 0.6), ("running", 0.2)], &[("postgres", 8.0), ("engine", 1.0)], "postgres")]
#[case::disk(0.2, &[("IO:WALSync", 1.8), ("running", 0.2)], &[("postgres", 30.0), ("engine", 1.0)], "postgres")]
#[case::slow_engine(0.1, &[("running", 0.1)], &[("postgres", 2.0), ("engine", 52.0), ("nginx", 1.0)], "engine")]
#[case::nobody(0.1, &[], &[("postgres", 1.0), ("engine", 2.0), ("nginx", 0.9)], "waiting")]
// Where processors are used up, everything waits for them.
#[case::host(0.95, &[("running", 1.5)], &[("postgres", 8.0), ("engine", 1.0)], "the host")]
fn what_operations_wait_for_is_named(
    #[case] host: f64,
    #[case] sessions: &[(&str, f64)],
    #[case] parts: &[(&str, f64)],
    #[case] expected: &str,
) {
    assert_eq!(named_by_waits(host, sessions, parts).name, expected);
}

#[test]
fn the_evidence_says_by_how_much() {
    let host = named(0.96, &[("backend", 5000.0)], None, false).evidence;
    assert_eq!(host, "its 2 processors were 96% busy; at this cost per request they can carry 1042 requests/s");
    let thread = named(0.5, &[("backend", 1000.0)], None, false).evidence;
    assert_eq!(
        thread,
        "each replica used 100% of one processor, the maximum for one thread; they can carry 1000 requests/s"
    );
}

#[rstest]
#[case::host(0.95, Some("the host"))]
// The backend could be used up.
#[case::nobody(0.6, None)]
fn a_component_that_was_not_measured_leaves_what_is_certain(#[case] host: f64, #[case] expected: Option<&str>) {
    let throughput = ScenarioResult { rate_per_second: Some(1000.0), ..ScenarioResult::default() };
    let figures = Expected { not_measured: vec!["backend".to_owned()], ..busy(host) };
    let named = name(&quiet(), &throughput, Some(&figures), &[]);
    assert_eq!(named.map(|bottleneck| bottleneck.name).as_deref(), expected);
}

#[test]
fn without_figures_nothing_is_named() {
    assert_eq!(name(&quiet(), &ScenarioResult::default(), None, &[]), None);
}
