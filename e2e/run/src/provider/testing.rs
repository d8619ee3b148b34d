//! Plans for tests, made as every other one is.

use e2e_plan::{Manifest, Objects, Plan};

/// The plan of manifests in one text.
pub(crate) fn plan(text: &str) -> Plan {
    Plan::of(Objects::read(&[Manifest { file: "app.yaml".into(), text: text.to_owned() }]))
        .expect("the manifest is right")
}

/// The plan of one Deployment `app` whose pod has this spec, in YAML's flow style.
pub(crate) fn plan_of_pod(spec: &str) -> Plan {
    plan(&deployment(spec))
}

/// Its manifest.
pub(crate) fn deployment(spec: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{ name: app }}\nspec:\n  selector: {{ matchLabels: {{ app: app }} }}\n  \
         template:\n    metadata: {{ labels: {{ app: app }} }}\n    spec: {spec}\n"
    )
}
