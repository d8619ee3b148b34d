//! Keeps the table in `docs/faults.md`, the table of the tests and the directories in `fixtures/overlays/` in step.

mod fault_cases;
mod support;

use std::{collections::BTreeSet, fs};

use e2e_plan::target::Target;
use e2e_run::exit::ExitCode;
use fault_cases::{Expected, FAULTS, Fault};
use support::root;

fn findings(fault: &Fault) -> String {
    let named = |(code, component): &Expected| match component {
        Some(component) => format!("`{code}` {component}"),
        None => format!("`{code}`"),
    };
    let listed = |findings: &[Expected]| findings.iter().map(named).collect::<Vec<_>>().join(", ");
    let bottleneck = fault.bottleneck.map(|name| format!("bottleneck: {name}"));
    let everywhere = Some(listed(fault.must)).filter(|listed| !listed.is_empty());
    let mut findings = everywhere.into_iter().chain(bottleneck).collect::<Vec<_>>().join(", ");
    if !fault.gated.is_empty() {
        let gating = fault.targets.iter().filter(|target| **target != Target::Docker).map(ToString::to_string);
        findings += &format!("; on {} also {}", gating.collect::<Vec<_>>().join(" and "), listed(fault.gated));
    }
    findings
}

/// The rows of the document, one per overlay.
fn rows() -> String {
    let mut rows = String::new();
    for fault in FAULTS {
        let Fault { overlay, wrong, .. } = fault;
        let end = match fault.end {
            ExitCode::NotUp => "; exit code 3, without suites",
            ExitCode::Pass => "; exit code 0",
            _ => "",
        };
        let targets = fault.targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let scenario = fault.scenario.unwrap_or("all");
        rows += &format!("| `{overlay}` | {wrong} | {targets} | {scenario} | {}{end} |\n", findings(fault));
        for ((code, component), reason) in fault.may {
            rows += &format!("| | | | | optional: `{code}` {}, {reason} |\n", component.unwrap_or_default());
        }
    }
    rows
}

#[test]
fn the_document_has_the_table() {
    let document = fs::read_to_string(root().join("docs/faults.md")).expect("the document is there");
    assert!(document.contains(&rows()), "docs/faults.md must have these rows:\n{}", rows());
}

#[test]
fn every_overlay_has_its_fault() {
    let directories = fs::read_dir(root().join("fixtures/overlays")).expect("the overlays are there");
    let directories: BTreeSet<String> =
        directories.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect();
    let overlays: BTreeSet<String> = FAULTS.iter().map(|fault| fault.overlay.to_owned()).collect();
    assert_eq!(directories, overlays);
}

#[test]
fn every_fault_has_a_cause_to_be_found() {
    for fault in FAULTS {
        let has_cause = fault.must.iter().any(|(code, _)| code.is_cause());
        assert!(has_cause || fault.bottleneck.is_some(), "{}", fault.overlay);
    }
}
