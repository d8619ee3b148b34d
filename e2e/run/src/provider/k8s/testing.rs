//! A component for tests, made as every other one is.

use e2e_plan::{Component, Manifest, Objects, Plan};

/// A Deployment with so many replicas of one container with its own name, which has a liveness probe.
pub(super) fn component(name: &str, replicas: u32) -> Component {
    let text = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{ name: {name} }}\nspec:\n  replicas: {replicas}\n  \
         selector: {{ matchLabels: {{ app: {name} }} }}\n  template:\n    metadata: {{ labels: {{ app: {name} }} }}\n    spec:\n      \
         containers:\n        - name: {name}\n          image: x\n          ports: [{{ containerPort: 80 }}]\n          \
         livenessProbe: {{ tcpSocket: {{ port: 80 }} }}\n"
    );
    let mut plan =
        Plan::of(Objects::read(&[Manifest { file: "app.yaml".into(), text }])).expect("the manifest is right");
    plan.components.remove(0)
}
