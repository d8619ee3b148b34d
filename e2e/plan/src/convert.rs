//! Kubernetes workloads to [`Component`]s: defaults filled in, references looked up, contradictions told.

mod container;
mod env;
mod hook;
mod probe;
mod volume;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::{
    api::core::v1::{Container as K8sContainer, PodSpec, PodTemplateSpec},
    apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement},
};

use self::container::{ContainerType, container};
use super::{
    Component, Note,
    cursor::Cursor,
    document::Document,
    error::{ErrorKind, Faults},
    hook::Hook,
    pod::{Container, Pod, Restart},
    probe::ProbeAction,
    release,
    stores::Stores,
    workload::{Selector, Workload, pod_keys},
};

pub(crate) use self::probe::{port_number, ports_shown};

/// Kubernetes's default for `terminationGracePeriodSeconds`.
const DEFAULT_GRACE: Duration = Duration::from_secs(30);

/// What the containers of a pod are converted with.
struct Context<'a> {
    stores: &'a Stores,
    faults: &'a Faults,
    labels: &'a BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    spec: &'a PodSpec,
    grace: Duration,
}

/// The component that a workload declares; none for one without pods.
pub(crate) fn component(object: &Document, workload: &Workload, stores: &Stores, faults: &Faults) -> Option<Component> {
    let cursor = Cursor::root(object).key("spec");
    let replicas = u32::try_from(workload.replicas.unwrap_or(1)).unwrap_or_else(|_| {
        let message = "a negative number of replicas";
        faults.push(cursor.key("replicas").fail(ErrorKind::Value, message, "write 0 or more"));
        0
    });
    let pod = pod(object, workload, stores, faults)?;
    check_selector(&cursor.key("selector"), &workload.selector, &pod.labels, faults);
    Some(Component {
        name: object.name.clone(),
        namespace: object.home().to_owned(),
        kind: object.kind.clone(),
        replicas,
        pod,
        governed_by: workload.governed_by.clone(),
        hook: release::hook(object),
        depends_on: Vec::new(),
        after: Vec::new(),
        source: object.source.clone(),
    })
}

fn check_selector(cursor: &Cursor<'_>, selector: &Selector, labels: &BTreeMap<String, String>, faults: &Faults) {
    let (wanted, expressions) = match selector {
        Selector::Made => return,
        Selector::Labels(labels) => (labels.clone(), Vec::new()),
        Selector::Needed(LabelSelector { match_labels, match_expressions }) => {
            (match_labels.clone().unwrap_or_default(), match_expressions.clone().unwrap_or_default())
        }
    };
    let fault = match selector {
        Selector::Needed(_) => Some(("the workload has no selector", "add matchLabels with the pods' labels")),
        // A ReplicationController selects by the labels of its pods, where it does not say others.
        _ if labels.is_empty() => Some((
            "the workload has no selector, and its pods have no labels",
            "add them under spec.template.metadata.labels",
        )),
        _ => None,
    };
    if let Some((message, remedy)) = fault.filter(|_| wanted.is_empty() && expressions.is_empty()) {
        faults.push(cursor.fail(ErrorKind::Missing, message, remedy));
    }
    let unlike = wanted.iter().filter(|(key, value)| labels.get(*key) != Some(*value));
    let unlike = unlike.map(|(key, value)| format!("{key}={value}"));
    let excluded = expressions.iter().filter(|expression| !is_met(expression, labels));
    let excluded = excluded.map(|LabelSelectorRequirement { key, operator, values }| {
        let values =
            values.as_deref().filter(|values| !values.is_empty()).map(|values| format!(" {}", values.join(", ")));
        format!("{key} {operator}{}", values.unwrap_or_default())
    });
    for wish in unlike.chain(excluded) {
        let message = format!("the selector wants {wish}, which the pods' labels do not have");
        faults.push(cursor.fail(ErrorKind::Value, message, "write the same labels in spec.template.metadata.labels"));
    }
}

/// Whether labels satisfy an element of `matchExpressions`; an operator that does not exist is a fault of its own.
fn is_met(expression: &LabelSelectorRequirement, labels: &BTreeMap<String, String>) -> bool {
    let LabelSelectorRequirement { key, operator, values } = expression;
    let own = labels.get(key);
    let is_among = || own.is_some_and(|own| values.iter().flatten().any(|value| value == own));
    match operator.as_str() {
        "In" => is_among(),
        "NotIn" => !is_among(),
        "Exists" => own.is_some(),
        "DoesNotExist" => own.is_none(),
        _ => true,
    }
}

