//! What a kustomization does to all of its resources, in the order in which kustomize does it.

use std::path::Path;

use regex::Regex;

use super::{
    Builder, Resource,
    file::{Image, Kustomization, Replicas},
    labels, names,
};
use crate::{
    ErrorKind, ImageName,
    kinds::group,
    node::{Node, Tree},
    read::given,
};

/// The kinds whose objects have a number of replicas that `replicas` sets.
const REPLICATED: [&str; 4] = ["Deployment", "ReplicationController", "ReplicaSet", "StatefulSet"];
/// The kinds that only some versions of kustomize know to have no namespace.
const NAMESPACE_BEYOND: [&str; 8] = [
    "ClusterTrustBundle",
    "FlowSchema",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "PriorityLevelConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "VolumeAttributesClass",
];

impl Builder<'_> {
    /// Applies everything that changes resources.
    pub(super) fn transform(&mut self, kustomization: &Kustomization, dir: &Path, resources: &mut Vec<Resource>) {
        self.patches(kustomization, dir, resources);
        self.namespace(kustomization, resources);
        Self::affixes(kustomization, resources);
        self.labels(kustomization, resources);
        for resource in resources.iter_mut() {
            if let Some(annotations) = &kustomization.file.common_annotations {
                labels::annotate(&mut resource.object, annotations);
            }
        }
        self.json_patches(kustomization, dir, resources);
        for replicas in kustomization.file.replicas.iter().flatten() {
            self.replicas(kustomization, replicas, resources);
        }
        for image in kustomization.file.images.iter().flatten() {
            self.image(kustomization, image, resources);
        }
    }

    fn beyond(&mut self, kustomization: &Kustomization, key: &str, message: String) {
        self.beyond.push(kustomization.error(key, None, ErrorKind::Unsupported, message, String::new()));
    }

    fn namespace(&mut self, kustomization: &Kustomization, resources: &mut [Resource]) {
        let Some(namespace) = given(&kustomization.file.namespace) else { return };
        for resource in resources.iter_mut() {
            let kind = resource.object.kind.as_str();
            if NAMESPACE_BEYOND.contains(&kind) {
                let message =
                    format!("`namespace` changes {} in a way that only kustomize knows", resource.object.label());
                self.beyond(kustomization, "namespace", message);
            } else if kind == "Namespace" && resource.object.is_own() {
                names::rename(resource, namespace.to_owned());
            } else if !resource.object.is_cluster_scoped() {
                names::renamespace(resource, namespace);
            }
            set_inner_namespaces(&mut resource.object.node, namespace);
        }
        for (index, resource) in resources.iter().enumerate() {
            if let Some(first) = resources[..index].iter().find(|other| other.is_same(resource)) {
                let (label, namespace) = (resource.object.label(), namespace.escape_debug());
                let (first, second) = (&first.object.source, &resource.object.source);
                let message =
                    format!("in namespace `{namespace}` {label} of {second} is the same object as that of {first}");
                let remedy = match resource.object.kind.as_str() {
                    "Namespace" => "kustomize refuses it, since `namespace` renames both: remove one of the two",
                    _ => "kustomize refuses it: rename or remove one of the two",
                };
                self.faults.push(kustomization.error("namespace", None, ErrorKind::Duplicate, message, remedy));
            }
        }
    }

    fn affixes(kustomization: &Kustomization, resources: &mut [Resource]) {
        let affix = |text| given(text).unwrap_or_default();
        let (prefix, suffix) = (affix(&kustomization.file.name_prefix), affix(&kustomization.file.name_suffix));
        if prefix.is_empty() && suffix.is_empty() {
            return;
        }
        for resource in resources {
            if matches!(resource.object.kind.as_str(), "CustomResourceDefinition" | "APIService" | "Namespace") {
                continue;
            }
            let name = format!("{prefix}{}{suffix}", resource.object.name);
            names::rename(resource, name);
        }
    }

    fn labels(&mut self, kustomization: &Kustomization, resources: &mut [Resource]) {
        for labels in kustomization.file.labels.iter().flatten() {
            if labels.fields.as_ref().is_some_and(|fields| !fields.is_empty()) {
                self.beyond(kustomization, "labels", "`fields` of `labels` are built by kustomize alone".to_owned());
            }
            if labels.include_volume_claim_templates
                || labels.include_templates && !labels.include_selectors && resources.iter().any(has_claims)
            {
                // Versions of kustomize differ in which labels they get.
                let message = "labels of `volumeClaimTemplates` are built by kustomize alone".to_owned();
                self.beyond(kustomization, "labels", message);
            }
            let place = match (labels.include_selectors, labels.include_templates) {
                (true, _) => labels::Places::Selectors,
                (false, true) => labels::Places::Templates,
                (false, false) => labels::Places::Object,
            };
            if let Some(pairs) = &labels.pairs {
                resources.iter_mut().for_each(|resource| labels::label(&mut resource.object, pairs, place));
            }
        }
        if let Some(labels) = &kustomization.file.common_labels {
            let place = labels::Places::Selectors;
            resources.iter_mut().for_each(|resource| labels::label(&mut resource.object, labels, place));
        }
    }

    fn replicas(&self, kustomization: &Kustomization, replicas: &Replicas, resources: &mut [Resource]) {
        let is_meant = |resource: &&mut Resource| {
            REPLICATED.contains(&resource.object.kind.as_str()) && resource.ids().any(|(name, _)| name == replicas.name)
        };
        let mut found = false;
        for resource in resources.iter_mut().filter(is_meant) {
            found = true;
            let place = kustomization.node.place.clone();
            if let Some(spec) = resource.object.node.get_or_insert("spec", Tree::Map(Vec::new()), &place) {
                spec.set("replicas", Tree::Int(replicas.count), &place);
            }
        }
        if !found {
            let message = format!("`{}` is the name of no workload with replicas", replicas.name);
            let remedy = "correct the name, or remove the element";
            self.faults.push(kustomization.error("replicas", None, ErrorKind::Missing, message, remedy));
        }
    }

    fn image(&mut self, kustomization: &Kustomization, image: &Image, resources: &mut [Resource]) {
        if image.tag_suffix.is_some() {
            // Versions of kustomize differ in how often they append it.
            self.beyond(kustomization, "images", "`tagSuffix` of `images` is built by kustomize alone".to_owned());
        }
        // As kustomize has it, the name is a pattern.
        let pattern_of =
            |name: &str| Regex::new(&format!("^{name}(:[a-zA-Z0-9_.{{}}-]*)?(@sha256:[a-zA-Z0-9_.{{}}-]*)?$"));
        // Go reads a brace that begins no repetition as itself.
        let literal = || image.name.replace('{', "\\{").replace('}', "\\}");
        let Ok(pattern) = pattern_of(&image.name).or_else(|_| pattern_of(&literal())) else {
            let message = format!("`{}` is not the name of an image", image.name);
            self.faults.push(kustomization.error("images", None, ErrorKind::Value, message, "correct it"));
            return;
        };
        for resource in resources {
            if resource.object.kind != "CustomResourceDefinition" {
                set_images(&mut resource.object.node, &pattern, image);
            }
        }
    }
}

