//! Pods as containers. As in Kubernetes, each pod has a sandbox, a container that only holds the pod's network and volumes, so that
//! restarts keep address, Service names and published ports; and a container that starts again is a new one, as fresh as its image.
//! Main type: [`DockerPods`].

mod channel;
mod disturb;
pub(crate) mod engine;
mod entrance;
mod exit;
mod fault;
mod link;
mod measure;
mod netlink;
mod network;
mod nft;
mod queue;
mod replace;
mod sandbox;
mod services;
mod settings;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bollard::{
    errors::Error as BollardError,
    exec::{CreateExecOptions, StartExecResults},
    query_parameters::{KillContainerOptionsBuilder, StopContainerOptionsBuilder},
};
use e2e_kubelet::status::Exit;
use e2e_node::{node::ExecResult, probe::Target};
use e2e_plan::{Container, Security, Service};
use e2e_report::run_dir::RunDir;
use futures_util::StreamExt;
use parking_lot::RwLock;
use testcontainers::{ContainerAsync, GenericImage, ImageExt, runners::AsyncRunner};
use tokio::sync::{Mutex, OnceCell};

use self::{
    engine::Engine, entrance::Entrance, network::Network, sandbox::Sandbox, services::Services, settings::HostSettings,
};
use super::{
    Error,
    exec_output::EXEC_OUTPUT_MAX,
    pods::{self, Blow, PodSpec},
};

pub(crate) use self::disturb::Disturbance;

/// How much longer than its grace period a container may take to end: as long as any other call to an engine.
const STOP_SLACK: Duration = Duration::from_secs(120);

/// The pods of one run in a Docker engine.
#[derive(Debug)]
pub(crate) struct DockerPods {
    pub(crate) engine: Engine,
    network: Network,
    services: Arc<Services>,
    entrances: Vec<Entrance>,
    /// Pods in start order.
    order: Vec<String>,
    pods: RwLock<BTreeMap<String, Arc<Pod>>>,
    /// Where the files of pods are.
    work: PathBuf,
    containers: Mutex<Containers>,
}

/// Containers that were made, by pod and container.
type Containers = BTreeMap<(String, String), Arc<ContainerAsync<GenericImage>>>;

#[derive(Debug)]
struct Pod {
    spec: PodSpec,
    /// Created when the pod starts, or earlier, and recreated once it has ended.
    sandbox: RwLock<Arc<OnceCell<Arc<Sandbox>>>>,
    /// Held while checking whether the sandbox has ended.
    repair: Mutex<()>,
    /// Directory with the files of ConfigMap and Secret volumes.
    files: PathBuf,
}

impl Pod {
    /// A pod whose files are written.
    fn new(spec: PodSpec, run_id: &str, work: &Path) -> Result<Self, Error> {
        let files = work.join(&spec.name);
        super::files::write(&spec, run_id, &files, |_, text| text.to_owned())?;
        Ok(Self { spec, sandbox: RwLock::default(), repair: Mutex::default(), files })
    }

    fn made_sandbox(&self) -> Option<Arc<Sandbox>> {
        self.sandbox.read().get().cloned()
    }
}

impl DockerPods {
    /// Creates the network and config files; starts nothing. With `published_ports`, pods are reached only through these.
    pub(crate) async fn prepare(
        engine: Engine,
        pods: Vec<PodSpec>,
        services: &[Service],
        directory: &RunDir,
        published_ports: bool,
    ) -> Result<Self, Error> {
        let entrances = entrance::open(services, &pods).await?;
        let network = Network::create(&engine, published_ports).await?;
        let services = Services::new(services, &pods, network.subnet.as_deref(), &engine.run_id);
        let order = pods.iter().map(|pod| pod.name.clone()).collect();
        let work = directory.join(e2e_report::run_dir::WORK);
        let made =
            pods.into_iter().map(|spec| Ok((spec.name.clone(), Arc::new(Pod::new(spec, &engine.run_id, &work)?))));
        let made: BTreeMap<_, _> = made.collect::<Result<_, Error>>()?;
        Ok(Self {
            engine,
            network,
            services,
            entrances,
            order,
            pods: RwLock::new(made),
            work,
            containers: Mutex::default(),
        })
    }

