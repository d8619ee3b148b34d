//! How each probe fared while a scenario's load ran, against its budget and against rest. Pure. Main type: [`ProbeUnderLoad`], made by
//! [`under_load`].

use std::{ops::Range, time::Duration};

use e2e_figures::{
    scenario::ScenarioResult,
    stats::{Samples, Summary},
};
use e2e_kubelet::{exchange::Exchange, observation::Verdict};
use e2e_plan::{ProbeAction, ProbeKind, duration::millis, target::Target};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    environment::{Component, ProbeSpec},
    evidence::PROBES,
    run_data::RunData,
};

/// One probe of a component, over all replicas, while a scenario's load ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeUnderLoad {
    /// The component.
    pub component: String,
    /// The container.
    pub container: String,
    /// Readiness or liveness.
    pub which: ProbeKind,
    /// `timeoutSeconds`: what an answer may take.
    pub budget_ms: u64,
    /// In the scenario's window; absent when no probe of it was timed.
    pub window: Option<ProbeFigures>,
    /// Before, between and after the scenarios; absent when no probe was timed then.
    pub at_rest: Option<ProbeFigures>,
    /// The window in stretches of equal length, those without a probe included.
    pub over_time: Vec<Stretch>,
    /// Why `window` is absent.
    pub not_measured: Option<String>,
    /// Evidence id.
    pub evidence: String,
}

/// What probes came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeFigures {
    /// How many were sent.
    pub sent: u64,
    /// Those that a kubelet does not count as a success, or that errored.
    pub failed: u64,
    /// How long they took, failures included: one that timed out took its whole budget. Absent when none was sent.
    pub latency_ms: Option<Summary>,
}

/// The figures of a part of the window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stretch {
    /// Its start, in milliseconds since the window's.
    pub start_ms: u64,
    /// Its end.
    pub end_ms: u64,
    /// What the probes sent in it came to.
    #[serde(flatten)]
    pub figures: ProbeFigures,
}

impl ProbeFigures {
    /// Sums up probes.
    pub fn of<'a>(exchanges: impl IntoIterator<Item = &'a Exchange>) -> Self {
        let (mut figures, mut samples) = (Self::default(), Samples::new());
        for exchange in exchanges {
            figures.sent += 1;
            figures.failed += u64::from(exchange.verdict != Verdict::Success);
            samples.record(Duration::from_secs_f64(exchange.total_ms.max(0.0) / 1000.0));
        }
        Self { latency_ms: samples.summary(), ..figures }
    }
}

/// Stretches of a window: as many as a line of a table holds, and none shorter than the usual period of a few probes.
const STRETCHES: u64 = 12;
const STRETCH_MS_MIN: u64 = 5_000;
/// Clients connect and take their first steps before the window; what the system was given, it finishes after it.
const AROUND_MS: u64 = 2_000;

/// Every readiness and liveness probe, while a scenario's load ran.
pub fn under_load(data: &RunData, figures: &ScenarioResult) -> Vec<ProbeUnderLoad> {
    if figures.duration_ms == 0 {
        return Vec::new();
    }
    let each = data.environment.components.iter().filter(|component| component.desired > 0);
    let each = each.flat_map(|component| component.probes.iter().map(move |spec| (component, spec)));
    let asked = each.filter(|(_, spec)| spec.which != ProbeKind::Startup);
    asked.map(|(component, spec)| of_probe(data, figures, component, spec)).collect()
}

fn of_probe(data: &RunData, figures: &ScenarioResult, component: &Component, spec: &ProbeSpec) -> ProbeUnderLoad {
    let all = exchanges(data, component, spec);
    let start = figures.window_start_unix_ms;
    let inside = within(&all, &figures.window());
    let rest = at_rest(data, &all);
    let stretch = figures.duration_ms.div_ceil(STRETCHES).max(STRETCH_MS_MIN);
    let stretches = (0..figures.duration_ms.div_ceil(stretch)).map(|index| {
        let (start_ms, end_ms) = (index * stretch, figures.duration_ms.min((index + 1) * stretch));
        Stretch { start_ms, end_ms, figures: ProbeFigures::of(within(&inside, &(start + start_ms..start + end_ms))) }
    });
    let measured =
        |exchanges: &[&Exchange]| (!exchanges.is_empty()).then(|| ProbeFigures::of(exchanges.iter().copied()));
    let window = measured(&inside);
    ProbeUnderLoad {
        component: component.name.clone(),
        container: spec.container.clone(),
        which: spec.which,
        budget_ms: millis(spec.probe.timeout),
        window,
        at_rest: measured(&rest),
        over_time: if window.is_some() { stretches.collect() } else { Vec::new() },
        not_measured: window.is_none().then(|| why_not(data.environment.target, &spec.probe.action, all.is_empty())),
        evidence: PROBES.to_owned(),
    }
}

/// Each timed probe of one kind to the replicas of a component.
pub(crate) fn exchanges<'a>(data: &'a RunData, component: &Component, spec: &ProbeSpec) -> Vec<&'a Exchange> {
    let histories = data.probes.iter().filter(|history| {
        history.which == spec.which && history.container == spec.container && component.has_pod(&history.pod)
    });
    histories.flat_map(|history| &history.exchanges).collect()
}

/// Those that were sent in a time.
pub(crate) fn within<'a>(exchanges: &[&'a Exchange], time: &Range<u64>) -> Vec<&'a Exchange> {
    exchanges.iter().copied().filter(|exchange| time.contains(&exchange.at_unix_ms)).collect()
}

