//! A replica that hangs while it holds locks that others wait for. Main functions: [`findings`], [`leave_out_effects`].

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use e2e_kubelet::{
    diagnosis::Cause,
    exchange::Exchange,
    observation::{Kind, Verdict},
};
use e2e_plan::words::counted;

use super::{Code, RunData, cpu, memory};
use crate::{
    environment::Component,
    evidence::{LOCKS, PROBES, locks::HeldLock},
    finding::{Finding, Severity},
};

/// As many looks, one a second, show that a session does not go on.
const LOOKS_MIN: usize = 3;
/// One lost probe may be an accident.
const UNANSWERED_MIN: usize = 2;
/// What waited for a lock needs a moment once it has it.
const AFTER_MS: u64 = 2_000;

/// A replica that answers none of its probes, whose program is alive and idle in a transaction that others wait for.
struct Hang<'a> {
    component: &'a Component,
    /// Its place in the evidence.
    index: usize,
    last: &'a HeldLock,
    unanswered: usize,
    /// From the begin of the transaction to the last look.
    time: RangeInclusive<u64>,
    /// The components whose sessions waited.
    victims: BTreeSet<&'a str>,
}

/// For each component the first of its replicas that hangs.
pub(super) fn findings(data: &RunData) -> Vec<Finding> {
    let components = data.environment.components.iter();
    components.filter_map(|component| hangs(data, component).next().map(|hang| hang.finding())).collect()
}

/// What a hang brings about is no cause of its own: a component that waits for its locks, or that calls it, and refuses to serve; and a pool
/// that is used up only meanwhile.
pub(super) fn leave_out_effects(data: &RunData, findings: &mut Vec<Finding>) {
    let all: Vec<Hang<'_>> = data.environment.components.iter().flat_map(|component| hangs(data, component)).collect();
    findings.retain(|finding| {
        let Some(name) = &finding.component else { return true };
        !all.iter().any(|hang| match finding.code {
            Code::Probe(Cause::DependencyDown) => {
                let calls_it = |component: &Component| component.depends_on.contains(&hang.component.name);
                hang.victims.contains(name.as_str()) || data.environment.component(name).is_ok_and(calls_it)
            }
            Code::PoolExhausted => {
                let time = *hang.time.start()..=hang.time.end() + AFTER_MS;
                let pools = || data.saturation.iter().filter(|pool| pool.component == *name);
                hang.victims.contains(name.as_str())
                    // A single sample may be on the border.
                    && pools().all(|pool| pool.used_up(..).0 <= pool.used_up(time.clone()).0 + 1)
            }
            _ => false,
        })
    });
}

fn hangs<'a>(data: &'a RunData, component: &'a Component) -> impl Iterator<Item = Hang<'a>> {
    let pods: Vec<_> = data.pods_of(component).collect();
    let is_starved =
        cpu::held_back(data, component).is_some() || !memory::of_component(data, component, &pods).is_empty();
    let mut transactions: BTreeMap<_, Vec<(usize, &HeldLock)>> = BTreeMap::new();
    for (index, held) in data.locks.iter().enumerate().filter(|(_, held)| component.has_pod(&held.pod)) {
        let HeldLock { pod, database, session, since_unix_ms, .. } = held;
        transactions.entry((pod, database, session, since_unix_ms)).or_default().push((index, held));
    }
    let of = move |looks: Vec<(usize, &'a HeldLock)>| hang(data, component, &looks);
    transactions.into_values().filter_map(of).filter(move |_| !is_starved)
}

/// One transaction, by all looks at it.
fn hang<'a>(data: &'a RunData, component: &'a Component, looks: &[(usize, &'a HeldLock)]) -> Option<Hang<'a>> {
    let ((_, first), (index, last)) = (looks.first()?, looks.last()?);
    let is_alive = |held: &HeldLock| {
        let states = held.states.as_deref().unwrap_or_default();
        // `S` waits, `R` runs, `Z` has ended; `T` is stopped, and `D` may be frozen.
        states.contains(['S', 'R']) && states.chars().all(|state| matches!(state, 'S' | 'R' | 'Z'))
    };
    let others = |held: &'a HeldLock| held.waiting.keys().filter(|pod| **pod != held.pod);
    if looks.len() < LOOKS_MIN || !looks.iter().all(|(_, held)| is_alive(held) && others(held).next().is_some()) {
        return None;
    }
    let (own, elsewhere): (Vec<_>, Vec<_>) = data.probes.iter().partition(|history| history.pod == last.pod);
    // Sent and given up in that time: what came later may have met another instance.
    let is_inside = |exchange: &&Exchange| {
        exchange.at_unix_ms >= first.at_unix_ms && exchange.at_unix_ms + exchange.total_ms as u64 <= last.at_unix_ms
    };
    let own: Vec<&Exchange> = own.iter().flat_map(|history| &history.exchanges).filter(is_inside).collect();
    // Where nobody answers, the machine may be too busy for all of them.
    let mut elsewhere = elsewhere.iter().flat_map(|history| &history.exchanges).filter(is_inside);
    let is_alone = elsewhere.any(|exchange| exchange.verdict == Verdict::Success);
    let is_silent = own.len() >= UNANSWERED_MIN && own.iter().all(|exchange| exchange.kind == Kind::Timeout);
    let of = |pod: &String| Some(data.environment.owner(pod)?.name.as_str());
    (is_alone && is_silent).then(|| Hang {
        component,
        index: *index,
        last,
        unanswered: own.len(),
        time: last.since_unix_ms..=last.at_unix_ms,
        victims: looks.iter().flat_map(|(_, held)| others(held)).filter_map(of).collect(),
    })
}

