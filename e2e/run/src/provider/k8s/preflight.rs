//! What a run needs of a cluster, asked before anything is made. Main function: [`check`].

use std::{borrow::Cow, collections::BTreeSet, time::Instant};

use e2e_plan::{Plan, Warning, kinds::is_own_group, words::counted};
use e2e_report::fault::{Action, PlannedFault};
use futures_util::future::join_all;
use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    core::v1::Node,
};
use kube::api::{ListParams, PostParams};

use super::{
    cluster::Cluster,
    error::Error,
    nodes::{self, is_ready},
    resolve::{Resolved, resolve},
    room::{self, Capacity, Leaving},
};

/// What was found.
#[derive(Debug, Clone)]
pub(crate) struct Preflight {
    pub(crate) nodes: Vec<Node>,
    /// Those that take at least one of the pods.
    pub(crate) usable: Vec<Node>,
    /// What is left out of the manifests, and what may keep pods from being scheduled, each with its remedy.
    pub(crate) warnings: Vec<String>,
    /// One line for people.
    pub(crate) summary: String,
}

/// The oldest version that is tried: server-side apply came of age there.
const OLDEST_MINOR: u32 = 18;

/// A permission that a run needs, and how its user gets it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Permission {
    verb: &'static str,
    group: Cow<'static, str>,
    /// With its subresource.
    resource: Cow<'static, str>,
    namespaced: bool,
    purpose: &'static str,
    remedy: &'static str,
}

const ROLE: &str = "grant it as manifests/rbac does";
const FAULTS_ROLE: &str = "grant it as manifests/rbac/faults does";
const NO_ROLE: &str = "grant it, or do without `cluster_scoped`";

/// A permission in the run's namespace.
const fn own(verb: &'static str, group: &'static str, resource: &'static str, purpose: &'static str) -> Permission {
    let (group, resource) = (Cow::Borrowed(group), Cow::Borrowed(resource));
    Permission { verb, group, resource, namespaced: true, purpose, remedy: ROLE }
}

/// The same for the whole cluster.
const fn wide(verb: &'static str, resource: &'static str, purpose: &'static str) -> Permission {
    let (group, resource) = (Cow::Borrowed(""), Cow::Borrowed(resource));
    Permission { verb, group, resource, namespaced: false, purpose, remedy: ROLE }
}

/// What every run does; `manifests/rbac` grants it.
#[rustfmt::skip]
const PERMISSIONS: &[Permission] = &[
    wide("create", "namespaces", "a namespace for the run"),
    wide("delete", "namespaces", "its removal"),
    wide("get", "namespaces", "checking its deletion"),
    wide("list", "namespaces", "finding leftovers of earlier runs"),
    wide("list", "nodes", "reading the nodes' capacity"),
    own("list", "", "pods", "the state of pods"),
    own("watch", "", "pods", "the state of pods"),
    own("list", "", "events", "reading pods' events"),
    own("watch", "", "events", "reading pods' events"),
    own("get", "", "pods/log", "logs"),
    own("create", "", "pods/exec", "exec probes"),
    own("create", "", "pods/portforward", "reaching pods from this machine"),
    own("list", "", "endpoints", "reading the endpoints of Services"),
    own("list", "apps", "deployments", "the state of rollouts"),
    own("list", "apps", "statefulsets", "the state of rollouts"),
    own("list", "apps", "replicasets", "the state of rollouts"),
    own("create", "batch", "jobs", "the load's agents"),
    own("create", "", "secrets", "the load's agents"),
    own("create", "", "services", "the check of NodePorts"),
    own("delete", "", "services", "the check of NodePorts"),
];

/// What a planned fault does beside applying, which a rollout is, too; `manifests/rbac/faults` grants it.
fn of_fault(action: &Action) -> Vec<Permission> {
    match action {
        Action::Kill | Action::Terminate | Action::Delete | Action::Restart => {
            vec![own("delete", "", "pods", "planned faults")]
        }
        Action::Drain(_) => vec![
            own("create", "", "pods/eviction", "planned drains"),
            wide("get", "nodes", "planned drains"),
            wide("patch", "nodes", "planned drains"),
        ],
        // The others are none of a cluster.
        _ => Vec::new(),
    }
}

