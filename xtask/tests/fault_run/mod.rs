//! Runs the program with one fault and compares what it finds with the table. Main functions: [`expect_findings`], [`expect_founding_story`].

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use e2e_kubelet::diagnosis::Cause;
use e2e_plan::target::Target;
use e2e_report::{
    finding::{Code, Finding},
    report::{Report, Verdict},
    run_dir::RunDir,
};
use e2e_run::{Options, exit::ExitCode};

use crate::fault_cases::{Expected, FAULTS, Fault};

/// More than the faults serve.
const CLIENTS: &str = "20";
/// Long enough for clients to use up their attempts and for a second restart.
const DURATION: &str = "8s";
/// A cluster measures each pod every 10 to 19 seconds, and a bottleneck is named from two of these figures.
const DURATION_OF_FIGURES: &str = "45s";

/// The tests of one target: a test for each overlay, by name, so that one of them can be run alone.
macro_rules! fault_tests {
    ($names_the_fault:ident, $tells_the_story:ident, $target:expr) => {
        #[rstest::rstest]
        #[case::slow_start("slow-start")]
        #[case::oom("oom")]
        #[case::pool_exhausted("pool-exhausted")]
        #[case::session_lookup("session-lookup")]
        #[case::engine_down("engine-down")]
        #[case::redis_down("redis-down")]
        #[case::wrong_probe_path("wrong-probe-path")]
        #[case::host_allow_list("host-allow-list")]
        #[case::probe_timeout("probe-timeout")]
        #[case::liveness_too_early("liveness-too-early")]
        #[case::readiness_pool("readiness-pool")]
        #[case::probe_starved("probe-starved")]
        #[case::probe_margin("probe-margin")]
        #[case::redis_evicts("redis-evicts")]
        #[case::redis_full("redis-full")]
        #[case::lock("lock")]
        #[case::slow_engine("slow-engine")]
        #[case::slow_commits("slow-commits")]
        fn $names_the_fault(#[case] overlay: &str) {
            $crate::fault_run::expect_findings(overlay, $target);
        }

        #[test]
        fn $tells_the_story() {
            $crate::fault_run::expect_founding_story($target);
        }
    };
}
pub(crate) use fault_tests;

/// Runs with an overlay and holds the report against [`FAULTS`].
pub(crate) fn expect_findings(overlay: &str, target: Target) -> Report {
    let fault = FAULTS.iter().find(|fault| fault.overlay == overlay).expect("the overlay stands in the table");
    assert!(fault.targets.contains(&target), "the table says that {target} cannot show {overlay}");
    build_suites();
    let output = run(fault, target);
    let context = String::from_utf8_lossy(&output.stderr).into_owned();
    let report: Report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("standard output is no report: {error}\n{context}"));

    let context = format!("{}: {}\n{}\n{context}", fault.overlay, fault.wrong, listed(&report.findings));
    assert_eq!(output.status.code(), Some(fault.end as i32), "{context}");
    let verdict = if fault.end == ExitCode::Pass { Verdict::Pass } else { Verdict::Fail };
    assert_eq!((report.verdict, report.target), (verdict, target), "{context}");
    let found: Vec<Expected> = report.findings.iter().map(known).collect();
    let gated = if target == Target::Docker { &[] } else { fault.gated };
    for expected in fault.must.iter().chain(gated) {
        assert!(is_shown(&found, expected), "{overlay} on {target} must show {expected:?}\n{context}");
    }
    let unexpected: Vec<&Expected> =
        found.iter().filter(|finding| finding.0.is_cause() && !is_allowed(fault, finding)).collect();
    assert!(unexpected.is_empty(), "{overlay} on {target} has not these causes: {unexpected:?}\n{context}");
    if fault.bottleneck.is_some() {
        let limited = report.scenario("throughput").and_then(|scenario| scenario.bottleneck.as_ref());
        let bottleneck = limited.map(|bottleneck| bottleneck.name.as_str());
        assert_eq!(bottleneck, fault.bottleneck, "{limited:?}\n{context}");
    }
    assert_order(&report);
    assert_evidence(&report);
    report
}

