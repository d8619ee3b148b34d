//! Pods as plain processes, for machines without containers: the same plan, with Service names, mount paths and ports
//! translated for this machine. Main type: [`LocalPods`].

mod clients;
mod hosts;
mod install;
mod memory;
mod pod;
mod ports;
mod process;
mod program;
mod services;
mod sockets;
mod spec;
mod translate;
mod unhonoured;
mod usage;
mod volumes;
mod workspace;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use e2e_kubelet::status::Exit;
use e2e_node::{node::ExecResult, probe::Target};
use e2e_plan::{Plan, Service, references::arguments};
use e2e_report::{evidence::Usage, run_dir::RunDir};
use parking_lot::{Mutex, RwLock};
use rustix::process::Signal;
use tokio_util::task::AbortOnDropHandle;

use self::{
    hosts::Hosts,
    pod::Pod,
    ports::Ports,
    process::Process,
    services::{ServicePort, ServicePorts, service_ports},
    workspace::Workspace,
};
use super::{
    Error,
    balancer::set_ready,
    pods::{Blow, PodSpec, Wanted},
};
use crate::host;

pub(crate) use self::program::{Error as ProgramError, Program, Programs, Rewrite, StopSignal};
pub(crate) use self::{
    hosts::lowest_port,
    install::find_programs,
    unhonoured::{ThisMachine, unhonoured},
    workspace::{OUTSIDE, user_is_known},
};

/// The pods of one run as processes of this machine.
#[derive(Debug)]
pub(crate) struct LocalPods {
    run_id: String,
    workspace: Workspace,
    pods: RwLock<BTreeMap<String, Arc<Pod>>>,
    services: ServicePorts,
    hosts: Hosts,
    declared: Vec<Service>,
    running: Arc<Mutex<BTreeMap<(String, String), Running>>>,
    /// Chooses each port once in the whole run: the process that owns one may be restarting.
    ports: Mutex<Ports>,
    _memory: AbortOnDropHandle<()>,
}

/// The programs that replace the pods' images, by image.
pub(crate) type FoundPrograms = BTreeMap<String, FoundProgram>;

/// A program with what it needs from this machine.
#[derive(Debug, Clone)]
pub(crate) struct FoundProgram {
    program: Program,
    directories: Vec<PathBuf>,
    /// The binary of a workspace package.
    binary: Option<PathBuf>,
    /// Where it runs, if not in the private directory of its container.
    working_directory: Option<PathBuf>,
}

#[derive(Debug, Clone)]
struct Running {
    process: Process,
    memory_limit_bytes: Option<u64>,
}

impl LocalPods {
    /// Chooses ports, writes files and starts balancers; starts no process of the system.
    pub(crate) fn prepare(
        plan: &Plan,
        pods: Vec<PodSpec>,
        found: &FoundPrograms,
        root: &Path,
        directory: &RunDir,
    ) -> Result<Self, Error> {
        let workspace = Workspace::create(directory)?;
        let mut ports = Ports::new();
        let mut made = BTreeMap::new();
        for (position, spec) in pods.into_iter().enumerate() {
            let pod = Pod::new(spec, position, found, &workspace, &mut ports)?;
            made.insert(pod.spec.name.clone(), Arc::new(pod));
        }
        let mut services = BTreeMap::new();
        let declared = plan.services.clone();
        for service in &plan.services {
            for (port, service_port) in service_ports(service, &made, &mut ports)? {
                services.insert((service.name.clone(), port), service_port);
            }
        }
        let running = Arc::new(Mutex::new(BTreeMap::new()));
        let local = Self {
            run_id: directory.id(),
            workspace,
            pods: RwLock::new(made),
            hosts: Hosts::listen(plan, &services)?,
            services,
            declared,
            _memory: AbortOnDropHandle::new(tokio::spawn(memory::watch(Arc::clone(&running)))),
            running,
            ports: Mutex::new(ports),
        };
        local.all_pods().iter().try_for_each(|pod| local.write_files(pod, root))?;
        Ok(local)
    }

    /// Adds pods that were not there at first.
    pub(crate) fn admit(&self, pods: Vec<PodSpec>, found: &FoundPrograms, root: &Path) -> Result<(), Error> {
        for spec in pods {
            let position = self.all_pods().len();
            let pod = {
                let mut ports = self.ports.lock();
                Arc::new(Pod::new(spec, position, found, &self.workspace, &mut ports)?)
            };
            self.write_files(&pod, root)?;
            self.pods.write().insert(pod.spec.name.clone(), pod);
        }
        Ok(())
    }

