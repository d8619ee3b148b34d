//! The report's stable part against `snapshots/<target>/report.snap`; `cargo xtask e2e` runs it once the report is made.

#[test]
fn report() {
    e2e_report::report::snapshot::assert();
}
