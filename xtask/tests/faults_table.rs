//! The table in `docs/faults.md`, the table of the tests and the directories in `fixtures/overlays/` are about the same faults.

mod fault_cases;

use std::{collections::BTreeSet, fs, path::Path};

use e2e_plan::target::Target;
use e2e_run::exit::ExitCode;
use fault_cases::{Expected, FAULTS, Fault};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package has a parent")
}

fn findings(fault: &Fault, target: Target) -> String {
    let gated = if target == Target::Docker { &[] } else { fault.gated };
    let named = |(code, component): &Expected| match component {
        Some(component) => format!("`{code}` {component}"),
        None => format!("`{code}`"),
    };
    let bottleneck = fault.bottleneck.map(|name| format!("bottleneck: {name}"));
    fault.must.iter().chain(gated).map(named).chain(bottleneck).collect::<Vec<_>>().join(", ")
}

/// The rows as the document has them.
fn rows() -> String {
    let mut rows = String::new();
    for fault in FAULTS {
        for target in fault.targets {
            let Fault { overlay, wrong, .. } = fault;
            let end = match fault.end {
                ExitCode::NotUp => "; exit code 3, without suites",
                ExitCode::Pass => "; exit code 0",
                _ => "",
            };
            rows += &format!("| `{overlay}` | {wrong} | {target} | {}{end} |\n", findings(fault, *target));
        }
        for ((code, component), reason) in fault.may {
            rows += &format!("| | | | may come too: `{code}` {}, {reason} |\n", component.unwrap_or_default());
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
