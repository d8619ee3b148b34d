//! Each overlay of `fixtures/overlays/` on plain processes: its report must name the fault. A run takes the whole machine for half a
//! minute, so only the nextest profile `faults` runs them.

mod fault_cases;
mod fault_run;
mod planned_run;
mod support;

use std::collections::BTreeSet;

use e2e_kubelet::diagnosis::{Cause, Confidence};
use e2e_plan::{ProbeKind, target::Target};
use e2e_report::{evidence::DoctorEntry, finding::Code};
use e2e_run::exit::ExitCode;
use support::{Bench, REFERENCE, id_in, said};

fault_run::fault_tests!(local_names_the_fault, local_tells_the_founding_story, Target::Local);

planned_run::planned_tests!(local_bears_a_planned_fault, Target::Local);

#[test]
fn local_names_a_hang() {
    fault_run::expect_findings("hang", Target::Local);
}

/// An engine that answers before Postgres has committed, or stores again what is delivered again, is killed under load.
#[rstest::rstest]
#[case::acknowledges_too_early(
    &["--set", "engine.env.ENGINE_FAULT_ANSWERS_EARLY=true", "--set", "engine.env.ENGINE_FAULT_BATCH_DELAY=100ms"],
    &[Code::AcknowledgedMissing, Code::LostOnKill]
)]
#[case::applies_again(&["--set", "engine.env.ENGINE_FAULT_APPLIES_AGAIN=true"], &[Code::StoredTwice])]
fn local_finds_a_planted_bug(#[case] arguments: &[&str], #[case] expected: &[Code]) {
    let (report, context) = planned_run::ended(Target::Local, "kill engine at 3s", arguments, ExitCode::Fail);
    let found: BTreeSet<Code> = report.findings.iter().map(|finding| finding.code).collect();
    assert!(expected.iter().all(|code| found.contains(code)), "{context}");
    let ledger = planned_run::throughput(&report).figures.ledger.as_ref().expect("the scenario has a ledger");
    let is = (ledger.missing > 0, ledger.duplicate > 0);
    assert_eq!(is, (expected.contains(&Code::AcknowledgedMissing), expected.contains(&Code::StoredTwice)), "{context}");
}

/// A backend that its liveness probe never lets start, started again and left alone: the doctor sees it answer and knows how long it needs.
#[test]
fn local_doctor_sees_a_slow_start() {
    let bench = Bench::of(REFERENCE);
    let overlay = support::root().join("fixtures/overlays/liveness-too-early");
    let overlay = overlay.to_str().expect("a path of letters");
    let up = bench.output(&["up", "--target", "local", "--overlay", overlay]);
    let id = id_in(&said(&up));
    let run = bench.run_directory(&id);

    let run = run.to_str().expect("a path of letters");
    let found = bench.output(&["doctor", "--env", run, "--component", "backend", "--from-start", "--format", "json"]);
    bench.succeed(&["down", &id]);

    let entries: Vec<DoctorEntry> =
        serde_json::from_slice(&found.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&found)));
    assert_eq!(found.status.code(), Some(1), "{entries:#?}");
    let killers: Vec<&DoctorEntry> = entries.iter().filter(|entry| entry.which == ProbeKind::Liveness).collect();
    assert_eq!(killers.len(), 2, "one of each replica");
    for DoctorEntry { diagnosis, .. } in killers {
        assert_eq!(
            (diagnosis.cause, diagnosis.confidence),
            (Some(Cause::NotStarted), Confidence::Proven),
            "{diagnosis:#?}"
        );
        assert!(
            diagnosis.explanation.contains("and the liveness probe kills it after 4.0 s"),
            "{}",
            diagnosis.explanation
        );
        let patch = diagnosis.fix.as_ref().and_then(|fix| fix.patch.as_deref()).unwrap_or_default();
        assert!(patch.contains("failureThreshold: 90"), "{patch}");
    }
}
