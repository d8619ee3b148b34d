//! `cargo xtask doctor --lint`: checks the probes of manifests before anything runs.

use std::path::PathBuf;

use anyhow::Result;
use e2e_kubelet::{
    lint::{Severity, lint, text},
    snapshot::Snapshot,
};
use e2e_plan::words::counted;
use e2e_report::evidence::PODS;
use e2e_run::{Options, exit::ExitCode};

use super::Args;
use crate::{
    directories::run_directory,
    options::{Format, print_json, sources},
};

pub(super) fn run(args: &Args, manifests: &[PathBuf], project: &Options) -> Result<ExitCode> {
    let snapshot: Option<Snapshot> = match args.measured.as_deref() {
        Some(run) => Some(run_directory(Some(run), project)?.read_json(PODS)?),
        None => None,
    };
    let manifests = sources(manifests)?;
    let plan = e2e_run::plan(&Options { manifests, overlays: args.overlay.clone(), ..project.clone() })?;
    let remarks = lint(&plan, snapshot.as_ref());
    if args.format == Format::Json {
        print_json(&remarks)?;
    } else {
        print!("{}", text(&remarks));
        let count = |severity, word| counted(remarks.iter().filter(|remark| remark.severity == severity).count(), word);
        let containers = plan.components.iter().flat_map(|component| component.pod.running_containers());
        println!(
            "{}: {}, {}, {}",
            counted(containers.map(|container| container.probes.all().count()).sum::<usize>(), "probe"),
            count(Severity::Error, "error"),
            count(Severity::Warning, "warning"),
            count(Severity::Note, "note")
        );
    }
    let has_errors = remarks.iter().any(|remark| remark.severity == Severity::Error);
    Ok(if has_errors { ExitCode::Fail } else { ExitCode::Pass })
}