    fn all_pods(&self) -> Vec<Arc<Pod>> {
        self.pods.read().values().cloned().collect()
    }

    fn write_files(&self, pod: &Pod, root: &Path) -> Result<(), Error> {
        let rewrites: Vec<Rewrite> =
            pod.programs.values().flat_map(|found| found.program.rewrite.iter().cloned()).collect();
        // A file speaks of the paths of the first container that sees it.
        let seen_by = |volume: &str| {
            pod.spec.all_containers().find(|container| container.mounts.iter().any(|mount| mount.volume == volume))
        };
        super::files::write(&pod.spec, &self.run_id, &pod.directory, |volume, text| match seen_by(volume) {
            Some(container) => {
                self.translation(pod, container).file(&self.with_addresses(pod, (None, text)), &rewrites)
            }
            None => text.to_owned(),
        })?;
        self.make_volumes(pod)?;
        for (container, found) in &pod.programs {
            let path = Path::new(found.program.script.as_deref().unwrap_or_default());
            let script = found.program.script_text(root).map_err(|error| Error::file(path, &error))?;
            if let Some(script) = script {
                self.workspace.write(&pod.script(container), &script)?;
            }
            self.write_clients(pod, container, found)?;
            self.write_servers(pod, container, found)?;
        }
        Ok(())
    }

    fn pod(&self, name: &str) -> Result<Arc<Pod>, Error> {
        let pods = self.pods.read();
        pods.get(name).cloned().ok_or_else(|| Error::NoSuchPod { pod: name.to_owned() })
    }

    fn running(&self, pod: &str, container: &str) -> Option<Running> {
        let running = self.running.lock();
        running.get(&(pod.to_owned(), container.to_owned())).cloned()
    }

    pub(crate) fn start(&self, pod_name: &str, container: &str) -> Result<(), Error> {
        let pod = &*self.pod(pod_name)?;
        let declared = pod.spec.container(container)?;
        let process_spec = self.process_spec(pod, container)?;
        self.workspace.fresh_directory(&pod.private(container))?;
        self.make_sub_paths(pod, declared)?;
        self.link_mounts(pod, declared)?;
        let process = process_spec.spawn().map_err(|error| Error::Process {
            pod: pod_name.to_owned(),
            program: process_spec.argv.first().cloned().unwrap_or_default(),
            reason: error.to_string(),
        })?;
        let memory_limit_bytes = declared.resources.memory_limit_bytes;
        let running = Running { process, memory_limit_bytes };
        let key = (pod_name.to_owned(), container.to_owned());
        self.running.lock().insert(key, running);
        Ok(())
    }

    /// Has the next starts use what the programs' binaries are now.
    pub(crate) fn renew(&self, mut programs: impl Iterator<Item = FoundProgram>) -> Result<(), Error> {
        programs.try_for_each(|found| self.workspace.own(found).map(drop))
    }

    /// Waits for the end of the current process.
    pub(crate) async fn wait_exit(&self, pod: &str, container: &str) -> Exit {
        match self.running(pod, container) {
            Some(running) => running.process.wait().await,
            None => process::UNKNOWN,
        }
    }

    /// Asks a process to stop, and kills it after `grace`.
    pub(crate) async fn kill(&self, pod: &str, container: &str, grace: Duration) {
        if let Some(running) = self.running(pod, container) {
            running.process.stop(grace).await;
        }
    }

    /// Does something to all processes of a pod, and returns the first failure.
    pub(crate) fn strike(&self, pod: &str, blow: Blow) -> Result<(), Error> {
        let mut first = Ok(());
        for container in &self.pod(pod)?.spec.component.pod.containers {
            match (self.running(pod, &container.name).filter(|running| running.process.is_running()), blow) {
                (Some(running), Blow::Kill) => running.process.signal(Signal::KILL),
                (Some(running), Blow::Terminate) => running.process.signal(Signal::TERM),
                (Some(running), Blow::Freeze) => running.process.signal_tree(Signal::STOP),
                (Some(running), Blow::Thaw) => running.process.signal_tree(Signal::CONT),
                // What has ended is not frozen.
                (None, Blow::Thaw) => {}
                (None, _) => {
                    first = first.and(Err(Error::NotRunning { pod: format!("{pod}/{}", container.name) }));
                }
            }
        }
        first
    }

