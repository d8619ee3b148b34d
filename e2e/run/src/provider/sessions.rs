//! Which pod a connection comes from, and whether its program is alive.

use std::{net::SocketAddr, time::Duration};

use e2e_node::node::Runtime;

use super::{Provider, pods::PodSpec};
use crate::host::stat_field;

/// A container that is frozen does not start a command.
const LIMIT: Duration = Duration::from_secs(2);

impl Provider {
    /// The pod from which a connection comes to a server of this run, by the address that the server sees and its own, as reached from
    /// this machine.
    pub(crate) fn pod_at<'a>(
        &self,
        pods: &'a [PodSpec],
        client: SocketAddr,
        server: SocketAddr,
    ) -> Option<&'a PodSpec> {
        let name = match self {
            Self::Local(local) => local.pod_of(client, server),
            Self::Docker(_) | Self::K8s(_) => None,
        };
        let is_it = |pod: &&PodSpec| match &name {
            Some(name) => pod.name == *name,
            None => self.target(&pod.name).is_some_and(|target| target.pod_ip == client.ip()),
        };
        pods.iter().find(is_it)
    }

    /// The states of a pod's processes, a letter for each as in `ps`: `S` sleeps, `R` runs, `T` is stopped. `None` where they cannot be seen:
    /// in a cluster only an image with `cat` shows them.
    pub(crate) async fn process_states(&self, pod: &PodSpec) -> Option<String> {
        match self {
            Self::Docker(pods) => pods.process_states(&pod.name).await,
            Self::Local(pods) => pods.process_states(&pod.name),
            Self::K8s(_) => {
                let command = ["cat", "/proc/1/stat"].map(str::to_owned);
                let mut states = String::new();
                for container in &pod.component.pod.containers {
                    let said = self.exec(&pod.name, &container.name, &command, LIMIT).await.ok()?;
                    let text = String::from_utf8_lossy(&said.output);
                    states.push(stat_field(&text, 0)?);
                }
                Some(states)
            }
        }
    }
}
