//! Volumes and mounts. ConfigMaps, Secrets, fields of the pod and projections of these become files; `emptyDir` and claims
//! become directories that end with the run; every other kind of volume is refused, because a pod would miss its data.

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
    error::{Cursor, Error, ErrorKind},
    node::Node,
    pod::{File, Mount, Value, Volume},
    quantity,
    read::{Object, check_name},
    stores::StoreKind,
    suggest::hint,
};

/// Kubernetes's default for `defaultMode`.
const DEFAULT_MODE: i32 = 0o644;

pub(super) fn volumes(
    context: &Context<'_>,
    cursor: &Cursor<'_>,
    object: &Object,
) -> Result<BTreeMap<String, Volume>, Error> {
    let mut volumes = BTreeMap::new();
    for (index, value) in context.spec.volumes.iter().flatten().enumerate() {
        let cursor = cursor.key("volumes").item(index, &value.name);
        if value.name.is_empty() {
            return Err(cursor.fail(ErrorKind::Missing, "the volume has no name", "add one"));
        }
        check_name(&cursor.key("name"), &value.name, false)?;
        if volumes.insert(value.name.clone(), volume(context, &cursor, value)?).is_some() {
            let message = format!("two volumes are named `{}`", value.name);
            return Err(cursor.fail(ErrorKind::Duplicate, message, "rename one of the two"));
        }
    }
    // A StatefulSet's claims are volumes of its pods. They are read from the tree: a plan needs no more than their names.
    for claim in object.node.find(&["spec", "volumeClaimTemplates"]).map_or(&[][..], Node::items) {
        if let Some(name) = claim.find(&["metadata", "name"]).and_then(Node::text) {
            volumes.entry(name.to_owned()).or_insert(CLAIM);
        }
    }
    Ok(volumes)
}

/// What stands for a claim: its data ends with the run.
const CLAIM: Volume = Volume::EmptyDir { in_memory: false, size_limit_bytes: None };

fn volume(context: &Context<'_>, cursor: &Cursor<'_>, value: &K8sVolume) -> Result<Volume, Error> {
    let node = cursor.object.node.find_path(&cursor.path);
    let sources: Vec<&str> = node
        .map_or(&[][..], Node::entries)
        .iter()
        .filter(|entry| !entry.node.is_null())
        .map(|entry| entry.key.as_str())
        .filter(|key| *key != "name")
        .collect();
    let [source] = sources[..] else {
        let message = format!(
            "the volume has {} sources{}",
            sources.len(),
            if sources.is_empty() { String::new() } else { format!(": {}", sources.join(", ")) }
        );
        let remedy = "write exactly one, such as `emptyDir: {}`; a patch removes the other with `null`";
        return Err(cursor.fail(ErrorKind::Value, message, remedy));
    };
    let cursor = cursor.key(source);
    if let Some(empty) = &value.empty_dir {
        let size = empty.size_limit.as_ref().map(|size| quantity::bytes(&size.0)).transpose();
        let size_limit_bytes =
            size.map_err(|message| cursor.key("sizeLimit").fail(ErrorKind::Value, message, "write bytes as `64Mi`"))?;
        return Ok(Volume::EmptyDir { in_memory: empty.medium.as_deref() == Some("Memory"), size_limit_bytes });
    }
    if value.persistent_volume_claim.is_some() {
        return Ok(CLAIM);
    }
    let files = Files { context, cursor: &cursor };
    if let Some(map) = &value.config_map {
        let mode = map.default_mode.unwrap_or(DEFAULT_MODE);
        return files
            .store(StoreKind::ConfigMap, &map.name, map.items.as_deref(), mode, map.optional)
            .map(Volume::Files);
    }
    if let Some(secret) = &value.secret {
        let name = secret.secret_name.as_deref().unwrap_or_default();
        let mode = secret.default_mode.unwrap_or(DEFAULT_MODE);
        return files.store(StoreKind::Secret, name, secret.items.as_deref(), mode, secret.optional).map(Volume::Files);
    }
    if let Some(fields) = &value.downward_api {
        let mode = fields.default_mode.unwrap_or(DEFAULT_MODE);
        return files.fields(fields.items.as_deref().unwrap_or_default(), mode).map(Volume::Files);
    }
    if let Some(projected) = &value.projected {
        let mode = projected.default_mode.unwrap_or(DEFAULT_MODE);
        let mut all = Vec::new();
        for (index, source) in projected.sources.iter().flatten().enumerate() {
            let cursor = cursor.key("sources").item(index, "");
            all.extend(Files { context, cursor: &cursor }.projection(source, mode)?);
        }
        return Ok(Volume::Files(all));
    }
    let remedy = "use emptyDir, configMap, secret, downwardAPI, projected or persistentVolumeClaim";
    Err(cursor.fail(ErrorKind::Unsupported, format!("volumes of kind {source} are not supported"), remedy))
}

/// Makes the files of one volume source.
struct Files<'a> {
    context: &'a Context<'a>,
    cursor: &'a Cursor<'a>,
}

