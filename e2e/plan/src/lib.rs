//! What should run: plain data made from Kubernetes manifests by pure code, the same for every target.
//! Main type: [`Plan`], made by [`Plan::from_manifests`].

mod absent;
mod convert;
mod cursor;
mod document;
pub mod duration;
mod entrance;
mod error;
mod expand;
mod forms;
mod hook;
mod image_name;
pub mod json;
pub mod kinds;
mod links;
mod made;
pub mod manifests;
pub(crate) mod merge;
pub mod mutation;
mod namespaces;
pub(crate) mod node;
mod order;
mod outside;
mod overlay;
mod overrides;
mod places;
mod pod;
mod probe;
pub mod programs;
pub mod quantity;
mod read;
pub mod references;
mod release;
mod services;
pub mod shell;
mod sort_out;
mod stores;
mod suggest;
pub mod target;
pub(crate) mod typed;
mod values;
mod warnings;
pub mod words;
mod workload;
pub(crate) mod yaml;

use std::{collections::BTreeMap, fmt, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::{
    read::{Typed, typed},
    sort_out::SortedOut,
};

pub(crate) use self::{
    document::Document,
    error::{ErrorKind, Faults},
};
pub use self::{
    error::{Error, Errors, Location},
    expand::{Identity, ResolvedContainer},
    hook::{Hook, HookKind, Hooks},
    image_name::ImageName,
    outside::OutsideObject,
    overlay::Overlay,
    overrides::EnvOverride,
    places::{Line, Places},
    pod::{
        Binary, Container, EnvVar, Field, File, Mount, NodeResource, Pod, Port, Resources, Restart, Secret, Security,
        Value, Volume, pod_name, pod_names,
    },
    probe::{Probe, ProbeAction, ProbeKind, Probes},
    read::{Manifest, Objects},
    release::{Moment, ReleaseHook},
    stores::{LINT_IGNORE, Missing},
    suggest::{nearest, no_component},
    warnings::Warning,
    workload::pod_keys,
};

/// What a plan is made from.
pub struct Input<'a> {
    /// The objects of the manifests, in the order in which they should stand, overlays applied.
    pub objects: Objects,
    /// Single environment variables, applied after the overlays.
    pub sets: Vec<EnvOverride>,
    /// Numbers of replicas by component, applied after the overlays.
    pub replicas: BTreeMap<String, u32>,
    /// ConfigMaps and Secrets that the manifests name and do not hold.
    pub given: Vec<OutsideObject>,
    /// Makes up the text of a Secret's key, from the names of both; asked for the keys that `e2e/generate` names.
    pub generate: &'a mut dyn FnMut(&str, &str) -> String,
}

impl Plan {
    /// The plan of objects without running it, which needs no Secrets.
    ///
    /// # Errors
    /// As for [`Plan::from_manifests`].
    pub fn of(objects: Objects) -> Result<Self, Errors> {
        let (sets, replicas, given) = (Vec::new(), BTreeMap::new(), Vec::new());
        Self::from_manifests(Input { objects, sets, replicas, given, generate: &mut |_, _| String::new() })
    }

    /// A component by name.
    #[must_use]
    pub fn component(&self, name: &str) -> Option<&Component> {
        self.components.iter().find(|component| component.name == name)
    }

    /// The same, or why there is none and which name may be meant.
    ///
    /// # Errors
    /// When there is no such component.
    pub fn require_component(&self, name: &str) -> Result<&Component, String> {
        self.component(name).ok_or_else(|| {
            let names = self.components.iter().map(|component| component.name.as_str());
            let (message, remedy) = no_component(name, names);
            format!("{message}; {remedy}")
        })
    }

