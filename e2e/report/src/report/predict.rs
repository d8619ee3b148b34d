//! Predicts a kubelet's actions on containers with failing probes, from the run's measurements. Pure. Main function:
//! [`predictions`].

use std::time::Duration;

use e2e_kubelet::{
    predict::{Measured, play},
    snapshot::{ContainerReport, PodReport},
};
use e2e_plan::{Probes, Restart, target::Target};

use super::PredictionSection;
use crate::{
    diagnose::trouble,
    environment::Component,
    evidence::{DOCTOR, PODS},
    run_data::RunData,
};

/// The simulated time: a back-off reaches its maximum within half of it.
const AHEAD: Duration = Duration::from_secs(3600);

/// One for each container with a failing probe, from its first affected replica.
pub(super) fn predictions(data: &RunData) -> Vec<PredictionSection> {
    data.environment.components.iter().flat_map(|component| of_component(data, component)).collect()
}

fn of_component(data: &RunData, component: &Component) -> Vec<PredictionSection> {
    let mut containers: Vec<&str> = component.probes.iter().map(|spec| spec.container.as_str()).collect();
    containers.dedup();
    let failing = |pod: &PodReport, container: &ContainerReport| {
        let mut probes = component.probes.iter().filter(|spec| spec.container == container.name);
        probes.any(|spec| trouble(pod, &container.name, spec.which, &spec.probe).is_some())
    };
    let first = |name: &&str| {
        data.pods_of(component).find_map(|(pod_name, pod)| {
            let index = pod.containers.iter().position(|container| container.name == **name)?;
            failing(pod, &pod.containers[index]).then_some((pod_name, index, &pod.containers[index]))
        })
    };
    let predicted = containers.iter().filter_map(first);
    predicted.map(|(pod, index, container)| of_container(data, component, pod, index, container)).collect()
}

fn of_container(
    data: &RunData,
    component: &Component,
    pod: &str,
    index: usize,
    container: &ContainerReport,
) -> PredictionSection {
    let mut probes = Probes::default();
    for spec in component.probes.iter().filter(|spec| spec.container == container.name) {
        *spec.which.of_mut(&mut probes) = Some(spec.probe.clone());
    }
    let measured = Measured::of(container);
    let mut fixed = measured.clone();
    let mut evidence = vec![format!("{PODS}#/pods/{pod}/containers/{index}")];
    let mut requests = 0;
    for (index, entry) in data.doctor.iter().enumerate() {
        let is_same = entry.component == component.name && entry.container == container.name;
        let is_verified = entry.diagnosis.fix.as_ref().is_some_and(|fix| fix.verified == Some(true));
        if is_same && is_verified {
            fixed = fixed.with_success(entry.which);
            requests += entry.diagnosis.requests;
            evidence.push(format!("{DOCTOR}#/{index}"));
        }
    }
    let restart = match data.pods_of(component).any(|(_, pod)| pod.completes) {
        true => Restart::OnFailure { failures_max: None },
        false => Restart::Always,
    };
    let policy = (restart, component.termination_grace);
    let timeline = play(pod, &container.name, &probes, policy, &mut measured.clone(), AHEAD);
    let with_fix =
        (fixed != measured).then(|| play(pod, &container.name, &probes, policy, &mut fixed, AHEAD).summary());
    let observed = (data.environment.target == Target::K8s)
        .then(|| format!("{} restarts, {}", container.status.restart_count, container.status.state));
    PredictionSection {
        component: component.name.clone(),
        container: container.name.clone(),
        kubelet: timeline.summary(),
        crash_loop_s: timeline.crash_loop_at.map(|at| at.as_secs_f64()),
        restarts_in_an_hour: timeline.restarts,
        with_fix,
        requests,
        observed,
        evidence,
    }
}
