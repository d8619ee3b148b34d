//! What holds of a worker whatever its container does.

use std::{collections::VecDeque, time::Duration};

use e2e_plan::{Probe, Probes};
use proptest::prelude::*;

use super::{
    Action, ContainerState, Exit, Input, ProbeKind, Verdict,
    tests::{CRASH, DONE, Moment, probe, s, simulate},
};
use crate::simulate::Behaviour;

/// Answers and ends as a list of random numbers says.
#[derive(Debug)]
struct Chance {
    numbers: VecDeque<u16>,
    own_exits: bool,
}

impl Chance {
    fn next(&mut self, below: u16) -> u64 {
        let number = self.numbers.pop_front().unwrap_or(0);
        self.numbers.push_back(number);
        u64::from(number % below)
    }
}

impl Behaviour for Chance {
    fn start(&mut self, _now: Duration) -> Duration {
        s(self.next(3))
    }
    fn exit(&mut self, since: Duration) -> Option<(Duration, Exit)> {
        let life = s(self.next(900));
        self.own_exits.then_some((since + life, CRASH))
    }
    fn probe(&mut self, _now: Duration, _since: Duration, _which: ProbeKind) -> (Duration, Verdict, String) {
        let verdict = [Verdict::Success, Verdict::Failure, Verdict::Failure, Verdict::Errored];
        let delay = Duration::from_millis(self.next(1500));
        (delay, verdict[usize::try_from(self.next(4)).unwrap_or(0)], String::new())
    }
    fn kill(&mut self, grace: Duration) -> (Duration, Exit) {
        (s(self.next(30)).min(grace), DONE)
    }
}

fn chance() -> impl Strategy<Value = Chance> {
    let numbers = proptest::collection::vec(any::<u16>(), 1..200);
    (numbers, any::<bool>()).prop_map(|(numbers, own_exits)| Chance { numbers: numbers.into(), own_exits })
}

fn any_probe() -> impl Strategy<Value = Option<Probe>> {
    let probe = (0_u64..20, 1_u64..20, 1_u32..4, 1_u32..5).prop_map(|(delay, period, s, f)| probe(delay, period, s, f));
    proptest::option::of(probe)
}

fn any_probes() -> impl Strategy<Value = Probes> {
    (any_probe(), any_probe(), any_probe()).prop_map(|(startup, readiness, liveness)| Probes {
        startup,
        readiness,
        liveness,
    })
}

fn play(probes: &Probes, mut chance: Chance) -> Vec<Moment> {
    simulate(probes.clone(), &mut chance, s(7200)).0
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn at_most_one_instance_runs(probes in any_probes(), chance in chance()) {
        let mut up = false;
        for moment in play(&probes, chance) {
            if let Input::Exited(_) = moment.input {
                up = false;
            }
            for action in moment.actions {
                if let Action::Start { .. } = action {
                    prop_assert!(!up, "started while one runs");
                    up = true;
                }
            }
        }
    }

    #[test]
    fn thresholds_never_fire_early(probes in any_probes(), chance in chance()) {
        let mut in_a_row = [0; 3];
        for moment in play(&probes, chance) {
            match &moment.input {
                Input::Started => in_a_row = [0; 3],
                Input::Probed { which, verdict: Verdict::Failure, .. } => in_a_row[*which as usize] += 1,
                Input::Probed { which, verdict: Verdict::Success, .. } => in_a_row[*which as usize] = 0,
                _ => {}
            }
            if let Some(Action::Kill { .. }) = moment.actions.first() {
                let Input::Probed { which, .. } = moment.input else {
                    panic!("killed by {:?}", moment.input);
                };
                let threshold = which.of(&probes).map_or(u32::MAX, |probe| probe.failure_threshold);
                prop_assert!(which != ProbeKind::Readiness && in_a_row[which as usize] >= threshold);
            }
        }
    }

    #[test]
    fn nothing_is_ready_before_it_has_started(probes in any_probes(), chance in chance()) {
        let mut startup_passed = false;
        let mut readiness_passed = false;
        for moment in play(&probes, chance) {
            match moment.input {
                Input::Started => (startup_passed, readiness_passed) = (false, false),
                Input::Probed { which: ProbeKind::Startup, verdict: Verdict::Success, .. } => startup_passed = true,
                Input::Probed { which: ProbeKind::Readiness, verdict: Verdict::Success, .. } => readiness_passed = true,
                _ => {}
            }
            let status = moment.status;
            prop_assert!(!status.started || startup_passed || probes.startup.is_none());
            prop_assert!(!status.ready || status.started);
            prop_assert!(!status.ready || readiness_passed || probes.readiness.is_none());
        }
    }

    #[test]
    fn no_other_probe_is_sent_before_it_has_started_nor_before_its_delay(probes in any_probes(), chance in chance()) {
        for moment in play(&probes, chance) {
            for action in &moment.actions {
                let Action::SendProbe { which, .. } = action else { continue };
                let ContainerState::Running { since } = moment.status.state else {
                    panic!("{which:?} is sent to a container that does not run");
                };
                let delay = which.of(&probes).map(|probe| probe.initial_delay);
                prop_assert!(Some(moment.at - since) >= delay);
                prop_assert!(*which == ProbeKind::Startup || moment.status.started);
            }
        }
    }

    #[test]
    fn waits_never_shrink_before_their_reset(mut chance in chance()) {
        chance.own_exits = true;
        let moments = play(&Probes::default(), chance);
        let starts: Vec<_> = moments.iter().filter(|m| !m.actions.is_empty()).map(|m| m.at).collect();
        let exits: Vec<_> = moments.iter().filter(|m| matches!(m.input, Input::Exited(_))).map(|m| m.at).collect();
        let mut last = s(0);
        for (exit, pair) in exits.iter().zip(starts.windows(2)) {
            let (started, again) = (pair[0], pair[1]);
            let wait = again - *exit;
            let quiet = again - started >= s(600);
            prop_assert!(wait >= last || quiet, "{wait:?} after {last:?}");
            prop_assert!(wait <= s(300));
            last = if quiet { s(0) } else { wait };
        }
    }
}