/// Puts a namespace into the other places in which kustomize does it: subjects that are called `default`, and Services that the
/// API server calls. What else names a namespace follows the objects.
fn set_inner_namespaces(node: &mut Node, namespace: &str) {
    let (place, namespace) = (node.place.clone(), Tree::Text(namespace.to_owned()));
    let text = |key| node.text_at(&[key]).unwrap_or_default();
    match (group(text("apiVersion")), text("kind")) {
        (_, "RoleBinding" | "ClusterRoleBinding") => {
            if let Some(Node { tree: Tree::List(subjects), .. }) = node.get_mut("subjects") {
                let is_default = |subject: &&mut Node| subject.item_name() == Some("default");
                subjects.iter_mut().filter(is_default).for_each(|it| it.set("namespace", namespace.clone(), &place));
            }
        }
        ("apiregistration.k8s.io", "APIService") => {
            let empty = || Tree::Map(Vec::new());
            let spec = node.get_or_insert("spec", empty(), &place);
            if let Some(service) = spec.and_then(|spec| spec.get_or_insert("service", empty(), &place)) {
                service.set("namespace", namespace, &place);
            }
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            let keys = ["spec", "conversion", "webhook", "clientConfig", "service", "namespace"];
            if let Some(field) = node.find_mut(&keys) {
                field.tree = namespace;
            }
        }
        _ => {}
    }
}

/// Whether it is a StatefulSet with claims of its own.
fn has_claims(resource: &Resource) -> bool {
    resource.object.kind == "StatefulSet" && resource.object.node.find(&["spec", "volumeClaimTemplates"]).is_some()
}

/// Sets the images of all lists of containers, wherever they are.
fn set_images(node: &mut Node, pattern: &Regex, image: &Image) {
    match &mut node.tree {
        Tree::Map(entries) => entries.iter_mut().for_each(|entry| match (entry.key.as_str(), &mut entry.node.tree) {
            ("containers" | "initContainers", Tree::List(containers)) => {
                let names = containers.iter_mut().filter_map(|container| container.get_mut("image"));
                names.for_each(|name| set_image(name, pattern, image));
            }
            ("containers" | "initContainers", empty @ Tree::Null) => *empty = Tree::List(Vec::new()),
            _ => set_images(&mut entry.node, pattern, image),
        }),
        Tree::List(items) => items.iter_mut().for_each(|item| set_images(item, pattern, image)),
        _ => {}
    }
}

fn set_image(name: &mut Node, pattern: &Regex, image: &Image) {
    if let Tree::Text(text) = &mut name.tree
        && pattern.is_match(text)
    {
        *text = renamed(text, image);
    }
}

/// An image with what is changed of it: a new tag or digest replaces both.
fn renamed(text: &str, image: &Image) -> String {
    let ImageName { name, tag, digest } = ImageName::new(text);
    let name = given(&image.new_name).unwrap_or(name);
    let (tag, digest) = match (given(&image.new_tag), given(&image.digest)) {
        (None, None) => (tag, digest),
        new => new,
    };
    let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
    let digest = digest.map(|digest| format!("@{digest}")).unwrap_or_default();
    format!("{name}{tag}{digest}")
}
