//! The network of a run's pods, and whether this machine routes to it. Main type: [`Network`].

use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bollard::models::NetworkCreateRequest;

use super::engine::Engine;
use crate::provider::{Error, pods};

#[derive(Debug)]
pub(super) struct Network {
    pub(super) name: String,
    /// Its IPv4 addresses, such as `172.20.0.0/16`.
    pub(super) subnet: Option<String>,
    published_ports: bool,
    routed: AtomicBool,
}

impl Network {
    pub(super) async fn create(engine: &Engine, published_ports: bool) -> Result<Self, Error> {
        let name = pods::namespace(&engine.run_id);
        let labels = Some(engine.labels());
        let request = NetworkCreateRequest { name: name.clone(), labels, ..Default::default() };
        let failed = |error| Error::engine("create the network", &name, error);
        engine.client.create_network(request).await.map_err(failed)?;
        let network = engine.client.inspect_network(&name, None).await.map_err(failed)?;
        let configs = network.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
        let subnet = configs.iter().filter_map(|config| config.subnet.clone()).find(|subnet| !subnet.contains(':'));
        let gateway = configs.into_iter().find_map(|config| config.gateway?.parse().ok());
        let routed = AtomicBool::new(!published_ports && gateway.is_some_and(is_here));
        Ok(Self { name, subnet, published_ports, routed })
    }

    /// Whether this machine reaches pods by their own addresses, so that no port has to be published for them. A guess until a
    /// pod was tried; see [`Self::is_reached`].
    pub(super) fn is_routed(&self) -> bool {
        self.routed.load(Ordering::Relaxed)
    }

    /// Tries whether this machine reaches a pod's address, and remembers when it does not; it does not when it must not.
    pub(super) async fn is_reached(&self, pod: IpAddr) -> bool {
        let reached = !self.published_ports && answers(pod).await;
        if !reached {
            self.routed.store(false, Ordering::Relaxed);
        }
        reached
    }
}

/// Whether an address is one of this machine's own: the gateway of a bridge is, where the engine is no other machine.
fn is_here(address: IpAddr) -> bool {
    TcpListener::bind((address, 0)).is_ok()
}

/// Whether packets reach an address: a closed port then refuses at once, elsewhere nothing answers.
async fn answers(ip: IpAddr) -> bool {
    // A port that nothing listens on; a refusal takes microseconds on a bridge of this machine.
    let connect = tokio::net::TcpStream::connect(SocketAddr::new(ip, 9));
    match tokio::time::timeout(Duration::from_millis(200), connect).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        Err(_) => false,
    }
}