/// Those that were sent while no scenario put a load on the system.
pub(crate) fn at_rest<'a>(data: &RunData, exchanges: &[&'a Exchange]) -> Vec<&'a Exchange> {
    let busy: Vec<Range<u64>> = data.scenarios().map(|(figures, _)| busy(data, figures)).collect();
    let is_busy = |exchange: &Exchange| busy.iter().any(|time| time.contains(&exchange.at_unix_ms));
    exchanges.iter().copied().filter(|exchange| !is_busy(exchange)).collect()
}

/// A scenario's window with its warm-up and what else it does around it.
pub(crate) fn busy(data: &RunData, figures: &ScenarioResult) -> Range<u64> {
    let warm_up = data.request.scenarios.get(&figures.name).map_or(Duration::ZERO, |scenario| scenario.warm_up);
    let before = millis(warm_up).saturating_add(AROUND_MS);
    let Range { start, end } = figures.window();
    start.saturating_sub(before)..end + AROUND_MS
}

fn why_not(target: Target, action: &ProbeAction, is_never_timed: bool) -> String {
    match (target, action) {
        (Target::K8s, ProbeAction::Exec { .. }) => {
            "a cluster's kubelet does not report how long a command takes".to_owned()
        }
        (Target::K8s, _) if is_never_timed => {
            "a cluster's kubelet does not report how long an answer takes, and this machine does not reach the pods at their own address"
                .to_owned()
        }
        _ => "no probe was sent in the window".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use e2e_kubelet::{exchange::ProbeHistory, observation::Kind};
    use e2e_plan::Probe;
    use rstest::rstest;

    use super::*;
    use crate::{
        request::Scenario,
        testing::{measured, quiet},
    };

    const START: u64 = 1_000_000;

    fn exchange(at_unix_ms: u64, total_ms: f64, verdict: Verdict) -> Exchange {
        Exchange { at_unix_ms, total_ms, verdict, kind: Kind::Response }
    }

    fn spec(which: ProbeKind, action: ProbeAction) -> ProbeSpec {
        let probe = Probe { period: Duration::from_secs(1), ..Probe::new(action) };
        ProbeSpec { container: "app".to_owned(), which, probe }
    }

    /// A scenario of 20 s after 3 s of warm-up, and the probes of one replica.
    fn loaded(exchanges: Vec<Exchange>, action: ProbeAction) -> (RunData, ScenarioResult) {
        let mut data = quiet();
        data.environment.components[0].probes =
            vec![spec(ProbeKind::Startup, action.clone()), spec(ProbeKind::Liveness, action)];
        let figures = ScenarioResult { window_start_unix_ms: START, duration_ms: 20_000, ..ScenarioResult::default() };
        data.records = vec![measured("pressed", figures.clone())];
        let scenario = Scenario { warm_up: Duration::from_secs(3), ..Scenario::default() };
        data.request.scenarios = BTreeMap::from([("pressed".to_owned(), scenario)]);
        let (pod, container) = ("app-0".to_owned(), "app".to_owned());
        data.probes = vec![ProbeHistory { pod, container, which: ProbeKind::Liveness, exchanges }];
        (data, figures)
    }

    fn socket() -> ProbeAction {
        ProbeAction::TcpSocket { host: None, port: 80 }
    }

    #[test]
    fn load_and_rest_are_told_apart_by_time() {
        let (data, figures) = loaded(
            vec![
                // At rest, in the warm-up, at both edges of the window, while the system finishes, at rest.
                exchange(START - 5_001, 1.0, Verdict::Success),
                exchange(START - 2_500, 90.0, Verdict::Success),
                exchange(START, 100.0, Verdict::Success),
                exchange(START + 7_000, 1000.0, Verdict::Failure),
                exchange(START + 20_000, 90.0, Verdict::Success),
                exchange(START + 22_000, 3.0, Verdict::Success),
            ],
            socket(),
        );
        let found = under_load(&data, &figures);
        let [probe] = found.as_slice() else { panic!("a startup probe is not sent under load: {found:?}") };
        let counts = |figures: &ProbeFigures| (figures.sent, figures.failed);
        assert_eq!((probe.which, probe.budget_ms, probe.not_measured.as_ref()), (ProbeKind::Liveness, 1000, None));
        assert_eq!(probe.window.as_ref().map(counts), Some((2, 1)));
        assert_eq!(probe.at_rest.as_ref().map(counts), Some((2, 0)));
        let latency = probe.window.unwrap().latency_ms.unwrap();
        assert!((latency.p50 - 100.0).abs() < 0.2 && (latency.max - 1000.0).abs() < 1.0, "{latency:?}");
        let stretches: Vec<_> =
            probe.over_time.iter().map(|one| (one.start_ms, one.end_ms, one.figures.sent)).collect();
        assert_eq!(stretches, [(0, 5_000, 1), (5_000, 10_000, 1), (10_000, 15_000, 0), (15_000, 20_000, 0)]);
    }

    #[rstest]
    #[case::command(Target::K8s, ProbeAction::Exec { command: vec!["check".to_owned()] }, "how long a command takes")]
    #[case::no_way(Target::K8s, socket(), "at their own address")]
    #[case::none(Target::Docker, socket(), "no probe was sent")]
    fn what_was_not_measured_says_why(#[case] target: Target, #[case] action: ProbeAction, #[case] reason: &str) {
        let (mut data, figures) = loaded(Vec::new(), action);
        data.environment.target = target;
        let found = under_load(&data, &figures);
        assert_eq!((found[0].window, found[0].over_time.len()), (None, 0));
        assert!(found[0].not_measured.as_ref().is_some_and(|why| why.contains(reason)), "{found:?}");
    }
}
