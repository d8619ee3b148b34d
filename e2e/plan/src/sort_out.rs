//! Which objects of an input count: each one once, and none that no installation by helm creates.
//! Main function: [`sort_out`].

use super::{
    FieldUse, Note,
    cursor::Cursor,
    kinds::Role,
    node::FieldPath,
    object::Object,
    release::{self, Hooking},
};

/// The objects of an input, sorted out.
pub(crate) struct SortedOut {
    /// Those that count.
    pub(crate) kept: Vec<Object>,
    /// Earlier declarations that differ from the last one: a cluster is given them too, and refuses what is wrong with them.
    pub(crate) replaced: Vec<Object>,
}

/// Leaves out, with a note, what does not count.
pub(crate) fn sort_out(objects: Vec<Object>, fields: &mut Vec<FieldUse>) -> SortedOut {
    let (mut kept, mut replaced): (Vec<Object>, Vec<Object>) = (Vec::new(), Vec::new());
    for object in objects {
        if let Hooking::Other(hook) = release::hooking(&object) {
            let cursor = Cursor::root(&object).keys(&["metadata", "annotations", release::HOOK]);
            // It names the object, since a list of warnings has each text once.
            let label = object.label();
            let text = format!("helm creates {label} for `{hook}` only, not at installation: it is left out");
            fields.push(FieldUse::new(&cursor, Note::everywhere(text)));
            continue;
        }
        if object.kind == "Job" && object.role == Role::Workload && object.pod_node().is_none() {
            let cursor = Cursor::root(&object).key("spec");
            let text = "it is left out: without a template of pods it does nothing, and a cluster refuses it";
            fields.push(FieldUse::new(&cursor, Note::everywhere(text)));
            continue;
        }
        match kept.iter_mut().find(|other| other.is_same(&object)) {
            None => kept.push(object),
            // As `kubectl apply` does, the last one counts.
            Some(first) => {
                if first.node.to_json() != object.node.to_json() {
                    let cursor = Cursor::root(first).keys(&["metadata", "name"]);
                    let text = format!("it is declared again in {}, which wins", object.source);
                    fields.push(FieldUse::new(&cursor, Note::everywhere(text)));
                    replaced.push(first.clone());
                }
                *first = object;
            }
        }
    }
    one_of_equal_stores(&mut kept);
    note_namespaces(&kept, fields);
    SortedOut { kept, replaced }
}

/// A ConfigMap or Secret that stands in several namespaces with the same content is one in the run's.
fn one_of_equal_stores(objects: &mut Vec<Object>) {
    let content = |object: &Object| {
        let mut node = object.node.clone();
        if let Some(metadata) = node.get_mut("metadata") {
            metadata.remove(&FieldPath::default().key("namespace"));
        }
        node.to_json()
    };
    let is_store = |object: &Object| matches!(object.role, Role::ConfigMap | Role::Secret);
    let mut index = 0;
    while index < objects.len() {
        let (earlier, object) = (&objects[..index], &objects[index]);
        let is_equal = |other: &Object| {
            other.kind == object.kind && other.name == object.name && content(other) == content(object)
        };
        match is_store(object) && earlier.iter().any(is_equal) {
            true => drop(objects.remove(index)),
            false => index += 1,
        }
    }
}

/// Of two objects that only a cluster knows, and that differ in their namespace alone, the run's has the later one.
fn note_namespaces(objects: &[Object], fields: &mut Vec<FieldUse>) {
    for (index, object) in objects.iter().enumerate().filter(|(_, object)| object.role == Role::Carried) {
        let first = objects[..index].iter().find(|other| other.shares_name(object));
        if let Some(first) = first.filter(|_| !object.is_cluster_scoped()) {
            let cursor = Cursor::root(first).keys(&["metadata", "namespace"]);
            let text = format!("{} has its name in another namespace: in the run's, that one counts", object.source);
            fields.push(FieldUse::new(&cursor, Note::in_cluster(text)));
        }
    }
}
