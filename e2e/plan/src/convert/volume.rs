//! Volumes and mounts. ConfigMaps, Secrets, fields of the pod and projections of these become files; every other kind of volume becomes
//! a directory that is empty at first, and that ends with the pod or outlives it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component as PathComponent, Path, PathBuf},
};

use k8s_openapi::api::core::v1::{
    DownwardAPIVolumeFile, KeyToPath, Volume as K8sVolume, VolumeMount, VolumeProjection,
};

use super::{
    Context,
    env::{pod_field, resource_field},
};
use crate::{
    cursor::Cursor,
    error::{Error, ErrorKind},
    node::Node,
    pod::{File, Mount, Value, Volume},
    quantity,
    read::{check_name, given},
    stores::{Purpose, StoreKind},
    suggest::hint,
};

/// Kubernetes's default for `defaultMode`.
const DEFAULT_MODE: i32 = 0o644;

pub(super) fn volumes(context: &Context<'_>, cursor: &Cursor<'_>) -> BTreeMap<String, Volume> {
    let mut volumes = BTreeMap::new();
    for (index, value) in context.spec.volumes.iter().flatten().enumerate() {
        let cursor = cursor.key("volumes").item(index, &value.name);
        if value.name.is_empty() {
            context.faults.push(cursor.fail(ErrorKind::Missing, "the volume has no name", "add one"));
            continue;
        }
        context.faults.keep(check_name(&cursor.key("name"), &value.name, false));
        // Whatever is wrong with it, it is there for those that mount it.
        let is_used = is_mounted(context, &value.name);
        let volume = context.faults.keep(volume(context, &cursor, value, is_used)).unwrap_or(EMPTY);
        if volumes.insert(value.name.clone(), volume).is_some() {
            let message = format!("two volumes are named `{}`", value.name);
            context.faults.push(cursor.fail(ErrorKind::Duplicate, message, "rename one of the two"));
        }
    }
    // A StatefulSet's claims are volumes of its pods, and stand before those of the same name. They are read from the tree: a plan
    // needs no more than their names.
    for claim in cursor.object.node.items_at(&["spec", "volumeClaimTemplates"]) {
        if let Some(name) = claim.text_at(&["metadata", "name"]) {
            volumes.insert(name.to_owned(), Volume::Persistent { name: name.to_owned(), per_pod: true });
        }
    }
    volumes
}

const EMPTY: Volume = Volume::EmptyDir { in_memory: false, size_limit_bytes: None };

/// Whether a container of the pod mounts a volume. A kubelet ignores the others (`processPodVolumes`), and what their files come from.
fn is_mounted(context: &Context<'_>, name: &str) -> bool {
    let containers = context.spec.init_containers.iter().flatten().chain(&context.spec.containers);
    containers.flat_map(|container| container.volume_mounts.iter().flatten()).any(|mount| mount.name == name)
}

fn volume(context: &Context<'_>, cursor: &Cursor<'_>, value: &K8sVolume, is_used: bool) -> Result<Volume, Error> {
    let is_optional = |optional: Option<bool>| optional.unwrap_or(false) || !is_used;
    let node = cursor.object.node.find_path(&cursor.path);
    let sources: Vec<&str> = node
        .map_or(&[][..], Node::entries)
        .iter()
        .filter(|entry| !entry.node.is_null())
        .map(|entry| entry.key.as_str())
        .filter(|key| *key != "name")
        .collect();
    let source = match sources[..] {
        // As the API server has it.
        [] => return Ok(EMPTY),
        [source] => source,
        _ => {
            let message = format!("the volume has {} sources: {}", sources.len(), sources.join(", "));
            let remedy = "write exactly one, such as `emptyDir: {}`; a patch removes the other with `null`";
            return Err(cursor.fail(ErrorKind::Value, message, remedy));
        }
    };
    let cursor = cursor.key(source);
    if let Some(empty) = &value.empty_dir {
        let size = empty.size_limit.as_ref().map(|size| quantity::bytes(&size.0)).transpose();
        let size_limit_bytes =
            size.map_err(|message| cursor.key("sizeLimit").fail(ErrorKind::Value, message, "write bytes as `64Mi`"))?;
        return Ok(Volume::EmptyDir { in_memory: empty.medium.as_deref() == Some("Memory"), size_limit_bytes });
    }
    if let Some(claim) = &value.persistent_volume_claim {
        return Ok(Volume::Persistent { name: claim.claim_name.clone(), per_pod: false });
    }
    if let Some(map) = &value.config_map {
        let optional = is_optional(map.optional);
        let files = store(context, &cursor, StoreKind::ConfigMap, &map.name, &map.items, map.default_mode, optional);
        return Ok(Volume::Files(files));
    }
    if let Some(secret) = &value.secret {
        let name = secret.secret_name.as_deref().unwrap_or_default();
        let optional = is_optional(secret.optional);
        let files = store(context, &cursor, StoreKind::Secret, name, &secret.items, secret.default_mode, optional);
        return Ok(Volume::Files(files));
    }
    if let Some(value) = &value.downward_api {
        return fields(context, &cursor, &value.items, value.default_mode).map(Volume::Files);
    }
    if let Some(projected) = &value.projected {
        let mut all = Vec::new();
        for (index, source) in projected.sources.iter().flatten().enumerate() {
            let cursor = cursor.key("sources").item(index, "");
            all.extend(projection(context, &cursor, source, projected.default_mode, is_optional)?);
        }
        return Ok(Volume::Files(all));
    }
    if value.ephemeral.is_some() {
        return Ok(EMPTY);
    }
    // A disk, a file system of the network, or a directory of the node.
    Ok(Volume::Persistent { name: format!("{}.{}", cursor.object.name, value.name), per_pod: false })
}

