//! The environment of a container: literals, ConfigMaps, Secrets, fields of the pod, and the container's own limits.

use k8s_openapi::api::core::v1::{Container as K8sContainer, EnvVar as K8sEnvVar, EnvVarSource, ResourceFieldSelector};

use super::Context;
use crate::{
    Note,
    cursor::Cursor,
    error::{Error, ErrorKind},
    forms::{QUALIFIED, is_key},
    pod::{Binary, EnvVar, Field, NodeResource, Secret, Value},
    quantity,
    read::given,
    stores::{Purpose, StoreKind},
    suggest::hint,
};

/// The fields of a pod that are known only once it exists.
const POD_FIELDS: &[(&str, Field)] = &[
    ("metadata.name", Field::PodName),
    ("metadata.namespace", Field::Namespace),
    ("metadata.uid", Field::PodUid),
    ("status.podIP", Field::PodIp),
    ("status.podIPs", Field::PodIp),
    ("status.hostIP", Field::HostIp),
    ("status.hostIPs", Field::HostIp),
    ("spec.nodeName", Field::NodeName),
];

pub(super) fn env(context: &Context<'_>, cursor: &Cursor<'_>, container: &K8sContainer) -> Vec<EnvVar> {
    let mut env = env_from(context, &cursor.key("envFrom"), container);
    for (index, variable) in container.env.iter().flatten().enumerate() {
        let cursor = cursor.key("env").item(index, &variable.name);
        env.extend(context.faults.keep(one(context, &cursor, container, variable)).flatten());
    }
    env
}

fn one(
    context: &Context<'_>,
    cursor: &Cursor<'_>,
    container: &K8sContainer,
    variable: &K8sEnvVar,
) -> Result<Option<EnvVar>, Error> {
    if variable.name.is_empty() {
        return Err(cursor.fail(ErrorKind::Missing, "the variable has no name", "add `name`"));
    }
    if variable.name.contains(['=', '\0']) {
        let message = format!("`{}` is not a variable's name", variable.name.escape_default());
        return Err(cursor.key("name").fail(ErrorKind::Value, message, "write a name without `=`"));
    }
    let literal = variable.value.clone().unwrap_or_default();
    let (value, expand) = match &variable.value_from {
        Some(_) if !literal.is_empty() => {
            let message = "the variable has both value and valueFrom";
            return Err(cursor.fail(ErrorKind::Value, message, "keep one of the two"));
        }
        Some(source) => match value_from(context, &cursor.key("valueFrom"), container, source)? {
            Some(value) => (value, false),
            None => return Ok(None),
        },
        None => (Value::Plain(literal), true),
    };
    let value = text(context, cursor, value)?;
    Ok(Some(EnvVar { name: variable.name.clone(), value, expand }))
}

fn env_from(context: &Context<'_>, cursor: &Cursor<'_>, container: &K8sContainer) -> Vec<EnvVar> {
    let mut env: Vec<EnvVar> = Vec::new();
    for (index, source) in container.env_from.iter().flatten().enumerate() {
        let cursor = cursor.item(index, "");
        let (kind, name, optional, cursor) = match (&source.config_map_ref, &source.secret_ref) {
            (Some(map), None) => (StoreKind::ConfigMap, &map.name, map.optional, cursor.key("configMapRef")),
            (None, Some(secret)) => (StoreKind::Secret, &secret.name, secret.optional, cursor.key("secretRef")),
            _ => {
                context.faults.push(one_of(&cursor, "configMapRef, secretRef"));
                continue;
            }
        };
        let prefix = source.prefix.as_deref().unwrap_or_default();
        for (key, value) in context.stores.values(&cursor, kind, name, optional.unwrap_or(false), Purpose::Variable) {
            let value = context.faults.keep(text(context, &cursor, value));
            env.extend(value.map(|value| EnvVar { name: format!("{prefix}{key}"), value, expand: false }));
        }
    }
    env
}

fn one_of(cursor: &Cursor<'_>, choices: &str) -> Error {
    cursor.fail(ErrorKind::Value, "not exactly one source is given", format!("write one of {choices}"))
}

