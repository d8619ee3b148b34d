//! What is known of probes.

use e2e_kubelet::{
    diagnosis::{Axis, Cause, Confidence, Diagnosis, Flip, Trial},
    observation::{Kind, Observation, Verdict},
};

use super::*;
use crate::testing::examined;

/// A run whose container declares a readiness probe, of which this is known.
fn probed(container_ready: bool, probe: ProbeReport) -> RunData {
    let mut container = ended(&[]);
    container.status.ready = container_ready;
    container.probes.insert(ProbeKind::Readiness, probe);
    let mut data = run(container);
    let action = ProbeAction::TcpSocket { host: None, port: 80 };
    let declared = Probe { period: Duration::from_secs(1), ..Probe::new(action) };
    let spec = ProbeSpec { container: "app".to_owned(), which: ProbeKind::Readiness, probe: declared };
    data.environment.components[0].probes.push(spec);
    data
}

#[rstest::rstest]
#[case::counted(Some(20), 0, true, "| succeeds | 20 | 0 |", "Sent like a kubelet's")]
#[case::not_sent(Some(0), 0, true, "| not sent | 0 | 0 |", "Sent like a kubelet's")]
#[case::no_failure(None, 0, true, "| no failure reported | - | 0 |", "kubelets, which report only failures")]
#[case::recovered(None, 1, true, "| 1 failure reported | - | 1 |", "kubelets, which report only failures")]
#[case::fails(None, 12, false, "| fails | - | 12 |", "kubelets, which report only failures")]
fn what_is_known_of_a_probe_is_said(
    #[case] sent: Option<u32>,
    #[case] failed: u32,
    #[case] ready: bool,
    #[case] row: &str,
    #[case] how: &str,
) {
    let page = render(&Report::new(&probed(ready, ProbeReport { sent, failed, ..ProbeReport::default() })));
    assert!(page.contains(row) && page.contains(how), "{page}");
}

#[rstest::rstest]
#[case(Some(20), "on 1 of 1 replica: 12 of 20 probes to app-0 failed, the last")]
#[case(None, "on 1 of 1 replica: 12 failures of app-0 reported, the last")]
fn a_failing_probe_is_counted_as_far_as_that_is_known(#[case] sent: Option<u32>, #[case] words: &str) {
    let claim = claim(&probed(false, ProbeReport { sent, failed: 12, ..ProbeReport::default() }), Code::ProbeFailing);
    assert!(claim.contains(words), "{claim}");
}

/// A startup probe that gets bad answers keeps a container from ever being ready, long before its threshold; one without an answer may be
/// a slow start.
#[rstest::rstest]
#[case::answers(Kind::Response, 27, true)]
#[case::at_first(Kind::Response, 2, false)]
#[case::no_answer(Kind::Refused, 27, false)]
fn a_startup_probe_that_is_answered_fails_before_its_threshold(
    #[case] kind: Kind,
    #[case] failed: u32,
    #[case] expected: bool,
) {
    let last = Observation::new(e2e_kubelet::observation::Verdict::Failure, kind, "statuscode: 404");
    let report = ProbeReport { sent: Some(failed), failed, last_failure: Some(last), ..ProbeReport::default() };
    let mut container = ended(&[]);
    (container.status.ready, container.status.started) = (false, false);
    container.probes.insert(ProbeKind::Startup, report);
    let mut data = run(container);
    let probe = Probe { failure_threshold: 30, ..Probe::new(ProbeAction::TcpSocket { host: None, port: 80 }) };
    let spec = ProbeSpec { container: "app".to_owned(), which: ProbeKind::Startup, probe };
    data.environment.components[0].probes.push(spec);
    let found = findings(&data).iter().any(|finding| finding.code == Code::ProbeFailing);
    assert_eq!(found, expected);
}

