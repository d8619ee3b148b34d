use std::time::Duration;

use e2e_figures::stats::Samples;
use e2e_kubelet::{
    diagnosis::{Confidence, Diagnosis},
    exchange::ProbeHistory,
    observation::Observation,
    snapshot::ContainerReport,
    status::Event,
};
use e2e_plan::{Probe, ProbeAction, Probes};
use rstest::rstest;

use super::*;
use crate::{
    evidence::{InUse, Saturation},
    testing::{examined, measured, run},
};

const START: u64 = 1_000_000;
const BUDGET: f64 = 1000.0;

/// What a run measured of one probe of `app`, of one replica, and of the requests of 40 clients beside it.
#[derive(Clone)]
struct Seen {
    /// Milliseconds of each probe before the load; the budget stands for one that timed out.
    rest: Vec<f64>,
    /// The same within the load.
    loaded: Vec<f64>,
    /// The median of the requests.
    requests_ms: f64,
    /// What the doctor found within the load.
    cause: Option<Cause>,
    /// How often liveness had it killed.
    kills: u32,
    /// How many of twenty samples found a pool used up.
    pool: usize,
}

/// A busy worker: twenty quick probes at rest and ten that time out beside requests of 1.5 s.
fn starving() -> Seen {
    Seen {
        rest: vec![1.2; 20],
        loaded: vec![BUDGET; 10],
        requests_ms: 1480.0,
        cause: Some(Cause::TooSlow),
        kills: 1,
        pool: 0,
    }
}

fn data(seen: &Seen) -> RunData {
    let mut container = ContainerReport::declared("app", &Probes::default(), "");
    let killing = Event::normal("Killing", "Container app failed liveness probe, will be restarted");
    container.events.extend((seen.kills > 0).then_some(Event { count: seen.kills, ..killing }));
    let mut data = run(container);
    let action = ProbeAction::TcpSocket { host: None, port: 80 };
    let probe = Probe { period: Duration::from_secs(1), ..Probe::new(action) };
    let which = ProbeKind::Liveness;
    data.environment.components[0].probes = vec![ProbeSpec { container: "app".to_owned(), which, probe }];
    let exchange = |at_unix_ms: u64, total_ms: f64| match total_ms >= BUDGET {
        true => Exchange { at_unix_ms, total_ms, verdict: Verdict::Failure, kind: Kind::Timeout },
        false => Exchange { at_unix_ms, total_ms, verdict: Verdict::Success, kind: Kind::Response },
    };
    let rest = seen.rest.iter().enumerate().map(|(n, ms)| exchange(START - 10_000 - n as u64, *ms));
    let loaded = seen.loaded.iter().enumerate().map(|(n, ms)| exchange(START + n as u64, *ms));
    let exchanges = rest.chain(loaded).collect();
    data.probes = vec![ProbeHistory { pod: "app-0".to_owned(), container: "app".to_owned(), which, exchanges }];
    let mut requests = Samples::new();
    requests.extend([Duration::from_secs_f64(seen.requests_ms / 1000.0)]);
    let figures = ScenarioResult {
        clients: 40,
        window_start_unix_ms: START,
        duration_ms: 20_000,
        latency_ms: requests.summary(),
        ..ScenarioResult::default()
    };
    data.records = vec![measured("pressed", figures)];
    data.doctor = seen.cause.into_iter().map(told).collect();
    data.saturation = vec![Saturation {
        component: "app".to_owned(),
        pod: "app-0".to_owned(),
        resource: "the pool".to_owned(),
        limit: 2,
        samples: (0..20)
            .map(|n| InUse { at_unix_ms: START + n as u64, used: 2, waiting: u64::from(n < seen.pool) })
            .collect(),
    }];
    data
}

/// What the doctor said while the load ran.
fn told(cause: Cause) -> DoctorEntry {
    let diagnosis = Diagnosis {
        verdict: Verdict::Failure,
        observation: Observation::new(Verdict::Failure, Kind::Timeout, "timed out"),
        cause: Some(cause),
        explanation: "the right answer takes 1.5 s".to_owned(),
        requests: 2,
        confidence: Confidence::Consistent,
        ..Diagnosis::default()
    };
    examined(ProbeKind::Liveness, START + 5_000, diagnosis)
}

