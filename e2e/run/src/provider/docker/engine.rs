//! Our objects in a Docker engine: labels, owners, and the removal of dead runs' objects. Main type: [`Engine`].

use std::{collections::HashMap, ops::AddAssign, time::Duration};

use bollard::{
    Docker,
    errors::Error::DockerResponseServerError,
    models::{ContainerState, ContainerStatsResponse, ContainerSummary},
    query_parameters::{
        ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptions,
        RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder, StatsOptionsBuilder,
    },
};
use futures_util::{StreamExt, future::join_all};
use jiff::Timestamp;

use crate::provider::{
    Error,
    owner::{OWNER, RUN, is_left_behind, owner_labels},
};

/// Label of a kubelet's containers, which also have their pod's labels.
const KUBELET_POD: &str = "io.kubernetes.pod.uid";

/// Three calls at most can be behind another in one engine's queue for one name: sandbox, volume, container.
const PASSES: usize = 4;
/// The time between a pass that failed and the next one: what is in use may be so by a container that is being removed.
const PAUSE: Duration = Duration::from_millis(200);

/// A connection to the engine, for one run.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    pub(crate) client: Docker,
    pub(super) run_id: String,
    /// Name and version, for the report.
    pub(crate) description: String,
    pub(crate) version: String,
    /// The kernel that its containers share.
    kernel: Option<String>,
}

