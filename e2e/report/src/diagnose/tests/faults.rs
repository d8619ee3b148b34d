//! What is found about planned faults.

use super::*;
use crate::{
    evidence::faults::{PodChange, PodEvent},
    faults::tests::data,
};

/// The findings of this code, with their severity and claim.
fn found(data: &RunData, code: Code) -> Vec<(Severity, String)> {
    let findings = findings(data).into_iter().filter(|finding| finding.code == code);
    findings.map(|finding| (finding.severity, finding.claim)).collect()
}

/// Ten seconds of load: a kill at 1 s, of which clients notice something until this tenth.
fn noticed_until(tenth: usize, recovery_max: Duration) -> RunData {
    let mut data = data("kill app-0 at 1s", (1_000, 1_000), &[(10..tenth, (0, 3))]);
    data.request.scenarios.get_mut("load").unwrap().recovery_max = recovery_max;
    data
}

#[test]
fn a_recovery_is_slow_when_clients_notice_a_fault_for_longer_than_they_may() {
    let limit = Duration::from_secs(2);
    assert_eq!(found(&noticed_until(30, limit), Code::SlowRecovery), []);
    let claim = "the scenario load did not recover from `kill app-0 at 1s` within 2.0 s (recovery_max): clients still noticed it 2.1 s after it \
                 was over; 63 requests failed, and for 2.1 s none succeeded";
    assert_eq!(found(&noticed_until(31, limit), Code::SlowRecovery), [(Severity::Error, claim.to_owned())]);
}

#[test]
fn a_window_that_ends_too_early_says_nothing_of_the_recovery() {
    let cut_off = noticed_until(100, Duration::from_secs(10));
    assert_eq!(found(&cut_off, Code::SlowRecovery), []);
    let claim = "whether the scenario load recovers from `kill app-0 at 1s` within 10.0 s (recovery_max) was not measured: clients still \
                 noticed it when the window ended, 9.0 s after it was over";
    assert_eq!(found(&cut_off, Code::NotMeasured).last(), Some(&(Severity::Gap, claim.to_owned())));
    let slow = noticed_until(100, Duration::from_secs(8));
    assert_eq!(found(&slow, Code::SlowRecovery).len(), 1);
}

#[test]
fn a_drain_is_short_by_what_clients_noticed() {
    let mut data = data("rollout app at 1s", (1_000, 3_000), &[(12..15, (10, 2))]);
    data.environment.components[0].desired = 2;
    let moment = |at: u64, what| PodEvent { unix_ms: 1_000_000 + at, pod: "app-0".to_owned(), what };
    data.faults[0].events = vec![moment(1_000, PodChange::Stopping), moment(1_100, PodChange::Ended(0))];
    let found = found(&data, Code::DrainMissing);
    assert!(
        matches!(&found[..], [(Severity::Error, claim)] if claim.ends_with("it should have kept serving for 0.4 s longer")),
        "{found:?}"
    );
}
