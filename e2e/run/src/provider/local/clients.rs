//! Programs that exec probes and hooks call for the server of their container, led to its port on this machine. Main function:
//! [`LocalPods::write_clients`].

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{FoundProgram, LocalPods, pod::Pod};
use crate::provider::Error;

impl LocalPods {
    /// Writes a program in front of each client that a container's program names, where this machine has that client.
    pub(super) fn write_clients(&self, pod: &Pod, container: &str, found: &FoundProgram) -> Result<(), Error> {
        if found.program.clients.is_empty() {
            return Ok(());
        }
        let directory = pod.clients(container);
        self.workspace.private_directory(&directory)?;
        let translation = self.translation(pod, pod.container(container)?);
        for (name, arguments) in &found.program.clients {
            let Some(client) = program_file(found, name) else { continue };
            let arguments: Vec<String> = arguments.iter().map(|argument| translation.template(argument)).collect();
            let path = directory.join(name);
            self.workspace.write(&path, &in_front(&client, &arguments, &pod.local_ports()))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
                .map_err(|error| Error::File { path: path.clone(), reason: error.to_string() })?;
        }
        Ok(())
    }
}

/// A program of the directories in which a container finds its own.
fn program_file(found: &FoundProgram, name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories = found.directories.iter().cloned().chain(std::env::split_paths(&path));
    directories.find_map(|directory| Some(directory.join(name)).filter(|file| file.is_file()))
}

/// A script that calls `client` with `arguments` before its own, of which those that are a container port become its local port.
fn in_front(client: &Path, arguments: &[String], ports: &BTreeMap<u16, u16>) -> String {
    let mut script = "#!/bin/sh\nfor argument; do\n    shift\n    case $argument in\n".to_owned();
    for (port, local) in ports {
        script += &format!("    {port} | -[pP]{port} | --port={port}) argument=${{argument%{port}}}{local} ;;\n");
    }
    script += "    esac\n    set -- \"$@\" \"$argument\"\ndone\nexec";
    for word in [client.display().to_string()].iter().chain(arguments) {
        script += &format!(" '{}'", word.replace('\'', r"'\''"));
    }
    script + " \"$@\"\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case::none(&[], "[-h][it's]")]
    #[case::ports(&["-p", "6379", "-P6379", "--port=6379", "6379"], "[-h][it's][-p][15001][-P15001][--port=15001][15001]")]
    #[case::others(&["ping", "63790", "a b", "*"], "[-h][it's][ping][63790][a b][*]")]
    fn arguments_that_are_ports_become_local(#[case] arguments: &[&str], #[case] expected: &str) {
        let directory = tempfile::tempdir().expect("a directory");
        let client = directory.path().join("a client");
        fs::write(&client, "#!/bin/sh\nprintf '[%s]' \"$@\"\n").expect("a client");
        fs::set_permissions(&client, fs::Permissions::from_mode(0o755)).expect("a program");
        let front = directory.path().join("front");
        let first = ["-h", "it's"].map(str::to_owned);
        fs::write(&front, in_front(&client, &first, &BTreeMap::from([(6379, 15_001)]))).expect("a script");
        let output = std::process::Command::new("sh").arg(&front).args(arguments).output().expect("a shell");
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    }
}
