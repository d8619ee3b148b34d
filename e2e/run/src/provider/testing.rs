//! Plans for tests, made as every other one is.

use e2e_plan::{Manifest, Objects, Plan};

/// The plan of manifests in one text.
pub(crate) fn plan(text: &str) -> Plan {
    Plan::of(Objects::read(&[Manifest { file: "app.yaml".into(), text: text.to_owned() }]))
        .expect("the manifest is right")
}

/// The plan of one Deployment `app` whose pod has this spec, in YAML's flow style.
pub(crate) fn plan_of_pod(spec: &str) -> Plan {
    plan(&deployment("app", spec))
}

/// The manifest of a Deployment whose pods have this spec.
pub(crate) fn deployment(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{ name: {name} }}\nspec:\n  selector: {{ matchLabels: {{ app: {name} }} }}\n  \
         template:\n    metadata: {{ labels: {{ app: {name} }} }}\n    spec: {spec}\n"
    )
}

/// The manifest of a Service in front of a Deployment.
pub(crate) fn service(name: &str, of: &str, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{ name: {name} }}\nspec: {{ selector: {{ app: {of} }}, ports: [{{ port: {port} }}] }}\n"
    )
}
