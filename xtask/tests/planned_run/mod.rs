//! Runs the program with a planned fault. Main function: [`expect_loss_on_kill`].

use e2e_plan::target::Target;
use e2e_report::{
    finding::{Code, Finding},
    report::Report,
};
use e2e_run::exit::ExitCode;

use crate::fault_run::{assert_evidence, build_suites, command, listed};

/// A backend that acknowledges operations before they are committed loses those in its queue when it is killed, and the report says so.
pub(crate) fn expect_loss_on_kill(target: Target) {
    build_suites();
    let mut command = command(env!("CARGO_BIN_EXE_xtask"));
    command.args([
        "e2e",
        "--format",
        "json",
        "--target",
        target.as_str(),
        "--scenario",
        "throughput",
        "--duration",
        "8s",
    ]);
    command.args(["--set", "backend.env.BACKEND_FAULT_ACKNOWLEDGE_EARLY=true", "--during", "kill backend at 3s"]);
    let output = command.output().expect("the program runs");
    let context = String::from_utf8_lossy(&output.stderr).into_owned();
    let report: Report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}\n{context}"));
    let context = format!("{}\n{context}", listed(&report.findings));
    assert_eq!(output.status.code(), Some(ExitCode::Fail as i32), "{context}");
    for code in [Code::AcknowledgedMissing, Code::LostOnKill] {
        assert!(report.findings.iter().any(|finding| finding.code == code), "{code}: {context}");
    }
    // The kill itself, and the restart that it brought about, are no findings.
    let is_kill = |finding: &&Finding| matches!(finding.code, Code::Crashed | Code::Restarted | Code::RestartLoop);
    assert_eq!(report.findings.iter().find(is_kill), None, "{context}");
    assert_evidence(&report);
}
