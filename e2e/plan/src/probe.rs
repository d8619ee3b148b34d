//! The probes of a container with Kubernetes's defaults filled in. Main type: [`Probe`].

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The three probes of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probes {
    /// Must succeed once before the others start.
    pub startup: Option<Probe>,
    /// Decides whether Services send traffic to the pod.
    pub readiness: Option<Probe>,
    /// Restarts the container when it fails.
    pub liveness: Option<Probe>,
}

impl Probes {
    /// Those that are declared, in the order in which a kubelet consults them.
    pub fn all(&self) -> impl Iterator<Item = (ProbeKind, &Probe)> {
        ProbeKind::ALL.into_iter().filter_map(|which| Some((which, which.of(self)?)))
    }
}

/// One probe with Kubernetes's defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What is sent.
    pub action: ProbeAction,
    /// Wait after the container's start; default 0.
    pub initial_delay: Duration,
    /// Time between two probes; default 10 s.
    pub period: Duration,
    /// Bound on one whole exchange; default 1 s.
    pub timeout: Duration,
    /// Successes in a row that turn the state to success; default 1.
    pub success_threshold: u32,
    /// Failures in a row that turn the state to failure; default 3.
    pub failure_threshold: u32,
    /// Overrides the pod's grace period when this probe kills the container.
    pub termination_grace: Option<Duration>,
}

impl Probe {
    /// A probe with [Kubernetes's defaults](https://kubernetes.io/docs/concepts/workloads/pods/probes/).
    pub fn new(action: ProbeAction) -> Self {
        Self {
            action,
            initial_delay: Duration::ZERO,
            period: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            success_threshold: 1,
            failure_threshold: 3,
            termination_grace: None,
        }
    }
}

/// What a probe sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeAction {
    /// `httpGet`.
    HttpGet {
        /// Whether the request goes over TLS.
        https: bool,
        /// `host`: where the kubelet dials instead of the pod's IP.
        host: Option<String>,
        /// The port, with a name already looked up.
        port: u16,
        /// Path and query, as written.
        path: String,
        /// `httpHeaders`, in order.
        headers: Vec<(String, String)>,
    },
    /// `tcpSocket`.
    TcpSocket {
        /// `host`: where the kubelet dials instead of the pod's IP.
        host: Option<String>,
        /// The port, with a name already looked up.
        port: u16,
    },
    /// `exec`.
    Exec {
        /// Run in the container, without a shell.
        command: Vec<String>,
    },
    /// `grpc`.
    Grpc {
        /// The port.
        port: u16,
        /// The service asked for, empty for the whole server.
        service: String,
    },
}

impl ProbeAction {
    /// The port; none for a command, which has none of its own.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::HttpGet { port, .. } | Self::TcpSocket { port, .. } | Self::Grpc { port, .. } => Some(*port),
            Self::Exec { .. } => None,
        }
    }
}

/// Which of a container's three probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeKind {
    /// `startupProbe`.
    Startup,
    /// `readinessProbe`.
    Readiness,
    /// `livenessProbe`.
    Liveness,
}

/// The word as JSON has it: `startup`, `readiness`, `liveness`.
impl fmt::Display for ProbeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl ProbeKind {
    /// All three, in the order in which a kubelet consults them.
    pub const ALL: [Self; 3] = [Self::Startup, Self::Readiness, Self::Liveness];

    /// The word that a kubelet's events use: `Startup`, `Readiness`, `Liveness`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        }
    }

    /// The field of a container in a manifest: `startupProbe`, `readinessProbe`, `livenessProbe`.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Self::Startup => "startupProbe",
            Self::Readiness => "readinessProbe",
            Self::Liveness => "livenessProbe",
        }
    }

    /// The place of this probe's declaration.
    pub fn of_mut(self, probes: &mut Probes) -> &mut Option<Probe> {
        match self {
            Self::Startup => &mut probes.startup,
            Self::Readiness => &mut probes.readiness,
            Self::Liveness => &mut probes.liveness,
        }
    }

    /// This probe's declaration, if the container has one.
    #[must_use]
    pub fn of(self, probes: &Probes) -> Option<&Probe> {
        match self {
            Self::Startup => probes.startup.as_ref(),
            Self::Readiness => probes.readiness.as_ref(),
            Self::Liveness => probes.liveness.as_ref(),
        }
    }
}
