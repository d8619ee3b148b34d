//! What a container's process is started with: its words, variables and directories, translated for this machine. Main function:
//! [`LocalPods::process_spec`].

use std::{collections::BTreeMap, path::PathBuf};

use e2e_plan::{
    Container, ResolvedContainer, Service, programs,
    references::{arguments, names_callers},
};
use rustix::process::Signal;

use super::{FoundProgram, LocalPods, StopSignal, pod::Pod, process::Spec, translate::Translation};
use crate::provider::{Error, files};

/// Where images keep their programs.
const BIN: [&str; 4] = ["/usr/local/bin", "/usr/bin", "/usr/sbin", ""];

impl LocalPods {
    pub(super) fn translation(&self, pod: &Pod, container: &Container) -> Translation {
        let private = pod.private(&container.name).display().to_string();
        let mut translation = Translation::new(private, container.image.clone(), pod.local_ports());
        let namespace = &pod.spec.component.namespace;
        let is_meant = |service: &Service| service.is_meant_in(namespace, &self.declared);
        // A name with its namespace first: the short one is what it begins with.
        let (meant, others): (Vec<&Service>, Vec<&Service>) =
            self.declared.iter().partition(|service| is_meant(service));
        for (services, is_short) in [(others, false), (meant, true)] {
            for service in services {
                let namespace = (!is_short).then_some(service.namespace.as_str());
                for port in &service.ports {
                    if let Some(address) = self.service(&service.name, port.port) {
                        translation.service(service.host(), namespace, port.port, address);
                    }
                }
                for pod in self.all_pods().iter().filter(|pod| service.names_pods_of(&pod.spec.component)) {
                    let name = format!("{}.{}", pod.spec.name, service.host());
                    for (number, address) in &pod.ports {
                        translation.service(&name, namespace, *number, *address);
                    }
                }
            }
        }
        for mount in &container.mounts {
            translation.path(&mount.path, &files::path(&pod.directory, mount).display().to_string());
        }
        if let Some(program) = pod.wrapped(container) {
            for name in program.servers() {
                let server = pod.servers(&container.name).join(name).display().to_string();
                BIN.iter().for_each(|directory| translation.path(&format!("{directory}/{name}"), &server));
            }
            for path in program.paths() {
                translation.path(path, &translation.place(path));
            }
        }
        translation
    }

    /// A text for a container's process. `key` is the variable or option whose value it is.
    pub(super) fn text(&self, pod: &Pod, translation: &Translation, (key, text): (Option<&str>, &str)) -> String {
        // Clients write there what they themselves call the pod.
        let text = match key.is_some_and(names_callers) {
            true => text.to_owned(),
            false => translation.own_ports(text),
        };
        translation.text(&self.with_addresses(pod, (key, &text)))
    }

    /// Replaces hosts without a port by addresses.
    pub(super) fn with_addresses(&self, pod: &Pod, (key, text): (Option<&str>, &str)) -> String {
        self.hosts.text(key, text, (&pod.spec.component.namespace, &self.declared))
    }

    pub(super) fn process_spec(&self, pod: &Pod, container_name: &str) -> Result<Spec, Error> {
        let container = pod.spec.container(container_name)?;
        let missing = || Error::no_such_container(&pod.spec.name, container_name);
        let found = pod.programs.get(container_name).ok_or_else(missing)?;
        let translation = self.translation(pod, container);
        let text = |value: (Option<&str>, &str)| self.text(pod, &translation, value);
        // The address that probes name too: an allow-list made from it must know them, as on the other targets.
        let links = self.links(&pod.spec.component.namespace);
        let ResolvedContainer { command, args, env: variables, .. } =
            pod.spec.resolve(container, &self.run_id, pod.simulated_ip, links);
        let is_left = found.program.leaves(&container.command, &container.args);
        let is_scripted = found.program.script.is_some();
        let mut argv: Vec<String> = match &found.binary {
            Some(binary) => vec![binary.display().to_string()],
            None if is_left => Vec::new(),
            None if is_scripted => vec!["sh".to_owned(), pod.script(container_name).display().to_string()],
            None => found.program.run.iter().map(|part| translation.template(part)).collect(),
        };
        let mut words = if found.binary.is_none() && (is_left || is_scripted) { command } else { Vec::new() };
        words.extend(args);
        if let Some(first) = words.first_mut().filter(|_| is_scripted && !is_left) {
            // The script knows its server by this name.
            *first = found.program.server(first).unwrap_or(&*first).clone();
        }
        argv.extend(arguments(&words).map(text));

        let mut env: BTreeMap<String, String> = BTreeMap::new();
        env.insert("HOME".to_owned(), pod.private(container_name).display().to_string());
        env.extend(variables.into_iter().map(|(name, value)| {
            let value = text((Some(&name), &value));
            (name, value)
        }));
        // What runs in place of an image's server is often a client of another one: its own programs set the variables.
        let is_wrapped = pod.wrapped(container).is_some();
        if !is_wrapped {
            env.extend(found.program.env.iter().map(|(name, value)| (name.clone(), translation.template(value))));
        }
        let first = is_wrapped.then(|| pod.servers(container_name));
        let path = in_path(first.into_iter().chain(clients(pod, container_name, found)), found, env.get("PATH"));
        env.insert("PATH".to_owned(), path);

        Ok(Spec {
            argv,
            env: env.into_iter().collect(),
            directory: found.working_directory.clone().unwrap_or_else(|| pod.private(container_name)),
            // The project's own directory is open to whoever runs this, and to others perhaps not.
            user: self.workspace.user().filter(|_| found.working_directory.is_none()),
            log: self.workspace.log(&pod.spec.name, container_name),
            stop_signal: match found.program.stop_signal {
                Some(StopSignal::Interrupt) => Signal::INT,
                Some(StopSignal::Quit) => Signal::QUIT,
                Some(StopSignal::Terminate) | None => Signal::TERM,
            },
        })
    }

    /// Variables such as `BACKEND_SERVICE_HOST`, with addresses of this machine.
    fn links(&self, namespace: &str) -> Vec<(String, String)> {
        let of = |service: &Service| {
            let port = |port: &e2e_plan::ServicePort| Some(self.service(&service.name, port.port)?.port());
            service.links("127.0.0.1", port)
        };
        self.declared.iter().filter(|service| service.is_meant_in(namespace, &self.declared)).flat_map(of).collect()
    }
}

/// The directory of the programs that lead clients to a container's server.
fn clients(pod: &Pod, container: &str, found: &FoundProgram) -> Option<PathBuf> {
    (!found.program.clients.is_empty()).then(|| pod.clients(container))
}

/// `PATH` of a container's server, before that of whoever starts it.
pub(super) fn server_path(pod: &Pod, container: &str, found: &FoundProgram) -> String {
    in_path(clients(pod, container, found), found, None)
}

/// `PATH` with some directories first, then the program's own, those of the manifest and of this machine.
fn in_path(first: impl IntoIterator<Item = PathBuf>, found: &FoundProgram, of_manifest: Option<&String>) -> String {
    let of_manifest = of_manifest.map(String::as_str).unwrap_or_default();
    let of_manifest = std::env::split_paths(of_manifest).filter(|directory| !directory.as_os_str().is_empty());
    let own = first.into_iter().chain(found.directories.iter().cloned());
    let directories = own.chain(of_manifest).chain(programs::path());
    std::env::join_paths(directories).unwrap_or_default().to_string_lossy().into_owned()
}
