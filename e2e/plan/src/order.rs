//! What starts after what: components after those that they refer to, migrations before what they prepare, and hooks as helm
//! goes through them. Main function: [`order`].

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Component, FieldUse, Note, Service,
    document::Document,
    entrance::is_store,
    references::{mentions, texts},
    release::{self, Moment, ReleaseHook},
};

/// Fills in `depends_on` and `after`, and puts every component after those in either; otherwise the order of the manifests
/// stays. Kubernetes starts everything at once, so circles are allowed: one reference is dropped, and noted.
pub(crate) fn order(
    mut components: Vec<Component>,
    services: &[Service],
    objects: &[Document],
    fields: &mut Vec<FieldUse>,
) -> Vec<Component> {
    let found: Vec<_> = components.iter().map(|component| dependencies(component, &components, services)).collect();
    for (component, found) in components.iter_mut().zip(found) {
        component.depends_on = found.into_iter().collect();
    }
    wait_for_jobs(&mut components, objects);
    wait_for_hooks(&mut components, fields);
    let mut ordered: Vec<Component> = Vec::new();
    while !components.is_empty() {
        let waits =
            |component: &Component| component.earlier().any(|name| ordered.iter().all(|other| other.name != *name));
        let free = components.iter().position(|component| !waits(component));
        let next = free.unwrap_or_else(|| first_in_circle(&components));
        let mut component = components.remove(next);
        let is_started = |name: &String| ordered.iter().any(|other| other.name == *name);
        component.after.retain(is_started);
        let (kept, dropped): (Vec<_>, Vec<_>) = component.depends_on.into_iter().partition(is_started);
        component.depends_on = kept;
        for name in dropped {
            let text = format!("refers to {name}, which refers back to it: it starts before {name}");
            fields.push(note(&component, Note::without_cluster(text)));
        }
        ordered.push(component);
    }
    ordered
}

/// What is said of the pods of a component.
fn note(component: &Component, note: Note) -> FieldUse {
    FieldUse {
        source: component.source.clone(),
        object: component.label(),
        path: super::workload::pod_keys(&component.kind).join("."),
        note,
    }
}

/// The first component that depends on itself through others. There is one whenever none is free.
fn first_in_circle(components: &[Component]) -> usize {
    let needs: BTreeMap<String, Vec<String>> =
        components.iter().map(|component| (component.name.clone(), component.earlier().cloned().collect())).collect();
    let is_in_circle = |start: &Component| start.earlier().any(|name| reaches(&needs, name, &start.name));
    components.iter().position(is_in_circle).unwrap_or(0)
}

/// Whether a text reads the variable with a Service's address that Kubernetes sets in pods.
fn names_link(text: &str, service: &Service) -> bool {
    let variable = format!("{}_SERVICE_HOST", service.name.to_uppercase().replace('-', "_"));
    text.match_indices(&variable).any(|(at, _)| text[..at].ends_with(['$', '{', '(']))
}

/// The components whose Services a component names.
fn dependencies(component: &Component, components: &[Component], services: &[Service]) -> BTreeSet<String> {
    // A Job that reads the whole ConfigMap of an application does not call the application for it.
    let is_shared = |name: &String, said: (Option<&str>, &str)| {
        let other = components.iter().find(|other| other.name == *name);
        component.kind == "Job" && other.is_some_and(|other| texts(&other.pod).any(|own| own == said))
    };
    let mut found = BTreeSet::new();
    for (key, text) in texts(&component.pod) {
        let links =
            services.iter().filter(|service| service.namespace == component.namespace && names_link(text, service));
        let linked = links.flat_map(|service| &service.components);
        found.extend(linked.filter(|name| **name != component.name && !is_shared(name, (key, text))).cloned());
        for mention in mentions(key, text, (&component.namespace, services)) {
            let is_needed = |name: &&String| **name != component.name && !is_shared(name, (key, text));
            found.extend(mention.service.components.iter().filter(is_needed).cloned());
        }
    }
    found
}

/// A Job that refers to what others refer to as well prepares it for them, as a migration does, and one that Argo CD runs first
/// prepares all that it does not refer to: they need it to have succeeded.
fn wait_for_jobs(components: &mut [Component], objects: &[Document]) {
    let needs: BTreeMap<String, Vec<String>> =
        components.iter().map(|component| (component.name.clone(), component.depends_on.clone())).collect();
    let is_of = |job: &Component, is_such: fn(&Document) -> bool| {
        let is_its = |object: &&Document| {
            object.source == job.source && object.kind == job.kind && job.name.starts_with(&object.name)
        };
        objects.iter().filter(is_its).any(is_such)
    };
    let jobs: Vec<(String, Vec<String>, bool)> = components
        .iter()
        .filter(|component| component.kind == "Job" && component.replicas > 0 && component.hook.is_none())
        .filter(|job| !is_of(job, release::is_made_later))
        .map(|job| (job.name.clone(), job.depends_on.clone(), is_of(job, release::is_pre_sync)))
        .collect();
    for component in components.iter_mut().filter(|component| component.kind != "Job") {
        for (job, prepared, is_first) in &jobs {
            let shares = prepared.iter().any(|name| component.depends_on.contains(name));
            // A database may be what the Job needs, under a name that tells nothing.
            let is_prepared = shares || *is_first && !is_store(component);
            if is_prepared && !reaches(&needs, job, &component.name) {
                component.depends_on.push(job.clone());
            }
        }
        component.depends_on.sort();
    }
}

/// Lets everything wait for what helm creates first, and for each of its hooks the earlier ones: those that run to completion.
fn wait_for_hooks(components: &mut [Component], fields: &mut Vec<FieldUse>) {
    let mut hooks: Vec<(ReleaseHook, String, bool)> = components
        .iter()
        .filter_map(|one| Some((one.hook?, one.name.clone(), one.pod.restart.runs_to_completion() && one.replicas > 0)))
        .collect();
    hooks.sort();
    for component in components {
        let comes_before = |(hook, name, _): &&(ReleaseHook, String, bool)| match component.hook {
            Some(own) => (*hook, name) < (own, &component.name),
            None => hook.moment == Moment::PreInstall,
        };
        let first: Vec<_> = hooks.iter().filter(comes_before).collect();
        component.after = first.iter().filter(|(.., ends)| *ends).map(|(_, name, _)| name.clone()).collect();
        let Some(ReleaseHook { moment, .. }) = component.hook else { continue };
        if moment == Moment::PreInstall {
            let is_there = |name: &String| first.iter().any(|(_, other, _)| other == name);
            let (kept, later): (Vec<_>, Vec<_>) =
                std::mem::take(&mut component.depends_on).into_iter().partition(is_there);
            component.depends_on = kept;
            for name in later {
                let text = format!("refers to {name}, which helm creates after this pre-install hook has ended");
                fields.push(note(component, Note::everywhere(text)));
            }
        }
    }
}

/// Whether a component refers to another one, itself or through others.
fn reaches(needs: &BTreeMap<String, Vec<String>>, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(name) = open.pop() {
        if name == to {
            return true;
        }
        if seen.insert(name) {
            open.extend(needs.get(name).into_iter().flatten().map(String::as_str));
        }
    }
    false
}