impl Files<'_> {
    fn store(
        &self,
        kind: StoreKind,
        name: &str,
        items: Option<&[KeyToPath]>,
        mode: i32,
        optional: Option<bool>,
    ) -> Result<Vec<File>, Error> {
        let optional = optional.unwrap_or(false);
        let stores = self.context.stores;
        let Some(items) = items.filter(|items| !items.is_empty()) else {
            let values = stores.values(self.cursor, kind, name, optional)?.unwrap_or_default();
            return values.into_iter().map(|(key, content)| self.file(self.cursor, &key, content, mode)).collect();
        };
        let mut files = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let cursor = self.cursor.key("items").item(index, &item.key);
            if let Some(content) = stores.value(&cursor, kind, (name, &item.key), optional)? {
                files.push(self.file(&cursor, &item.path, content, item.mode.unwrap_or(mode))?);
            }
        }
        Ok(files)
    }

    fn fields(&self, items: &[DownwardAPIVolumeFile], mode: i32) -> Result<Vec<File>, Error> {
        let mut files = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let cursor = self.cursor.key("items").item(index, &item.path);
            let content = match (&item.field_ref, &item.resource_field_ref) {
                (Some(field), None) => {
                    pod_field(self.context, &cursor.keys(&["fieldRef", "fieldPath"]), &field.field_path)?
                }
                (None, Some(field)) => resource_field(self.context, &cursor.key("resourceFieldRef"), None, field)?,
                _ => {
                    return Err(cursor.fail(
                        ErrorKind::Value,
                        "not exactly one source is given",
                        "write fieldRef or resourceFieldRef",
                    ));
                }
            };
            files.push(self.file(&cursor, &item.path, content, item.mode.unwrap_or(mode))?);
        }
        Ok(files)
    }

    fn projection(&self, source: &VolumeProjection, mode: i32) -> Result<Vec<File>, Error> {
        let below = |field: &str| self.cursor.key(field);
        match (&source.config_map, &source.secret, &source.downward_api) {
            (Some(map), None, None) => Files { context: self.context, cursor: &below("configMap") }.store(
                StoreKind::ConfigMap,
                &map.name,
                map.items.as_deref(),
                mode,
                map.optional,
            ),
            (None, Some(secret), None) => Files { context: self.context, cursor: &below("secret") }.store(
                StoreKind::Secret,
                &secret.name,
                secret.items.as_deref(),
                mode,
                secret.optional,
            ),
            (None, None, Some(fields)) => Files { context: self.context, cursor: &below("downwardAPI") }
                .fields(fields.items.as_deref().unwrap_or_default(), mode),
            _ => {
                let message = "this source of a projected volume is not supported";
                Err(self.cursor.fail(
                    ErrorKind::Unsupported,
                    message,
                    "use one configMap, secret or downwardAPI for each source",
                ))
            }
        }
    }

    fn file(&self, cursor: &Cursor<'_>, path: &str, content: Value, mode: i32) -> Result<File, Error> {
        let path = inside(path).ok_or_else(|| {
            let message = format!("`{path}` is no path inside the volume");
            cursor.fail(ErrorKind::Value, message, "write a relative path without `..`")
        })?;
        let mode = u32::try_from(mode).ok().filter(|mode| *mode <= 0o777);
        let mode = mode.ok_or_else(|| {
            cursor.fail(ErrorKind::Value, "the file mode is not allowed", "write an octal number up to 0777")
        })?;
        Ok(File { path, content, mode })
    }
}

/// A relative path that stays below its root.
fn inside(path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    let plain = path.components().all(|part| matches!(part, PathComponent::Normal(_) | PathComponent::CurDir));
    (plain && path.file_name().is_some()).then(|| path.to_path_buf())
}

pub(super) fn mounts(
    cursor: &Cursor<'_>,
    values: &[VolumeMount],
    volumes: &BTreeMap<String, Volume>,
) -> Result<Vec<Mount>, Error> {
    let mut mounts = Vec::new();
    let mut paths = BTreeSet::new();
    for (index, value) in values.iter().enumerate() {
        let cursor = cursor.key("volumeMounts").item(index, &value.name);
        let Some(volume) = volumes.get(&value.name) else {
            let remedy = hint(&value.name, volumes.keys().map(String::as_str), "volumes of the pod");
            return Err(cursor.key("name").fail(
                ErrorKind::Missing,
                format!("there is no volume `{}`", value.name),
                remedy,
            ));
        };
        let path_cursor = cursor.key("mountPath");
        if !value.mount_path.starts_with('/') || value.mount_path.contains(':') {
            let message = format!("`{}` is not an absolute path without colons", value.mount_path);
            return Err(path_cursor.fail(ErrorKind::Value, message, "write a path such as /etc/app"));
        }
        if !paths.insert(value.mount_path.trim_end_matches('/').to_owned()) {
            let message = format!("two volumes are mounted at `{}`", value.mount_path);
            return Err(path_cursor.fail(ErrorKind::Duplicate, message, "change one of the two"));
        }
        let sub_path = value.sub_path.clone().filter(|path| !path.is_empty());
        if sub_path.as_deref().is_some_and(|path| inside(path).is_none()) {
            let message = "subPath leaves the volume";
            return Err(cursor.key("subPath").fail(ErrorKind::Value, message, "write a relative path without `..`"));
        }
        if value.sub_path_expr.is_some() {
            let message = "subPathExpr is not supported";
            return Err(cursor.key("subPathExpr").fail(ErrorKind::Unsupported, message, "write subPath"));
        }
        let read_only = value.read_only.unwrap_or(false) || matches!(volume, Volume::Files(_));
        mounts.push(Mount { volume: value.name.clone(), path: value.mount_path.clone(), sub_path, read_only });
    }
    Ok(mounts)
}
