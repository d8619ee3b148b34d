//! The probes of a container with Kubernetes's defaults filled in. Main type: [`Probe`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::kubelet::Which;

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
    pub fn all(&self) -> impl Iterator<Item = (Which, &Probe)> {
        Which::ALL.into_iter().filter_map(|which| Some((which, which.of(self)?)))
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