impl Hang<'_> {
    fn finding(&self) -> Finding {
        let HeldLock { pod, session, database, states, waiting, .. } = self.last;
        let name = &self.component.name;
        let waiting: Vec<String> = waiting
            .iter()
            .filter(|(other, _)| *other != pod)
            .map(|(other, count)| format!("{} of {other}", counted(*count, "session")))
            .collect();
        Finding {
            claim: format!(
                "{pod} hangs: it answered none of {}, while its program was alive (process state {}) and other pods answered theirs; its \
                 session {session} in {database} was idle in a transaction for {:.0} s, and {} waited for its locks",
                counted(self.unanswered, "probe"),
                states.as_deref().unwrap_or_default(),
                (self.time.end() - self.time.start()) as f64 / 1000.0,
                waiting.join(" and ")
            ),
            evidence: vec![format!("{LOCKS}#/{}", self.index), PROBES.to_owned()],
            fix: format!(
                "Take a stack dump of {pod} to find what blocks it inside the transaction, and make no blocking call there. PostgreSQL's \
                 idle_in_transaction_session_timeout releases the locks of a replica that hangs."
            ),
            ..Finding::of(name, Code::Hangs, Severity::Error)
        }
    }
}

#[cfg(test)]
mod tests {
    use e2e_kubelet::exchange::ProbeHistory;
    use e2e_plan::ProbeKind;
    use rstest::rstest;

    use super::*;
    use crate::{
        evidence::{InUse, Saturation, Throttling},
        testing::quiet,
    };

    /// Two replicas: `app-0` answers nothing and holds a lock that `app-1` waits for, seen from 10 s to 13 s; its transaction began at 8 s.
    fn hanging() -> RunData {
        let mut data = quiet();
        data.environment.components[0].desired = 2;
        let looks = (10..14).map(|second| HeldLock {
            at_unix_ms: second * 1000,
            database: "postgres-0".to_owned(),
            session: 77,
            since_unix_ms: 8_000,
            pod: "app-0".to_owned(),
            states: Some("SZ".to_owned()),
            waiting: [("app-1".to_owned(), 3)].into(),
        });
        data.locks = looks.collect();
        let exchange = |at_unix_ms, total_ms, verdict, kind| Exchange { at_unix_ms, total_ms, verdict, kind };
        let silent = [10_000, 11_500].map(|at| exchange(at, 1_000.0, Verdict::Failure, Kind::Timeout));
        // Sent before the last look and cut off by what ended the program.
        let cut_off = exchange(12_900, 900.0, Verdict::Failure, Kind::Closed);
        let history = |pod: &str, exchanges: Vec<Exchange>| ProbeHistory {
            pod: pod.to_owned(),
            container: "app".to_owned(),
            which: ProbeKind::Readiness,
            exchanges,
        };
        data.probes = vec![
            history("app-0", silent.into_iter().chain([cut_off]).collect()),
            history("app-1", vec![exchange(11_000, 2.0, Verdict::Success, Kind::Response)]),
        ];
        data
    }