    /// The names of its components, for messages: `backend, engine`.
    #[must_use]
    pub fn component_names(&self) -> String {
        self.components.iter().map(|component| component.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Makes the plan.
    ///
    /// # Errors
    /// Every fault of the input: YAML, objects, overlays, overrides, fields, references. Each names its place and a remedy.
    pub fn from_manifests(input: Input<'_>) -> Result<Self, Errors> {
        let Objects { objects, faults, notes: mut fields } = input.objects;
        let SortedOut { kept: mut objects, replaced, equal } = sort_out::sort_out(objects, &mut fields);
        let secret = overrides::apply(&mut objects, &input.sets, &input.replicas, &faults);
        outside::add(&mut objects, &input.given);
        stores::generate(&mut objects, input.generate, &faults);
        if objects.is_empty() && faults.is_empty() {
            let remedy = "add a manifest of kind Deployment or StatefulSet";
            faults.push(Error::new(ErrorKind::Missing, "the manifests declare nothing to run", remedy));
        }
        let typed: Vec<(&Document, Typed)> =
            objects.iter().filter_map(|object| Some((object, typed(object, &faults)?))).collect();
        objects.iter().chain(&replaced).for_each(|object| values::check(object, &faults));
        let stores = stores::Stores::new(&typed, &equal, &faults);
        let (mut components, mut cron_jobs) = (Components::default(), Vec::new());
        for (object, typed) in &typed {
            match typed {
                Typed::Workload(workload) => components.add(convert::component(object, workload, &stores, &faults)),
                Typed::CronJob(workload) => cron_jobs.extend(convert::component(object, workload, &stores, &faults)),
                _ => {}
            }
        }
        check_replaced(&replaced, &faults);
        let Components { mut components, names } = components;
        overrides::hide(&mut components, &secret);
        let services = services::services(&typed, &components, &faults, &mut fields);
        faults.into_result()?;
        reach_targets(&mut components, &services);
        fields.extend(warnings::fields(&objects));
        fields.extend(absent::notes(&objects));
        let components = order::order(components, &services, &objects, &mut fields);
        let (missing, notes) = stores.into_notes();
        fields.extend(notes);
        let cron_jobs: Vec<CronJob> = cron_jobs.into_iter().map(|job| CronJob::new(job, &missing)).collect();
        let missing = missing.into_iter().filter(|missing| !cron_jobs.iter().any(|job| job.missing.contains(missing)));
        let missing = missing.collect();
        let objects: Vec<(Object, Places)> =
            objects.iter().map(|object| (Object::new(object, &names), places::places(object))).collect();
        let places = objects.iter().filter_map(|(object, places)| Some((object.component.clone()?, places.clone())));
        let places = places.collect();
        let objects = objects.into_iter().map(|(object, _)| object).collect();
        Ok(Self { components, cron_jobs, services, fields, missing, places, objects })
    }
}

/// Finds what is wrong with declarations that others replace.
fn check_replaced(replaced: &[Document], faults: &Faults) {
    let typed: Vec<_> = replaced.iter().filter_map(|object| Some((object, typed(object, faults)?))).collect();
    let stores = stores::Stores::new(&typed, &[], faults);
    for (object, typed) in &typed {
        if let Typed::Workload(workload) | Typed::CronJob(workload) = typed {
            convert::component(object, workload, &stores, faults);
        }
    }
}

/// Components under names of their own.
#[derive(Default)]
struct Components {
    components: Vec<Component>,
    /// The names of those that had to get another one, by their objects.
    names: Names,
}

impl Components {
    /// Adds a component. One of another kind or namespace may have its name already; then that tells it from the other one.
    fn add(&mut self, component: Option<Component>) {
        let Some(mut component) = component else { return };
        let Component { name, kind, namespace, .. } = &component;
        let (kind_after, namespace_after) = (format!("{name}-{}", kind.to_lowercase()), format!("{name}-{namespace}"));
        let both_after = format!("{kind_after}-{namespace}");
        let is_kind_shared = self.components.iter().any(|other| other.name == *name && other.kind == *kind);
        let wanted =
            if is_kind_shared { [name, &namespace_after, &both_after] } else { [name, &kind_after, &both_after] };
        let is_free = |wanted: &&&String| self.components.iter().all(|other| other.name != ***wanted);
        let free = wanted.iter().find(is_free).map_or(&both_after, |free| *free).clone();
        if free != *name {
            self.names.insert((kind.clone(), namespace.clone(), name.clone()), free.clone());
            component.name = free;
        }
        self.components.push(component);
    }
}

/// Names of components by kind, namespace and name of their objects.
type Names = BTreeMap<(String, String, String), String>;

/// The ports that Services lead to are reached too, declared or not.
fn reach_targets(components: &mut [Component], services: &[Service]) {
    for service in services {
        let targets = service.ports.iter().filter(|port| port.protocol == "TCP").map(|port| port.target_port);
        for component in components.iter_mut().filter(|component| service.components.contains(&component.name)) {
            component.pod.ports.extend(targets.clone());
        }
    }
}

/// Everything that should run, in start order: a component stands after those that it refers to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// Workloads, in start order.
    pub components: Vec<Component>,
    /// What runs on request alone.
    pub cron_jobs: Vec<CronJob>,
    /// Names under which components reach each other.
    pub services: Vec<Service>,
    /// Fields of the manifests, for the targets that cannot honour them. See [`Plan::warnings`].
    pub fields: Vec<FieldUse>,
    /// ConfigMaps and Secrets that pods need, missing from the manifests and the configuration.
    pub missing: Vec<Missing>,
    /// Where each component and its fields stand, by its name.
    #[serde(skip)]
    pub places: BTreeMap<String, Places>,
    /// The objects themselves with overlays and overrides applied, in the order of the manifests: what a cluster is given.
    #[serde(skip)]
    pub objects: Vec<Object>,
}

/// A Kubernetes object after overlays and overrides.
#[derive(Clone, PartialEq)]
pub struct Object {
    /// Such as `Deployment`.
    pub kind: String,
    /// `metadata.name`.
    pub name: String,
    /// Where it is declared.
    pub source: Source,
    /// Name of the component, if it is a workload.
    pub component: Option<String>,
    /// Whether it is known to belong to no namespace. Of kinds that are not Kubernetes' own the cluster alone may know.
    pub cluster_scoped: bool,
    /// The whole object. It may hold the texts of Secrets.
    pub json: serde_json::Value,
}

impl Object {
    /// `Kind/name`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }

    /// Whether it takes part in the plan: of other objects the later one counts, with a warning.
    #[must_use]
    pub fn is_planned(&self) -> bool {
        self.component.is_some()
            || (self.group().is_empty() && ["Service", "ConfigMap", "Secret"].contains(&self.kind.as_str()))
    }

    fn new(object: &Document, names: &Names) -> Self {
        let Document { kind, name, source, node, .. } = object;
        let component = names.get(&(kind.clone(), object.home().to_owned(), name.clone())).unwrap_or(name);
        Self {
            kind: kind.clone(),
            name: name.clone(),
            source: source.clone(),
            component: object.is_workload().then(|| component.clone()),
            cluster_scoped: object.is_cluster_scoped(),
            json: node.to_json(),
        }
    }

    /// The namespace that it names, or the one that every namespaced object without one is in.
    #[must_use]
    pub fn home(&self) -> &str {
        let named = self.json.pointer("/metadata/namespace").and_then(serde_json::Value::as_str);
        named.filter(|name| !name.is_empty()).unwrap_or(document::DEFAULT_NAMESPACE)
    }

    /// The group of its API version; empty for the core one.
    pub(crate) fn group(&self) -> &str {
        kinds::group(self.json["apiVersion"].as_str().unwrap_or_default())
    }
}

impl fmt::Debug for Object {
    /// Leaves the object itself out: it may hold the texts of Secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({}/{}, {})", self.kind, self.name, self.source)
    }
}

/// One workload and its replicas.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Component {
    /// `metadata.name` of the workload, with its kind or namespace after it where another one has that name.
    pub name: String,
    /// The namespace that the manifests give it.
    pub namespace: String,
    /// The workload's kind, such as `Deployment` or `Job`.
    pub kind: String,
    /// How many pods.
    pub replicas: u32,
    /// What each pod is made of.
    pub pod: Pod,
    /// The headless Service that gives each pod of a StatefulSet a name (`spec.serviceName`).
    pub governed_by: Option<String>,
    /// When helm creates it, if apart from the other objects.
    pub hook: Option<ReleaseHook>,
    /// Names of the components whose Services the pod's env, command, args or config files mention.
    pub depends_on: Vec<String>,
    /// Names of the hooks of helm that have to succeed first.
    pub after: Vec<String>,
    /// Where the workload is declared.
    pub source: Source,
}

impl Component {
    /// `Kind/name`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }

    /// The names of all those that come before it.
    pub fn earlier(&self) -> impl Iterator<Item = &String> {
        self.after.iter().chain(&self.depends_on)
    }
}

/// A CronJob, whose Job runs when it is asked for: nothing looks at its schedule outside a cluster.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CronJob {
    /// One Job of it, under the CronJob's name.
    pub job: Component,
    /// ConfigMaps and Secrets that its pods need, missing from the manifests and the configuration.
    pub missing: Vec<Missing>,
}

impl CronJob {
    fn new(job: Component, missing: &[Missing]) -> Self {
        let is_own = |missing: &&Missing| missing.source == job.source && missing.object == job.label();
        let missing = missing.iter().filter(is_own).cloned().collect();
        Self { job, missing }
    }
}

/// A place in the manifests: which document of which file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    /// The file, as the user named it.
    pub file: PathBuf,
    /// The document's position in the file, from 1.
    pub document: usize,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, document {}", self.file.display(), self.document)
    }
}

/// A name for the ready pods of some components.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Service {
    /// `metadata.name`, with its namespace after it, as in `web.shop`, where another one has that name.
    pub name: String,
    /// The namespace that the manifests give it.
    pub namespace: String,
    /// Names of the components whose pods the selector matches; never empty: a Service that leads to no pod of the plan stands in
    /// [`Plan::fields`] alone.
    pub components: Vec<String>,
    /// Ports of the Service.
    pub ports: Vec<ServicePort>,
    /// Whether it has no address of its own (`clusterIP: None`), and its names lead to the pods themselves.
    pub headless: bool,
    /// Whether it reaches pods that are not ready too.
    pub publish_not_ready: bool,
    /// Where it is declared.
    pub source: Source,
}

/// One port of a Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServicePort {
    /// The port's name, when it has one.
    pub name: Option<String>,
    /// The port under the Service's name.
    pub port: u16,
    /// The port in the pods, with a name already looked up.
    pub target_port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
}

/// A field that the manifests set, for the warnings of [`Plan::warnings`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FieldUse {
    /// Where it is set.
    pub source: Source,
    /// The object, as `Kind/name`.
    pub object: String,
    /// The path in the document, such as `spec.template.spec.containers[app].lifecycle`.
    pub path: String,
    /// What [`Plan::warnings`] says of it.
    pub note: Note,
}

/// What is said of a field on each target; nothing where it is honoured.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Note {
    pub(crate) docker: Option<String>,
    pub(crate) local: Option<String>,
    pub(crate) k8s: Option<String>,
    /// Whether a cluster honours it in a run that applies objects which belong to the whole cluster.
    #[serde(skip)]
    pub(crate) needs_scope: bool,
}

#[cfg(test)]
mod tests;