/// The story that the project was born from: curl gets 200 and the kubelet 400, why that is so, and the patch against it.
pub(crate) fn expect_founding_story(target: Target) {
    let report = expect_findings("founding-incident", target);
    let is_cause = |finding: &&Finding| finding.code == Code::Probe(Cause::HostAllowList);
    let cause = report.findings.iter().find(is_cause).expect("the table wants this finding");
    for part in ["status 400", "`Invalid host header`", "as curl sends it", "status 200", "accepts localhost:8000"] {
        assert!(cause.claim.contains(part), "`{part}` is not in: {}", cause.claim);
    }
    let patch = cause.excerpt.as_deref().expect("the patch stands with the finding");
    for line in ["kind: Deployment", "readinessProbe:", "livenessProbe:", "- name: Host", "value: \"localhost:8000\""] {
        assert!(patch.contains(line), "`{line}` is not in:\n{patch}");
    }
    let refused = |finding: &Finding| finding.code == Code::ProbeFailing && finding.claim.contains("statuscode: 400");
    assert!(report.findings.iter().any(refused), "{}", listed(&report.findings));
}

/// Where the run of a report left everything.
pub(crate) fn directory(report: &Report) -> RunDir {
    let runs = Options::new(root()).runs().join("runs");
    RunDir::open(&runs.join(&report.run_id)).expect("the run directory stays")
}

/// Builds what a run builds after its system is up: the faults go by seconds since then, and a build takes a minute.
pub(crate) fn build_suites() {
    let suites = ["nextest", "run", "--package", "e2e", "--package", "xtask", "--test", "suites", "--profile", "e2e"];
    let output = command("cargo").args(suites).arg("--no-run").output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn run(fault: &Fault, target: Target) -> Output {
    let needs_figures = target == Target::K8s && fault.must.is_empty();
    let mut command = command(env!("CARGO_BIN_EXE_xtask"));
    command
        .args(["e2e", "--format", "json", "--target", target.as_str(), "--overlay"])
        .arg(Path::new("fixtures/overlays").join(fault.overlay))
        .args(["--clients", CLIENTS, "--duration", if needs_figures { DURATION_OF_FIGURES } else { DURATION }])
        .args(fault.scenario.iter().flat_map(|scenario| ["--scenario", scenario]));
    command.output().expect("the program runs")
}

pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null());
    for name in e2e_report::env_vars::of_cargo() {
        command.env_remove(name);
    }
    // The suites run under a nextest of their own, which must not take itself for part of this one.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("NEXTEST")) {
        command.env_remove(name);
    }
    command
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace is there")
}

/// A finding as the table has it.
fn known(finding: &Finding) -> Expected {
    const COMPONENTS: [&str; 5] = ["backend", "engine", "nginx", "postgres", "redis"];
    let component = finding.component.as_deref();
    (finding.code, COMPONENTS.into_iter().find(|known| Some(*known) == component))
}

/// A run may end after the first of several restarts.
fn is_shown(found: &[Expected], (code, component): &Expected) -> bool {
    let once = *code == Code::RestartLoop && found.contains(&(Code::Restarted, *component));
    let any = component.is_none() && found.iter().any(|(found, _)| found == code);
    once || any || found.contains(&(*code, *component))
}

fn is_allowed(fault: &Fault, finding: &Expected) -> bool {
    // A quota meets whichever pods come last.
    let meets_any = |(code, component): &Expected| component.is_none() && *code == finding.0;
    fault.must.iter().any(meets_any)
        || fault.must.contains(finding)
        || fault.may.iter().any(|(expected, _)| expected == finding)
}

pub(crate) fn listed(findings: &[Finding]) -> String {
    let line = |finding: &Finding| {
        format!("{} ({}): {}", finding.code, finding.component.as_deref().unwrap_or("-"), finding.claim)
    };
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Causes stand before effects, and each cause has a fix.
fn assert_order(report: &Report) {
    let codes: Vec<_> = report.findings.iter().map(|finding| finding.code).collect();
    let first_effect = codes.iter().position(|code| code.is_effect()).unwrap_or(codes.len());
    assert!(codes[first_effect..].iter().all(|code| !code.is_cause()), "{codes:?}");
    for finding in report.findings.iter().filter(|finding| finding.code.is_cause()) {
        assert!(!finding.fix.is_empty(), "{finding:?}");
    }
}

/// Every evidence id names a file of the run directory and, with a pointer, a value in it.
pub(crate) fn assert_evidence(report: &Report) {
    let directory = directory(report);
    for finding in &report.findings {
        assert!(!finding.evidence.is_empty(), "{finding:?}");
        for id in &finding.evidence {
            let (file, pointer) = id.split_once('#').unwrap_or((id, ""));
            let text = directory.read(file).unwrap_or_else(|error| panic!("{}: {error}", finding.code));
            if !pointer.is_empty() {
                let json: serde_json::Value = serde_json::from_str(&text).expect("a pointer points into JSON");
                assert!(json.pointer(pointer).is_some(), "{}: nothing is at {id}", finding.code);
            }
        }
    }
}
