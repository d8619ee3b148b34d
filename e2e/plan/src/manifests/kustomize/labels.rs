//! Where kustomize puts labels and annotations (`builtinpluginconsts`). Main functions: [`label`], [`annotate`].

use std::collections::BTreeMap;

use crate::{
    Document,
    node::{Node, Place, Tree},
};

/// How far labels go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Places {
    /// The object alone.
    Object,
    /// The pods of a workload, too.
    Templates,
    /// What selects pods, too.
    Selectors,
}

/// A place: the kind of the objects, the keys to it (a list on the way is gone through), and whether it is made where it is not there.
type Spec = (&'static str, &'static [&'static str], bool);

const TEMPLATES: &[Spec] = &[
    ("ReplicationController", &["spec", "template", "metadata", "labels"], true),
    ("Deployment", &["spec", "template", "metadata", "labels"], true),
    ("ReplicaSet", &["spec", "template", "metadata", "labels"], true),
    ("DaemonSet", &["spec", "template", "metadata", "labels"], true),
    ("StatefulSet", &["spec", "template", "metadata", "labels"], true),
    ("StatefulSet", &["spec", "volumeClaimTemplates", "metadata", "labels"], true),
    ("Job", &["spec", "template", "metadata", "labels"], true),
    ("CronJob", &["spec", "jobTemplate", "metadata", "labels"], true),
    ("CronJob", &["spec", "jobTemplate", "spec", "template", "metadata", "labels"], true),
];

const SELECTORS: &[Spec] = &[
    ("Service", &["spec", "selector"], true),
    ("ReplicationController", &["spec", "selector"], true),
    ("Deployment", &["spec", "selector", "matchLabels"], true),
    ("ReplicaSet", &["spec", "selector", "matchLabels"], true),
    ("DaemonSet", &["spec", "selector", "matchLabels"], true),
    ("StatefulSet", &["spec", "selector", "matchLabels"], true),
    ("Job", &["spec", "selector", "matchLabels"], false),
    ("CronJob", &["spec", "jobTemplate", "spec", "selector", "matchLabels"], false),
    ("PodDisruptionBudget", &["spec", "selector", "matchLabels"], false),
    ("NetworkPolicy", &["spec", "podSelector", "matchLabels"], false),
    ("NetworkPolicy", &["spec", "ingress", "from", "podSelector", "matchLabels"], false),
    ("NetworkPolicy", &["spec", "egress", "to", "podSelector", "matchLabels"], false),
];

/// The kinds of whose pods kustomize also changes what they keep to or away from.
const SPREAD: [&str; 2] = ["Deployment", "StatefulSet"];
const SPREADS: &[&[&str]] = &[
    &[
        "affinity",
        "podAffinity",
        "preferredDuringSchedulingIgnoredDuringExecution",
        "podAffinityTerm",
        "labelSelector",
        "matchLabels",
    ],
    &["affinity", "podAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "labelSelector", "matchLabels"],
    &[
        "affinity",
        "podAntiAffinity",
        "preferredDuringSchedulingIgnoredDuringExecution",
        "podAffinityTerm",
        "labelSelector",
        "matchLabels",
    ],
    &["affinity", "podAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "labelSelector", "matchLabels"],
    &["topologySpreadConstraints", "labelSelector", "matchLabels"],
];

const ANNOTATIONS: &[Spec] = &[
    ("ReplicationController", &["spec", "template", "metadata", "annotations"], true),
    ("Deployment", &["spec", "template", "metadata", "annotations"], true),
    ("ReplicaSet", &["spec", "template", "metadata", "annotations"], true),
    ("DaemonSet", &["spec", "template", "metadata", "annotations"], true),
    ("StatefulSet", &["spec", "template", "metadata", "annotations"], true),
    ("Job", &["spec", "template", "metadata", "annotations"], true),
    ("CronJob", &["spec", "jobTemplate", "metadata", "annotations"], true),
    ("CronJob", &["spec", "jobTemplate", "spec", "template", "metadata", "annotations"], true),
];

/// Adds labels to an object.
pub(super) fn label(object: &mut Document, labels: &BTreeMap<String, String>, places: Places) {
    set(object, &["metadata", "labels"], true, labels);
    if places != Places::Object {
        set_all(object, TEMPLATES, labels);
    }
    if places == Places::Selectors {
        set_all(object, SELECTORS, labels);
        if SPREAD.contains(&object.kind.as_str()) {
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
    set_all(object, ANNOTATIONS, annotations);
}

fn set_all(object: &mut Document, specs: &[Spec], values: &BTreeMap<String, String>) {
    let kind = object.kind.clone();
    for (_, keys, create) in specs.iter().filter(|(of, ..)| *of == kind) {
        set(object, keys, *create, values);
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
