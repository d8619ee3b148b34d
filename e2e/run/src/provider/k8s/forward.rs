//! Ports of 127.0.0.1 that lead to pods through the API server, as `kubectl port-forward` makes them. Main type: [`Forward`].

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use k8s_openapi::api::core::v1::Pod;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{cluster::Cluster, error::Error, watch::Watch};
use crate::provider::{accept, pods::PodSpec};

/// Forwards until it is dropped. Each connection goes to the pod that stands in its slot at that moment.
#[derive(Debug, Default)]
pub(super) struct Forward {
    ports: BTreeMap<(String, u16), SocketAddr>,
    tasks: JoinSet<()>,
}

impl Forward {
    /// A port for each port of each pod that something reaches.
    pub(super) async fn start(cluster: &Cluster, specs: &[PodSpec], watch: &Arc<Watch>) -> Result<Self, Error> {
        let mut forward = Self::default();
        for spec in specs {
            for port in spec.ports() {
                let failed = |error: std::io::Error| Error::Port { pod: spec.name.clone(), reason: error.to_string() };
                let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
                forward.ports.insert((spec.name.clone(), port), listener.local_addr().map_err(failed)?);
                let (cluster, watch) = (cluster.clone(), Arc::clone(watch));
                forward.tasks.spawn(serve(listener, cluster, watch, spec.name.clone(), port));
            }
        }
        Ok(forward)
    }

    pub(super) fn address(&self, slot: &str, port: u16) -> Option<SocketAddr> {
        self.ports.get(&(slot.to_owned(), port)).copied()
    }
}

async fn serve(listener: TcpListener, cluster: Cluster, watch: Arc<Watch>, slot: String, port: u16) {
    // Ends what is under way when it is dropped itself.
    let mut connections = JoinSet::new();
    loop {
        let stream = accept::next(&listener).await;
        while connections.try_join_next().is_some() {}
        let name = watch.pod(&slot).and_then(|pod| pod.metadata.name.clone());
        let cluster = cluster.clone();
        // Without a pod the connection is closed, which is what a port without a listener looks like through a forward.
        connections.spawn(async move {
            if let Some(name) = name {
                forward(stream, &cluster, &name, port).await;
            }
        });
    }
}

/// Errors here close the client's connection.
async fn forward(mut local: TcpStream, cluster: &Cluster, pod: &str, port: u16) {
    let api = cluster.own::<Pod>();
    let Ok(mut forwarder) = api.portforward(pod, &[port]).await else { return };
    let Some(mut remote) = forwarder.take_stream(port) else { return };
    let refused = forwarder.take_error(port);
    let copied = copy_bidirectional(&mut local, &mut remote);
    match refused {
        // The API server says when the pod does not take the connection; the copy alone would wait for ever.
        Some(refused) => tokio::select! {
            _ = copied => {}
            _ = async { if refused.await.is_none() { std::future::pending::<()>().await } } => {}
        },
        None => drop(copied.await),
    }
    forwarder.abort();
}