fn pod(object: &Document, workload: &Workload, stores: &Stores, faults: &Faults) -> Option<Pod> {
    let PodTemplateSpec { metadata, spec } = &workload.template;
    let metadata = metadata.clone().unwrap_or_default();
    let labels = metadata.labels.unwrap_or_default();
    let cursor = Cursor::root(object).keys(pod_keys(&object.kind));
    let Some(spec) = spec else {
        faults.push(cursor.fail(ErrorKind::Missing, "the pod template has no spec", "add containers"));
        return None;
    };
    let policy = spec.restart_policy.as_deref();
    let restart = workload.restarts.of(policy).unwrap_or_else(|| {
        let message = match policy {
            Some(policy) => format!("restartPolicy `{policy}` is not allowed in a {}", object.kind),
            None => format!("a {} needs a restartPolicy for its pods", object.kind),
        };
        faults.push(cursor.key("restartPolicy").fail(ErrorKind::Value, message, workload.restarts.allowed()));
        Restart::Always
    });
    let grace = spec.termination_grace_period_seconds.map(|seconds| u64::try_from(seconds).unwrap_or(1));
    if spec.termination_grace_period_seconds.is_some_and(i64::is_negative) {
        let cursor = cursor.key("terminationGracePeriodSeconds");
        stores.note(&cursor, Note::everywhere("a negative time counts as 1 s, as in a cluster since Kubernetes 1.27"));
    }
    let termination_grace = grace.map_or(DEFAULT_GRACE, Duration::from_secs);
    let annotations = metadata.annotations.unwrap_or_default();
    let context = Context { stores, faults, labels: &labels, annotations, spec, grace: termination_grace };
    let volumes = volume::volumes(&context, &cursor);
    let convert = |field: &str, containers: &[K8sContainer]| {
        let cursor = cursor.key(field);
        let each = |(index, value): (usize, &K8sContainer)| {
            container(&context, &cursor.item(index, &value.name), value, &volumes, ContainerType::of(field, value))
        };
        containers.iter().enumerate().map(each).collect::<Vec<_>>()
    };
    let init_containers = convert("initContainers", spec.init_containers.as_deref().unwrap_or_default());
    let containers = convert("containers", &spec.containers);
    if containers.is_empty() {
        faults.push(cursor.key("containers").fail(ErrorKind::Missing, "the pod has no containers", "add one"));
    }
    check_names(&cursor, &init_containers, &containers, faults);
    let ports = init_containers.iter().filter(|init| init.is_sidecar).chain(&containers).flat_map(reached).collect();
    let service_links = spec.enable_service_links.unwrap_or(true);
    Some(Pod { labels, init_containers, containers, volumes, termination_grace, restart, ports, service_links })
}

/// Tells names that two containers of a pod share.
fn check_names(cursor: &Cursor<'_>, init_containers: &[Container], containers: &[Container], faults: &Faults) {
    let mut names = BTreeSet::new();
    for (field, containers) in [("initContainers", init_containers), ("containers", containers)] {
        for (index, container) in containers.iter().enumerate() {
            if !names.insert(&container.name) {
                let message = format!("two containers are named `{}`", container.name);
                let cursor = cursor.key(field).item(index, &container.name);
                faults.push(cursor.fail(ErrorKind::Duplicate, message, "rename one of the two"));
            }
        }
    }
}

/// The TCP ports of a container that something reaches: those that it declares, and those that its probes and hooks name.
fn reached(container: &Container) -> Vec<u16> {
    let declared = container.ports.iter().filter(|port| port.protocol == "TCP").map(|port| port.number);
    let hooks = container.hooks.all().filter_map(|(_, hook)| match hook {
        Hook::Run(action) => Some(action),
        Hook::Sleep(_) => None,
    });
    let asked = container.probes.all().map(|(_, probe)| &probe.action).chain(hooks);
    // Another host's port is no port of the pod.
    let is_elsewhere = |action: &&ProbeAction| {
        matches!(action, ProbeAction::HttpGet { host: Some(_), .. } | ProbeAction::TcpSocket { host: Some(_), .. })
    };
    declared.chain(asked.filter(|action| !is_elsewhere(action)).filter_map(ProbeAction::port)).collect()
}
