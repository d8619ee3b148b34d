//! The lines of the manifests where workloads and some of their fields stand, so that a finding can point at one. Main type: [`Places`].

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Document,
    node::{Node, Place},
};

/// A line of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    /// The file, as the user named it: of a field that an overlay sets, the overlay's.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

/// The lines of a workload: the workload itself under an empty path, its `replicas`, each container under its name, and below that the
/// container's image, command, probes and limits, as `app.livenessProbe` and `app.limits.memory`.
pub type Places = BTreeMap<String, Line>;

/// Fields of a container that findings are about.
const FIELDS: [&str; 5] = ["image", "command", "startupProbe", "readinessProbe", "livenessProbe"];
/// The same of its limits.
const RESOURCES: [&str; 2] = ["memory", "cpu"];

pub(crate) fn places(object: &Document) -> Places {
    let mut places = Places::new();
    let mut add = |path: String, place: Option<Line>| places.extend(place.map(|place| (path, place)));
    let metadata = object.node.entries().iter().find(|entry| entry.key == "metadata");
    add(String::new(), at(metadata.map_or(&object.node.place, |entry| &entry.place)));
    add("replicas".to_owned(), object.node.get("spec").and_then(|spec| key(spec, "replicas")));
    let spec = object.pod_node();
    let lists = ["initContainers", "containers"].into_iter().filter_map(|list| spec?.get(list));
    for container in lists.flat_map(Node::items) {
        let Some(name) = container.item_name() else { continue };
        add(name.to_owned(), line(container));
        for field in FIELDS {
            add(format!("{name}.{field}"), key(container, field));
        }
        let limits = container.find(&["resources", "limits"]);
        for resource in RESOURCES {
            add(format!("{name}.limits.{resource}"), limits.and_then(|limits| key(limits, resource)));
        }
    }
    places
}

fn line(node: &Node) -> Option<Line> {
    at(&node.place)
}

/// Where a key stands, or what an overlay put below it.
fn key(node: &Node, key: &str) -> Option<Line> {
    let entry = node.entries().iter().find(|entry| entry.key == key)?;
    at(overlaid(&entry.node, &entry.place).unwrap_or(&entry.place))
}

/// The first place below a node that is in another file than `base`.
fn overlaid<'a>(node: &'a Node, base: &Place) -> Option<&'a Place> {
    let own = Some(&node.place).filter(|place| place.file != base.file);
    let below = node.entries().iter().map(|entry| &entry.node).chain(node.items());
    own.or_else(|| below.filter_map(|node| overlaid(node, base)).next())
}

/// Nothing for what a program made up.
fn at(place: &Place) -> Option<Line> {
    (place.line > 0).then(|| Line { file: place.file.to_path_buf(), line: place.line })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::{Manifest, Objects, Overlay, Plan};

    /// Lines are those of the files as they stand, an overlay's where it sets the field.
    #[test]
    fn fields_stand_where_they_were_written() {
        let base = "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: app }\nspec:\n  selector: { matchLabels: { a: b } }\n  \
                    template:\n    metadata: { labels: { a: b } }\n    spec:\n      containers:\n        - name: web\n          image: web\n          \
                    livenessProbe: { tcpSocket: { port: 80 } }\n          resources:\n            limits:\n              memory: 64Mi\n";
        let patch = "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: app }\nspec:\n  template:\n    spec:\n      containers:\n        \
                     - name: web\n          livenessProbe: { tcpSocket: { port: 81 } }\n";
        let manifest = |file: &str, text: &str| Manifest { file: file.into(), text: text.to_owned() };
        let mut objects = Objects::read(&[manifest("app.yaml", base)]);
        let manifests = vec![manifest("o/patch.yaml", patch)];
        objects.patch(&Overlay { label: "o".to_owned(), manifests });
        let plan = Plan::of(objects).unwrap();
        let places = &plan.places["app"];
        let at = |path: &str| (places[path].file.as_path(), places[path].line);
        assert_eq!(at(""), (Path::new("app.yaml"), 3));
        assert_eq!(at("web.image"), (Path::new("app.yaml"), 11));
        assert_eq!(at("web.limits.memory"), (Path::new("app.yaml"), 15));
        assert_eq!(at("web.livenessProbe"), (Path::new("o/patch.yaml"), 9));
        assert!(!places.contains_key("replicas"));
    }
}