    /// Adds pods that were not there at first.
    pub(crate) fn admit(&self, pods: Vec<PodSpec>) -> Result<(), Error> {
        for spec in pods {
            self.services.admit(&spec);
            let pod = Arc::new(Pod::new(spec, &self.engine.run_id, &self.work)?);
            self.pods.write().insert(pod.spec.name.clone(), pod);
        }
        Ok(())
    }

    /// Creates the sandboxes in start order, two at a time: the engine takes a quarter of a second for each, mostly waiting.
    pub(crate) async fn prepare_ahead(&self) {
        self.make_sandboxes(self.order.len(), 2).await;
    }

    /// Creates the first sandboxes, several at a time.
    pub(crate) async fn make_sandboxes(&self, count: usize, at_a_time: usize) {
        let pods = self.order.iter().take(count).filter_map(|name| self.pod(name).ok());
        let sandboxes: Vec<_> = pods.map(|pod| async move { self.sandbox(&pod).await }).collect();
        let mut made = futures_util::stream::iter(sandboxes).buffer_unordered(at_a_time);
        // A failure shows again when the pod starts, where it has a place to be reported.
        while made.next().await.is_some() {}
    }

    async fn sandbox(&self, pod: &Pod) -> Result<Arc<Sandbox>, Error> {
        let place = Arc::clone(&pod.sandbox.read());
        let make = async || Sandbox::start(&self.engine, &pod.spec, &self.services, &self.network).await.map(Arc::new);
        place.get_or_try_init(make).await.cloned()
    }

    fn pod(&self, name: &str) -> Result<Arc<Pod>, Error> {
        let pods = self.pods.read();
        pods.get(name).cloned().ok_or_else(|| Error::NoSuchPod { pod: name.to_owned() })
    }

    /// How a pod is reached from here.
    pub(crate) fn target(&self, pod: &str) -> Option<Target> {
        let pod = self.pod(pod).ok()?;
        let sandbox = pod.made_sandbox()?;
        let ports = pod.spec.ports().filter_map(|port| Some((port, sandbox.dial(port)?)));
        Some(Target { pod_ip: sandbox.ip, ports: ports.collect(), host: None })
    }

    /// Where this machine reaches a port of a Service with several replicas.
    pub(crate) fn balanced(&self, service: &str, port: u16) -> Option<SocketAddr> {
        let found = self.entrances.iter().find(|entrance| entrance.service == service && entrance.port == port);
        found.map(|entrance| entrance.address)
    }

    /// Adds a pod to its Services, or removes it from them, for the pods and for this machine's balancers.
    pub(crate) fn set_ready(&self, pod: &str, ready: bool) {
        self.services.set_ready(pod, ready);
        if let Some(target) = self.target(pod) {
            self.entrances.iter().for_each(|entrance| entrance.set_ready(pod, &target, ready));
        }
    }

    /// Why Services have no addresses of their own, where that is so.
    pub(crate) fn without_addresses(&self) -> Option<&str> {
        self.services.without_addresses()
    }