    /// Runs a command with a container's environment.
    pub(crate) async fn exec(&self, pod: &str, container: &str, command: &[String]) -> Result<ExecResult, Error> {
        let pod = &*self.pod(pod)?;
        let translation = self.translation(pod, pod.spec.container(container)?);
        let command: Vec<String> = arguments(command).map(|argument| self.text(pod, &translation, argument)).collect();
        let program = command.first().map_or("", String::as_str);
        let failed = |error: std::io::Error| Error::Exec { reason: format!("exec: {program:?}: {error}") };
        self.process_spec(pod, container)?.exec(&command).await.map_err(failed)
    }

    /// How a pod is reached from here.
    pub(crate) fn target(&self, pod: &str) -> Option<Target> {
        self.pod(pod).ok().map(|pod| Target { pod_ip: pod.simulated_ip, ports: pod.ports.clone(), host: None })
    }

    pub(crate) fn service(&self, name: &str, port: u16) -> Option<SocketAddr> {
        self.services.get(&(name.to_owned(), port)).map(|port| port.address)
    }

    /// `balancer` or `process`.
    pub(crate) fn path(&self, name: &str, port: u16) -> &'static str {
        match self.services.get(&(name.to_owned(), port)) {
            Some(ServicePort { balanced: Some(_), .. }) => "balancer",
            _ => "process",
        }
    }

    pub(crate) fn description(&self) -> String {
        format!("plain processes on {}", crate::host::kernel())
    }

    /// Puts a replica into its Services or takes it out.
    pub(crate) fn set_ready(&self, pod: &str, ready: bool) {
        for port in self.services.values().filter(|port| !port.publish_not_ready) {
            let Some((replicas, list, _)) = &port.balanced else { continue };
            let Some(address) = replicas.get(pod) else { continue };
            set_ready(list, *address, ready);
        }
    }

    pub(crate) fn usage(&self) -> BTreeMap<String, Usage> {
        let Some(processes) = usage::Processes::read() else { return BTreeMap::new() };
        let mut by_pod: BTreeMap<String, Usage> = BTreeMap::new();
        for (pod, pid) in self.alive() {
            *by_pod.entry(pod).or_default() += processes.usage(pid);
        }
        by_pod
    }

    /// The main processes that run, each with its pod.
    fn alive(&self) -> Vec<(String, u32)> {
        let running = self.running.lock();
        let alive = running.iter().filter(|(_, running)| running.process.is_running());
        alive.map(|((pod, _), running)| (pod.clone(), running.process.pid())).collect()
    }

    /// The pod whose process has a connection.
    pub(crate) fn pod_of(&self, client: SocketAddr, server: SocketAddr) -> Option<String> {
        let (processes, inode) = (usage::Processes::read()?, sockets::inode_of(client, server)?);
        let has_it = |pid: u32| processes.tree(pid).into_iter().any(|pid| sockets::has_socket(pid, inode));
        self.alive().into_iter().find(|(_, pid)| has_it(*pid)).map(|(pod, _)| pod)
    }

    pub(crate) fn process_states(&self, pod: &str) -> Option<String> {
        let processes = usage::Processes::read()?;
        let of_pod = self.alive().into_iter().filter(|(of, _)| of == pod);
        of_pod
            .flat_map(|(_, pid)| processes.tree(pid))
            .map(|pid| host::stat_field::<char>(&host::stat(pid), 0))
            .collect()
    }

    pub(crate) fn logs(&self, is_wanted: &Wanted<'_>) -> BTreeMap<(String, String), String> {
        let mut logs = BTreeMap::new();
        for pod in self.all_pods().iter().map(|pod| &pod.spec).filter(|pod| is_wanted(&pod.name)) {
            for container in pod.all_containers() {
                let text = match std::fs::read(self.workspace.log(&pod.name, &container.name)) {
                    Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                    // It has not been started.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
                    Err(error) => format!("--- cannot read it: {error} ---\n"),
                };
                logs.insert((pod.name.clone(), container.name.clone()), text);
            }
        }
        logs
    }

    /// Stops what still runs, side by side, and removes private data.
    pub(crate) async fn teardown(&self) -> Result<(), Error> {
        let running: Vec<_> = {
            let mut running = self.running.lock();
            std::mem::take(&mut *running).into_iter().collect()
        };
        let stops = running.into_iter().map(|((pod, _), running)| async move {
            let grace = self.pod(&pod).map_or(Duration::ZERO, |pod| pod.spec.component.pod.termination_grace);
            running.process.stop(grace).await;
        });
        futures_util::future::join_all(stops).await;
        self.workspace.remove()
    }
}

#[cfg(test)]
mod tests;
