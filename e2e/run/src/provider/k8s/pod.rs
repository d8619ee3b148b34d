//! The pod of an object of any kind: what its controller makes, or what it is itself. Pure. Main functions: [`of`], [`containers`].

use serde_json::Value;

/// Where kinds have their pods' metadata and spec.
const TEMPLATES: [&str; 2] = ["/spec/template", "/spec/jobTemplate/spec/template"];
/// The lists of a pod's containers that manifests have.
const LISTS: [&str; 2] = ["initContainers", "containers"];

/// Metadata and spec of the pods that an object makes, or of the pod that it is.
pub(super) fn of(object: &Value) -> Option<&Value> {
    object.pointer(pointer(object)?)
}

/// The containers of that pod, init containers too.
pub(super) fn containers(object: &Value) -> impl Iterator<Item = &Value> {
    let spec = of(object).and_then(|pod| pod.get("spec"));
    let lists = LISTS.into_iter().filter_map(move |list| spec?.get(list)?.as_array());
    lists.flatten()
}

/// The same, to be changed.
pub(super) fn containers_mut(object: &mut Value) -> impl Iterator<Item = &mut Value> {
    let pod = pointer(object).and_then(|pointer| object.pointer_mut(pointer));
    let spec = pod.and_then(|pod| pod.get_mut("spec")?.as_object_mut());
    let lists = spec.into_iter().flatten().filter(|(key, _)| LISTS.contains(&key.as_str()));
    lists.flat_map(|(_, list)| list.as_array_mut().into_iter().flatten())
}

fn pointer(object: &Value) -> Option<&'static str> {
    let is_there = |pointer: &&str| object.pointer(pointer).is_some_and(Value::is_object);
    TEMPLATES.into_iter().find(is_there).or_else(|| (object["kind"] == "Pod").then_some(""))
}
