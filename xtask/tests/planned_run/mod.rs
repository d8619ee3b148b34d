//! Runs the program with a planned fault. Main function: [`expect_nothing_lost_on_kill`].

use e2e_plan::target::Target;
use e2e_report::{finding::Code, report::Report};
use e2e_run::exit::ExitCode;

use crate::fault_run::{assert_evidence, build_suites, command, listed};

/// A backend is killed under load: the fault stands in the report, nothing that was acknowledged is lost, and what the kill brought about is no
/// finding.
pub(crate) fn expect_nothing_lost_on_kill(target: Target) {
    build_suites();
    let mut command = command(env!("CARGO_BIN_EXE_xtask"));
    command.args(["e2e", "--format", "json", "--target", target.as_str()]);
    command.args(["--scenario", "throughput", "--duration", "8s", "--during", "kill backend at 3s"]);
    let output = command.output().expect("the program runs");
    let context = String::from_utf8_lossy(&output.stderr).into_owned();
    let report: Report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}\n{context}"));
    let context = format!("{}\n{context}", listed(&report.findings));
    assert_eq!(output.status.code(), Some(ExitCode::Pass as i32), "{context}");
    let throughput = report.scenario("throughput").expect("the scenario ran");
    let [kill] = &throughput.faults[..] else { panic!("one fault was planned: {:?}\n{context}", throughput.faults) };
    assert_eq!(kill.failure, None, "{context}");
    let ledger = throughput.figures.ledger.as_ref().expect("the scenario has a ledger");
    assert_eq!((ledger.missing, ledger.duplicate), (0, 0), "{context}");
    let is_kill = |code: Code| matches!(code, Code::Crashed | Code::Restarted | Code::RestartLoop);
    assert!(!report.findings.iter().any(|finding| is_kill(finding.code)), "{context}");
    assert_evidence(&report);
}
