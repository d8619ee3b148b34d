//! One container: image, ports, mounts, resources and security.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container as K8sContainer, ContainerPort, PodSecurityContext, SecurityContext},
    apimachinery::pkg::api::resource::Quantity,
};

use super::{
    Context,
    env::env,
    hook::hooks,
    probe::{port_number, probes},
    volume::mounts,
};
use crate::{
    ImageName, Note,
    cursor::Cursor,
    error::{Error, ErrorKind},
    pod::{Container, Port, Resources, Security, Volume},
    quantity,
    read::{check_name, given},
    suggest::placeholder,
};

/// How a pod runs a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContainerType {
    Init,
    Sidecar,
    Main,
}

impl ContainerType {
    pub(super) fn of(field: &str, value: &K8sContainer) -> Self {
        match (field, value.restart_policy.as_deref()) {
            ("initContainers", Some("Always")) => Self::Sidecar,
            ("initContainers", _) => Self::Init,
            _ => Self::Main,
        }
    }
}

pub(super) fn container(
    context: &Context<'_>,
    cursor: &Cursor<'_>,
    value: &K8sContainer,
    volumes: &BTreeMap<String, Volume>,
    kind: ContainerType,
) -> Container {
    let faults = context.faults;
    if value.name.is_empty() {
        faults.push(cursor.fail(ErrorKind::Missing, "the container has no name", "add one"));
    } else {
        faults.keep(check_name(&cursor.key("name"), &value.name, false));
    }
    let image = value.image.clone().filter(|image| !image.trim().is_empty());
    match &image {
        None => faults.push(cursor.fail(ErrorKind::Missing, "the container has no image", "add `image: <name>:<tag>`")),
        Some(image) if !ImageName::is_valid(image) => {
            let text = format!("`{image}` cannot be an image's name, so no container starts: fill in its placeholder");
            // A local program may stand for any text.
            let note = Note { local: None, ..Note::everywhere(text) };
            context.stores.note(&cursor.key("image"), note);
        }
        Some(_) => {}
    }
    if kind == ContainerType::Init {
        faults.keep(check_init(cursor, value));
    }
    Container {
        name: value.name.clone(),
        image: image.unwrap_or_default(),
        command: value.command.clone().unwrap_or_default(),
        args: value.args.clone().unwrap_or_default(),
        working_dir: given(&value.working_dir).map(str::to_owned),
        env: env(context, cursor, value),
        mounts: mounts(context, cursor, value.volume_mounts.as_deref().unwrap_or_default(), volumes),
        resources: resources(context, &cursor.key("resources"), value),
        probes: probes(context, cursor, value),
        hooks: hooks(context, cursor, value),
        security: faults
            .keep(security(cursor, value.security_context.as_ref(), context.spec.security_context.as_ref()))
            .unwrap_or_default(),
        ports: ports(context, &cursor.key("ports"), value.ports.as_deref().unwrap_or_default()),
        is_sidecar: kind == ContainerType::Sidecar,
    }
}

fn check_init(cursor: &Cursor<'_>, value: &K8sContainer) -> Result<(), Error> {
    let probes = [
        ("startupProbe", &value.startup_probe),
        ("readinessProbe", &value.readiness_probe),
        ("livenessProbe", &value.liveness_probe),
    ];
    if let Some((field, _)) = probes.iter().find(|(_, probe)| probe.is_some()) {
        let message = "an init container cannot have probes";
        let remedy =
            "remove the probe: the container runs to completion; or let it go on running with `restartPolicy: Always`";
        return Err(cursor.key(field).fail(ErrorKind::Value, message, remedy));
    }
    if value.lifecycle.as_ref().is_some_and(|hooks| hooks.post_start.is_some() || hooks.pre_stop.is_some()) {
        let message = "an init container cannot have hooks";
        let remedy = "remove `lifecycle`; or let the container go on running with `restartPolicy: Always`";
        return Err(cursor.key("lifecycle").fail(ErrorKind::Value, message, remedy));
    }
    Ok(())
}

fn ports(context: &Context<'_>, cursor: &Cursor<'_>, values: &[ContainerPort]) -> Vec<Port> {
    let mut ports: Vec<Port> = Vec::new();
    for (index, value) in values.iter().enumerate() {
        let cursor = cursor.item(index, value.name.as_deref().unwrap_or_default());
        ports.extend(context.faults.keep(port(&cursor, value, &ports)));
    }
    ports
}

