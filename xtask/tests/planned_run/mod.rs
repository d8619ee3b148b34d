//! Runs the program with a planned fault. Each main function expects what comes of one.

use e2e_plan::target::Target;
use e2e_report::{
    faults::Impact,
    finding::Code,
    report::{Report, ScenarioSection},
};
use e2e_run::exit::ExitCode;

use crate::fault_run::{assert_evidence, build_suites, command, listed};

/// The tests of one target.
macro_rules! planned_tests {
    ($bears_a_fault:ident, $target:expr) => {
        #[rstest::rstest]
        #[case::kill($crate::planned_run::expect_nothing_lost_on_kill)]
        #[case::claims($crate::planned_run::expect_that_claims_outlive_pods)]
        #[case::rollout($crate::planned_run::expect_no_failure_in_a_rollout)]
        fn $bears_a_fault(#[case] expect: fn(e2e_plan::target::Target)) {
            expect($target);
        }
    };
}
pub(crate) use planned_tests;

/// A backend is killed under load: the fault stands in the report, nothing that was acknowledged is lost, and what the kill brought about is no
/// finding.
pub(crate) fn expect_nothing_lost_on_kill(target: Target) {
    let (report, context) = passed(target, "kill backend at 3s");
    nothing_is_lost(&report, &context);
    let is_kill = |code: Code| matches!(code, Code::Crashed | Code::Restarted | Code::RestartLoop);
    assert!(!report.findings.iter().any(|finding| is_kill(finding.code)), "{context}");
}

/// The backends are replaced under load, each after the one before it: they serve on until no client is sent to them, and each has left its
/// Services before it ends.
pub(crate) fn expect_no_failure_in_a_rollout(target: Target) {
    let (report, context) = passed(target, "rollout backend at 1s");
    let rollout = nothing_is_lost(&report, &context);
    assert_eq!((rollout.failed, throughput(&report).figures.errors), (0, 0), "{context}");
    for pod in ["backend-0", "backend-1"] {
        let moments: Vec<_> = rollout.events.iter().filter(|moment| moment.pod == pod).collect();
        let at = |wanted: &str| moments.iter().position(|moment| moment.what.starts_with(wanted));
        assert!(at("out of its Services").is_some_and(|left| Some(left) < at("ended")), "{moments:?}\n{context}");
    }
}

/// PostgreSQL's pod is deleted under load: what it had in an emptyDir is gone with it, and what it had in a claim is not.
pub(crate) fn expect_that_claims_outlive_pods(target: Target) {
    let delete = "delete postgres at 2s";
    let (report, context) = ended(target, delete, &[], ExitCode::Fail);
    let lost = report.findings.iter().find(|finding| finding.code == Code::LostOnKill).expect(&context);
    assert!(lost.fix.contains("a volume that outlives the pod"), "{context}");
    let (report, context) = ended(target, delete, &["--overlay", "fixtures/durable"], ExitCode::Pass);
    nothing_is_lost(&report, &context);
}

/// The report of a run that passes with a planned fault, and what to print beside a failed check.
pub(crate) fn passed(target: Target, fault: &str) -> (Report, String) {
    ended(target, fault, &[], ExitCode::Pass)
}

/// The report of a run with these further arguments that ends so.
pub(crate) fn ended(target: Target, fault: &str, arguments: &[&str], end: ExitCode) -> (Report, String) {
    build_suites();
    let mut command = command(env!("CARGO_BIN_EXE_xtask"));
    command.args(["e2e", "--format", "json", "--target", target.as_str()]);
    // On a busy machine clients notice a fault for a timeout of theirs, 5 s, after it is over.
    command.args(["--scenario", "throughput", "--duration", "12s", "--during", fault]);
    command.args(arguments);
    let output = command.output().expect("the program runs");
    let context = String::from_utf8_lossy(&output.stderr).into_owned();
    let report: Report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}\n{context}"));
    let context = format!("{}\n{context}", listed(&report.findings));
    assert_eq!(output.status.code(), Some(end as i32), "{context}");
    assert_evidence(&report);
    (report, context)
}

pub(crate) fn throughput(report: &Report) -> &ScenarioSection {
    report.scenario("throughput").expect("the scenario ran")
}

/// The only planned fault, which was carried out and lost nothing.
pub(crate) fn nothing_is_lost<'a>(report: &'a Report, context: &str) -> &'a Impact {
    let throughput = throughput(report);
    let [fault] = &throughput.faults[..] else { panic!("one fault was planned: {:?}\n{context}", throughput.faults) };
    assert_eq!(fault.failure, None, "{context}");
    let ledger = throughput.figures.ledger.as_ref().expect("the scenario has a ledger");
    assert_eq!((ledger.missing, ledger.duplicate), (0, 0), "{context}");
    fault
}