#[test]
fn a_probe_behind_the_requests_is_starved() {
    let found = starved(&data(&starving()));
    let [finding] = found.as_slice() else { panic!("{found:?}") };
    for part in [
        "none of 20 probes at rest was late",
        "10 of 10 took longer than 1000 ms and then got the right answer",
        "which take 148",
        "killed 1 time",
    ] {
        assert!(finding.claim.contains(part), "{part}: {}", finding.claim);
    }
    // It is that and not merely slow.
    let codes: Vec<Code> = super::super::probes::findings(&data(&starving())).iter().map(|one| one.code).collect();
    assert!(codes.contains(&Code::ProbeStarved) && !codes.contains(&Code::Probe(Cause::TooSlow)), "{codes:?}");
}

/// What is left of the proof when one part of it is missing names nothing.
#[rstest]
#[case::no_late_answer_seen(Seen { cause: None, ..starving() })]
#[case::something_else_found(Seen { cause: Some(Cause::Flaky), ..starving() })]
#[case::slow_at_rest_too(Seen { rest: vec![BUDGET; 20], ..starving() })]
#[case::failed_once_at_rest(Seen { rest: [vec![1.2; 19], vec![BUDGET]].concat(), ..starving() })]
#[case::too_few_at_rest(Seen { rest: vec![1.2; 1], loaded: vec![BUDGET; 3], ..starving() })]
#[case::failed_once_in_the_load(Seen { loaded: [vec![1.2; 9], vec![BUDGET]].concat(), ..starving() })]
#[case::quick_requests(Seen { requests_ms: 3.0, ..starving() })]
#[case::a_pool_is_used_up(Seen { pool: 10, ..starving() })]
fn what_is_not_proved_is_not_named(#[case] seen: Seen) {
    assert_eq!(starved(&data(&seen)), Vec::new());
}

#[test]
fn a_margin_that_the_load_uses_up_is_a_warning() {
    // 1 ms at rest and 601 ms beside 40 clients: 15 ms for each, so the budget is reached at 66.6 clients.
    let seen = Seen { rest: vec![1.0; 20], loaded: vec![601.0; 20], cause: None, kills: 0, ..starving() };
    let found = margins(&data(&seen));
    let [finding] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((finding.code, finding.severity), (Code::ProbeMargin, Severity::Warning));
    assert!(finding.claim.contains("reaches the timeout at 67 clients (95% interval 67 to 67)"), "{}", finding.claim);
}

/// Ten systems that are well, or slow whatever the load.
#[rstest]
#[case::quick(&[1.0; 20], &[1.5; 20])]
#[case::busier(&[1.0; 20], &[40.0; 20])]
#[case::one_hiccup(&[1.0; 20], &[2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 950.0])]
#[case::slow(&[600.0; 20], &[600.0; 20])]
#[case::slow_and_a_little_slower(&[600.0; 20], &[700.0; 20])]
#[case::nearly_too_slow(&[950.0; 20], &[960.0; 20])]
#[case::faster_under_load(&[400.0; 20], &[30.0; 20])]
#[case::a_third_of_the_margin(&[1.0; 20], &[340.0; 20])]
#[case::too_few_to_tell(&[1.0; 20], &[700.0; 4])]
#[case::never_asked(&[1.0; 20], &[])]
fn a_system_that_is_well_or_merely_slow_raises_no_alarm(#[case] rest: &[f64], #[case] loaded: &[f64]) {
    let seen =
        Seen { rest: rest.to_vec(), loaded: loaded.to_vec(), requests_ms: 900.0, cause: None, kills: 0, pool: 0 };
    assert_eq!((starved(&data(&seen)), margins(&data(&seen))), (Vec::new(), Vec::new()));
}

#[test]
fn the_chance_is_fishers() {
    // 3 of 3 loaded and none of 7: one of C(10, 3) = 120 ways.
    assert!((chance(3, 3, 7) - 1.0 / 120.0).abs() < 1e-12);
    // 2 of 4 loaded and none of 6: C(4, 2) of C(10, 2) = 6 of 45 ways.
    assert!((chance(2, 4, 6) - 6.0 / 45.0).abs() < 1e-12);
    assert_eq!(chance(0, 5, 5), 1.0);
}