/// The files of a ConfigMap or Secret.
fn store(
    context: &Context<'_>,
    cursor: &Cursor<'_>,
    kind: StoreKind,
    name: &str,
    items: &Option<Vec<KeyToPath>>,
    mode: Option<i32>,
    optional: bool,
) -> Vec<File> {
    let mode = mode.unwrap_or(DEFAULT_MODE);
    let Some(items) = items.as_ref().filter(|items| !items.is_empty()) else {
        let values = context.stores.values(cursor, kind, name, optional, Purpose::File);
        return values.into_iter().filter_map(|(key, content)| file(&key, content, mode)).collect();
    };
    let mut files = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let cursor = cursor.key("items").item(index, &item.key);
        if let Some(content) = context.stores.value(&cursor, kind, (name, &item.key), optional, Purpose::File) {
            files.extend(file(&item.path, content, item.mode.unwrap_or(mode)));
        }
    }
    files
}

/// The files of a pod's fields.
fn fields(
    context: &Context<'_>,
    cursor: &Cursor<'_>,
    items: &Option<Vec<DownwardAPIVolumeFile>>,
    mode: Option<i32>,
) -> Result<Vec<File>, Error> {
    let mut files = Vec::new();
    for (index, item) in items.iter().flatten().enumerate() {
        let cursor = cursor.key("items").item(index, &item.path);
        let content = match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), None) => {
                let cursor = cursor.keys(&["fieldRef", "fieldPath"]);
                match all_metadata(context, &field.field_path) {
                    Some(text) => Value::Plain(text),
                    None if !field.field_path.starts_with("metadata.") => {
                        let message = format!("a volume cannot hold `{}`", field.field_path.escape_debug());
                        let remedy = "take it from a variable, or write a field of `metadata`";
                        return Err(cursor.fail(ErrorKind::Value, message, remedy));
                    }
                    None => pod_field(context, &cursor, &field.field_path)?,
                }
            }
            (None, Some(field)) => resource_field(context, &cursor.key("resourceFieldRef"), None, field)?,
            _ => {
                let message = "not exactly one source is given";
                return Err(cursor.fail(ErrorKind::Value, message, "write fieldRef or resourceFieldRef"));
            }
        };
        files.extend(file(&item.path, content, item.mode.or(mode).unwrap_or(DEFAULT_MODE)));
    }
    Ok(files)
}

/// The files of an element of a projected volume.
fn projection(
    context: &Context<'_>,
    cursor: &Cursor<'_>,
    source: &VolumeProjection,
    mode: Option<i32>,
    is_optional: impl Fn(Option<bool>) -> bool,
) -> Result<Vec<File>, Error> {
    match (&source.config_map, &source.secret, &source.downward_api) {
        (Some(map), None, None) => {
            let cursor = cursor.key("configMap");
            let optional = is_optional(map.optional);
            Ok(store(context, &cursor, StoreKind::ConfigMap, &map.name, &map.items, mode, optional))
        }
        (None, Some(secret), None) => {
            let cursor = cursor.key("secret");
            let optional = is_optional(secret.optional);
            Ok(store(context, &cursor, StoreKind::Secret, &secret.name, &secret.items, mode, optional))
        }
        (None, None, Some(value)) => fields(context, &cursor.key("downwardAPI"), &value.items, mode),
        // Tokens and certificates come from a cluster alone.
        (None, None, None) => Ok(Vec::new()),
        _ => {
            let message = "an element of a projected volume has several sources";
            Err(cursor.fail(ErrorKind::Value, message, "write an element of `sources` for each"))
        }
    }
}

