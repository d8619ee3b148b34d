//! Services of plain processes. Main function: [`service_ports`].

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use e2e_plan::Service;
use parking_lot::RwLock;

use super::{Pod, ports::Ports};
use crate::provider::{
    Error,
    balancer::{self, Balancer, Ready},
};

#[derive(Debug)]
pub(super) struct ServicePort {
    pub(super) address: SocketAddr,
    /// Replicas by pod, and those that take connections; only where there are several.
    pub(super) balanced: Option<(BTreeMap<String, SocketAddr>, Ready, Balancer)>,
    /// Replicas take connections whether they are ready or not.
    pub(super) publish_not_ready: bool,
}

/// By Service and port.
pub(super) type ServicePorts = BTreeMap<(String, u16), ServicePort>;

/// The ports of a Service: those of its only replica, else a balancer's.
pub(super) fn service_ports(
    service: &Service,
    pods: &BTreeMap<String, Arc<Pod>>,
    ports: &mut Ports,
) -> Result<Vec<(u16, ServicePort)>, Error> {
    let mut made = Vec::new();
    let publish_not_ready = service.publish_not_ready;
    for port in &service.ports {
        let replicas: BTreeMap<String, SocketAddr> = pods
            .values()
            .filter(|pod| service.components.contains(&pod.spec.component.name))
            .filter_map(|pod| Some((pod.spec.name.clone(), *pod.ports.get(&port.target_port)?)))
            .collect();
        let what = format!("Service {} port {}", service.name, port.port);
        let service_port = match replicas.values().next() {
            Some(only) if replicas.len() == 1 => ServicePort { address: *only, balanced: None, publish_not_ready },
            _ => {
                let listener = ports.listener(&what)?;
                let address = listener.local_addr().map_err(|error| Error::port(&what, &error))?;
                let first = if publish_not_ready { replicas.values().copied().collect() } else { Vec::new() };
                let ready: Ready = Arc::new(RwLock::new(first));
                let balancer = balancer::serve(listener, Arc::clone(&ready));
                ServicePort { address, balanced: Some((replicas, ready, balancer)), publish_not_ready }
            }
        };
        made.push((port.port, service_port));
    }
    Ok(made)
}
