//! What a cluster may make from the objects of the manifests. Main functions: [`Plan::is_made_in`], [`by_operator`].

use serde_json::Value;

use super::{Missing, Object, Plan, json::texts, kinds, target::Target};

/// Groups that route to, scale or watch what often has their objects' name, and make no Secrets.
const WITHOUT_SECRETS: [&str; 7] = [
    "keda.sh",
    "monitoring.coreos.com",
    "networking.istio.io",
    "route.openshift.io",
    "serving.knative.dev",
    "traefik.containo.us",
    "traefik.io",
];

impl Plan {
    /// Whether a target may have what is missing nevertheless: in a cluster, operators make what their objects name, such as an
    /// ExternalSecret or a Certificate, and Secrets whose names start with theirs.
    #[must_use]
    pub fn is_made_in(&self, missing: &Missing, target: Target) -> bool {
        let is_maker = |object: &Object| by_operator(&object.json, missing.kind, &missing.name);
        target == Target::K8s && self.objects.iter().any(is_maker)
    }
}

/// Whether an operator may make an object of this kind and name from one of a kind that is not Kubernetes' own: what that names, or a
/// Secret with a name derived from its own.
pub(crate) fn by_operator(object: &Value, kind: &str, name: &str) -> bool {
    let group = kinds::group(object["apiVersion"].as_str().unwrap_or_default());
    let own_name = object["metadata"]["name"].as_str().unwrap_or_default();
    let is_derived = || kind == "Secret" && !WITHOUT_SECRETS.contains(&group) && is_derived(name, own_name);
    !kinds::is_own_group(group) && (texts(object).contains(&name) || is_derived())
}

/// Whether a name is made of another one: `pg-app` of `pg`, `app.pg.credentials` too.
fn is_derived(name: &str, from: &str) -> bool {
    let is_start = name.strip_prefix(from).is_some_and(|rest| rest.starts_with(['-', '.']));
    !from.is_empty() && (is_start || format!(".{name}.").contains(&format!(".{from}.")))
}
