//! Plans for tests, made as every other one is.

use e2e_plan::{Input, Manifest, Plan};

/// The plan of manifests in one text.
pub(super) fn plan(text: &str) -> Plan {
    let input = Input {
        manifests: vec![Manifest { file: "app.yaml".into(), text: text.to_owned() }],
        overlays: Vec::new(),
        sets: Vec::new(),
        replicas: std::collections::BTreeMap::new(),
        generate: &mut |_, _| String::new(),
    };
    Plan::from_manifests(input).expect("the manifest is right")
}

/// The plan of one Deployment `app` whose pod has this spec, in YAML's flow style.
pub(super) fn plan_of_pod(spec: &str) -> Plan {
    plan(&format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{ name: app }}\nspec:\n  selector: {{ matchLabels: {{ app: app }} }}\n  \
         template:\n    metadata: {{ labels: {{ app: app }} }}\n    spec: {spec}\n"
    ))
}
