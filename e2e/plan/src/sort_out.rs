//! Which objects of an input count: each one once, and none that no installation by helm creates.
//! Main function: [`sort_out`].

use super::{
    FieldUse, Note,
    cursor::Cursor,
    document::Document,
    kinds::Role,
    release::{self, Hooking},
};

/// The objects of an input, sorted out.
pub(crate) struct SortedOut {
    /// Those that count.
    pub(crate) kept: Vec<Document>,
    /// Earlier declarations that differ from the last one: a cluster is given them too, and refuses what is wrong with them.
    pub(crate) replaced: Vec<Document>,
    /// Those for which an equal one of another namespace stands.
    pub(crate) equal: Vec<Equal>,
}

/// A ConfigMap or Secret of a namespace, and the namespace of the one that stands for it.
pub(crate) struct Equal {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) instead: String,
}

/// Leaves out, with a note, what does not count.
pub(crate) fn sort_out(objects: Vec<Document>, fields: &mut Vec<FieldUse>) -> SortedOut {
    let (mut kept, mut replaced): (Vec<Document>, Vec<Document>) = (Vec::new(), Vec::new());
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
            let text = "it is left out: it has no pod template, and a cluster refuses it";
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
    let equal = one_of_equal_stores(&mut kept);
    note_namespaces(&kept, fields);
    SortedOut { kept, replaced, equal }
}

/// A ConfigMap or Secret that stands in several namespaces with the same content is one in the run's.
fn one_of_equal_stores(objects: &mut Vec<Document>) -> Vec<Equal> {
    let content = |object: &Document| {
        let mut node = object.node.clone();
        node.remove_at(&["metadata", "namespace"]);
        node.to_json()
    };
    let is_store = |object: &Document| matches!(object.role, Role::ConfigMap | Role::Secret);
    let (mut equal, mut index) = (Vec::new(), 0);
    while index < objects.len() {
        let (earlier, object) = (&objects[..index], &objects[index]);
        let is_equal = |other: &Document| {
            other.kind == object.kind && other.name == object.name && content(other) == content(object)
        };
        match earlier.iter().find(|other| is_store(object) && is_equal(other)) {
            Some(first) => {
                let Document { kind, name, .. } = object;
                let (namespace, instead) = (object.home().to_owned(), first.home().to_owned());
                equal.push(Equal { kind: kind.clone(), name: name.clone(), namespace, instead });
                objects.remove(index);
            }
            None => index += 1,
        }
    }
    equal
}

/// Of two objects that only a cluster knows, and that differ in their namespace alone, the run's has the later one.
fn note_namespaces(objects: &[Document], fields: &mut Vec<FieldUse>) {
    for (index, object) in objects.iter().enumerate().filter(|(_, object)| object.role == Role::Carried) {
        let first = objects[..index].iter().find(|other| other.shares_name(object));
        if let Some(first) = first.filter(|_| !object.is_cluster_scoped()) {
            let cursor = Cursor::root(first).keys(&["metadata", "namespace"]);
            let text = format!(
                "{} has the same kind and name in another namespace; a run has one namespace and uses that object",
                object.source
            );
            fields.push(FieldUse::new(&cursor, Note::in_cluster(text)));
        }
    }
}
