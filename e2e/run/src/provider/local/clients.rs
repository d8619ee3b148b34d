//! Programs that exec probes and hooks call for the server of their container, led to its port on this machine. Main function:
//! [`LocalPods::write_clients`].

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::Path};

use e2e_kubelet::shell::quoted;
use e2e_plan::programs;

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
        let translation = self.translation(pod, pod.spec.container(container)?);
        for (name, arguments) in &found.program.clients {
            let directories = found.directories.iter().cloned().chain(programs::path());
            let Some(client) = programs::find(name, directories) else { continue };
            let arguments: Vec<String> = arguments.iter().map(|argument| translation.template(argument)).collect();
            let path = directory.join(name);
            let script = in_front(&client, &arguments, &found.program.port_flags, &pod.local_ports());
            self.workspace.write(&path, &script)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
                .map_err(|error| Error::file(&path, &error))?;
        }
        Ok(())
    }
}

/// A script that calls `client` with `first` before its own arguments, of which a container port behind one of `flags` becomes its local
/// port: `-p 6379`, `-p6379`, `--port 6379`, `--port=6379`.
fn in_front(client: &Path, first: &[String], flags: &[String], ports: &BTreeMap<u16, u16>) -> String {
    let mut script = "#!/bin/sh\n".to_owned();
    if !flags.is_empty() {
        let alone: Vec<String> = flags.iter().map(|flag| quoted(flag)).collect();
        script += "before=\nfor argument; do\n    shift\n    case $argument in\n";
        for (port, local) in ports {
            script += &format!("    {port}) case $before in {}) argument={local} ;; esac ;;\n", alone.join(" | "));
            for flag in flags {
                let joint = if flag.starts_with("--") { "=" } else { "" };
                let [from, to] = [port, local].map(|port| quoted(&format!("{flag}{joint}{port}")));
                script += &format!("    {from}) argument={to} ;;\n");
            }
        }
        script += "    esac\n    before=$argument\n    set -- \"$@\" \"$argument\"\ndone\n";
    }
    let words = [client.display().to_string()].iter().chain(first).map(|word| quoted(word)).collect::<Vec<_>>();
    script + &format!("exec {} \"$@\"\n", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case::none(&[], "")]
    #[case::behind_a_flag(&["-p", "6379", "--port", "6379"], "[-p][15001][--port][15001]")]
    #[case::in_one_word(&["-p6379", "--port=6379"], "[-p15001][--port=15001]")]
    #[case::of_another_server(&["-p", "6380", "-p63790"], "[-p][6380][-p63790]")]
    #[case::values(&["set", "x", "6379", "-P", "6379", "-n6379", "a b", "*"], "[set][x][6379][-P][6379][-n6379][a b][*]")]
    fn ports_behind_a_flag_become_local(#[case] arguments: &[&str], #[case] expected: &str) {
        let directory = tempfile::tempdir().expect("a directory");
        let client = directory.path().join("a client");
        fs::write(&client, "#!/bin/sh\nprintf '[%s]' \"$@\"\n").expect("a client");
        fs::set_permissions(&client, fs::Permissions::from_mode(0o755)).expect("a program");
        let front = directory.path().join("front");
        let [first, flags] = [["-h", "it's"], ["-p", "--port"]].map(|words| words.map(str::to_owned));
        fs::write(&front, in_front(&client, &first, &flags, &BTreeMap::from([(6379, 15_001)]))).expect("a script");
        let output = std::process::Command::new("sh").arg(&front).args(arguments).output().expect("a shell");
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("[-h][it's]{expected}"));
    }
}