fn value_from(
    context: &Context<'_>,
    cursor: &Cursor<'_>,
    container: &K8sContainer,
    source: &EnvVarSource,
) -> Result<Option<Value>, Error> {
    let from_store = |field: &str, kind, name: &str, key: &str, optional: Option<bool>| {
        let cursor = cursor.key(field);
        Ok(context.stores.value(&cursor, kind, (name, key), optional.unwrap_or(false), Purpose::Variable))
    };
    match (&source.config_map_key_ref, &source.secret_key_ref, &source.field_ref, &source.resource_field_ref) {
        (Some(map), None, None, None) => {
            from_store("configMapKeyRef", StoreKind::ConfigMap, &map.name, &map.key, map.optional)
        }
        (None, Some(secret), None, None) => {
            from_store("secretKeyRef", StoreKind::Secret, &secret.name, &secret.key, secret.optional)
        }
        (None, None, Some(field), None) => {
            pod_field(context, &cursor.keys(&["fieldRef", "fieldPath"]), &field.field_path).map(Some)
        }
        (None, None, None, Some(resource)) => {
            resource_field(context, &cursor.key("resourceFieldRef"), Some(container), resource).map(Some)
        }
        _ => Err(one_of(cursor, "configMapKeyRef, secretKeyRef, fieldRef, resourceFieldRef")),
    }
}

/// A value as a container's variable: a kubelet passes bytes on as they are, and container runtimes keep their configuration as JSON,
/// whose writer (Go's) puts a replacement character in place of each byte that is no UTF-8.
fn text(context: &Context<'_>, cursor: &Cursor<'_>, value: Value) -> Result<Value, Error> {
    let has_nul = match &value {
        Value::Plain(text) | Value::Secret(Secret { text, .. }) => text.contains('\0'),
        Value::Binary(Binary { bytes, .. }) => bytes.contains(&0),
        Value::Field(_) | Value::Node(..) => false,
    };
    if has_nul {
        let message = "the value has a NUL byte, which no container runtime accepts";
        return Err(cursor.fail(ErrorKind::Value, message, "mount it as a file"));
    }
    let Value::Binary(Binary { name, key, bytes }) = value else { return Ok(value) };
    let note = "is not UTF-8: each invalid byte becomes U+FFFD, and unpatched kubelets of 1.34 and 1.35 refuse it";
    let remedy = "if the manifest has plain text there, write it under `stringData`";
    context.stores.note(cursor, Note::everywhere(format!("key `{key}` of `{name}` {note}; {remedy}")));
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Ok(Value::Secret(Secret { name, key, text }))
}

/// A field of the pod: its value when the manifest says it, else which field it is.
pub(super) fn pod_field(context: &Context<'_>, cursor: &Cursor<'_>, path: &str) -> Result<Value, Error> {
    if let Some((_, field)) = POD_FIELDS.iter().find(|(known, _)| *known == path) {
        return Ok(Value::Field(*field));
    }
    if path == "spec.serviceAccountName" {
        let name = context.spec.service_account_name.clone().unwrap_or_else(|| "default".into());
        return Ok(Value::Plain(name));
    }
    let subscript = |map: &str| path.strip_prefix(map)?.strip_prefix("['")?.strip_suffix("']");
    let text = |map: &std::collections::BTreeMap<String, String>, key: &str| map.get(key).cloned().unwrap_or_default();
    // The keys of annotations may have capitals in their domains.
    let maps = [("metadata.labels", context.labels, false), ("metadata.annotations", &context.annotations, true)];
    for (name, map, in_any_case) in maps {
        let Some(key) = subscript(name) else { continue };
        let is_key = if in_any_case { is_key(&key.to_lowercase()) } else { is_key(key) };
        if !is_key {
            let message = format!("`{}` is not {}", key.escape_debug(), QUALIFIED.what);
            return Err(cursor.fail(ErrorKind::Value, message, QUALIFIED.remedy));
        }
        return Ok(Value::Plain(text(map, key)));
    }
    let known =
        POD_FIELDS.iter().map(|(known, _)| *known).chain(["spec.serviceAccountName", "metadata.labels['<key>']"]);
    Err(cursor.fail(
        ErrorKind::Value,
        format!("`{path}` is not a field of the pod"),
        hint(path, known, "the fields are"),
    ))
}

