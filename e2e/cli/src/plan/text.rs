//! A plan as a person reads it. Main functions: [`render`], [`lines`].

use std::fmt::Write as _;

use e2e_plan::{Component, Container, Missing, Object, Plan, Restart, Warning, target::Target, words::counted};

/// The plan in lines.
pub(super) fn render(plan: &Plan, target: Target, warnings: &[Warning]) -> String {
    let mut text = format!(
        "{} in {} on {target}, in start order\n",
        counted(plan.components.len(), "component"),
        counted(plan.components.iter().map(|component| component.replicas).sum::<u32>(), "pod"),
    );
    for component in &plan.components {
        // Writing to a String cannot fail.
        let _ = of_component(&mut text, plan, component);
    }
    let others: Vec<String> = plan.objects.iter().filter(|object| !object.is_planned()).map(Object::label).collect();
    if !others.is_empty() {
        let _ = writeln!(text, "\nother objects: {}", others.join(", "));
    }
    let warnings = lines(plan, target, warnings);
    if !warnings.is_empty() {
        let _ = writeln!(text, "\n{} on {target}", counted(warnings.len(), "warning"));
        for warning in warnings {
            let _ = writeln!(text, "  {warning}");
        }
    }
    text
}

fn of_component(text: &mut String, plan: &Plan, component: &Component) -> std::fmt::Result {
    let Component { name, kind, replicas, pod, source, .. } = component;
    let many = counted(*replicas, if kind == "Job" { "completion" } else { "pod" });
    writeln!(text, "\n{name}: {kind}, {many} ({source})")?;
    let earlier: Vec<&str> = component.earlier().map(String::as_str).collect();
    if !earlier.is_empty() {
        writeln!(text, "  after {}", earlier.join(", "))?;
    }
    if let Restart::OnFailure { failures_max: Some(limit) } = pod.restart {
        writeln!(text, "  to completion, {}", attempts(limit))?;
    }
    for container in &pod.init_containers {
        of_container(text, if container.is_sidecar { "sidecar" } else { "init" }, container)?;
    }
    for container in &pod.containers {
        of_container(text, "container", container)?;
    }
    for service in plan.services.iter().filter(|service| service.components.contains(name)) {
        let port = |port: &e2e_plan::ServicePort| match port.port == port.target_port {
            true => port.port.to_string(),
            false => format!("{} -> {}", port.port, port.target_port),
        };
        let ports: Vec<String> = service.ports.iter().map(port).collect();
        writeln!(text, "  Service {} {}", service.name, ports.join(", "))?;
    }
    Ok(())
}

/// How often a Job tries: its `backoffLimit` counts what follows the first failure.
fn attempts(limit: u32) -> String {
    match limit {
        0 => "given up after the first failure".to_owned(),
        _ => format!("started again at most {}", counted(limit, "time")),
    }
}

fn of_container(text: &mut String, what: &str, container: &Container) -> std::fmt::Result {
    write!(text, "  {what} {}: {}", container.name, container.image)?;
    let ports: Vec<String> = container.ports.iter().map(|port| port.number.to_string()).collect();
    if !ports.is_empty() {
        write!(text, ", port {}", ports.join(", "))?;
    }
    let probes: Vec<String> = container.probes.all().map(|(which, _)| which.to_string()).collect();
    if !probes.is_empty() {
        write!(text, ", {} probe{}", probes.join(", "), if probes.len() > 1 { "s" } else { "" })?;
    }
    for (which, _) in container.hooks.all() {
        write!(text, ", {} hook", which.field())?;
    }
    writeln!(text)
}

/// Fields that a target does not honour, one line for each reason, and objects missing from the manifests, one line each.
pub(super) fn lines(plan: &Plan, target: Target, warnings: &[Warning]) -> Vec<String> {
    let mut reasons: Vec<(&str, Vec<&Warning>)> = Vec::new();
    for warning in warnings {
        match reasons.iter_mut().find(|(reason, _)| *reason == warning.reason) {
            Some((_, alike)) => alike.push(warning),
            None => reasons.push((&warning.reason, vec![warning])),
        }
    }
    let warnings = reasons.into_iter().map(|(reason, alike)| {
        let Warning { source, object, path, .. } = alike[0];
        let others = match alike.len() - 1 {
            0 => String::new(),
            others => format!(" (and {})", counted(others, "more field")),
        };
        format!("{source}: {object} {path}{others}: {reason}")
    });
    let missing = plan.missing.iter().filter(|missing| !plan.is_made_in(missing, target));
    Missing::lines(missing).into_iter().chain(warnings).collect()
}

#[cfg(test)]
mod tests {
    use e2e_plan::{Manifest, Objects};

    use super::*;

    #[rstest::rstest]
    #[case::none(0, "  to completion, given up after the first failure\n")]
    #[case::one(1, "  to completion, started again at most 1 time\n")]
    #[case::several(6, "  to completion, started again at most 6 times\n")]
    fn how_often_a_job_tries(#[case] limit: u32, #[case] expected: &str) {
        for policy in ["Never", "OnFailure"] {
            let text = format!(
                "{{apiVersion: batch/v1, kind: Job, metadata: {{name: j}}, spec: {{backoffLimit: {limit}, template: {{spec: \
                 {{restartPolicy: {policy}, containers: [{{name: c, image: x}}]}}}}}}}}\n"
            );
            let plan = Plan::of(Objects::read(&[Manifest { file: "app.yaml".into(), text }])).expect("a plan");
            let shown = render(&plan, Target::Docker, &[]);
            assert!(shown.contains(expected), "{shown}");
        }
    }

    #[test]
    fn a_reason_is_given_once() {
        let pod = |name: &str| {
            format!(
                "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: shop}}, spec: {{containers: [{{name: c, image: x}}]}}}}"
            )
        };
        let text = format!("{}\n---\n{}\n---\n{}\n", pod("a"), pod("b"), pod("c"));
        let plan = Plan::of(Objects::read(&[Manifest { file: "app.yaml".into(), text }])).expect("a plan");
        let lines = lines(&plan, Target::Docker, &plan.warnings(Target::Docker));
        let expected =
            "app.yaml, document 1: Pod/a metadata.namespace (and 2 more fields): every run has its own namespace";
        assert_eq!(lines, [expected]);
    }
}