    #[test]
    fn a_replica_that_holds_a_lock_and_answers_nothing_hangs() {
        let found = findings(&hanging());
        let [finding] = found.as_slice() else { panic!("{found:#?}") };
        assert_eq!(
            finding.claim,
            "app-0 hangs: it answered none of 2 probes, while its program was alive (process state SZ) and other pods answered theirs; its \
             session 77 in postgres-0 was idle in a transaction for 5 s, and 3 sessions of app-1 waited for its locks"
        );
        assert_eq!(finding.evidence, ["evidence/locks.json#/3", "evidence/probes.json"]);
    }

    #[rstest]
    #[case::stopped(|data: &mut RunData| data.locks[1].states = Some("T".to_owned()))]
    #[case::frozen(|data: &mut RunData| data.locks[1].states = Some("D".to_owned()))]
    #[case::not_seen(|data: &mut RunData| data.locks[1].states = None)]
    #[case::answering(|data: &mut RunData| data.probes[0].exchanges[1].kind = Kind::Response)]
    #[case::one_probe(|data: &mut RunData| { data.probes[0].exchanges.remove(0); })]
    #[case::nobody_answers(|data: &mut RunData| data.probes[1].exchanges[0].verdict = Verdict::Failure)]
    #[case::going_on(|data: &mut RunData| data.locks[3].since_unix_ms = 13_000)]
    #[case::going_on_in_the_middle(|data: &mut RunData| { data.locks[1].since_unix_ms = 9_000; data.locks[2].since_unix_ms = 9_500; })]
    #[case::nobody_waits(|data: &mut RunData| data.locks.iter_mut().for_each(|held| held.waiting.clear()))]
    #[case::it_waits_for_itself(|data: &mut RunData| for held in &mut data.locks { held.waiting = [("app-0".to_owned(), 3)].into(); })]
    #[case::throttled(|data: &mut RunData| { data.throttling.insert("app-0".to_owned(), Throttling { periods: 100, throttled: 50 }); })]
    fn what_explains_it_as_well_is_no_hang(#[case] change: fn(&mut RunData)) {
        let mut data = hanging();
        change(&mut data);
        assert_eq!(findings(&data), []);
    }

    /// A finding of a component.
    fn of(code: Code, component: &str) -> Finding {
        Finding::of(component, code, Severity::Error)
    }

    #[test]
    fn effects_of_a_hang_are_no_causes() {
        let mut data = hanging();
        let mut caller = data.environment.components[0].clone();
        (caller.name, caller.depends_on) = ("front".to_owned(), vec!["app".to_owned()]);
        let other = Component { name: "other".to_owned(), depends_on: Vec::new(), ..caller.clone() };
        data.environment.components.extend([caller, other]);
        let down = Code::Probe(Cause::DependencyDown);
        let left = |data: &RunData| {
            let all = [of(down, "app"), of(down, "front"), of(down, "other"), of(Code::PoolExhausted, "app")];
            let mut findings = Vec::from(all);
            leave_out_effects(data, &mut findings);
            findings.into_iter().map(|finding| (finding.code, finding.component.unwrap())).collect::<Vec<_>>()
        };
        let pool = |seconds: &[u64]| Saturation {
            component: "app".to_owned(),
            pod: "app-1".to_owned(),
            resource: "the pool".to_owned(),
            limit: 2,
            samples: seconds.iter().map(|at| InUse { at_unix_ms: at * 1000, used: 2, waiting: 1 }).collect(),
        };
        data.saturation = vec![pool(&[9, 10, 11])];
        assert_eq!(left(&data), [(down, "other".to_owned())]);
        data.saturation = vec![pool(&[2, 3, 9])];
        assert_eq!(left(&data).last(), Some(&(Code::PoolExhausted, "app".to_owned())), "it was used up before");
        data.locks.clear();
        assert_eq!(left(&data).len(), 4);
    }
}
