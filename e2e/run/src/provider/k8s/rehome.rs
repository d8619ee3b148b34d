//! Objects outside of namespaces in a run's own namespace: which are wanted, and what the namespaces that they name become. Main
//! functions: [`is_wanted`], [`moved`].

use std::collections::BTreeSet;

use e2e_plan::Object;
use serde_json::Value;

use super::cluster::Cluster;

/// Whether an object is to be applied although it belongs to no namespace. The run's own namespace stands for those of the manifests.
pub(super) fn is_wanted(cluster: &Cluster, object: &Object) -> bool {
    cluster.options.cluster_scoped && object.kind != "Namespace"
}

/// An object outside of namespaces that means the run's namespace wherever it names one of the manifests'.
pub(super) fn moved(mut json: Value, objects: &[Object], namespace: &str) -> Value {
    if let Some(metadata) = json["metadata"].as_object_mut() {
        metadata.remove("namespace");
    }
    let homes = objects.iter().filter(|object| !object.cluster_scoped).map(Object::home);
    rename(&mut json, &homes.collect(), namespace);
    json
}

fn rename(value: &mut Value, homes: &BTreeSet<&str>, namespace: &str) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str() {
                    Some(home) if key == "namespace" && homes.contains(home) => *value = namespace.into(),
                    _ => rename(value, homes, namespace),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, homes, namespace)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provider::testing::plan;

    #[test]
    fn names_of_namespaces_become_the_runs() {
        let text = "{apiVersion: v1, kind: ServiceAccount, metadata: {name: a, namespace: shop}}\n---\n\
                    {apiVersion: v1, kind: ServiceAccount, metadata: {name: b}}\n";
        let subject = |namespace: &str| json!({ "kind": "ServiceAccount", "name": "a", "namespace": namespace });
        let binding = json!({
            "kind": "ClusterRoleBinding",
            "metadata": { "name": "x", "namespace": "e2e-1" },
            "subjects": [subject("shop"), subject("default"), subject("kube-system")],
        });
        let expected = json!({
            "kind": "ClusterRoleBinding",
            "metadata": { "name": "x" },
            "subjects": [subject("e2e-1"), subject("e2e-1"), subject("kube-system")],
        });
        assert_eq!(moved(binding, &plan(text).objects, "e2e-1"), expected);
    }
}