    /// `pod address` if this machine routes to pods, else `published port`.
    pub(crate) fn path(&self) -> &'static str {
        let pods = self.pods.read();
        match pods.values().filter_map(|pod| pod.made_sandbox()).all(|sandbox| sandbox.direct) {
            true => "pod address",
            false => "published port",
        }
    }

    async fn container(&self, pod: &str, container: &str) -> Result<Arc<ContainerAsync<GenericImage>>, Error> {
        let key = (pod.to_owned(), container.to_owned());
        let known = self.containers.lock().await.get(&key).cloned();
        known.ok_or_else(|| Error::no_such_container(pod, container))
    }

    /// Starts a container. If the pod's sandbox has ended, the next start recreates the whole pod.
    pub(crate) async fn start(&self, pod: &str, container: &str) -> Result<(), Error> {
        let Err(error) = self.try_to_start(pod, container).await else { return Ok(()) };
        match self.forget_ended_sandbox(&*self.pod(pod)?).await? {
            true => Err(Error::sandbox(pod, "it has ended; the next start of a container of this pod recreates it")),
            false => Err(error),
        }
    }

    async fn try_to_start(&self, pod_name: &str, container: &str) -> Result<(), Error> {
        let pod = &*self.pod(pod_name)?;
        let spec = pod.spec.container(container)?;
        self.remove_ended(pod, spec).await?;
        let sandbox = self.sandbox(pod).await?;
        let host = HostSettings::of(&self.engine, &pod.spec, &pod.files, &sandbox, spec).await?;
        let request = self.request(pod, &sandbox, spec, host);
        let started = match request.start().await {
            Ok(started) => started,
            Err(error) => {
                // It may have been created before the start failed: a retry needs the name, and the first error is the relevant
                // one.
                let _ = self.engine.remove_container(&self.container_name(pod, spec)).await;
                let (pod, image) = (pod_name.to_owned(), spec.image.clone());
                return Err(Error::Container { pod, image, reason: error.to_string() });
            }
        };
        let key = (pod_name.to_owned(), container.to_owned());
        self.containers.lock().await.insert(key, Arc::new(started));
        Ok(())
    }

    /// The engine's name of a container.
    fn container_name(&self, pod: &Pod, spec: &Container) -> String {
        pods::name(&self.engine.run_id, &format!("{}-{}", pod.spec.name, spec.name))
    }

    fn request(
        &self,
        pod: &Pod,
        sandbox: &Sandbox,
        spec: &Container,
        host: HostSettings,
    ) -> testcontainers::ContainerRequest<GenericImage> {
        let resolved =
            pod.spec.resolve(spec, &self.engine.run_id, sandbox.ip, self.services.links(&pod.spec.component.namespace));
        let (name, tag) =
            spec.image.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).unwrap_or((&spec.image, "latest"));
        let mut image = GenericImage::new(name, tag);
        // Kubernetes's command replaces the entrypoint; the engine takes the rest of it as the first arguments.
        let mut command = resolved.command.into_iter();
        if let Some(program) = command.next() {
            image = image.with_entrypoint(&program);
        }
        let arguments: Vec<String> = command.chain(resolved.args).collect();
        let security = &spec.security;
        let mut request = image
            .with_cmd(arguments)
            .with_container_name(self.container_name(pod, spec))
            .with_labels(self.engine.labels())
            .with_readonly_rootfs(security.read_only_root)
            .with_privileged(security.privileged);
        for (name, value) in resolved.env {
            request = request.with_env_var(name, value);
        }
        for capability in &security.drop_capabilities {
            request = request.with_cap_drop(capability);
        }
        for capability in &security.add_capabilities {
            request = request.with_cap_add(capability);
        }
        if let Some(user) = user(security) {
            request = request.with_user(user);
        }
        if let Some(directory) = &spec.working_dir {
            request = request.with_working_dir(directory);
        }
        request.with_host_config_modifier(move |config| host.apply(config))
    }

    /// Waits for the end of the current instance.
    pub(crate) async fn wait_exit(&self, pod: &str, container: &str) -> Exit {
        match self.container(pod, container).await {
            Ok(running) => exit::exit_of(&self.engine.client, running.id()).await,
            Err(_) => exit::REMOVED,
        }
    }

    /// Asks a container to stop and kills it after `grace`. Success if it has already ended or is gone.
    pub(crate) async fn kill(&self, pod: &str, container: &str, grace: Duration) -> Result<(), Error> {
        let Ok(running) = self.container(pod, container).await else { return Ok(()) };
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        // The client's own limit would end it before a long grace period is over.
        let client = self.engine.client.clone().with_timeout(grace.saturating_add(STOP_SLACK));
        match client.stop_container(running.id(), Some(options)).await {
            Ok(()) | Err(BollardError::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
            Err(error) => Err(Error::engine("stop the container", &format!("{pod}/{container}"), error)),
        }
    }

    /// Does something to all containers of a pod, and returns the first failure.
    pub(crate) async fn strike(&self, pod: &str, blow: Blow) -> Result<(), Error> {
        let mut first = Ok(());
        for container in &self.pod(pod)?.spec.component.pod.containers {
            let done = match self.container(pod, &container.name).await {
                Ok(running) => self.strike_one(&format!("{pod}/{}", container.name), running.id(), blow).await,
                // What was never made is not frozen.
                Err(_) if blow == Blow::Thaw => Ok(()),
                Err(error) => Err(error),
            };
            first = first.and(done);
        }
        first
    }

    async fn strike_one(&self, name: &str, id: &str, blow: Blow) -> Result<(), Error> {
        let client = &self.engine.client;
        let signal = |name: &str| Some(KillContainerOptionsBuilder::default().signal(name).build());
        let (action, done) = match blow {
            Blow::Kill => ("kill", client.kill_container(id, signal("SIGKILL")).await),
            Blow::Terminate => ("send SIGTERM to", client.kill_container(id, signal("SIGTERM")).await),
            Blow::Freeze => ("pause", client.pause_container(id).await),
            Blow::Thaw => ("unpause", client.unpause_container(id).await),
        };
        match done {
            // The engine resumes a container that it kills, so a liveness probe may have thawed this one.
            Err(_) if blow == Blow::Thaw && !self.engine.is(id, |state| state.paused).await => Ok(()),
            done => done.map_err(|error| Error::engine(action, name, error)),
        }
    }

    pub(crate) async fn exec(&self, pod: &str, container: &str, command: &[String]) -> Result<ExecResult, Error> {
        let running = self.container(pod, container).await?;
        let failed = |error| Error::engine("run a command in", &format!("{pod}/{container}"), error);
        let client = &self.engine.client;
        let options = CreateExecOptions {
            cmd: Some(command.to_vec()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..Default::default()
        };
        let exec = client.create_exec(running.id(), options).await.map_err(failed)?;
        let mut output = Vec::new();
        if let StartExecResults::Attached { output: mut stream, .. } =
            client.start_exec(&exec.id, None).await.map_err(failed)?
        {
            while let Some(Ok(chunk)) = stream.next().await {
                // More than a probe keeps is read, so that the command can end, and dropped.
                let chunk = chunk.into_bytes();
                output.extend_from_slice(&chunk[..chunk.len().min(EXEC_OUTPUT_MAX - output.len())]);
            }
        }
        let exit_code = client.inspect_exec(&exec.id).await.map_err(failed)?.exit_code.unwrap_or(-1);
        match not_started(exit_code, &output) {
            Some(reason) => Err(Error::Exec { reason }),
            None => Ok(ExecResult { exit_code: i32::try_from(exit_code).unwrap_or(-1), output }),
        }
    }

    /// Removes everything of this run. Containers are first given up by testcontainers, whose own removal in the background
    /// would race with this one.
    pub(crate) async fn teardown(&self) -> Result<(), Error> {
        let containers = std::mem::take(&mut *self.containers.lock().await);
        let removals = containers.into_values().filter_map(Arc::into_inner).map(ContainerAsync::rm);
        // What fails here is tried again by label, and reported there.
        let _ = futures_util::future::join_all(removals).await;
        self.engine.remove_run().await.map(drop)
    }
}

/// The engine's words for a command that it could not start: it gives them as the command's own output, with an exit status of its own.
fn not_started(exit_code: i64, output: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(output);
    let words = text.trim_end();
    let is_the_engines = matches!(exit_code, 126 | 127) && words.starts_with("OCI runtime exec failed: ");
    is_the_engines.then(|| words.to_owned())
}

fn user(security: &Security) -> Option<String> {
    let user = security.run_as_user?;
    Some(security.run_as_group.map_or(user.to_string(), |group| format!("{user}:{group}")))
}

#[cfg(test)]
mod tests;
