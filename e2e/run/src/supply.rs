//! Images and programs while a system is up: brought up to date for a component that is deployed anew. Main type: [`Supply`].

use std::path::PathBuf;

use crate::{
    image::{self, Recipes},
    provider::{
        Error, Provider,
        docker::DockerPods,
        local::{Programs, find_programs},
        pods::PodSpec,
    },
};

/// What pods are made from, as the configuration says it.
#[derive(Debug, Clone)]
pub(crate) struct Supply {
    pub(crate) images: Recipes,
    pub(crate) programs: Programs,
    pub(crate) root: PathBuf,
}

impl Supply {
    /// Makes pods that the run did not begin with, with the images or programs that they need.
    pub(crate) async fn provide(&self, provider: &Provider, pods: Vec<PodSpec>) -> Result<(), Error> {
        match provider {
            Provider::Docker(docker) => {
                self.images_of(docker, pods.iter()).await?;
                docker.admit(pods)
            }
            Provider::Local(local) => {
                let programs = find_programs(&self.programs, &pods, &self.root, &|_| ()).await?;
                local.admit(pods, &programs, &self.root)
            }
            // A cluster makes its own pods.
            Provider::K8s(_) => Ok(()),
        }
    }

    /// Builds what has changed of the pods' images or programs, and has the next starts of their containers use it.
    pub(crate) async fn renew(&self, provider: &Provider, pods: &[&PodSpec]) -> Result<(), Error> {
        match provider {
            Provider::Docker(docker) => self.images_of(docker, pods.iter().copied()).await,
            Provider::Local(local) => {
                let own: Vec<PodSpec> = pods.iter().map(|pod| (*pod).clone()).collect();
                let programs = find_programs(&self.programs, &own, &self.root, &|_| ()).await?;
                local.renew(programs.into_values())
            }
            // A cluster starts its own pods; no request for one comes so far.
            Provider::K8s(_) => Ok(()),
        }
    }

    /// Builds what has changed of the images of pods.
    async fn images_of(&self, docker: &DockerPods, pods: impl Iterator<Item = &PodSpec>) -> Result<(), Error> {
        let images: Vec<String> = pods.flat_map(|pod| pod.all_containers().map(|own| own.image.clone())).collect();
        let recipes = self.images.with_built_in();
        image::ensure(docker.engine.client(), &images, &recipes, &self.root, &|_| ()).await?;
        Ok(())
    }
}
