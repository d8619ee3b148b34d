//! Writes evidence into the run directory and makes a report from it. Main functions: [`gather()`], [`load`], [`report_again`].

use std::collections::BTreeMap;

use e2e_kubelet::snapshot::Snapshot;
use e2e_report::{
    evidence::{
        self, CLUSTER, DOCTOR, FAULTS, IMAGES, LOCKS, PODS, PROBES, PROCESSES, REDIS, RESOURCES, SATURATION,
        THROTTLING, faults::ScenarioFaults,
    },
    faults::forgive,
    record::{Measured, Record},
    report::{Report, comment, html, markdown},
    run_data::RunData,
    run_dir::{self, RunDir},
};

use super::{Error, junit, prepared::Prepared, system::System};
use crate::{gather, progress::Progress, secrets::Secrets};

/// Length of the run in milliseconds.
pub(super) const DURATION: &str = "duration_ms.json";
/// Lines of a log that a finding shows: enough for a panic or a refused connection with its context.
const LOG_LINES: usize = 12;

/// Saves everything that teardown would destroy.
pub(super) async fn gather(system: &System, prepared: &Prepared, progress: &Progress) -> Result<(), Error> {
    progress.line("gathering evidence");
    let faults = system.faults.finish().await;
    if !faults.is_empty() {
        prepared.directory.write_json(FAULTS, &faults)?;
    }
    let snapshot = system.snapshots.borrow().clone();
    prepared.directory.write_json(DOCTOR, &system.examinations.finish(&snapshot).await)?;
    let environment = prepared.directory.read(run_dir::ENVIRONMENT)?;
    let secrets = Secrets::hidden(prepared.secrets.values().cloned(), &environment);
    gather::gather(&system.provider, &snapshot, &system.resources, &secrets, &prepared.directory).await?;
    Ok(())
}

/// Reads a run directory.
pub fn load(directory: &RunDir) -> Result<RunData, run_dir::Error> {
    let mut snapshot: Snapshot = directory.read_json(PODS)?;
    let faults: Vec<ScenarioFaults> = directory.read_json_if_there(FAULTS)?.unwrap_or_default();
    forgive(&mut snapshot, &faults);
    let mut logs = BTreeMap::new();
    for (pod, report) in &snapshot.pods {
        for container in report.all_containers() {
            if let Ok(text) = directory.read(evidence::log_file(pod, &container.name)) {
                logs.insert(format!("{pod}.{}", container.name), last_lines(&text));
            }
        }
    }
    // A system that did not come up was not tested.
    let junit = match directory.join(run_dir::JUNIT).exists() {
        true => directory.read(run_dir::JUNIT)?,
        false => String::new(),
    };
    let (records, unreadable) = Record::read_all(directory);
    let load_files = records.iter().filter_map(|record| match &record.measured {
        Measured::Scenario(figures) => Some(evidence::load_file(&figures.name)),
        _ => None,
    });
    Ok(RunData {
        load_files: load_files.filter(|file| directory.join(file).exists()).collect(),
        request: directory.read_json(run_dir::REQUEST)?,
        duration_ms: directory.read_json_if_there(DURATION)?.unwrap_or(0),
        environment: directory.read_json(run_dir::ENVIRONMENT)?,
        records,
        unreadable,
        tests: junit::read(&junit).iter().map(junit::Case::test).collect(),
        suites: directory.read_json_if_there(run_dir::SUITES)?,
        snapshot,
        resources: directory.read_json(RESOURCES)?,
        saturation: directory.read_json(SATURATION)?,
        throttling: directory.read_json(THROTTLING)?,
        locks: directory.read_json(LOCKS)?,
        processes: directory.read_json(PROCESSES)?,
        redis: directory.read_json(REDIS)?,
        probes: directory.read_json(PROBES)?,
        images: directory.read_json(IMAGES)?,
        cluster: directory.read_json_if_there(CLUSTER)?,
        faults,
        doctor: directory.read_json(DOCTOR)?,
        logs,
    })
}

/// Makes a run directory's report and writes it there.
pub fn report_again(directory: &RunDir) -> Result<Report, Error> {
    let report = Report::new(&load(directory)?);
    directory.write_json(run_dir::REPORT_JSON, &report)?;
    directory.write(run_dir::REPORT_MARKDOWN, &markdown::render(&report))?;
    directory.write(run_dir::REPORT_HTML, &html::render(&report))?;
    directory.write(run_dir::COMMENT, &comment::render(&report, comment::LONGEST))?;
    Ok(report)
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_cut_at_its_end() {
        let text: String = (0..20).map(|line| format!("{line}\n")).collect();
        assert!(last_lines(&text).starts_with("8\n9\n") && last_lines(&text).ends_with("19"));
    }
}
