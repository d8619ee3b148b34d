//! Services with several replicas, for connections from this machine: the engine's DNS works only for containers.
//! Main type: [`Entrance`].

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use e2e_node::probe::Target;
use e2e_plan::Service;
use tokio::net::TcpListener;

use crate::provider::{
    Error,
    balancer::{self, Balancer, Ready, set_ready},
    pods::PodSpec,
};

/// One port of a Service.
#[derive(Debug)]
pub(super) struct Entrance {
    pub(super) service: String,
    pub(super) port: u16,
    pub(super) address: SocketAddr,
    target_port: u16,
    replicas: Vec<String>,
    ready: Ready,
    _balancer: Balancer,
}

/// An entrance for each port of the Services that have several replicas. One that takes connections whether its pods are ready or
/// not has none: when a pod has an address is known here by its readiness only.
pub(super) async fn open(services: &[Service], pods: &[PodSpec]) -> Result<Vec<Entrance>, Error> {
    let mut entrances = Vec::new();
    for service in services.iter().filter(|service| !service.publish_not_ready) {
        let replicas = pods.iter().filter(|pod| service.components.contains(&pod.component.name));
        let replicas: Vec<String> = replicas.map(|pod| pod.name.clone()).collect();
        for port in service.ports.iter().filter(|_| replicas.len() > 1) {
            let what = format!("Service {} port {}", service.name, port.port);
            let failed = |error| Error::port(&what, &error);
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
            let ready = Ready::default();
            entrances.push(Entrance {
                service: service.name.clone(),
                port: port.port,
                address: listener.local_addr().map_err(failed)?,
                target_port: port.target_port,
                replicas: replicas.clone(),
                ready: Arc::clone(&ready),
                _balancer: balancer::serve(listener, ready),
            });
        }
    }
    Ok(entrances)
}

impl Entrance {
    /// A pod that is reached in this way became ready or ceased to be.
    pub(super) fn set_ready(&self, pod: &str, target: &Target, ready: bool) {
        if self.replicas.iter().any(|replica| replica == pod)
            && let Some(address) = target.ports.get(&self.target_port)
        {
            set_ready(&self.ready, *address, ready);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{
        pods,
        testing::{ask, deployment, named, plan, service},
    };

    #[tokio::test]
    async fn every_ready_replica_gets_connections() {
        let app = deployment("app", "{ containers: [{ name: app, image: x, ports: [{ containerPort: 8080 }] }] }");
        let api = service("api", "app", 80).replace("port: 80", "port: 80, targetPort: 8080");
        let mut plan = plan(&[app, api].join("---\n"));
        plan.components[0].replicas = 3;
        let entrances = open(&plan.services, &pods::of(&plan, "test")).await.expect("a port");
        let [entrance] = &entrances[..] else { panic!("{entrances:?}") };
        assert_eq!((entrance.service.as_str(), entrance.port), ("api", 80));
        for (pod, name) in [("app-0", "zero"), ("app-2", "two")] {
            let address = named(name).await;
            let target = Target::new(address.ip(), 8080, address);
            entrance.set_ready(pod, &target, true);
        }
        let mut said = Vec::new();
        for _ in 0..4 {
            said.push(ask(entrance.address).await);
        }
        assert_eq!(said, ["zero", "two", "zero", "two"]);
    }
}
