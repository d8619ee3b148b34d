//! Runs and records that tests begin with.

use std::collections::{BTreeMap, BTreeSet};

use e2e_figures::scenario::{ScenarioResult, Thresholds as ScenarioThresholds};
use e2e_kubelet::{
    diagnosis::Diagnosis,
    snapshot::{ContainerReport, PodReport, Snapshot},
};
use e2e_plan::{ProbeKind, Probes};
use serde_json::json;

use crate::{
    evidence::{DoctorEntry, Resources},
    record::{Measured, Outcome, Record},
    request::{Host, Request, Scenario},
    run_data::RunData,
};

pub(crate) const MEBIBYTE: u64 = 1024 * 1024;

/// A run whose container did nothing yet: for tests of what else there is.
pub(crate) fn quiet() -> RunData {
    run(ContainerReport::declared("app", &Probes::default(), ""))
}

/// A run with one component `app`: one replica with a limit of 64 MiB, and what is known of its container.
pub(crate) fn run(container: ContainerReport) -> RunData {
    let environment = json!({
        "run_id": "test", "target": "local", "run_dir": "/nowhere", "provider": "none", "kubelet": "1.36", "entrance": null, "services": [],
        "components": [{
            "name": "app", "kind": "Deployment", "desired": 1, "env": {}, "probes": [],
            "replicas": [{ "name": "app-0", "pod_ip": "10.0.0.1", "ports": [] }],
            "memory_limit_bytes": 64 * MEBIBYTE, "container_memory_limit_bytes": { "app": 64 * MEBIBYTE },
        }],
        "scenarios": {}, "control": "127.0.0.1:1", "up_ms": 0, "ready": true, "warnings": [],
    });
    let pod = PodReport {
        status: "Running".to_owned(),
        ready: container.status.ready,
        started: true,
        restarts: container.status.restart_count,
        containers: vec![container],
        ..PodReport::default()
    };
    RunData {
        request: Request { host: Host { cpus: 1, memory_bytes: 1, kernel: String::new() }, ..Request::default() },
        duration_ms: 0,
        environment: serde_json::from_value(environment).unwrap(),
        records: Vec::new(),
        unreadable: Vec::new(),
        // A run without tests has a gap of its own.
        tests: Vec::new(),
        suites: None,
        snapshot: Snapshot { pods: BTreeMap::from([("app-0".to_owned(), pod)]) },
        resources: Resources::default(),
        saturation: Vec::new(),
        throttling: BTreeMap::new(),
        locks: Vec::new(),
        processes: Vec::new(),
        redis: Vec::new(),
        probes: Vec::new(),
        images: BTreeMap::new(),
        cluster: None,
        faults: Vec::new(),
        doctor: Vec::new(),
        load_files: BTreeSet::new(),
        logs: BTreeMap::new(),
    }
}

/// What the doctor said of a probe of the run's container.
pub(crate) fn examined(which: ProbeKind, at_unix_ms: u64, diagnosis: Diagnosis) -> DoctorEntry {
    let (component, pod, container) = ("app".to_owned(), "app-0".to_owned(), "app".to_owned());
    DoctorEntry { component, pod, container, which, at_unix_ms, diagnosis }
}

/// Declares a scenario with lines, whose clients send as fast as the system answers.
pub(crate) fn declare(data: &mut RunData, name: &str, thresholds: ScenarioThresholds) {
    let scenario = Scenario { thresholds, ..Scenario::default() };
    data.request.scenarios.insert(name.to_owned(), scenario);
}

/// What a scenario measured, with the name it is declared under.
pub(crate) fn measured(name: &str, figures: ScenarioResult) -> Record {
    let figures = ScenarioResult { name: name.to_owned(), success: "succeeded".to_owned(), ..figures };
    record("scenarios", name, Measured::Scenario(Box::new(figures)))
}

/// What a test found that passed.
pub(crate) fn record(suite: &str, case: &str, measured: Measured) -> Record {
    Record {
        suite: suite.to_owned(),
        case: case.to_owned(),
        test: "a test".to_owned(),
        outcome: Outcome::Passed,
        detail: String::new(),
        duration_ms: 1,
        measured,
    }
}