fn port(cursor: &Cursor<'_>, value: &ContainerPort, before: &[Port]) -> Result<Port, Error> {
    let number = port_number(&cursor.key("containerPort"), value.container_port)?;
    let protocol = given(&value.protocol).unwrap_or("TCP").to_owned();
    let name = given(&value.name);
    if let Some(name) = name
        && before.iter().any(|port| port.name.as_deref() == Some(name))
    {
        let message = format!("two ports of the container are named `{name}`");
        return Err(cursor.fail(ErrorKind::Duplicate, message, "rename one of the two"));
    }
    Ok(Port { name: name.map(str::to_owned), number, protocol })
}

fn resources(context: &Context<'_>, cursor: &Cursor<'_>, value: &K8sContainer) -> Resources {
    let empty = BTreeMap::new();
    let given = value.resources.as_ref();
    let requests = given.and_then(|resources| resources.requests.as_ref()).unwrap_or(&empty);
    let limits = given.and_then(|resources| resources.limits.as_ref()).unwrap_or(&empty);
    let read = |field: &str, map: &BTreeMap<String, Quantity>, name: &str| {
        let parse = if name == "cpu" { quantity::millis } else { quantity::bytes };
        let Quantity(text) = map.get(name)?;
        let amount = parse(text).map_err(|message| {
            let form = if name == "cpu" {
                "write cores as `500m`, `0.5` or `2`"
            } else {
                "write bytes as `128Mi`, `1G` or `134217728`"
            };
            cursor.key(field).key(name).fail(ErrorKind::Value, message, placeholder(text).unwrap_or(form))
        });
        context.faults.keep(amount)
    };
    let resources = Resources {
        memory_request_bytes: read("requests", requests, "memory"),
        memory_limit_bytes: read("limits", limits, "memory"),
        cpu_request_millis: read("requests", requests, "cpu"),
        cpu_limit_millis: read("limits", limits, "cpu"),
    };
    let pairs = [
        ("memory", resources.memory_request_bytes, resources.memory_limit_bytes),
        ("cpu", resources.cpu_request_millis, resources.cpu_limit_millis),
    ];
    for (name, request, limit) in pairs {
        if let (Some(request), Some(limit)) = (request, limit)
            && request > limit
        {
            let text = |map: &BTreeMap<String, Quantity>| map.get(name).map(|text| text.0.clone()).unwrap_or_default();
            let message = format!("the {name} request {} is above the limit {}", text(requests), text(limits));
            let cursor = cursor.key("requests").key(name);
            context.faults.push(cursor.fail(ErrorKind::Value, message, "lower the request or raise the limit"));
        }
    }
    resources
}

/// The container's settings win over the pod's.
fn security(
    cursor: &Cursor<'_>,
    own: Option<&SecurityContext>,
    pod: Option<&PodSecurityContext>,
) -> Result<Security, Error> {
    let cursor = cursor.key("securityContext");
    let own = own.cloned().unwrap_or_default();
    let pod = pod.cloned().unwrap_or_default();
    let id = |field: &str, value: Option<i64>| {
        let id = value.map(u32::try_from).transpose();
        id.map_err(|_| {
            cursor.key(field).fail(ErrorKind::Value, "not a user or group id", "write a number from 0 to 4294967295")
        })
    };
    let run_as_user = id("runAsUser", own.run_as_user.or(pod.run_as_user))?;
    if own.run_as_non_root.or(pod.run_as_non_root) == Some(true) && run_as_user == Some(0) {
        let message = "runAsNonRoot and runAsUser 0 contradict each other: a kubelet refuses to start the container";
        return Err(cursor.fail(ErrorKind::Value, message, "write another runAsUser"));
    }
    let capabilities = own.capabilities.unwrap_or_default();
    Ok(Security {
        run_as_user,
        run_as_group: id("runAsGroup", own.run_as_group.or(pod.run_as_group))?,
        read_only_root: own.read_only_root_filesystem.unwrap_or(false),
        privileged: own.privileged.unwrap_or(false),
        no_new_privileges: own.allow_privilege_escalation == Some(false),
        drop_capabilities: capabilities.drop.unwrap_or_default(),
        add_capabilities: capabilities.add.unwrap_or_default(),
    })
}