/// A command that the image lacks, as a current kubelet tells of it: as an error each time, and nothing counts.
#[rstest::rstest]
#[case::readiness(ProbeKind::Readiness, false, Severity::Error, "so the pod never becomes ready")]
#[case::startup(ProbeKind::Startup, false, Severity::Error, "so the container never counts as started")]
#[case::liveness(ProbeKind::Liveness, true, Severity::Warning, "so a container that hangs is not restarted")]
fn a_probe_that_only_errors_has_a_finding_of_its_own(
    #[case] which: ProbeKind,
    #[case] ready: bool,
    #[case] severity: Severity,
    #[case] consequence: &str,
) {
    let missing = Observation::new(
        e2e_kubelet::observation::Verdict::Errored,
        Kind::CannotExec,
        "exec: \"check\": executable file not found in $PATH",
    );
    let report = |sent| ProbeReport { sent, errored: 7, last_failure: Some(missing.clone()), ..ProbeReport::default() };
    for (sent, tally, row) in [
        (Some(7), "7 of 7 probes to app-0 errored", "| errors | 7 | 0, 7 errored |"),
        (None, "7 errors of app-0 reported", "| 7 errors reported | - | 0, 7 errored |"),
    ] {
        let mut data = probed(ready, ProbeReport::default());
        let container = &mut data.snapshot.pods.get_mut("app-0").unwrap().containers[0];
        container.probes = BTreeMap::from([(which, report(sent))]);
        container.status.started = which != ProbeKind::Startup;
        let spec = &mut data.environment.components[0].probes[0];
        (spec.which, spec.probe.action) = (which, ProbeAction::Exec { command: vec!["check".to_owned()] });
        let report = Report::new(&data);
        let found = report.findings.iter().find(|finding| finding.code == Code::ProbeErrored).expect("a finding");
        assert_eq!(found.severity, severity);
        let words =
            format!("the {which} probe of app errors on 1 of 1 replica: {tally}, the last with `exec: \"check\"");
        assert!(found.claim.starts_with(&words) && found.claim.contains(consequence), "{}", found.claim);
        assert!(found.fix.starts_with("Add `check` to the image of app"), "{}", found.fix);
        assert!(report.findings.iter().all(|finding| finding.code != Code::ProbeFailing), "{:#?}", report.findings);
        let page = render(&report);
        assert!(page.contains(row), "{page}");
    }
}

/// The run ended because one pod cannot start, and another had not been ready by then.
#[test]
fn what_was_starting_when_a_run_ended_is_no_error() {
    let mut data = probed(false, ProbeReport { failed: 2, ..ProbeReport::default() });
    let codes = |data: &RunData| findings(data).into_iter().map(|finding| finding.code).collect::<Vec<_>>();
    assert!(codes(&data).contains(&Code::ComponentNotReady));

    let mut other = data.environment.components[0].clone();
    other.name = "db".to_owned();
    other.replicas[0].name = "db-0".to_owned();
    data.environment.components.push(other);
    let mut container = ContainerReport::declared("app", &Probes::default(), "");
    let (reason, message) = ("ImagePullBackOff".to_owned(), "Back-off pulling image".to_owned());
    container.status.state = ContainerState::Waiting { reason, message };
    let stuck = PodReport { containers: vec![container], ..PodReport::default() };
    data.snapshot.pods.insert("db-0".to_owned(), stuck);
    let of = |data: &RunData, name: &str| {
        let found = findings(data).into_iter().filter(|finding| finding.component.as_deref() == Some(name));
        found.map(|finding| (finding.code, finding.fix)).collect::<Vec<_>>()
    };
    assert_eq!(of(&data, "app"), []);
    let of_db = of(&data, "db");
    assert_eq!(of_db[0].0, Code::ImageUnavailable);
    let seen = "See the other findings of db: `image-unavailable`.".to_owned();
    assert!(of_db.contains(&(Code::ComponentNotReady, seen)), "{of_db:?}");

    // What was restarted had its chance.
    data.snapshot.pods.get_mut("app-0").unwrap().restarts = 1;
    assert!(of(&data, "app").iter().any(|(code, _)| *code == Code::ComponentNotReady));
}

/// Each request that was sent counts, repeats included.
#[test]
fn a_proof_tells_how_many_requests_it_took() {
    let trial = |change: &str, verdict, sent| Trial {
        change: change.to_owned(),
        plain: false,
        verdict,
        summary: String::new(),
        sent,
        succeeded: if verdict == Verdict::Success { sent } else { 0 },
    };
    let diagnosis = Diagnosis {
        verdict: Verdict::Failure,
        observation: Observation::new(Verdict::Failure, Kind::Response, "statuscode: 400"),
        cause: Some(Cause::HostAllowList),
        flip: Some(Flip::new(Axis::Host, "10.0.0.1:80", "app")),
        confirmed: true,
        explanation: "the app refuses the pod's address".to_owned(),
        requests: 2,
        confidence: Confidence::Proven,
        evidence: vec![trial("the probe", Verdict::Failure, 7), trial("with Host app", Verdict::Success, 8)],
        ..Diagnosis::default()
    };
    let mut data = probed(false, ProbeReport { sent: Some(3), failed: 3, ..ProbeReport::default() });
    data.doctor.push(examined(ProbeKind::Readiness, 0, diagnosis));
    let claim = claim(&data, Code::Probe(Cause::HostAllowList));
    let proof = "changing Host from `10.0.0.1:80` to `app` makes it succeed, and changing it back makes it fail again (15 requests)";
    assert!(claim.contains(proof), "{claim}");
}
