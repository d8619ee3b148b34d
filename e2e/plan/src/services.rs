//! Services: whose pods they select, and which ports of these they reach.

use std::{cell::RefCell, collections::BTreeMap};

use k8s_openapi::{
    api::core::v1::{Service as K8sService, ServicePort as K8sServicePort},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    Component, FieldUse, Note, Service, ServicePort,
    convert::{port_number, ports_shown},
    cursor::Cursor,
    document::Document,
    error::{Error, ErrorKind, Faults},
    read::{Typed, check_name, given},
};

/// The Services that lead to pods of the plan, in the order of the manifests. What the others lead to is told by `fields`.
pub(crate) fn services(
    objects: &[(&Document, Typed)],
    components: &[Component],
    faults: &Faults,
    fields: &mut Vec<FieldUse>,
) -> Vec<Service> {
    let carried =
        objects.iter().filter(|(_, typed)| matches!(typed, Typed::Carried)).map(|(object, _)| *object).collect();
    let reader = Reader { components, carried, faults, notes: RefCell::default() };
    let mut services = Vec::new();
    for (object, typed) in objects {
        if let Typed::Service(value) = typed {
            services.extend(reader.service(object, value).map(|service| own_name(service, &services)));
        }
    }
    fields.extend(reader.notes.into_inner());
    services
}

/// A Service under a name of its own: another namespace may have one of its name.
fn own_name(mut service: Service, others: &[Service]) -> Service {
    if others.iter().any(|other| other.name == service.name) {
        service.name = format!("{}.{}", service.name, service.namespace);
    }
    service
}

/// Kubernetes's default for the ports of nodes.
const NODE_PORTS: std::ops::RangeInclusive<i32> = 30_000..=32_767;

struct Reader<'a> {
    components: &'a [Component],
    /// Objects that have no part in a plan.
    carried: Vec<&'a Document>,
    faults: &'a Faults,
    notes: RefCell<Vec<FieldUse>>,
}

impl<'a> Reader<'a> {
    fn service(&self, object: &Document, value: &K8sService) -> Option<Service> {
        let cursor = Cursor::root(object).key("spec");
        let spec = value.spec.clone().unwrap_or_default();
        // Its name is an alias of another host's, whatever its selector says.
        let is_external = spec.type_.as_deref() == Some("ExternalName");
        let selected = match is_external {
            true => Vec::new(),
            false => self.selected(&cursor, object, &spec.selector.unwrap_or_default()),
        };
        let ports = spec.ports.unwrap_or_default();
        let is_headless = spec.cluster_ip.as_deref() == Some("None");
        if ports.is_empty() && !is_headless && !is_external {
            let remedy = "add `- port: <number>`";
            self.faults.push(cursor.key("ports").fail(ErrorKind::Missing, "the Service has no ports", remedy));
        }
        if is_headless && matches!(spec.type_.as_deref(), Some("NodePort" | "LoadBalancer")) {
            let message = format!("a {} needs an address of its own", spec.type_.as_deref().unwrap_or_default());
            let remedy = "remove `clusterIP: None`, or the type";
            self.faults.push(cursor.key("clusterIP").fail(ErrorKind::Value, message, remedy));
        }
        let is_internal = spec.type_.as_deref().is_none_or(|kind| matches!(kind, "" | "ClusterIP"));
        let mut converted: Vec<ServicePort> = Vec::new();
        for (index, port) in ports.iter().enumerate() {
            let cursor = cursor.key("ports").item(index, port.name.as_deref().unwrap_or_default());
            self.faults.keep(check_port_name(&cursor, port, &ports[..index], ports.len()));
            if is_internal && port.node_port.is_some_and(|port| port != 0) {
                let message = "a Service of type ClusterIP has no port on nodes";
                let remedy = "write `type: NodePort`, or remove nodePort";
                self.faults.push(cursor.key("nodePort").fail(ErrorKind::Value, message, remedy));
            }
            if port.node_port.is_some_and(|port| port != 0 && !NODE_PORTS.contains(&port)) {
                let text =
                    "a cluster takes ports from 30000 to 32767, unless `--service-node-port-range` says otherwise";
                self.note(&cursor.key("nodePort"), Note::in_cluster(text));
            }
            let is_same = |other: &K8sServicePort| other.port == port.port && protocol(other) == protocol(port);
            if ports[..index].iter().any(is_same) {
                let message = format!("port {} is declared twice", port.port);
                let remedy = "remove or change one of the two";
                self.faults.push(cursor.key("port").fail(ErrorKind::Duplicate, message, remedy));
            }
            converted.extend(self.faults.keep(self.port(&cursor, port, &selected)).flatten());
        }
        (!selected.is_empty()).then(|| Service {
            name: object.name.clone(),
            namespace: object.home().to_owned(),
            components: selected.iter().map(|component| component.name.clone()).collect(),
            ports: converted,
            headless: is_headless,
            publish_not_ready: spec.publish_not_ready_addresses.unwrap_or(false),
            source: object.source.clone(),
        })
    }

    fn note(&self, cursor: &Cursor<'_>, note: Note) {
        self.notes.borrow_mut().push(FieldUse::new(cursor, note));
    }

