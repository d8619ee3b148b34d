//! What pods are made from: provided before a run, and while a system is up for a component that is deployed anew. Main type: [`Supply`].

use std::path::{Path, PathBuf};

use e2e_node::node::Restarter;

use crate::{
    config::Config,
    image::{self, Recipes},
    provider::{
        Error, Provider,
        docker::engine::Engine,
        local::{FoundPrograms, Programs, find_programs},
        pods::PodSpec,
    },
};

/// What pods are made from, as the configuration says it, with the framework's own images.
#[derive(Debug, Clone)]
pub(crate) struct Supply {
    pub(crate) images: Recipes,
    programs: Programs,
    root: PathBuf,
}

impl Supply {
    pub(crate) fn of(config: &Config, root: &Path) -> Self {
        Self { images: config.images.with_built_in(), programs: config.local.clone(), root: root.to_owned() }
    }

    /// Makes pods that the run did not begin with, with the images or programs that they need.
    pub(crate) async fn provide(&self, provider: &Provider, pods: Vec<PodSpec>) -> Result<(), Error> {
        match provider {
            Provider::Docker(docker) => {
                self.ensure(&docker.engine, &images_of(&pods), &|_| ()).await?;
                docker.admit(pods)
            }
            Provider::Local(local) => {
                let programs = self.programs(&pods, &|_| ()).await?;
                local.admit(pods, &programs, &self.root)
            }
            // A cluster makes its own pods.
            Provider::K8s(_) => Ok(()),
        }
    }

    /// Builds what has changed of the images or programs of a component's pods, and has others take their places.
    pub(crate) async fn redeploy(
        &self,
        provider: &Provider,
        restarter: Option<&Restarter>,
        pods: &[&PodSpec],
    ) -> Result<(), Error> {
        match provider {
            Provider::Docker(docker) => {
                self.ensure(&docker.engine, &images_of(pods.iter().copied()), &|_| ()).await?;
            }
            Provider::Local(local) => {
                let own: Vec<PodSpec> = pods.iter().map(|pod| (*pod).clone()).collect();
                let programs = self.programs(&own, &|_| ()).await?;
                local.renew(programs.into_values())?;
            }
            Provider::K8s(cluster) => {
                let Some(first) = pods.first() else { return Ok(()) };
                let engine = Engine::connect("redeploy").await?;
                let images = self.brought(&engine, first).await?;
                cluster.redeploy(&first.component, &engine, &images).await?;
            }
        }
        pods.iter().for_each(|pod| restarter.into_iter().for_each(|restarter| restarter.replace(&pod.name)));
        Ok(())
    }

    /// Finds, builds or installs the programs that replace the pods' images.
    pub(crate) async fn programs(
        &self,
        pods: &[PodSpec],
        say: &(dyn Fn(String) + Sync),
    ) -> Result<FoundPrograms, Error> {
        find_programs(&self.programs, pods, &self.root, say).await
    }

    /// Pulls or builds those images that the engine does not have as they are now.
    pub(crate) async fn ensure(
        &self,
        engine: &Engine,
        images: &[String],
        say: image::Progress<'_>,
    ) -> Result<Vec<image::Outcome>, image::Error> {
        image::ensure(&engine.client, images, &self.images, &self.root, say).await
    }

    /// Those of the images that have a recipe.
    pub(crate) fn own(&self, images: &[String]) -> Vec<String> {
        images.iter().filter(|image| self.images.0.contains_key(*image)).cloned().collect()
    }

    /// The images of a pod that this machine brings to a cluster: those that it has, once what has a recipe is built.
    async fn brought(&self, engine: &Engine, pod: &PodSpec) -> Result<Vec<String>, Error> {
        let images = images_of([pod]);
        self.ensure(engine, &self.own(&images), &|_| ()).await?;
        Ok(image::present(&engine.client, &images).await?)
    }
}

fn images_of<'a>(pods: impl IntoIterator<Item = &'a PodSpec>) -> Vec<String> {
    pods.into_iter().flat_map(PodSpec::all_containers).map(|own| own.image.clone()).collect()
}
