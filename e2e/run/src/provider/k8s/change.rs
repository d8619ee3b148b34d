//! Other pods in the place of those of a cluster: for planned faults, and for a component that is deployed anew.

use std::collections::BTreeMap;

use e2e_plan::{Component, Container};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use kube::{
    api::{DeleteParams, Patch, PatchParams},
    core::ApiResource,
};
use serde_json::json;

use super::{K8sPods, error::Error};
use crate::provider::docker::engine::Engine;

impl K8sPods {
    /// Deletes the pod in a slot, with its own grace period unless another is named.
    pub(crate) async fn delete(&self, slot: &str, grace_seconds: Option<u32>) -> Result<(), Error> {
        let (name, _) = self.object(slot).ok_or_else(|| Error::of("delete", slot, "there is no such pod"))?;
        let parameters = DeleteParams { grace_period_seconds: grace_seconds, ..DeleteParams::default() };
        let deleted = self.pods().delete(&name, &parameters).await;
        deleted.map(drop).map_err(|error| Error::failed("delete", &name, &error))
    }

    /// Has the pods of a component replaced as its strategy says, as `kubectl rollout restart` does.
    pub(crate) async fn roll_out(&self, component: &Component) -> Result<(), Error> {
        self.roll_out_with(component, &BTreeMap::new()).await
    }

    /// The same with what the images of this machine's engine are now.
    pub(crate) async fn redeploy(
        &self,
        component: &Component,
        engine: &Engine,
        images: &[String],
    ) -> Result<(), Error> {
        self.roll_out_with(component, &super::bring(&self.cluster, engine, images).await?).await
    }

    /// Replaces the pods by some that run other images in place of those.
    async fn roll_out_with(&self, component: &Component, images: &BTreeMap<String, String>) -> Result<(), Error> {
        let other = |containers: &[Container]| -> Vec<_> {
            let named =
                containers.iter().filter_map(|own| Some(json!({ "name": own.name, "image": images.get(&own.image)? })));
            named.collect()
        };
        let at = jiff::Timestamp::now().to_string();
        let patch = Patch::Strategic(json!({
            "spec": { "template": {
                "metadata": { "annotations": { "kubectl.kubernetes.io/restartedAt": at } },
                "spec": {
                    "initContainers": other(&component.pod.init_containers),
                    "containers": other(&component.pod.containers)
                }
            } }
        }));
        let described = format!("{} {}", component.kind, component.name);
        let resource = match component.kind.as_str() {
            "Deployment" => ApiResource::erase::<Deployment>(&()),
            "StatefulSet" => ApiResource::erase::<StatefulSet>(&()),
            "DaemonSet" => ApiResource::erase::<DaemonSet>(&()),
            _ => {
                let reason = "a cluster rolls out Deployments, StatefulSets and DaemonSets only";
                return Err(Error::of("roll out", &described, reason));
            }
        };
        let api = self.cluster.dynamic(&resource, false);
        let patched = api.patch(&component.name, &PatchParams::default(), &patch).await;
        patched.map(drop).map_err(|error| Error::failed("roll out", &described, &error))
    }
}