/// Why an engine cannot be used: there is none, or it is not for this user.
fn unusable(error: &(dyn std::error::Error + 'static)) -> Error {
    let causes = || std::iter::successors(Some(error), |error| error.source());
    let io =
        |error: &&(dyn std::error::Error + 'static)| error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    let reason = error.to_string();
    match causes().filter_map(|cause| io(&cause)).any(|kind| kind == std::io::ErrorKind::PermissionDenied) {
        true => Error::EngineDenied { reason },
        false => Error::NoEngine { reason },
    }
}

impl Engine {
    pub(crate) async fn connect(run_id: &str) -> Result<Self, Error> {
        let client = testcontainers::core::client::docker_client_instance().await.map_err(|error| unusable(&error))?;
        let version = client.version().await.map_err(|error| unusable(&error))?;
        let part = |part: Option<String>| part.unwrap_or_else(|| "of unknown version".to_owned());
        let engine = part(version.version);
        let description = format!("Docker {engine} (API {})", part(version.api_version));
        let kernel = version.kernel_version;
        Ok(Self { client, run_id: run_id.to_owned(), description, version: engine, kernel })
    }

    /// Whether its containers run on this machine's kernel, and not in a virtual machine or elsewhere.
    pub(crate) fn is_here(&self) -> bool {
        self.kernel.as_ref().is_some_and(|kernel| crate::host::kernel().ends_with(kernel))
    }

    /// Labels of everything that this run makes.
    pub(super) fn labels(&self) -> HashMap<String, String> {
        owner_labels(&self.run_id).into()
    }

    /// Whether a container is in a state, as far as can be told: with an engine that does not answer nothing has changed.
    pub(super) async fn is(&self, id: &str, state: impl FnOnce(ContainerState) -> Option<bool>) -> bool {
        match self.client.inspect_container(id, None).await {
            Ok(inspected) => inspected.state.and_then(state).unwrap_or(false),
            Err(error) => !matches!(error, DockerResponseServerError { status_code: 404, .. }),
        }
    }

    /// What a running container uses now.
    pub(super) async fn stats(&self, id: &str) -> Option<ContainerStatsResponse> {
        let one_shot = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
        self.client.stats(id, Some(one_shot)).next().await?.ok()
    }

    /// Removes a container, by name or id, with everything only it used. Returns how many were there.
    pub(super) async fn remove_container(&self, name: &str) -> Result<usize, Error> {
        match self.client.remove_container(name, Some(forced())).await {
            // It is already being removed.
            Err(DockerResponseServerError { status_code: 409, .. }) => Ok(0),
            result => counted(result, "remove the container", name),
        }
    }

    /// Removes a volume. Returns how many were there.
    pub(super) async fn remove_volume(&self, name: &str) -> Result<usize, Error> {
        let options = RemoveVolumeOptionsBuilder::default().force(true).build();
        counted(self.client.remove_volume(name, Some(options)).await, "remove the volume", name)
    }

    /// Removes everything of this run. Tries everything, and returns a failure of the last try.
    ///
    /// A pending call of a stopped caller may still create something, so this repeats until nothing was left to remove.
    pub(crate) async fn remove_run(&self) -> Result<Removed, Error> {
        repeat(async |removed: &mut Removed| {
            self.remove(|labels, _| labels.get(RUN) == Some(&self.run_id), removed).await
        })
        .await
    }

    /// Removes the leftovers of dead runs.
    pub(crate) async fn remove_orphans(&self) -> Result<Removed, Error> {
        let mut removed = Removed::default();
        let is_due = |labels: &HashMap<String, String>, age| is_left_behind(labels.get(OWNER).map(String::as_str), age);
        self.remove(is_due, &mut removed).await.map(|()| removed)
    }

    /// Removes what `is_due` by its labels and its age.
    async fn remove(
        &self,
        is_due: impl Fn(&HashMap<String, String>, Duration) -> bool,
        removed: &mut Removed,
    ) -> Result<(), Error> {
        let filters = HashMap::from([("label", vec![RUN])]);
        let list = |error| Error::engine("list what belongs to", RUN, error);
        let mut failure = None;
        let mut note = |count: &mut usize, removed: Result<usize, Error>| match removed {
            Ok(number) => *count += number,
            Err(error) => {
                failure.get_or_insert(error);
            }
        };

        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let containers = self.client.list_containers(Some(options)).await.map_err(list)?;
        let is_due_container = |container: &ContainerSummary| {
            let is_due = |labels| is_ours(labels) && is_due(labels, age(container.created));
            container.labels.as_ref().is_some_and(is_due)
        };
        let containers: Vec<String> =
            containers.into_iter().filter(is_due_container).filter_map(|container| container.id).collect();
        // Side by side: each takes the engine a tenth of a second.
        for result in join_all(containers.iter().map(|id| self.remove_container(id))).await {
            note(&mut removed.containers, result);
        }

        let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
        for network in self.client.list_networks(Some(options)).await.map_err(list)? {
            let age = age(network.created.map(|created| created.unix_timestamp()));
            if let (Some(id), Some(true)) = (network.id, network.labels.map(|labels| is_due(&labels, age))) {
                let result = self.client.remove_network(&id).await;
                note(&mut removed.networks, counted(result, "remove the network", &id));
            }
        }

        let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
        let volumes = self.client.list_volumes(Some(options)).await.map_err(list)?.volumes.unwrap_or_default();
        for volume in volumes {
            let age = age(volume.created_at.map(|created| created.unix_timestamp()));
            if is_due(&volume.labels, age) {
                note(&mut removed.volumes, self.remove_volume(&volume.name).await);
            }
        }
        failure.map_or(Ok(()), Err)
    }
}

/// Repeats a pass over everything until one has nothing left to remove and nothing that fails.
async fn repeat(mut pass: impl AsyncFnMut(&mut Removed) -> Result<(), Error>) -> Result<Removed, Error> {
    let mut all = Removed::default();
    let mut last = Ok(());
    for number in 0..PASSES {
        if last.is_err() && number > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let mut removed = Removed::default();
        last = pass(&mut removed).await;
        all += removed;
        if last.is_ok() && removed == Removed::default() {
            break;
        }
    }
    last.map(|()| all)
}

/// How old something is that was made so many seconds after 1970. What has no date counts as new.
fn age(created: Option<i64>) -> Duration {
    let created = created.and_then(|seconds| Timestamp::from_second(seconds).ok());
    created.and_then(|created| Timestamp::now().duration_since(created).try_into().ok()).unwrap_or_default()
}

/// Whether a container with a run's labels was made by this program. In a cluster that shares the engine, a run's containers are the
/// kubelet's, which removes them with their pods.
fn is_ours(labels: &HashMap<String, String>) -> bool {
    !labels.contains_key(KUBELET_POD)
}

/// Kills what runs, and takes the volumes without a name along.
fn forced() -> RemoveContainerOptions {
    RemoveContainerOptionsBuilder::default().force(true).v(true).build()
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Removed {
    /// Containers, sandboxes included.
    pub(crate) containers: usize,
    pub(crate) networks: usize,
    pub(crate) volumes: usize,
}

impl AddAssign for Removed {
    fn add_assign(&mut self, more: Self) {
        self.containers += more.containers;
        self.networks += more.networks;
        self.volumes += more.volumes;
    }
}

/// How many objects a removal removed. A missing one is not a failure.
fn counted(result: Result<(), bollard::errors::Error>, action: &'static str, name: &str) -> Result<usize, Error> {
    match result {
        Ok(()) => Ok(1),
        Err(DockerResponseServerError { status_code: 404, .. }) => Ok(0),
        Err(error) => Err(Error::engine(action, name, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_in_use_is_a_failure_and_a_missing_one_is_none() {
        let removed = |status_code| {
            let answer = DockerResponseServerError { status_code, message: "no".to_owned() };
            counted(Err(answer), "remove the volume", "it").ok()
        };
        assert_eq!([409, 404].map(removed), [None, Some(0)]);
    }

    #[test]
    fn containers_of_a_kubelet_are_left_to_it() {
        let labels = |more: &[&str]| [RUN].iter().chain(more).map(|name| (name.to_string(), "x".to_owned())).collect();
        assert!(is_ours(&labels(&[OWNER])));
        assert!(!is_ours(&labels(&[OWNER, KUBELET_POD])));
    }

    #[tokio::test]
    async fn a_pass_that_fails_is_repeated() {
        let failure =
            || Error::Engine { action: "remove the volume", name: "it".to_owned(), reason: "in use".to_owned() };
        let mut passes = 0;
        let removed = repeat(async |removed| {
            passes += 1;
            removed.volumes = usize::from(passes == 2);
            if passes == 1 { Err(failure()) } else { Ok(()) }
        });
        assert_eq!(removed.await.expect("the second pass succeeds").volumes, 1);
        assert_eq!(passes, 3, "one that fails, one that removes, one that finds nothing");
        repeat(async |_| Err(failure())).await.expect_err("it never succeeds");
    }
}
