//! Which cluster a run goes to, and the client for it. Main type: [`Cluster`].

use std::{
    collections::BTreeMap,
    net::{IpAddr, UdpSocket},
    sync::{Arc, OnceLock},
};

use e2e_plan::nearest;
use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client, Config, Resource,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
    core::{ApiResource, DynamicObject},
};

use super::{
    error::{Error, reason},
    hosts::FullNames,
    limit::limited,
};
use crate::provider::pods;

/// What the command line says about the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// The kubeconfig context; the current one unless set.
    pub context: Option<String>,
    /// Name of the namespace that the run makes; `e2e-<run id>` unless set.
    pub namespace: Option<String>,
    /// The context that may be used although it does not look local.
    pub allow_remote: Option<String>,
    /// Wait until the namespace is gone.
    pub wait: bool,
    /// A registry, with a path if it has one, that is given the images which are only here and that the nodes pull from.
    pub registry: Option<String>,
    /// Apply objects that belong to the whole cluster.
    pub cluster_scoped: bool,
}

/// A cluster that answers.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) context: String,
    /// The namespace of this run.
    pub(crate) namespace: String,
    /// That namespace's metadata, once this run has made it; every clone knows it. Only what has its uid may be removed.
    made: Arc<OnceLock<ObjectMeta>>,
    pub(crate) run_id: String,
    /// Such as `v1.32.0`.
    pub(crate) version: String,
    pub(crate) options: Options,
    /// What nodes pull instead of the images that it was given; every clone knows it.
    pushed: Arc<OnceLock<BTreeMap<String, String>>>,
    /// The Services of the manifests, once the run gives them to the cluster.
    pub(super) hosts: FullNames,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("context", &self.context)
            .field("namespace", &self.namespace)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Chooses the context, refuses one that does not look local, and asks the server for its version.
    ///
    /// # Errors
    ///
    /// No kubeconfig, no such context, a context that looks remote, a server that does not answer or does not know this user.
    pub(crate) async fn connect(options: &Options, run_id: &str) -> Result<Self, Error> {
        let kubeconfig = Kubeconfig::read().map_err(unreadable)?;
        let context = choose(options.context.as_deref(), &kubeconfig)?;
        let chosen = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
        let has_own_proxy = has_own_proxy(&kubeconfig, &context);
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &chosen).await.map_err(unreadable)?;
        let server = config.cluster_url.to_string();
        let host = config.cluster_url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if is_loopback(&host) && !has_own_proxy {
            // As kubectl does it, whatever HTTPS_PROXY says.
            config.proxy_url = None;
        }
        if !looks_local(&context, &host) && options.allow_remote.as_deref() != Some(&context) {
            return Err(Error::NotLocal { context, server });
        }
        let client = Client::try_from(config)
            .map_err(|error| Error::Kubeconfig { reason: reason(&error), remedy: "correct it".to_owned() })?;
        let client = limited(client, &server);
        let version = client.apiserver_version().await.map_err(|error| Error::answer(&context, &server, &error))?;
        Ok(Self::new(client, context, version.git_version, options.clone(), run_id))
    }

    /// One that a test answers for.
    #[cfg(test)]
    pub(super) fn of_test(client: Client) -> Self {
        let options = Options { cluster_scoped: true, ..Options::default() };
        Self::new(client, "test".to_owned(), "v1.34.0".to_owned(), options, "1")
    }

    fn new(client: Client, context: String, version: String, options: Options, run_id: &str) -> Self {
        Self {
            client,
            context,
            namespace: options.namespace.clone().unwrap_or_else(|| pods::namespace(run_id)),
            made: Arc::default(),
            run_id: run_id.to_owned(),
            version,
            options,
            pushed: Arc::default(),
            hosts: FullNames::default(),
        }
    }

    /// Name and version, for the report.
    pub(crate) fn description(&self) -> String {
        format!("Kubernetes {}, context {}", self.version, self.context)
    }

    /// Notes that this run made its namespace.
    pub(super) fn note_made(&self, namespace: ObjectMeta) {
        // A run makes one namespace.
        let _ = self.made.set(namespace);
    }

    /// The metadata of the namespace that this run made; nothing before it did.
    pub(crate) fn made(&self) -> Option<&ObjectMeta> {
        self.made.get()
    }

    /// Notes what nodes pull instead of images.
    pub(crate) fn note_pushed(&self, pushed: BTreeMap<String, String>) {
        // A run pushes once.
        let _ = self.pushed.set(pushed);
    }

    /// What nodes call an image.
    pub(super) fn image<'a>(&'a self, image: &'a str) -> &'a str {
        self.pushed.get().and_then(|pushed| pushed.get(image)).map_or(image, String::as_str)
    }

    /// The objects of a kind in the run's namespace.
    pub(super) fn own<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The objects of a resource, in the run's namespace or in the whole cluster.
    pub(super) fn dynamic(&self, resource: &ApiResource, is_wide: bool) -> Api<DynamicObject> {
        match is_wide {
            true => Api::all_with(self.client.clone(), resource),
            false => Api::namespaced_with(self.client.clone(), &self.namespace, resource),
        }
    }

    /// The objects of a kind in the whole cluster.
    pub(super) fn all<K: Resource>(&self) -> Api<K>
    where
        K::DynamicType: Default,
    {
        Api::all(self.client.clone())
    }
}

