//! Kubernetes workloads to [`Component`]s: defaults filled in, references looked up, contradictions refused.

mod container;
mod env;
mod probe;
mod volume;

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    api::core::v1::{PodSpec, PodTemplateSpec},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};

use self::container::container;
use super::{
    Component,
    error::{Cursor, Error, ErrorKind},
    pod::{Container, Pod},
    read::{Object, Typed},
    stores::Stores,
};

pub(crate) use self::container::port_number;

/// Kubernetes's default for `terminationGracePeriodSeconds`.
const DEFAULT_GRACE: Duration = Duration::from_secs(30);

/// What the containers of a pod are converted with.
struct Context<'a> {
    stores: &'a Stores,
    labels: &'a BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    spec: &'a PodSpec,
}

/// The component that an object declares; none if it is no workload.
pub(crate) fn component(object: &Object, typed: &Typed, stores: &Stores) -> Result<Option<Component>, Error> {
    let (selector, template, replicas) = match typed {
        Typed::Deployment(workload) => (&workload.spec.selector, &workload.spec.template, workload.spec.replicas),
        Typed::StatefulSet(workload) => (&workload.spec.selector, &workload.spec.template, workload.spec.replicas),
        _ => return Ok(None),
    };
    let cursor = Cursor::root(object).key("spec");
    let replicas = u32::try_from(replicas.unwrap_or(1)).map_err(|_| {
        cursor.key("replicas").fail(ErrorKind::Value, "a negative number of replicas", "write 0 or more")
    })?;
    let pod = pod(&cursor.key("template"), template, object, stores)?;
    check_selector(&cursor.key("selector"), selector, &pod.labels)?;
    Ok(Some(Component {
        name: object.name.clone(),
        kind: object.kind.clone(),
        replicas,
        pod,
        depends_on: Vec::new(),
        source: object.source.clone(),
    }))
}

fn check_selector(
    cursor: &Cursor<'_>,
    selector: &LabelSelector,
    labels: &BTreeMap<String, String>,
) -> Result<(), Error> {
    let wanted = selector.match_labels.clone().unwrap_or_default();
    if wanted.is_empty() && selector.match_expressions.is_none() {
        return Err(cursor.fail(
            ErrorKind::Missing,
            "the workload has no selector",
            "add matchLabels with the pods' labels",
        ));
    }
    for (key, value) in &wanted {
        if labels.get(key) != Some(value) {
            let message = format!("the selector wants {key}={value}, which the pods' labels do not have");
            return Err(cursor.fail(
                ErrorKind::Value,
                message,
                "write the same labels in spec.template.metadata.labels",
            ));
        }
    }
    Ok(())
}

fn pod(cursor: &Cursor<'_>, template: &PodTemplateSpec, object: &Object, stores: &Stores) -> Result<Pod, Error> {
    let metadata = template.metadata.clone().unwrap_or_default();
    let labels = metadata.labels.unwrap_or_default();
    let cursor = cursor.key("spec");
    let Some(spec) = &template.spec else {
        return Err(cursor.fail(ErrorKind::Missing, "the pod template has no spec", "add containers"));
    };
    if let Some(policy) = spec.restart_policy.as_deref().filter(|policy| *policy != "Always") {
        let message = format!("restartPolicy `{policy}` is not allowed in a {}", object.kind);
        return Err(cursor.key("restartPolicy").fail(ErrorKind::Value, message, "write Always, or remove the field"));
    }
    let termination_grace = match spec.termination_grace_period_seconds {
        None => DEFAULT_GRACE,
        Some(seconds) => Duration::from_secs(u64::try_from(seconds).map_err(|_| {
            cursor.key("terminationGracePeriodSeconds").fail(ErrorKind::Value, "a negative time", "write 0 or more")
        })?),
    };
    let context = Context { stores, labels: &labels, annotations: metadata.annotations.unwrap_or_default(), spec };
    let volumes = volume::volumes(&context, &cursor, object)?;
    let convert = |field: &str, containers: &[k8s_openapi::api::core::v1::Container]| {
        let cursor = cursor.key(field);
        let each = |(index, value): (usize, &k8s_openapi::api::core::v1::Container)| {
            container(&context, &cursor.item(index, &value.name), value, &volumes, field == "initContainers")
        };
        containers.iter().enumerate().map(each).collect::<Result<Vec<_>, _>>()
    };
    let init_containers = convert("initContainers", spec.init_containers.as_deref().unwrap_or_default())?;
    let containers = convert("containers", &spec.containers)?;
    if containers.is_empty() {
        return Err(cursor.key("containers").fail(ErrorKind::Missing, "the pod has no containers", "add one"));
    }
    check_containers(&cursor, &init_containers, &containers)?;
    Ok(Pod { labels, init_containers, containers, volumes, termination_grace })
}

/// Refuses names and ports that two containers of a pod share.
fn check_containers(cursor: &Cursor<'_>, init_containers: &[Container], containers: &[Container]) -> Result<(), Error> {
    let mut names = BTreeMap::new();
    let groups = [("initContainers", init_containers), ("containers", containers)];
    for (field, index, container) in
        groups.iter().flat_map(|(field, list)| list.iter().enumerate().map(move |(i, c)| (field, i, c)))
    {
        if names.insert(container.name.clone(), ()).is_some() {
            let message = format!("two containers are named `{}`", container.name);
            let cursor = cursor.key(field).item(index, &container.name);
            return Err(cursor.fail(ErrorKind::Duplicate, message, "rename one of the two"));
        }
    }
    let mut ports = BTreeMap::new();
    let mut port_names = BTreeMap::new();
    for (index, container) in containers.iter().enumerate() {
        for (position, port) in container.ports.iter().enumerate() {
            let fail = |message: String, remedy: &str| {
                let name = port.name.as_deref().unwrap_or_default();
                let cursor = cursor.key("containers").item(index, &container.name).key("ports").item(position, name);
                cursor.fail(ErrorKind::Duplicate, message, remedy)
            };
            let first = ports.insert((port.number, port.protocol.clone()), &container.name);
            if let Some(first) = first {
                let message = format!(
                    "port {}/{} is declared twice in the pod, first by container `{first}`",
                    port.number, port.protocol
                );
                return Err(fail(message, "the containers of a pod share one address: change one of the two"));
            }
            let first = port.name.as_ref().and_then(|name| port_names.insert(name.clone(), ()));
            if first.is_some() {
                let message = format!("two ports of the pod are named `{}`", port.name.as_deref().unwrap_or_default());
                return Err(fail(message, "rename one of the two"));
            }
        }
    }
    Ok(())
}
