//! A Kubernetes object as a tree, whose form alone is known. Main type: [`Document`].

use super::{
    Source,
    kinds::{self, Role, is_cluster_scoped},
    node::Node,
    workload::pod_keys,
};

/// The namespace of what names none.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";

/// One document as a tree.
#[derive(Clone)]
pub(crate) struct Document {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) source: Source,
    pub(crate) node: Node,
}

impl Document {
    /// `Kind/name`.
    pub(crate) fn label(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }

    /// The spec of a workload's pods, as a tree.
    pub(crate) fn pod_node(&self) -> Option<&Node> {
        self.node.find(pod_keys(&self.kind))
    }

    pub(crate) fn is_workload(&self) -> bool {
        self.role == Role::Workload
    }

    pub(crate) fn api_version(&self) -> &str {
        self.node.text_at(&["apiVersion"]).unwrap_or_default()
    }

    pub(crate) fn namespace(&self) -> &str {
        self.node.text_at(&["metadata", "namespace"]).unwrap_or_default()
    }

    /// The namespace that a cluster gives it a place in; none where its kind has no namespace.
    pub(crate) fn home(&self) -> &str {
        match self.namespace() {
            _ if self.is_cluster_scoped() => "",
            "" => DEFAULT_NAMESPACE,
            namespace => namespace,
        }
    }

    fn group(&self) -> &str {
        kinds::group(self.api_version())
    }

    /// Whether two objects are of one kind and have one name, if only in different namespaces.
    pub(crate) fn shares_name(&self, other: &Self) -> bool {
        self.kind == other.kind && self.name == other.name && self.group() == other.group()
    }

    /// Whether two objects are the same one to a cluster.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.shares_name(other) && self.home() == other.home()
    }

    /// Whether its kind is one of Kubernetes itself.
    pub(crate) fn is_own(&self) -> bool {
        kinds::is_own_group(self.group())
    }

    pub(crate) fn is_cluster_scoped(&self) -> bool {
        is_cluster_scoped(self.api_version(), &self.kind)
    }
}
