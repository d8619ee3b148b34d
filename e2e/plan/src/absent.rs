//! What pods name that the run's own namespace of a cluster lacks. Main function: [`notes`].

use super::{
    FieldUse, Note,
    cursor::Cursor,
    document::Document,
    made::{self, DEFAULT_ACCOUNT},
    node::Node,
    warnings::CLUSTER_SCOPED,
    workload::pod_keys,
};

/// How the names of those start that every cluster has.
const OF_CLUSTERS: &str = "system-";

/// What is said of them in a cluster.
pub(crate) fn notes(objects: &[Document]) -> Vec<FieldUse> {
    objects.iter().flat_map(|object| of_pods(object, objects)).collect()
}

fn of_pods(object: &Document, objects: &[Document]) -> Vec<FieldUse> {
    let Some(pod) = object.pod_node().filter(|_| object.is_own()) else { return Vec::new() };
    let cursor = Cursor::root(object).keys(pod_keys(&object.kind));
    let is_absent = |kind: &str, name: &str| !objects.iter().any(|other| provides(other, kind, name));
    let mut found = Vec::new();
    let mut note = |cursor: &Cursor<'_>, note| found.push(FieldUse::new(cursor, note));
    let text = |field| pod.text_at(&[field]).filter(|name| !name.is_empty());
    // The older name of the field counts where the other one is not set.
    let account = ["serviceAccountName", "serviceAccount"].into_iter().find_map(|field| Some((field, text(field)?)));
    if let Some((field, name)) = account
        && name != DEFAULT_ACCOUNT
        && is_absent("ServiceAccount", name)
    {
        let text = format!(
            "no pod can be created: the run's namespace has no ServiceAccount `{name}`; add one to the manifests"
        );
        note(&cursor.key(field), Note::in_cluster(text));
    }
    for (index, volume) in pod.items_at(&["volumes"]).iter().enumerate() {
        let Some(name) = volume.text_at(&["persistentVolumeClaim", "claimName"]) else { continue };
        if is_absent("PersistentVolumeClaim", name) {
            let text = format!(
                "the pods stay pending: the run's namespace has no PersistentVolumeClaim `{name}`; add one to the manifests"
            );
            let cursor = cursor.key("volumes").item(index, volume.item_name().unwrap_or_default());
            note(&cursor.keys(&["persistentVolumeClaim", "claimName"]), Note::in_cluster(text));
        }
    }
    for (index, secret) in pod.items_at(&["imagePullSecrets"]).iter().enumerate() {
        let Some(name) = secret.text_at(&["name"]).filter(|name| is_absent("Secret", name)) else { continue };
        let text = format!(
            "images are pulled without a login: the run's namespace has no Secret `{name}`; give it in .config/e2e.toml: `[secret.\"{name}\"]` \
             with `\".dockerconfigjson\" = {{ file = \"...\" }}`"
        );
        note(&cursor.key("imagePullSecrets").item(index, name), Note::in_cluster(text));
    }
    if let Some(name) = text("priorityClassName").filter(|name| !name.starts_with(OF_CLUSTERS)) {
        let needs_scope = !is_absent("PriorityClass", name);
        let remedy = if needs_scope { CLUSTER_SCOPED } else { "create it there first, or remove the field" };
        let text = format!("no pod can be created unless the cluster has the PriorityClass `{name}`: {remedy}");
        note(&cursor.key("priorityClassName"), Note { needs_scope, ..Note::in_cluster(text) });
    }
    found
}

/// Whether an object is such a one, or makes it: operators do from theirs, and a StatefulSet claims for its pods.
fn provides(object: &Document, kind: &str, name: &str) -> bool {
    let is_template = |template: &Node| {
        let claim = template.text_at(&["metadata", "name"]).unwrap_or_default();
        name.starts_with(&format!("{claim}-{}-", object.name))
    };
    object.kind == kind && object.name == name
        || !object.is_own() && made::by_operator(&object.node.to_json(), kind, name)
        || kind == "PersistentVolumeClaim"
            && object.node.items_at(&["spec", "volumeClaimTemplates"]).iter().any(is_template)
}
