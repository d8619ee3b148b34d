//! What is removed so that something new can take its place: a container before it starts again, a pod that is replaced, a pod whose sandbox
//! has ended.

use std::{io::Write as _, path::PathBuf, sync::Arc};

use e2e_plan::Container;

use super::{DockerPods, Pod, sandbox::Sandbox};
use crate::provider::Error;

impl Pod {
    /// Where the output of a container's ended instances is.
    pub(super) fn log(&self, container: &str) -> PathBuf {
        // No volume has such a name.
        self.files.join(format!(".{container}.log"))
    }

    /// Adds what an ended instance has written.
    fn keep_log(&self, container: &str, text: &str) -> Result<(), Error> {
        let path = self.log(container);
        let file = std::fs::create_dir_all(&self.files)
            .and_then(|()| std::fs::OpenOptions::new().create(true).append(true).open(&path));
        let kept = file.and_then(|mut file| file.write_all(text.as_bytes()));
        kept.map_err(|error| Error::file(&path, &error))
    }
}

impl DockerPods {
    /// Removes the rest of a pod whose sandbox has ended, as all do when an engine restarts; returns whether it had. As in
    /// Kubernetes, the pod's containers end with it: otherwise each would continue in its own network.
    pub(super) async fn forget_ended_sandbox(&self, pod: &Pod) -> Result<bool, Error> {
        let _one_at_a_time = pod.repair.lock().await;
        let Some(sandbox) = pod.made_sandbox() else { return Ok(false) };
        if self.engine.is(&sandbox.id, |state| state.running).await {
            return Ok(false);
        }
        self.remove_pod(pod, &sandbox).await.map(|()| true)
    }

    /// Removes a pod with all that ends with it, so that another one can take its place.
    pub(crate) async fn replace(&self, pod: &str) -> Result<(), Error> {
        let pod = &*self.pod(pod)?;
        let _one_at_a_time = pod.repair.lock().await;
        let Some(sandbox) = pod.made_sandbox() else { return Ok(()) };
        self.remove_pod(pod, &sandbox).await?;
        for volume in sandbox.own_volumes() {
            self.engine.remove_volume(volume).await?;
        }
        Ok(())
    }

    /// Removes a pod's containers and its network; its volumes stay.
    async fn remove_pod(&self, pod: &Pod, sandbox: &Sandbox) -> Result<(), Error> {
        // While its address is known.
        self.set_ready(&pod.spec.name, false);
        for container in pod.spec.all_containers() {
            self.remove_ended(pod, container).await?;
        }
        self.engine.remove_container(&sandbox.id).await?;
        *pod.sandbox.write() = Arc::default();
        self.services.leave(&pod.spec.name);
        Ok(())
    }

    /// Removes a container that has ended, and keeps what it has written.
    pub(super) async fn remove_ended(&self, pod: &Pod, container: &Container) -> Result<(), Error> {
        let key = (pod.spec.name.clone(), container.name.clone());
        let Some(ended) = self.containers.lock().await.get(&key).cloned() else { return Ok(()) };
        let text = self.written(ended.id()).await;
        let mut containers = self.containers.lock().await;
        pod.keep_log(&container.name, &text)?;
        containers.remove(&key);
        drop(containers);
        // Otherwise it is removed in the background, beside the start of the next one, which has the same name.
        if let Some(ended) = Arc::into_inner(ended)
            && ended.rm().await.is_ok()
        {
            return Ok(());
        }
        self.engine.remove_container(&self.container_name(pod, container)).await.map(drop)
    }
}
