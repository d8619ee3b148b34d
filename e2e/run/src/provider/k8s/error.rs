//! What can go wrong between a run and a cluster, each with a remedy. Main type: [`Error`].

use e2e_plan::Source;

/// Why a cluster cannot be used, or could not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("the kubeconfig cannot be used: {reason}; {remedy}")]
    Kubeconfig { reason: String, remedy: String },
    #[error("the kubeconfig has no context `{context}`; {remedy}")]
    UnknownContext { context: String, remedy: String },
    #[error(
        "the context {context} ({server}) does not look like a cluster of this machine, so nothing is started there; \
         choose another with --context, or allow this one with --allow-remote {context}"
    )]
    NotLocal { context: String, server: String },
    #[error("the cluster of context {context} does not answer at {server}: {reason}; {remedy}")]
    NoAnswer { context: String, server: String, reason: String, remedy: String },
    #[error("the cluster could not {action} {name}: {reason}")]
    Request {
        /// What was asked for, as a verb phrase.
        action: &'static str,
        name: String,
        reason: String,
    },
    #[error("the namespace {namespace} already exists and {whose}; choose another with --namespace, or remove it")]
    NamespaceTaken { namespace: String, whose: String },
    #[error("{place}: no matches for kind \"{kind}\" in version \"{api_version}\"; {remedy}")]
    UnknownKind { place: Source, api_version: String, kind: String, remedy: String },
    #[error("the cluster cannot run this system: {}", lacks.join("; "))]
    Preflight { lacks: Vec<String> },
    #[error("`{command}` could not bring images into the cluster: {reason}; run it by hand to see more")]
    Images { command: String, reason: String },
    #[error(
        "the cluster's nodes lack images that exist only on this machine: {}; give --registry HOST[/PATH] of a \
         registry that they pull from, or \
         bring the images to the nodes, as with `docker save IMAGE | ssh NODE ctr --namespace k8s.io images import -`",
        lacks.join("; ")
    )]
    OnlyHere { lacks: Vec<String> },
    #[error("the load from inside the cluster failed: {reason}; `--load-from host` generates it on this machine")]
    Agents { reason: String },
    #[error("{reason}")]
    Exec { reason: String },
    #[error("no port of 127.0.0.1 can be used to reach {pod}: {reason}; `ss -ltnp` shows the listeners")]
    Port { pod: String, reason: String },
}

/// The remedy where nothing is known of a server.
const START_IT: &str = "start the cluster, or choose another context with --context";

impl Error {
    /// Something that was asked for and did not come about.
    pub(crate) fn of(action: &'static str, name: &str, reason: impl std::fmt::Display) -> Self {
        Self::Request { action, name: name.to_owned(), reason: reason.to_string() }
    }

    /// A request that failed.
    pub(crate) fn failed(action: &'static str, name: &str, error: &kube::Error) -> Self {
        Self::of(action, name, reason(error))
    }

    /// The first request, to a server that may not be there.
    pub(crate) fn answer(context: &str, server: &str, error: &kube::Error) -> Self {
        let reason = reason(error);
        let lower = reason.to_lowercase();
        let remedy = match error {
            kube::Error::Api(status) if status.code == 401 => "log in again, or renew the credentials of this context",
            _ if lower.contains("expired") => "renew the certificate of this context",
            _ if lower.contains("certificate") => "check certificate-authority-data of this cluster in the kubeconfig",
            _ => START_IT,
        };
        Self::no_answer(context, server, reason, remedy)
    }

    fn no_answer(context: &str, server: &str, reason: String, remedy: &str) -> Self {
        Self::NoAnswer { context: context.to_owned(), server: server.to_owned(), reason, remedy: remedy.to_owned() }
    }

    /// Whether the user has to change an input, rather than the cluster.
    pub(crate) fn is_bad_input(&self) -> bool {
        match self {
            Self::Kubeconfig { .. }
            | Self::UnknownContext { .. }
            | Self::NotLocal { .. }
            | Self::NamespaceTaken { .. }
            | Self::UnknownKind { .. } => true,
            Self::NoAnswer { .. }
            | Self::Request { .. }
            | Self::Preflight { .. }
            | Self::Images { .. }
            | Self::OnlyHere { .. }
            | Self::Agents { .. }
            | Self::Exec { .. }
            | Self::Port { .. } => false,
        }
    }
}

/// The API server's own words, or else the innermost cause: what stands around it says `ServiceError` and the like.
pub(crate) fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(kube::Error::Api(status)) = error.downcast_ref::<kube::Error>()
        && !status.message.is_empty()
    {
        return status.message.clone();
    }
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
