//! What a cluster may make from the objects of the manifests. Main functions: [`Plan::is_made_in`], [`by_operator`].

use serde_json::Value;

use super::{
    Missing, Object, Plan,
    json::{list, texts},
    kinds,
    target::Target,
};

/// The ServiceAccount that every namespace has.
pub(crate) const DEFAULT_ACCOUNT: &str = "default";

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
        let Missing { kind, name, lacks_key_only, .. } = missing;
        let is_maker = |object: &Object| match lacks_key_only {
            true => is_named(&object.json, name),
            false => by_operator(&object.json, kind, name) || *kind == "Secret" && self.is_made_by_job(object, name),
        };
        target == Target::K8s && self.objects.iter().any(is_maker)
    }

    /// Whether an object is a Job whose containers are told a Secret's name and whose account may create Secrets, as one that makes the
    /// certificate of a webhook.
    fn is_made_by_job(&self, job: &Object, secret: &str) -> bool {
        let pod = &job.json["spec"]["template"]["spec"];
        let is_told = || told(pod).into_iter().any(|text| has_word(text, secret));
        job.kind == "Job" && job.group() == "batch" && is_told() && self.may_create_secrets(account(pod), job.home())
    }

    /// Whether a role of the manifests that is bound to a ServiceAccount lets it create Secrets.
    fn may_create_secrets(&self, account: &str, namespace: &str) -> bool {
        let of_rbac = |kinds: [&'static str; 2]| {
            let is_one = move |object: &&Object| {
                object.group() == "rbac.authorization.k8s.io" && kinds.contains(&object.kind.as_str())
            };
            self.objects.iter().filter(is_one)
        };
        let is_bound = |binding: &&Object| {
            let is_subject = |subject: &Value| {
                let home = subject["namespace"].as_str().unwrap_or_else(|| binding.home());
                subject["kind"] == "ServiceAccount" && subject["name"] == account && home == namespace
            };
            list(&binding.json["subjects"]).any(is_subject)
        };
        let is_granted = |binding: &Object| {
            let role = &binding.json["roleRef"];
            let is_role = |object: &&Object| role["kind"] == object.kind && role["name"] == object.name;
            of_rbac(["Role", "ClusterRole"]).filter(is_role).any(|role| list(&role.json["rules"]).any(creates_secrets))
        };
        of_rbac(["RoleBinding", "ClusterRoleBinding"]).filter(is_bound).any(is_granted)
    }
}

/// Whether an operator may make an object of this kind and name from one of a kind that is not Kubernetes' own: what that names, or a
/// Secret with a name derived from its own.
pub(crate) fn by_operator(object: &Value, kind: &str, name: &str) -> bool {
    let own_name = object["metadata"]["name"].as_str().unwrap_or_default();
    let may_derive = || kind == "Secret" && is_foreign(object) && !WITHOUT_SECRETS.contains(&group(object));
    is_named(object, name) || may_derive() && is_derived(name, own_name)
}

/// Whether an object of a kind that is not Kubernetes' own names another one.
fn is_named(object: &Value, name: &str) -> bool {
    is_foreign(object) && texts(object).contains(&name)
}

fn is_foreign(object: &Value) -> bool {
    !kinds::is_own_group(group(object))
}

fn group(object: &Value) -> &str {
    kinds::group(object["apiVersion"].as_str().unwrap_or_default())
}

/// Whether a name is made of another one: `pg-app` of `pg`, `app.pg.credentials` too.
fn is_derived(name: &str, from: &str) -> bool {
    let is_start = name.strip_prefix(from).is_some_and(|rest| rest.starts_with(['-', '.']));
    !from.is_empty() && (is_start || format!(".{name}.").contains(&format!(".{from}.")))
}

/// The ServiceAccount of a pod.
fn account(pod: &Value) -> &str {
    let named = ["serviceAccountName", "serviceAccount"].into_iter().filter_map(|field| pod[field].as_str());
    named.into_iter().find(|name| !name.is_empty()).unwrap_or(DEFAULT_ACCOUNT)
}

/// The texts that the containers of a pod are given in their commands and variables.
fn told(pod: &Value) -> Vec<&str> {
    let containers = list(&pod["initContainers"]).chain(list(&pod["containers"]));
    let given = containers.flat_map(|container| {
        let values = list(&container["env"]).map(|variable| &variable["value"]);
        [&container["command"], &container["args"]].into_iter().chain(values)
    });
    given.flat_map(texts).collect()
}

/// Whether a name stands in a text, with no character of a name before or after it.
fn has_word(text: &str, name: &str) -> bool {
    text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c))).any(|word| word == name)
}

/// Whether a rule of a role allows the creation of Secrets.
fn creates_secrets(rule: &Value) -> bool {
    let has = |field: &str, wanted: &str| list(&rule[field]).any(|one| one == wanted || one == "*");
    has("apiGroups", "") && has("resources", "secrets") && has("verbs", "create")
}