fn unreadable(error: KubeconfigError) -> Error {
    let remedy = match &error {
        KubeconfigError::FindPath | KubeconfigError::ReadConfig(..) => {
            "set KUBECONFIG to a file, start a local cluster (`kind create cluster`), or use --target docker"
        }
        _ => "correct the file that KUBECONFIG names, or ~/.kube/config",
    };
    let reason = match &error {
        KubeconfigError::ReadConfig(error, path) => format!("{}: {error}", path.display()),
        error => reason(error),
    };
    Error::Kubeconfig { reason, remedy: remedy.to_owned() }
}

/// Whether the kubeconfig itself names a proxy for the cluster of a context.
fn has_own_proxy(kubeconfig: &Kubeconfig, context: &str) -> bool {
    let named = kubeconfig.contexts.iter().find(|named| named.name == context);
    let cluster = named.and_then(|named| Some(&named.context.as_ref()?.cluster));
    let cluster = kubeconfig.clusters.iter().find(|named| Some(&named.name) == cluster);
    cluster.and_then(|named| named.cluster.as_ref()?.proxy_url.as_ref()).is_some()
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The context that was asked for, or the current one.
fn choose(asked: Option<&str>, kubeconfig: &Kubeconfig) -> Result<String, Error> {
    let names: Vec<&str> = kubeconfig.contexts.iter().map(|context| context.name.as_str()).collect();
    let Some(name) = asked.or(kubeconfig.current_context.as_deref()) else {
        let remedy = format!("name one with --context: {}", names.join(", "));
        return Err(Error::Kubeconfig { reason: "it sets no current-context".to_owned(), remedy });
    };
    if names.contains(&name) {
        return Ok(name.to_owned());
    }
    let remedy = match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => "the kubeconfig has no contexts".to_owned(),
        None => format!("there is {}", names.join(", ")),
    };
    Err(Error::UnknownContext { context: name.to_owned(), remedy })
}

/// Contexts that the usual tools for a cluster on a developer's machine make.
const LOCAL_CONTEXTS: [&str; 5] = ["orbstack", "docker-desktop", "minikube", "rancher-desktop", "microk8s"];
/// What such names begin with, where there may be several clusters.
const LOCAL_PREFIXES: [&str; 3] = ["kind-", "k3d-", "colima"];

/// Whether a run may go there without further questions: the server is an address of this machine, or the context has the name
/// that a tool for local clusters gives it and the address is not a public one.
fn looks_local(context: &str, host: &str) -> bool {
    let Ok(ip) = host.parse::<IpAddr>() else {
        return host == "localhost" || host.ends_with(".localhost") || host.ends_with(".docker.internal");
    };
    let named = LOCAL_CONTEXTS.contains(&context) || LOCAL_PREFIXES.iter().any(|prefix| context.starts_with(prefix));
    let private = match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    // Only an address of this machine can be bound to.
    ip.is_loopback() || (named && private) || UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use kube::config::NamedContext;
    use rstest::rstest;

    use super::*;

    fn kubeconfig(names: &[&str], current: Option<&str>) -> Kubeconfig {
        let named = |name: &&str| NamedContext { name: (*name).to_owned(), ..NamedContext::default() };
        Kubeconfig {
            contexts: names.iter().map(named).collect(),
            current_context: current.map(str::to_owned),
            ..Kubeconfig::default()
        }
    }

    #[test]
    fn a_typo_is_met_with_the_nearest_name() {
        let config = kubeconfig(&["kind-dev", "production"], Some("production"));
        assert_eq!(choose(None, &config).ok().as_deref(), Some("production"));
        assert_eq!(choose(Some("kind-dev"), &config).ok().as_deref(), Some("kind-dev"));
        let error = choose(Some("kind-dve"), &config).map_err(|error| error.to_string());
        assert_eq!(error, Err("the kubeconfig has no context `kind-dve`; did you mean `kind-dev`?".to_owned()));
        let error = choose(None, &kubeconfig(&["a"], None)).map_err(|error| error.to_string());
        assert!(error.is_err_and(|text| text.contains("--context: a")));
    }

    #[test]
    fn a_proxy_of_the_kubeconfigs_own_is_kept() {
        let text = "{contexts: [{name: a, context: {cluster: one, user: u}}, {name: b, context: {cluster: two, user: u}}], \
                    clusters: [{name: one, cluster: {server: 'https://127.0.0.1:6443', proxy-url: 'http://127.0.0.1:3128'}}, \
                    {name: two, cluster: {server: 'https://127.0.0.1:6443'}}]}";
        let config = Kubeconfig::from_yaml(text).unwrap();
        assert_eq!([has_own_proxy(&config, "a"), has_own_proxy(&config, "b")], [true, false]);
        assert!(is_loopback("localhost") && is_loopback("127.0.0.1") && is_loopback("::1") && !is_loopback("10.0.0.1"));
    }

    #[rstest]
    #[case::loopback("anything", "127.0.0.1", true)]
    #[case::kind("kind-dev", "127.0.0.1", true)]
    #[case::minikube("minikube", "192.168.49.2", true)]
    #[case::orbstack("orbstack", "127.0.0.1", true)]
    #[case::docker_desktop("docker-desktop", "kubernetes.docker.internal", true)]
    // Documentation addresses (RFC 5737), which are no machine's.
    #[case::public("production", "203.0.113.7", false)]
    #[case::a_local_name_alone("minikube", "203.0.113.7", false)]
    #[case::a_private_network("staging", "192.0.2.1", false)]
    #[case::a_name("production", "k8s.example.com", false)]
    fn only_local_contexts_are_taken_unasked(#[case] context: &str, #[case] host: &str, #[case] local: bool) {
        assert_eq!(looks_local(context, host), local);
    }
}