    /// The components whose pods a selector matches: those of the Service's own namespace, or else of any.
    fn selected(
        &self,
        cursor: &Cursor<'_>,
        service: &Document,
        selector: &BTreeMap<String, String>,
    ) -> Vec<&'a Component> {
        if selector.is_empty() {
            let text = "it has no selector and so no pods in the manifests: nothing answers under its name";
            let is_supplied = self.carried.iter().any(|object| supplies(object, service));
            self.note(cursor, if is_supplied { Note::without_cluster(text) } else { Note::everywhere(text) });
            return Vec::new();
        }
        let shared = |component: &Component| {
            selector.iter().filter(|(key, value)| component.pod.labels.get(*key) == Some(*value)).count()
        };
        let selected: Vec<&Component> =
            self.components.iter().filter(|component| shared(component) == selector.len()).collect();
        let (own, others): (Vec<&Component>, Vec<&Component>) =
            selected.into_iter().partition(|component| component.namespace == service.home());
        if !own.is_empty() || !others.is_empty() {
            return if own.is_empty() { others } else { own };
        }
        let show = |labels: &BTreeMap<String, String>| {
            labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
        };
        let text = format!("{} matches no pod: nothing answers under its name", show(selector));
        // Pods that a controller of another kind makes, such as a Rollout, exist in a cluster alone.
        let makes_them = |object: &&&Document| {
            let labels = |key: &str| object.node.text_at(&["spec", "template", "metadata", "labels", key]);
            selector.iter().all(|(key, value)| labels(key) == Some(value.as_str()))
        };
        if let Some(object) = self.carried.iter().find(makes_them) {
            let text = format!("{text}; only a cluster has the pods of {}", object.label());
            self.note(&cursor.key("selector"), Note::without_cluster(text));
            return Vec::new();
        }
        // The nearest pods share most labels; among equals, those whose labels read most like the selector.
        let likeness = |component: &&Component| strsim::osa_distance(&show(selector), &show(&component.pod.labels));
        let is_near =
            |component: &&Component| shared(component) > 0 || likeness(component) <= show(selector).chars().count() / 3;
        let near = self.components.iter().filter(is_near);
        let nearest = near.max_by_key(|component| (shared(component), std::cmp::Reverse(likeness(component))));
        let nearest = nearest.map(|component| {
            format!("; nearest: {}/{} has {}", component.kind, component.name, show(&component.pod.labels))
        });
        self.note(&cursor.key("selector"), Note::everywhere(format!("{text}{}", nearest.unwrap_or_default())));
        Vec::new()
    }

    /// A port; none for one that leads nowhere.
    fn port(
        &self,
        cursor: &Cursor<'_>,
        value: &K8sServicePort,
        selected: &[&Component],
    ) -> Result<Option<ServicePort>, Error> {
        let port = port_number(&cursor.key("port"), value.port)?;
        let protocol = protocol(value).to_owned();
        let made = |target_port| ServicePort { name: value.name.clone(), port, target_port, protocol };
        let cursor = cursor.key("targetPort");
        let name = match &value.target_port {
            None | Some(IntOrString::Int(0)) => return Ok(Some(made(port))),
            Some(IntOrString::Int(number)) => return port_number(&cursor, *number).map(made).map(Some),
            Some(IntOrString::String(name)) => name,
        };
        let targets: Vec<(&str, Option<u16>)> =
            selected.iter().map(|component| (component.name.as_str(), named(component, name))).collect();
        let Some(target) = targets.iter().find_map(|(_, target)| *target) else {
            if !selected.is_empty() {
                let text = format!(
                    "no container of {} has a port named `{name}`: nothing answers there{}",
                    names(selected),
                    declared(selected)
                );
                self.note(&cursor, Note::everywhere(text));
            }
            return Ok(None);
        };
        for (component, other) in targets.iter().filter(|(_, other)| *other != Some(target)) {
            let found = other.map_or("no port".to_owned(), |other| format!("port {other}"));
            let text = format!(
                "`{name}` is {found} in {component} and port {target} elsewhere; the Service uses port {target} everywhere"
            );
            self.note(&cursor, Note::without_cluster(text));
        }
        Ok(Some(made(target)))
    }
}

/// Whether an object names the addresses of a Service without a selector.
fn supplies(object: &Document, service: &Document) -> bool {
    let of = match object.kind.as_str() {
        "Endpoints" => Some(object.name.as_str()),
        "EndpointSlice" => object.node.text_at(&["metadata", "labels", "kubernetes.io/service-name"]),
        _ => None,
    };
    of == Some(service.name.as_str()) && object.home() == service.home()
}

/// Of several ports each has a name, and no two have the same.
fn check_port_name(
    cursor: &Cursor<'_>,
    port: &K8sServicePort,
    before: &[K8sServicePort],
    count: usize,
) -> Result<(), Error> {
    match port.name.as_deref().unwrap_or_default() {
        "" if count == 1 => Ok(()),
        "" => {
            let remedy = "add a name to each, such as `name: http`";
            Err(cursor.fail(ErrorKind::Missing, "a port of a Service with several has no name", remedy))
        }
        name if before.iter().any(|other| other.name.as_deref() == Some(name)) => {
            let message = format!("two ports of the Service are named `{name}`");
            Err(cursor.key("name").fail(ErrorKind::Duplicate, message, "rename one of the two"))
        }
        name => check_name(&cursor.key("name"), name, false),
    }
}

fn protocol(port: &K8sServicePort) -> &str {
    given(&port.protocol).unwrap_or("TCP")
}

fn names(components: &[&Component]) -> String {
    let name = |component: &&Component| component.label();
    components.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn declared(components: &[&Component]) -> String {
    let ports =
        components.iter().flat_map(|component| &component.pod.containers).flat_map(|container| &container.ports);
    let declared = ports_shown(ports.map(|port| (port.number.into(), port.name.as_deref())));
    if declared.is_empty() { String::new() } else { format!("; declared: {}", declared.join(", ")) }
}

/// The port of a component's pods that a name means.
fn named(component: &Component, name: &str) -> Option<u16> {
    let sidecars = component.pod.init_containers.iter().filter(|container| container.is_sidecar);
    let mut ports = component.pod.containers.iter().chain(sidecars).flat_map(|container| &container.ports);
    ports.find(|port| port.name.as_deref() == Some(name)).map(|port| port.number)
}
