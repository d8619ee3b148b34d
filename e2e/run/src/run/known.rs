//! What the doctor knows of a container beside its probe: during a run, and of a system that is up. Main function: [`known`].

use std::collections::BTreeMap;

use e2e_kubelet::snapshot::Snapshot;
use e2e_node::doctor::Known;
use e2e_plan::{ProbeAction, ProbeKind};
use e2e_report::environment::{Component, ProbeSpec};

/// A system's Services with the components behind each, its components, and the state of its pods.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The components that each Service leads to, by its name.
    pub routes: &'a BTreeMap<String, Vec<String>>,
    /// All of them.
    pub components: &'a [Component],
    /// Their pods.
    pub snapshot: &'a Snapshot,
}

/// What is known of the container that declares a probe.
#[must_use]
pub fn known(facts: Facts<'_>, component: &Component, container: &str, which: ProbeKind) -> Known {
    let in_front = facts.routes.iter().filter(|(_, behind)| behind.contains(&component.name));
    // A Job that has run to completion has done its part.
    let is_ready = |pod: String| facts.snapshot.pod(&pod).is_some_and(|pod| pod.ready);
    let serves = |name: &String| {
        facts.components.iter().any(|component| component.name == *name && component.pod_names().any(is_ready))
    };
    Known {
        services: in_front.map(|(service, _)| service.clone()).collect(),
        paths: other_paths(component, container, which),
        ports_of_others: ports_of_others(component, container),
        away: component.depends_on.iter().filter(|name| !serves(name)).cloned().collect(),
        ..Known::default()
    }
}

/// Paths of the container's other probes.
fn other_paths(component: &Component, container: &str, which: ProbeKind) -> Vec<String> {
    let others = component.probes.iter().filter(|spec| spec.container == container && spec.which != which);
    let path = |spec: &ProbeSpec| match &spec.probe.action {
        ProbeAction::HttpGet { path, .. } => Some(path.clone()),
        ProbeAction::TcpSocket { .. } | ProbeAction::Exec { .. } | ProbeAction::Grpc { .. } => None,
    };
    others.filter_map(path).collect()
}

/// Ports that only other containers of the pod declare.
fn ports_of_others(component: &Component, container: &str) -> Vec<u16> {
    let own = component.container_ports.get(container).map(Vec::as_slice).unwrap_or_default();
    let others = component.container_ports.iter().filter(|(name, _)| *name != container);
    others.flat_map(|(_, ports)| ports.iter().copied()).filter(|port| !own.contains(port)).collect()
}

#[cfg(test)]
mod tests {
    use e2e_kubelet::snapshot::{ContainerReport, PodReport};
    use e2e_plan::Probes;
    use e2e_report::environment;

    use super::*;
    use crate::provider::testing::{deployment, plan, service};

    #[test]
    fn services_other_probes_and_absent_components_are_known() {
        let web = "{ containers: [{ name: app, image: web, env: [{ name: DATABASE, value: 'postgres://db:5432/' }], \
                   readinessProbe: { httpGet: { path: /ready, port: 80 } }, livenessProbe: { httpGet: { path: /live, port: 80 } } }, \
                   { name: proxy, image: proxy, ports: [{ containerPort: 9000 }] }] }";
        let plan = plan(
            &[
                service("public", "web", 80),
                service("db", "db", 5432),
                deployment("web", web),
                deployment("db", "{ containers: [{ name: db, image: postgres }] }"),
            ]
            .join("---\n"),
        );
        let (components, routes) = (environment::components(&plan), environment::routes(&plan));
        let web = components.iter().find(|component| component.name == "web").expect("the component");
        let of = |is_ready| {
            let mut container = ContainerReport::declared("db", &Probes::default(), "");
            container.status.ready = is_ready;
            let mut db = PodReport { containers: vec![container], ..PodReport::default() };
            db.sum_up();
            let snapshot = Snapshot { pods: [("db-0".to_owned(), db)].into() };
            let facts = Facts { routes: &routes, components: &components, snapshot: &snapshot };
            known(facts, web, "app", ProbeKind::Readiness)
        };
        assert_eq!(
            of(false),
            Known {
                services: vec!["public".to_owned()],
                paths: vec!["/live".to_owned()],
                ports_of_others: vec![9000],
                away: vec!["db".to_owned()],
                ..Known::default()
            }
        );
        assert_eq!(of(true).away, Vec::<String>::new());
    }
}