/// A request or limit divided by the divisor and rounded up, as the kubelet computes it.
pub(super) fn resource_field(
    context: &Context<'_>,
    cursor: &Cursor<'_>,
    own: Option<&K8sContainer>,
    field: &ResourceFieldSelector,
) -> Result<Value, Error> {
    let named = given(&field.container_name);
    let container = match named {
        Some(name) => {
            let inits = context.spec.init_containers.iter().flatten();
            context.spec.containers.iter().chain(inits).find(|container| container.name == name)
        }
        None => own,
    };
    let Some(container) = container else {
        let names = context.spec.containers.iter().map(|container| container.name.as_str());
        let remedy = hint(named.unwrap_or_default(), names, "containers of the pod");
        return Err(cursor.key("containerName").fail(ErrorKind::Missing, "there is no such container", remedy));
    };
    let resources = container.resources.clone().unwrap_or_default();
    let limits = resources.limits.clone();
    let (map, is_limit, name) = match field.resource.split_once('.') {
        Some(("limits", name)) => (resources.limits, true, name),
        Some(("requests", name)) => (resources.requests, false, name),
        _ => (None, false, ""),
    };
    let is_cpu = name == "cpu";
    if !is_cpu && !matches!(name, "memory" | "ephemeral-storage") && !name.starts_with("hugepages-") {
        let message = format!("`{}` is not a resource of a container", field.resource);
        let remedy = "refer to limits.memory, limits.cpu, requests.memory or requests.cpu";
        return Err(cursor.key("resource").fail(ErrorKind::Value, message, remedy));
    }
    let written = field.divisor.as_ref().map_or("0", |divisor| divisor.0.as_str());
    let parse = |text: &str| {
        let parsed = if is_cpu { quantity::millis(text) } else { quantity::bytes(text) };
        parsed.map_err(|message| cursor.fail(ErrorKind::Value, message, "correct the quantity"))
    };
    let divisor = match parse(written)? {
        // To the API server none is 1.
        0 => parse("1")?,
        divisor => divisor,
    };
    if !is_divisor(written, divisor, is_cpu) {
        let units = if is_cpu { "`1` or `1m`" } else { "`1`, or one of a unit, such as `1Mi` or `1G`" };
        let message = "no divisor of this resource";
        return Err(cursor.key("divisor").fail(ErrorKind::Value, message, format!("write {units}")));
    }
    // A request that is not given is that of the limit, as the API server has it; a limit that is not given is the node's.
    let amount = map.unwrap_or_default().get(name).cloned().or_else(|| limits.unwrap_or_default().get(name).cloned());
    match amount {
        Some(amount) => Ok(Value::Plain(parse(&amount.0)?.div_ceil(divisor).to_string())),
        None if is_limit && is_cpu => Ok(Value::Node(NodeResource::Cpu, divisor)),
        None if is_limit && name == "memory" => Ok(Value::Node(NodeResource::Memory, divisor)),
        None => Ok(Value::Plain("0".to_owned())),
    }
}

/// Whether an amount is a unit of its resource: of CPU in thousandths, of others in bytes. The API server compares how it would write
/// the amount: 1024 is not `1Ki` to it, and neither is `1e3` a `1k`.
fn is_divisor(written: &str, amount: u64, is_cpu: bool) -> bool {
    let is_power_of = |base: u64| (0..=6).any(|power| base.pow(power) == amount);
    let is_one = amount == if is_cpu { 1000 } else { 1 };
    if is_one || written.contains('e') || written.contains('E') && !written.ends_with(['E', 'i']) {
        return is_one;
    }
    match (is_cpu, written.ends_with('i')) {
        (true, is_binary) => amount == 1 && !is_binary,
        (false, true) => is_power_of(1024),
        (false, false) => is_power_of(1000),
    }
}
