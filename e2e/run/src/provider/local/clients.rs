//! Programs of an image that its containers call by name: clients, led to the port of their server on this machine, and the server
//! itself. Main functions: [`LocalPods::write_clients`], [`LocalPods::write_servers`].

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::Path};

use e2e_plan::{
    programs,
    shell::{base, quoted},
};
use e2e_report::env_vars;

use super::{FoundProgram, LocalPods, pod::Pod, program::ENTRYPOINT, spec::server_path};
use crate::provider::Error;

impl LocalPods {
    /// Writes a program in front of each client that a container's program names, where this machine has that client.
    pub(super) fn write_clients(&self, pod: &Pod, container: &str, found: &FoundProgram) -> Result<(), Error> {
        if found.program.clients.is_empty() {
            return Ok(());
        }
        let directory = pod.clients(container);
        self.workspace.private_directory(&directory)?;
        let translation = self.translation(pod, pod.spec.container(container)?);
        for (name, arguments) in &found.program.clients {
            let directories = found.directories.iter().cloned().chain(programs::path());
            let Some(client) = programs::find(name, directories) else { continue };
            let front = Front {
                client: &client,
                first: arguments.iter().map(|argument| translation.template(argument)).collect(),
                flags: &found.program.port_flags,
                ports: pod.local_ports(),
                variables: of_clients(&found.program.env)
                    .map(|(name, value)| (name, translation.template(value)))
                    .collect(),
            };
            self.write_program(&directory.join(name), &front.text())?;
        }
        Ok(())
    }

    /// Writes programs that start the server of a container which runs another program: `sh -c 'exec redis-server'`.
    pub(super) fn write_servers(&self, pod: &Pod, container: &str, found: &FoundProgram) -> Result<(), Error> {
        let declared = pod.spec.container(container)?;
        let Some(program) = pod.wrapped(declared) else { return Ok(()) };
        let directory = pod.servers(container);
        self.workspace.private_directory(&directory)?;
        let translation = self.translation(pod, declared);
        let mut start = exported("PATH", &server_path(pod, container, found));
        start.extend(program.env.iter().map(|(name, value)| exported(name, &translation.template(value))));
        start += &format!("exec sh {}", quoted(&pod.script(container).display().to_string()));
        let mut entry = "#!/bin/sh\ncase ${1:-} in\n    '' | -* | *.conf) ;;\n".to_owned();
        for server in &program.commands {
            let (name, server) = (base(server), quoted(server));
            self.write_program(&directory.join(name), &format!("#!/bin/sh\n{start} {server} \"$@\"\n"))?;
            entry += &format!("    {0} | */{0}) shift; set -- {server} \"$@\" ;;\n", quoted(name));
        }
        entry += &format!("    *) exec \"$@\" ;;\nesac\n{start} \"$@\"\n");
        self.write_program(&directory.join(ENTRYPOINT), &entry)
    }

    fn write_program(&self, path: &Path, script: &str) -> Result<(), Error> {
        self.workspace.write(path, script)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(|error| Error::file(path, &error))
    }
}

/// Variables that lead clients to the server, of those of its program.
fn of_clients(env: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &String)> {
    let is_own = |name: &str| name == "HOME" || name.starts_with(env_vars::E2E_BIN_PREFIX);
    env.iter().map(|(name, value)| (name.as_str(), value)).filter(move |(name, _)| !is_own(name))
}

fn exported(name: &str, value: &str) -> String {
    format!("export {name}={}\n", quoted(value))
}

/// A script in front of a client.
struct Front<'a> {
    client: &'a Path,
    /// Arguments before those of the caller.
    first: Vec<String>,
    /// Options whose value is a port.
    flags: &'a [String],
    /// This machine's port for each container port.
    ports: BTreeMap<u16, u16>,
    variables: Vec<(&'a str, String)>,
}

