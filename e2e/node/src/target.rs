//! A pod's addresses. Main type: [`Target`].

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

/// A pod's addresses for probes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The address that a kubelet dials and names in `Host`.
    pub pod_ip: IpAddr,
    /// The reachable address of each port of the pod.
    pub ports: BTreeMap<u16, SocketAddr>,
    /// An address other than the pod's at which every port has its own number, if there is one.
    pub host: Option<IpAddr>,
}

impl Target {
    /// A pod with one port.
    #[must_use]
    pub fn new(pod_ip: IpAddr, port: u16, dial: SocketAddr) -> Self {
        Self { pod_ip, ports: BTreeMap::from([(port, dial)]), host: None }
    }

    /// The reachable address of a port, if known. If one port is reachable at the pod's own address, so is every other.
    #[must_use]
    pub fn address(&self, port: u16) -> Option<SocketAddr> {
        let is_routed = || self.ports.iter().any(|(&port, &dial)| dial == SocketAddr::new(self.pod_ip, port));
        let direct =
            || self.host.or_else(|| is_routed().then_some(self.pod_ip)).map(|host| SocketAddr::new(host, port));
        self.ports.get(&port).copied().or_else(direct)
    }
}