/// A file; none where its path or mode is a fault, which the table of rules tells.
fn file(path: &str, content: Value, mode: i32) -> Option<File> {
    let mode = u32::try_from(mode).ok().filter(|mode| *mode <= 0o777)?;
    Some(File { path: inside(path)?, content, mode })
}

/// The labels or annotations of a pod as a file has them (`FormatMap` in `pkg/fieldpath`).
fn all_metadata(context: &Context<'_>, path: &str) -> Option<String> {
    let map = match path {
        "metadata.labels" => context.labels,
        "metadata.annotations" => &context.annotations,
        _ => return None,
    };
    Some(map.iter().map(|(key, value)| format!("{key}={}", quoted(value))).collect::<Vec<_>>().join("\n"))
}

/// A text in quotes as Go writes it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            c if c.is_ascii_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A relative path that stays below its root.
fn inside(path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    let plain = path.components().all(|part| matches!(part, PathComponent::Normal(_) | PathComponent::CurDir));
    (plain && path.file_name().is_some()).then(|| path.to_path_buf())
}

pub(super) fn mounts(
    context: &Context<'_>,
    cursor: &Cursor<'_>,
    values: &[VolumeMount],
    volumes: &BTreeMap<String, Volume>,
) -> Vec<Mount> {
    let mut paths = BTreeSet::new();
    let mut mounts = Vec::new();
    for (index, value) in values.iter().enumerate() {
        let cursor = cursor.key("volumeMounts").item(index, &value.name);
        mounts.extend(context.faults.keep(mount(&cursor, value, volumes, &mut paths)));
    }
    mounts
}

fn mount(
    cursor: &Cursor<'_>,
    value: &VolumeMount,
    volumes: &BTreeMap<String, Volume>,
    paths: &mut BTreeSet<String>,
) -> Result<Mount, Error> {
    let Some(volume) = volumes.get(&value.name) else {
        let remedy = match volumes.is_empty() {
            true => "the pod declares none: add it under `volumes`".to_owned(),
            false => hint(&value.name, volumes.keys().map(String::as_str), "volumes of the pod"),
        };
        return Err(cursor.key("name").fail(
            ErrorKind::Missing,
            format!("there is no volume `{}`", value.name),
            remedy,
        ));
    };
    let path_cursor = cursor.key("mountPath");
    if value.mount_path.is_empty() {
        return Err(path_cursor.fail(ErrorKind::Missing, "the mount has no path", "write a path such as /etc/app"));
    }
    // As a kubelet has it.
    let path = match value.mount_path.starts_with('/') {
        true => value.mount_path.clone(),
        false => format!("/{}", value.mount_path),
    };
    if !paths.insert(path.trim_end_matches('/').to_owned()) {
        let message = format!("two volumes are mounted at `{}`", value.mount_path);
        return Err(path_cursor.fail(ErrorKind::Duplicate, message, "change one of the two"));
    }
    let (field, sub_path, expand_sub_path) = match (given(&value.sub_path), given(&value.sub_path_expr)) {
        (Some(_), Some(_)) => {
            let message = "the mount has both subPath and subPathExpr";
            return Err(cursor.key("subPathExpr").fail(ErrorKind::Value, message, "keep one of the two"));
        }
        (path, None) => ("subPath", path, false),
        (None, path) => ("subPathExpr", path, true),
    };
    if sub_path.is_some_and(|path| inside(path).is_none()) {
        let message = format!("{field} leaves the volume");
        return Err(cursor.key(field).fail(ErrorKind::Value, message, "write a relative path without `..`"));
    }
    let read_only = value.read_only.unwrap_or(false) || matches!(volume, Volume::Files(_));
    let sub_path = sub_path.map(str::to_owned);
    Ok(Mount { volume: value.name.clone(), path, sub_path, expand_sub_path, read_only })
}