/// Asks everything side by side and fails with all that is missing at once.
pub(crate) async fn check(
    cluster: &Cluster,
    plan: &Plan,
    during: impl Iterator<Item = &PlannedFault>,
    requested: Capacity,
) -> Result<Preflight, Error> {
    let started = Instant::now();
    // The manifests' kinds come first: an unknown kind should fail before any work on images.
    let (resolved, left_out) = resolve(cluster, &plan.objects).await?;
    let needed = needed(plan, &resolved, during);
    let all_nodes = cluster.all::<Node>();
    let everything = ListParams::default();
    let (missing, nodes, held) =
        tokio::join!(missing_permissions(cluster, needed), all_nodes.list(&everything), room::held(cluster));
    let mut lacks = missing?;
    lacks.extend(too_old(&cluster.version));
    // Without the right to list nodes there is nothing to compare with; that is among what is missing then.
    let nodes = nodes.map(|nodes| nodes.items).unwrap_or_default();
    if !nodes.is_empty() && !nodes.iter().any(is_ready) {
        lacks.push("none of its nodes is ready; `kubectl describe nodes` says why".to_owned());
    }
    // Who may not see the pods of others learns from the scheduler what they leave.
    let held = held.unwrap_or_default();
    let usable = nodes::usable(&nodes, &plan.objects);
    let free = room::free(&usable, &held, Leaving::Counted);
    if !lacks.is_empty() {
        return Err(Error::Preflight { lacks });
    }
    let summary = format!(
        "preflight in {}: {} ready of {}{}, {:.1} CPUs and {} MiB free",
        e2e_plan::duration::human(started.elapsed()),
        nodes.iter().filter(|node| is_ready(node)).count(),
        counted(nodes.len() as u64, "node"),
        on_machines(&nodes),
        free.iter().map(|free| free.cpu_millis).sum::<i64>() as f64 / 1000.0,
        free.iter().map(|free| free.memory_bytes).sum::<i64>() / (1 << 20),
    );
    // What is leaving is waited for, so that it keeps nothing from being scheduled.
    let said = |warning: Warning| format!("{}: {}: {}", warning.source, warning.object, warning.reason);
    let mut warnings: Vec<String> = left_out.into_iter().map(said).collect();
    warnings.extend(requested.lacks(&room::free(&usable, &held, Leaving::Left)));
    if usable.is_empty() {
        warnings.extend(nodes.iter().filter(|node| is_ready(node)).map(keeps_away));
    }
    Ok(Preflight { warnings, nodes, usable, summary })
}

/// ` on 1 machine` where that is fewer than nodes, as with nodes that are containers: they share what the cluster counts twice.
fn on_machines(all: &[Node]) -> String {
    let machines: Option<BTreeSet<&str>> = all.iter().map(nodes::machine).collect();
    let machines = machines.filter(|machines| machines.len() < all.len());
    machines.map_or(String::new(), |m| format!(" on {}", counted(m.len() as u64, "machine")))
}

fn keeps_away(node: &Node) -> String {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    if !nodes::has_places(node) {
        return format!("the node {name} runs no pods: its status says allocatable.pods: 0");
    }
    let taints: Vec<String> = nodes::taints(node).map(nodes::taint_text).collect();
    match taints.is_empty() {
        true => format!("no pod of the manifests selects the node {name}; see nodeSelector and nodeAffinity"),
        false => format!("no pod tolerates the taint {} of the node {name}; add a toleration", taints.join(" and ")),
    }
}

fn too_old(version: &str) -> Option<String> {
    let mut parts = version.trim_start_matches('v').split('.').map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(1)), Some(Ok(minor))) if minor < OLDEST_MINOR => {
            Some(format!("it is Kubernetes {version}, and 1.{OLDEST_MINOR} is needed; use a newer cluster"))
        }
        _ => None,
    }
}

/// Everything that this run needs, each once.
fn needed<'a>(
    plan: &Plan,
    resolved: &[Resolved],
    during: impl Iterator<Item = &'a PlannedFault>,
) -> BTreeSet<Permission> {
    let triggers = plan.objects.iter().any(|object| object.kind == "CronJob");
    let triggered = triggers.then(|| own("get", "batch", "jobs", "the end of triggered Jobs"));
    // Applying means patching; each kind of the manifests is one more permission.
    let kinds = plan.objects.iter().filter(|object| !object.cluster_scoped);
    let kinds = kinds.filter_map(|object| resource_of(&object.json));
    let applied = kinds.flat_map(|(group, resource)| {
        ["create", "patch"].map(|verb| Permission {
            group: group.clone().into(),
            resource: resource.clone().into(),
            ..own(verb, "", "", "applying the manifests")
        })
    });
    let scoped = resolved.iter().filter(|object| object.is_wide).flat_map(|object| {
        ["create", "get", "delete"].map(|verb| Permission {
            group: object.resource.group.clone().into(),
            resource: object.resource.plural.clone().into(),
            remedy: NO_ROLE,
            ..wide(verb, "", "objects of the whole cluster")
        })
    });
    let faults = during.flat_map(|fault| of_fault(&fault.action));
    let faults = faults.map(|permission| Permission { remedy: FAULTS_ROLE, ..permission });
    PERMISSIONS.iter().cloned().chain(triggered).chain(applied).chain(scoped).chain(faults).collect()
}

