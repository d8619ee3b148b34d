//! What planned faults do to the pods of a cluster.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};

use super::{K8sPods, error::Error};

impl K8sPods {
    /// Deletes the pod in a place, with its own grace period unless another is named.
    pub(crate) async fn delete(&self, place: &str, grace_seconds: Option<u32>) -> Result<(), Error> {
        let (name, _) = self.object(place).ok_or_else(|| Error::Request {
            action: "delete",
            name: place.to_owned(),
            reason: "there is no such pod".to_owned(),
        })?;
        let parameters = DeleteParams { grace_period_seconds: grace_seconds, ..DeleteParams::default() };
        let deleted = self.pods().delete(&name, &parameters).await;
        deleted.map(drop).map_err(|error| self.cluster.failed("delete", &name, &error))
    }

    /// Has the pods of a component replaced as its strategy says, as `kubectl rollout restart` does.
    pub(crate) async fn roll_out(&self, component: &str, kind: &str) -> Result<(), Error> {
        let at = jiff::Timestamp::now().to_string();
        let patch = Patch::Merge(serde_json::json!({
            "spec": { "template": { "metadata": { "annotations": { "kubectl.kubernetes.io/restartedAt": at } } } }
        }));
        let (client, namespace) = (self.cluster.client.clone(), &self.cluster.namespace);
        let parameters = PatchParams::default();
        let patched = match kind {
            "StatefulSet" => {
                Api::<StatefulSet>::namespaced(client, namespace).patch(component, &parameters, &patch).await.map(drop)
            }
            "DaemonSet" => {
                Api::<DaemonSet>::namespaced(client, namespace).patch(component, &parameters, &patch).await.map(drop)
            }
            _ => Api::<Deployment>::namespaced(client, namespace).patch(component, &parameters, &patch).await.map(drop),
        };
        patched.map_err(|error| self.cluster.failed("roll out", &format!("{kind} {component}"), &error))
    }
}
