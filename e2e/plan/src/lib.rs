//! What should run: plain data made from Kubernetes manifests by pure code, the same for every target.
//! Main type: [`Plan`], made by [`Plan::from_manifests`].

mod convert;
pub mod duration;
mod error;
mod expand;
pub mod manifests;
mod merge;
mod node;
mod overlay;
mod overrides;
mod pod;
mod probe;
pub mod quantity;
mod read;
pub mod references;
mod services;
mod stores;
mod suggest;
pub mod target;
mod typed;
mod warnings;
pub mod words;
mod yaml;

use std::{collections::BTreeMap, fmt, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    error::{Error, ErrorKind, Location},
    expand::{Identity, ResolvedContainer},
    overlay::{Overlay, Part, PartRole},
    overrides::Set,
    pod::{Container, EnvVar, Field, File, Mount, Pod, Port, Resources, Secret, Security, Value, Volume},
    probe::{Probe, ProbeAction, Probes, Which},
    read::Manifest,
    stores::LINT_IGNORE,
    suggest::nearest,
    warnings::Warning,
};

/// What a plan is made from.
pub struct Input<'a> {
    /// The manifests, in the order in which their objects should stand.
    pub manifests: Vec<Manifest>,
    /// Changes to them, applied in order.
    pub overlays: Vec<Overlay>,
    /// Single environment variables, applied after the overlays.
    pub sets: Vec<Set>,
    /// Numbers of replicas by component, applied after the overlays.
    pub replicas: BTreeMap<String, u32>,
    /// Makes up the text of a Secret's key, from the names of both; asked for the keys that `e2e/generate` names.
    pub generate: &'a mut dyn FnMut(&str, &str) -> String,
}

impl Plan {
    /// Makes the plan.
    ///
    /// # Errors
    /// The first fault in the order: YAML, objects, overlays, overrides, fields, references. It names its place and a remedy.
    pub fn from_manifests(input: Input<'_>) -> Result<Self, Error> {
        let mut objects = Vec::new();
        for manifest in &input.manifests {
            objects.extend(read::objects(manifest)?);
        }
        read::check_unique(&objects)?;
        for overlay in &input.overlays {
            overlay::apply(&mut objects, overlay)?;
        }
        overrides::apply(&mut objects, &input.sets, &input.replicas)?;
        stores::generate(&mut objects, input.generate)?;
        let typed = objects.iter().map(|object| read::typed(object).map(|typed| (object, typed)));
        let typed = typed.collect::<Result<Vec<_>, _>>()?;
        let stores = stores::Stores::new(&typed)?;
        let mut components = Vec::new();
        for (object, typed) in &typed {
            components.extend(convert::component(object, typed, &stores)?);
        }
        if components.is_empty() {
            let remedy = "add a manifest of kind Deployment or StatefulSet";
            return Err(Error::new(ErrorKind::Missing, "the manifests declare nothing to run", remedy));
        }
        let services = services::services(&typed, &components)?;
        let mut fields = warnings::fields(&objects, &services);
        let components = references::order(components, &services, &mut fields);
        let objects = objects.iter().map(Object::new).collect();
        Ok(Self { components, services, fields, objects })
    }
}

/// Everything that should run, in start order: a component stands after those that it refers to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// Workloads (Deployments, StatefulSets), in start order.
    pub components: Vec<Component>,
    /// Names under which components reach each other.
    pub services: Vec<Service>,
    /// Fields of the manifests, for the targets that cannot honour them. See [`Plan::warnings`].
    pub fields: Vec<FieldUse>,
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
    /// The whole object. It may hold the texts of Secrets.
    pub json: serde_json::Value,
}

impl Object {
    fn new(object: &read::Object) -> Self {
        let read::Object { kind, name, source, node } = object;
        Self { kind: kind.clone(), name: name.clone(), source: source.clone(), json: node.to_json() }
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
    /// `metadata.name` of the workload.
    pub name: String,
    /// `Deployment` or `StatefulSet`.
    pub kind: String,
    /// How many pods.
    pub replicas: u32,
    /// What each pod is made of.
    pub pod: Pod,
    /// Names of the components whose Services the pod's env, command, args or config files mention.
    pub depends_on: Vec<String>,
    /// Where the workload is declared.
    pub source: Source,
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
    /// `metadata.name`.
    pub name: String,
    /// Names of the components whose pods the selector matches; never empty.
    pub components: Vec<String>,
    /// Ports of the Service.
    pub ports: Vec<ServicePort>,
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
    /// What [`Plan::warnings`] should say, where the field's path alone does not tell.
    pub note: Option<String>,
}

#[cfg(test)]
mod tests;