/// Each permission that is missing, with the remedy.
async fn missing_permissions(cluster: &Cluster, needed: BTreeSet<Permission>) -> Result<Vec<String>, Error> {
    let reviews = cluster.all::<SelfSubjectAccessReview>();
    let asked = needed.into_iter().map(|Permission { verb, group, resource, namespaced, purpose, remedy }| {
        let reviews = reviews.clone();
        async move {
            let review = review(cluster, verb, &group, &resource, namespaced);
            let answer = reviews.create(&PostParams::default(), &review).await;
            let answer = answer.map_err(|error| Error::failed("say whether this user may", verb, &error))?;
            let allowed = answer.status.is_some_and(|status| status.allowed);
            Ok((!allowed).then(|| {
                let resource = if group.is_empty() { resource.into_owned() } else { format!("{resource}.{group}") };
                format!("this user may not {verb} {resource} ({purpose}); {remedy}")
            }))
        }
    });
    let answers: Result<Vec<_>, Error> = join_all(asked).await.into_iter().collect();
    Ok(answers?.into_iter().flatten().collect())
}

fn review(cluster: &Cluster, verb: &str, group: &str, resource: &str, namespaced: bool) -> SelfSubjectAccessReview {
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (resource, None),
    };
    let attributes = ResourceAttributes {
        verb: Some(verb.to_owned()),
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource,
        namespace: namespaced.then(|| cluster.namespace.clone()),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() }
}

/// API group and resource of an object: a kind's resource is its plural, which is regular for all of Kubernetes' own but one. Of others
/// only the cluster knows.
fn resource_of(object: &serde_json::Value) -> Option<(String, String)> {
    let kind = object["kind"].as_str().filter(|kind| *kind != "Namespace")?.to_lowercase();
    let group = object["apiVersion"].as_str()?.rsplit_once('/').map_or("", |(group, _)| group);
    if !is_own_group(group) {
        return None;
    }
    let plural = match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None if kind == "endpoints" => kind,
        None if kind.ends_with('s') => format!("{kind}es"),
        None => format!("{kind}s"),
    };
    Some((group.to_owned(), plural))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::testing::cluster_role, *};
    use crate::provider::testing::plan;

    #[test]
    fn kinds_have_the_plurals_that_the_api_gives_them() {
        let resource = |api_version: &str, kind: &str| {
            resource_of(&json!({ "apiVersion": api_version, "kind": kind }))
                .map(|(group, name)| format!("{group}/{name}"))
        };
        assert_eq!(resource("v1", "ConfigMap").as_deref(), Some("/configmaps"));
        assert_eq!(resource("apps/v1", "Deployment").as_deref(), Some("apps/deployments"));
        assert_eq!(
            resource("networking.k8s.io/v1", "NetworkPolicy").as_deref(),
            Some("networking.k8s.io/networkpolicies")
        );
        assert_eq!(resource("networking.k8s.io/v1", "Ingress").as_deref(), Some("networking.k8s.io/ingresses"));
        assert_eq!(resource("v1", "Namespace"), None);
    }

    #[test]
    fn a_run_asks_for_what_its_faults_and_its_objects_need() {
        let asked = |text: &str, faults: &[&str]| {
            let faults: Vec<PlannedFault> = faults.iter().map(|fault| fault.parse().expect("a fault")).collect();
            let needed = needed(&plan(text), &[cluster_role()], faults.iter());
            let words = |it: &Permission| format!("{} {} {}", it.verb, it.resource, it.namespaced);
            needed.iter().map(words).collect::<Vec<_>>()
        };
        let app = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}";
        let plain = asked(app, &[]);
        let more =
            |faults: &[&str]| asked(app, faults).into_iter().filter(|it| !plain.contains(it)).collect::<Vec<_>>();
        assert_eq!(more(&["kill a at 1s", "rollout a at 2s"]), ["delete pods true"]);
        assert_eq!(
            more(&["drain a for 1s at 1s"]),
            ["create pods/eviction true", "get nodes false", "patch nodes false"]
        );
        for verb in ["create", "get", "delete"] {
            assert!(plain.contains(&format!("{verb} clusterroles false")), "{plain:?}");
        }
        assert!(!plain.contains(&"get jobs true".to_owned()));
        let container = "{name: c, image: x}";
        let cron_job = format!(
            "{{apiVersion: batch/v1, kind: CronJob, metadata: {{name: c}}, spec: {{schedule: '@daily', jobTemplate: {{spec: \
             {{template: {{spec: {{restartPolicy: Never, containers: [{container}]}}}}}}}}}}}}"
        );
        assert!(asked(&cron_job, &[]).contains(&"get jobs true".to_owned()));
    }

    #[test]
    fn old_clusters_are_told_apart() {
        assert!(too_old("v1.17.4").is_some());
        assert!(too_old("v1.20.2").is_none() && too_old("v1.33.1+k3s1").is_none());
    }
}
