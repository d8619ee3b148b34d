//! Services: whose pods they select, and which ports of these they reach.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Service as K8sService, ServicePort as K8sServicePort},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    Component, Service, ServicePort,
    convert::port_number,
    error::{Cursor, Error, ErrorKind},
    pod::Port,
    read::{Object, Typed},
};

/// The Services in the order of the manifests. An `ExternalName` is none of ours: it stands in the warnings.
pub(crate) fn services(objects: &[(&Object, Typed)], components: &[Component]) -> Result<Vec<Service>, Error> {
    let mut services = Vec::new();
    for (object, typed) in objects {
        if let Typed::Service(value) = typed
            && let Some(service) = service(object, value, components)?
        {
            services.push(service);
        }
    }
    Ok(services)
}

fn service(object: &Object, value: &K8sService, components: &[Component]) -> Result<Option<Service>, Error> {
    let cursor = Cursor::root(object).key("spec");
    let spec = value.spec.clone().unwrap_or_default();
    if spec.type_.as_deref() == Some("ExternalName") {
        return Ok(None);
    }
    let selected = selected(&cursor.key("selector"), &spec.selector.unwrap_or_default(), components)?;
    let ports = spec.ports.unwrap_or_default();
    let is_headless = spec.cluster_ip.as_deref() == Some("None");
    if ports.is_empty() && !is_headless {
        return Err(cursor.key("ports").fail(ErrorKind::Missing, "the Service has no ports", "add `- port: <number>`"));
    }
    let mut converted: Vec<ServicePort> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let cursor = cursor.key("ports").item(index, port.name.as_deref().unwrap_or_default());
        let port = service_port(&cursor, port, &selected)?;
        let same = |other: &ServicePort| other.port == port.port && other.protocol == port.protocol;
        if converted.iter().any(same) {
            let message = format!("port {} is declared twice", port.port);
            return Err(cursor.key("port").fail(ErrorKind::Duplicate, message, "remove or change one of the two"));
        }
        converted.push(port);
    }
    let components = selected.iter().map(|component| component.name.clone()).collect();
    Ok(Some(Service {
        name: object.name.clone(),
        components,
        ports: converted,
        publish_not_ready: spec.publish_not_ready_addresses.unwrap_or(false),
        source: object.source.clone(),
    }))
}

fn selected<'a>(
    cursor: &Cursor<'_>,
    selector: &BTreeMap<String, String>,
    components: &'a [Component],
) -> Result<Vec<&'a Component>, Error> {
    if selector.is_empty() {
        let remedy = "add the labels of the pods that it should reach";
        return Err(cursor.fail(ErrorKind::Missing, "the Service has no selector", remedy));
    }
    let shared = |component: &Component| {
        selector.iter().filter(|(key, value)| component.pod.labels.get(*key) == Some(*value)).count()
    };
    let selected: Vec<&Component> = components.iter().filter(|component| shared(component) == selector.len()).collect();
    if !selected.is_empty() {
        return Ok(selected);
    }
    let show = |labels: &BTreeMap<String, String>| {
        labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
    };
    // The nearest pods share most labels; among equals, those whose labels read most like the selector.
    let nearest = components.iter().max_by_key(|component| {
        let likeness = super::suggest::distance(&show(selector), &show(&component.pod.labels));
        (shared(component), std::cmp::Reverse(likeness))
    });
    let remedy = match nearest {
        Some(component) => {
            format!("nearest: {}/{} has {}", component.kind, component.name, show(&component.pod.labels))
        }
        None => "add a workload with these labels".to_owned(),
    };
    Err(cursor.fail(ErrorKind::Missing, format!("the selector {} matches no pod", show(selector)), remedy))
}

fn service_port(cursor: &Cursor<'_>, value: &K8sServicePort, selected: &[&Component]) -> Result<ServicePort, Error> {
    let port = port_number(&cursor.key("port"), value.port)?;
    let target = match &value.target_port {
        None | Some(IntOrString::Int(0)) => IntOrString::Int(value.port),
        Some(target) => target.clone(),
    };
    let cursor = cursor.key(if value.target_port.is_some() { "targetPort" } else { "port" });
    let mut target_port = None;
    for component in selected {
        let found = target_of(&cursor, &target, component)?;
        if *target_port.get_or_insert(found) != found {
            let message = format!("targetPort names port {found} in `{}` and another one elsewhere", component.name);
            let remedy = "give the ports the same number, or write one Service for each component";
            return Err(cursor.fail(ErrorKind::Unsupported, message, remedy));
        }
    }
    let target_port = target_port.unwrap_or(port);
    let protocol = value.protocol.clone().unwrap_or_else(|| "TCP".into());
    Ok(ServicePort { name: value.name.clone(), port, target_port, protocol })
}

/// The declared port of a component's pods that a number or name means.
fn target_of(cursor: &Cursor<'_>, target: &IntOrString, component: &Component) -> Result<u16, Error> {
    let ports = || component.pod.containers.iter().flat_map(|container| &container.ports);
    let matches = |port: &&Port| match target {
        IntOrString::Int(number) => i32::from(port.number) == *number,
        IntOrString::String(name) => port.name.as_deref() == Some(name),
    };
    if let Some(port) = ports().find(matches) {
        return Ok(port.number);
    }
    let shown = match target {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(name) => format!("`{name}`"),
    };
    let declared: Vec<String> = ports()
        .map(|port| match &port.name {
            Some(name) => format!("{} ({name})", port.number),
            None => port.number.to_string(),
        })
        .collect();
    let message = format!("{}/{} declares no port {shown}", component.kind, component.name);
    let remedy = match declared.is_empty() {
        true => "add it to the ports of its container".to_owned(),
        false => format!("declared: {}", declared.join(", ")),
    };
    Err(cursor.fail(ErrorKind::Missing, message, remedy))
}
