//! Where kustomize puts labels and annotations (`builtinpluginconsts`). Main functions: [`label`], [`annotate`].

use std::collections::BTreeMap;

use crate::{
    Document, kinds,
    node::{Node, Place, Tree},
};

/// How far labels go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Places {
    /// The object alone.
    Object,
    /// The pods of a workload, too.
    Templates,
    /// What selects pods, and the claims of a StatefulSet, too.
    Selectors,
}

/// Which API versions of a kind are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Any,
    Group(&'static str),
    Version(&'static str),
}

impl Of {
    fn includes(self, api_version: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Group(group) => kinds::group(api_version) == group,
            Self::Version(version) => api_version.rsplit('/').next() == Some(version),
        }
    }
}

/// A place: the kind of the objects, the keys to it (a list on the way is gone through), and whether it is made where it is not there.
type Spec = (&'static str, Of, &'static [&'static str], bool);

const V1: Of = Of::Version("v1");
const APPS: Of = Of::Group("apps");
const BATCH: Of = Of::Group("batch");
const POLICY: Of = Of::Group("policy");
const NETWORKING: Of = Of::Group("networking.k8s.io");

/// The metadata of pods, and of the Jobs of a CronJob.
const TEMPLATES: &[Spec] = &[
    ("ReplicationController", V1, &["spec", "template", "metadata"], true),
    ("Deployment", Of::Any, &["spec", "template", "metadata"], true),
    ("ReplicaSet", Of::Any, &["spec", "template", "metadata"], true),
    ("DaemonSet", Of::Any, &["spec", "template", "metadata"], true),
    ("StatefulSet", APPS, &["spec", "template", "metadata"], true),
    ("Job", BATCH, &["spec", "template", "metadata"], true),
    ("CronJob", BATCH, &["spec", "jobTemplate", "metadata"], true),
    ("CronJob", BATCH, &["spec", "jobTemplate", "spec", "template", "metadata"], true),
];

const SELECTORS: &[Spec] = &[
    ("Service", V1, &["spec", "selector"], true),
    ("ReplicationController", V1, &["spec", "selector"], true),
    ("Deployment", Of::Any, &["spec", "selector", "matchLabels"], true),
    ("ReplicaSet", Of::Any, &["spec", "selector", "matchLabels"], true),
    ("DaemonSet", Of::Any, &["spec", "selector", "matchLabels"], true),
    ("StatefulSet", APPS, &["spec", "selector", "matchLabels"], true),
    ("StatefulSet", APPS, &["spec", "volumeClaimTemplates", "metadata", "labels"], true),
    ("Job", BATCH, &["spec", "selector", "matchLabels"], false),
    ("CronJob", BATCH, &["spec", "jobTemplate", "spec", "selector", "matchLabels"], false),
    ("PodDisruptionBudget", POLICY, &["spec", "selector", "matchLabels"], false),
    ("NetworkPolicy", NETWORKING, &["spec", "podSelector", "matchLabels"], false),
    ("NetworkPolicy", NETWORKING, &["spec", "ingress", "from", "podSelector", "matchLabels"], false),
    ("NetworkPolicy", NETWORKING, &["spec", "egress", "to", "podSelector", "matchLabels"], false),
];

/// The kinds of whose pods kustomize also changes what they keep to or away from.
const SPREAD: [&str; 2] = ["Deployment", "StatefulSet"];
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const SPREADS: &[&[&str]] = &[
    &["affinity", "podAffinity", PREFERRED, "podAffinityTerm", "labelSelector", "matchLabels"],
    &["affinity", "podAffinity", REQUIRED, "labelSelector", "matchLabels"],
    &["affinity", "podAntiAffinity", PREFERRED, "podAffinityTerm", "labelSelector", "matchLabels"],
    &["affinity", "podAntiAffinity", REQUIRED, "labelSelector", "matchLabels"],
    &["topologySpreadConstraints", "labelSelector", "matchLabels"],
];

/// Where annotations go and labels do not.
const ANNOTATED: &[Spec] = &[("StatefulSet", Of::Any, &["spec", "template", "metadata"], true)];

/// Adds labels to an object.
pub(super) fn label(object: &mut Document, labels: &BTreeMap<String, String>, places: Places) {
    set(object, &["metadata", "labels"], true, labels);
    if places != Places::Object {
        set_all(object, TEMPLATES, Some("labels"), labels);
    }
    if places == Places::Selectors {
        set_all(object, SELECTORS, None, labels);
        if SPREAD.contains(&object.kind.as_str()) && APPS.includes(object.api_version()) {
            for keys in SPREADS {
                let keys: Vec<&str> = ["spec", "template", "spec"].iter().chain(*keys).copied().collect();
                set(object, &keys, false, labels);
            }
        }
    }
}

/// Adds annotations to an object and its pods.
pub(super) fn annotate(object: &mut Document, annotations: &BTreeMap<String, String>) {
    set(object, &["metadata", "annotations"], true, annotations);
    for specs in [TEMPLATES, ANNOTATED] {
        set_all(object, specs, Some("annotations"), annotations);
    }
}

fn set_all(object: &mut Document, specs: &[Spec], last: Option<&str>, values: &BTreeMap<String, String>) {
    let (kind, api_version) = (object.kind.clone(), object.api_version().to_owned());
    let is_meant = |spec: &&Spec| spec.0 == kind && spec.1.includes(&api_version);
    for (.., keys, create) in specs.iter().filter(is_meant) {
        let keys: Vec<&str> = keys.iter().copied().chain(last).collect();
        set(object, &keys, *create, values);
    }
}

fn set(object: &mut Document, keys: &[&str], create: bool, values: &BTreeMap<String, String>) {
    if !values.is_empty() {
        let place = object.node.place.clone();
        set_below(&mut object.node, keys, create, values, &place);
    }
}

fn set_below(node: &mut Node, keys: &[&str], create: bool, values: &BTreeMap<String, String>, place: &Place) {
    if let Tree::List(items) = &mut node.tree {
        items.iter_mut().for_each(|item| set_below(item, keys, create, values, place));
        return;
    }
    let Some((key, rest)) = keys.split_first() else {
        for (key, value) in values {
            node.set(key, Tree::Text(value.clone()), place);
        }
        return;
    };
    let child = match create {
        // A list of claims is not made, as there is nothing in it.
        true if *key != "volumeClaimTemplates" => node.get_or_insert(key, Tree::Map(Vec::new()), place),
        _ => node.get_mut(key).filter(|child| !child.is_null()),
    };
    if let Some(child) = child {
        set_below(child, rest, create, values, place);
    }
}