impl Front<'_> {
    /// A call that names no other host goes to the server of the container: a container port behind a flag becomes its local port (`-p 6379`,
    /// `-p6379`, `--port 6379`, `--port=6379`), and variables that are not set lead there.
    fn text(&self) -> String {
        let client = quoted(&self.client.display().to_string());
        let host = self.variables.iter().find(|(name, _)| name.ends_with("HOST"));
        let mut script =
            format!("#!/bin/sh\nhost={}\n", host.map_or(String::new(), |(name, _)| format!("${{{name}:-}}")));
        script += &format!("{OTHER_HOST}exec {client} \"$@\" ;; esac\n");
        for (name, value) in &self.variables {
            script += &format!("[ -n \"${{{name}:-}}\" ] || {}", exported(name, value));
        }
        if !self.flags.is_empty() {
            script += &self.local_ports();
        }
        let words: Vec<String> = self.first.iter().map(|word| quoted(word)).collect();
        script + &format!("exec {client} {} \"$@\"\n", words.join(" "))
    }

    fn local_ports(&self) -> String {
        let alone: Vec<String> = self.flags.iter().map(|flag| quoted(flag)).collect();
        let mut script = "before=\nfor argument; do\n    shift\n    case $argument in\n".to_owned();
        for (port, local) in &self.ports {
            script += &format!("    {port}) case $before in {}) argument={local} ;; esac ;;\n", alone.join(" | "));
            for flag in self.flags {
                let joint = if flag.starts_with("--") { "=" } else { "" };
                let [from, to] = [port, local].map(|port| quoted(&format!("{flag}{joint}{port}")));
                script += &format!("    {from}) argument={to} ;;\n");
            }
        }
        script + "    esac\n    before=$argument\n    set -- \"$@\" \"$argument\"\ndone\n"
    }
}

/// Finds the host of a call, and begins what happens with another one than this.
const OTHER_HOST: &str = "\
before=
for argument; do
    case $before in -h | --host) host=$argument ;; esac
    case $argument in
        -h?*) host=${argument#-h} ;;
        --host=*) host=${argument#--host=} ;;
        redis://* | rediss://* | valkey://* | postgres://* | postgresql://*) host=$argument ;;
    esac
    before=$argument
done
case $host in '' | localhost | 127.0.0.1) ;; *) ";

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case::none(&[], &[], "127.0.0.1[it's]")]
    #[case::behind_a_flag(&[], &["-p", "6379", "--port", "6379"], "127.0.0.1[it's][-p][15001][--port][15001]")]
    #[case::in_one_word(&[], &["-p6379", "--port=6379"], "127.0.0.1[it's][-p15001][--port=15001]")]
    #[case::of_another_port(&[], &["-p", "6380", "-p63790"], "127.0.0.1[it's][-p][6380][-p63790]")]
    #[case::values(&[], &["set", "x", "6379", "-P", "6379", "-n6379", "a b", "*"], "127.0.0.1[it's][set][x][6379][-P][6379][-n6379][a b][*]")]
    #[case::this_host(&[], &["-h", "localhost", "-p", "6379"], "127.0.0.1[it's][-h][localhost][-p][15001]")]
    #[case::another_host(&[], &["-h", "cache", "-p", "6379"], "[-h][cache][-p][6379]")]
    #[case::another_host_in_one_word(&[], &["--host=cache", "-p6379"], "[--host=cache][-p6379]")]
    #[case::an_address(&[], &["-u", "redis://cache:6379"], "[-u][redis://cache:6379]")]
    #[case::another_host_in_a_variable(&[("CACHE_HOST", "cache")], &["-p", "6379"], "cache[-p][6379]")]
    fn a_call_goes_where_it_is_meant_to(
        #[case] variables: &[(&str, &str)],
        #[case] arguments: &[&str],
        #[case] expected: &str,
    ) {
        let directory = tempfile::tempdir().expect("a directory");
        let client = directory.path().join("a client");
        fs::write(&client, "#!/bin/sh\nprintf %s \"${CACHE_HOST:-}\"\nfor word; do printf '[%s]' \"$word\"; done\n")
            .expect("a client");
        fs::set_permissions(&client, fs::Permissions::from_mode(0o755)).expect("a program");
        let front = directory.path().join("front");
        let (first, flags) = (vec!["it's".to_owned()], ["-p", "--port"].map(str::to_owned));
        let ports = BTreeMap::from([(6379, 15_001)]);
        let text =
            Front { client: &client, first, flags: &flags, ports, variables: vec![("CACHE_HOST", "127.0.0.1".into())] }
                .text();
        fs::write(&front, text).expect("a script");
        let output =
            std::process::Command::new("sh").arg(&front).args(arguments).envs(variables.iter().copied()).output();
        assert_eq!(String::from_utf8_lossy(&output.expect("a shell").stdout), expected);
    }
}
